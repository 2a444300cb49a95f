"""`flambeau export`: a run's model as one file, compared with the module that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flambeau.deploy.bundle import load_bundle
from flambeau.deploy.export.agreement import TOLERANCE
from flambeau.deploy.export.example import about_example, example_text
from flambeau.deploy.export.export import Export
from flambeau.deploy.export.formats import SUFFIXES, Request, check_request
from flambeau.deploy.export.recognise import check_name, check_overwrite
from flambeau.deploy.export.series_example import series_example_text
from flambeau.deploy.export.torchscript_file import LEGACY
from flambeau.deploy.export.vocabulary import vocabulary_file, write_vocabulary
from flambeau.deploy.files import SCHEMA, read_mapping
from flambeau.errors import ModelError
from flambeau.records import RunFolder, atomic_file, write_text
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TablePreparation

EXPORTS = "exports"
COMPARED_ROWS = 256
ASKED = ("generate", "language", "chat")


def export_run(
    run: RunFolder,
    to: str = "onnx",
    *,
    out: Path | None = None,
    quantize: str | None = None,
    on_note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Write a run's model as one file that takes raw input, and an example that loads it without flambeau.

    In full precision the file is compared with the trained module, and beyond a tolerance of 1e-5 nothing is left of
    it. A quantized one is measured: size, speed and score before and after.

    Args:
        run: finished.
        to: onnx, pt2 or torchscript.
        out: the file; exports/NAME in the run's folder if None, or, of a bundle, in the present one.
        quantize: int8 (onnx), bf16 (pt2 and torchscript) or None.
        on_note: is told sentences for the user.

    Returns:
        "file", "example", "vocabulary" where the file takes words by number, "format", "precision", "bytes", "rows" and
        "origin" of the comparison, "agreement"
        (max|a-b| / max|a|), "compared_with", "tolerance", and for a quantized file "quantized" (see
        `measure_quantized`).

    Raises:
        UsageError: an unknown format or quantization, two that do not go together, or a name of another format.
        RunError: the run is not finished, or another's file stands in the place.
        ModelError: the model cannot be exported, or the file does not agree with it.
    """
    request = Request(to, quantize)
    check_request(request)
    if out is not None:
        check_name(out, to)
    name = run.name if quantize is None else f"{run.name}-{quantize}"
    target = out or (Path() if run.model == run.path else run.path) / EXPORTS / f"{name}{SUFFIXES[to]}"
    example = about_example(target, to)
    check_overwrite(target, example)
    if to == "torchscript":
        on_note(LEGACY)
    if (run.model / SCHEMA).is_file() and read_mapping(run.model, SCHEMA).get("task") in ASKED:
        return _export_asked(run, request, target, example)
    export = Export(run, request, target)
    with atomic_file(target) as temporary:
        if quantize is None:
            export.write(temporary)
            report = _agree(export, temporary)
        else:
            # ONNX Runtime's quantization and the scores take a second to import
            from flambeau.deploy.export.measure import write_quantized

            report = write_quantized(export, temporary, on_note)
    write_text(example, _example(export, target))
    written = [target, example, *write_vocabulary(target, export.bundle)]
    _renew_digests(run, written)
    return {
        "file": str(target),
        "example": str(example),
        **({"vocabulary": str(written[2])} if len(written) > 2 else {}),
        "format": to,
        "precision": export.metadata["precision"],
        "bytes": target.stat().st_size,
        **report,
    }


def _export_asked(run: RunFolder, request: Request, target: Path, example: Path) -> dict[str, Any]:
    """A generator, a language model or a chatbot, which no rows of a table or pictures are shown to."""
    from flambeau.deploy.export.chat_file import chat_example, write_chat
    from flambeau.deploy.export.generator_file import generator_example, write_generator
    from flambeau.deploy.export.language_file import language_example, tokenizer_file, write_language

    bundle = load_bundle(run.model)
    write, example_of = {
        "generate": (write_generator, generator_example),
        "language": (write_language, language_example),
        "chat": (write_chat, chat_example),
    }[bundle.schema.task]
    with atomic_file(target) as temporary:
        report = write(bundle, run.name, request, temporary)
    write_text(example, example_of(bundle, target, request.to))
    beside = tokenizer_file(bundle, target) if bundle.schema.task == "language" else None
    if beside is not None:
        write_text(*beside)
    _renew_digests(run, [target, example, *([beside[0]] if beside is not None else [])])
    return {
        "file": str(target),
        "example": str(example),
        **({"vocabulary": str(beside[0])} if beside is not None else {}),
        "format": request.to,
        "bytes": target.stat().st_size,
        **report,
    }


def _example(export: Export, target: Path) -> str:
    facts = export.bundle.schema.series
    if facts is not None:
        return series_example_text(target, export.request.to, facts, export.inputs)
    beside = vocabulary_file(target, export.bundle)
    preparation = export.bundle.preparation
    assert isinstance(preparation, PicturePreparation | TablePreparation)
    name = beside.name if beside is not None else ""
    return example_text(target, export.request.to, preparation, export.inputs, name)


def _agree(export: Export, path: Path) -> dict[str, Any]:
    rows = export.trial_rows(COMPARED_ROWS)
    compared = export.compare(export.open(path), rows)
    if compared.error > TOLERANCE:
        raise ModelError(
            f"the {export.request.to} file does not agree with the trained model, so it is not kept",
            where=export.run.path,
            got=f"max|a-b| / max|a| = {compared.error:.1e} on {len(compared.eager):,} rows of {rows.origin}",
            expected=f"at most {TOLERANCE:.0e}",
            hint="other formats may agree: " + ", ".join(n for n in SUFFIXES if n != export.request.to),
        )
    return {
        "rows": len(compared.eager),
        "origin": rows.origin,
        "agreement": compared.error,
        "compared_with": "flambeau predict of the files" if rows.files else "the trained model",
        "tolerance": TOLERANCE,
    }


def _renew_digests(run: RunFolder, paths: list[Path]) -> None:
    """Let `flambeau verify` know of files that were added to the run's folder."""
    if not run.finished:
        return  # a bundle, whose own digests name no other files
    folder = run.path.resolve()
    inside = [path.resolve() for path in paths if path.resolve().is_relative_to(folder)]
    if inside:
        run.write_digests(only=[path.relative_to(folder).as_posix() for path in inside])
