"""A quantized artefact: written, and measured beside the one in full precision: size, speed and score."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.deploy.export.agreement import Artefact, batches_of, eager_answer
from flambeau.deploy.export.export import Export
from flambeau.deploy.export.formats import exporting
from flambeau.deploy.export.inputs import Raw
from flambeau.deploy.export.quantize import CALIBRATION_ROWS, to_bfloat16, write_int8
from flambeau.deploy.export.rows import TrialRows
from flambeau.deploy.export.speed import median_milliseconds
from flambeau.evaluation.metrics import score_predictions

SCORED_ROWS = 2_000
BATCHES = (1, 32)
NO_GAIN = 0.95  # less than the spread of such measurements is no gain


def write_quantized(export: Export, target: Path, on_note: Callable[[str], None]) -> dict[str, Any]:
    """Write the quantized file and measure it.

    Raises:
        ModelError: the exporter or the quantizer cannot, or the file does not answer.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
        full = Path(scratch) / f"full{target.suffix}"
        export.write(full)
        if export.request.quantize == "bf16":
            export.write(target, to_bfloat16(export.graph()))
        else:
            rows = export.data.rows("train", CALIBRATION_ROWS) if export.data else export.trial_rows(0)
            on_note(f"calibrated on {len(rows):,} rows: {rows.origin}")
            batches = _raw_only(export, rows)
            exporting(export.request, lambda: write_int8(full, target, batches))
        measured = measure_quantized(export, full, target)
    for size, times in measured["quantized"]["milliseconds"].items():
        if times["quantized"] > times["full"] * NO_GAIN:
            on_note(
                f"{export.request.quantize} is no quicker for this model with {size} at a time: "
                f"{times['quantized']:.2f} ms, and {times['full']:.2f} ms in full precision"
            )
    return measured


def _raw_only(export: Export, rows: TrialRows) -> Iterator[Raw]:
    return (raw for _, raw, _ in batches_of(export.bundle, rows, export.max_pixels))


def measure_quantized(export: Export, full: Path, quantized: Path) -> dict[str, Any]:
    """Size, speed and score of both files.

    Returns:
        "rows", "origin", and "quantized": "bytes" of both, "score" of both where the data are there, "same_answers"
        (the share of rows with the same label), "largest_difference" (max|a-b| / max|a|), "milliseconds" a batch of 1
        and 32 of the module, the full and the quantized file.
    """
    rows = export.trial_rows(SCORED_ROWS)
    artefacts = {"full": export.open(full), "quantized": export.open(quantized)}
    before = export.compare(artefacts["full"], rows)
    after = export.compare(artefacts["quantized"], rows)
    measured: dict[str, Any] = {
        "bytes": {"full": full.stat().st_size, "quantized": quantized.stat().st_size},
        "same_answers": after.same_answers,
        "largest_difference": after.error,
        "milliseconds": {str(size): _times(export, artefacts, rows, size) for size in BATCHES},
    }
    if rows.real:
        task = export.bundle.schema.task
        measured["score"] = {
            "full": score_predictions(task, before.targets, before.exported),
            "quantized": score_predictions(task, after.targets, after.exported),
        }
    return {"rows": len(after.eager), "origin": rows.origin, "quantized": measured}


def _times(export: Export, artefacts: dict[str, Artefact], rows: TrialRows, size: int) -> dict[str, float]:
    """Milliseconds for a batch that repeats one row."""
    samples, raw, positions = next(batches_of(export.bundle, rows, export.max_pixels))
    repeated = {name: np.repeat(values[:1], size, axis=0) for name, values in raw.items()}
    same = np.repeat(positions[:1], size)
    functions: dict[str, Callable[[], object]] = {
        "eager": lambda: eager_answer(export.bundle, samples, repeated, same),
        **{
            name: (lambda artefact=artefact: artefact(repeated))  # type: ignore[misc]  # bound here, not later
            for name, artefact in artefacts.items()
        },
    }
    return median_milliseconds(functions)
