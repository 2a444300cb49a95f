"""The core: the files whose functions and classes an ejected script is made of."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]

# All of these folders but the named files, and these files.
CORE_FOLDERS = {
    "models": ["build.py", "encoders.py", "forecasters.py", "fused.py", "own.py", "pretrained_text.py"],
    "transforms": [],
    "training": ["distributed.py", "fit.py", "fit_loss.py", "fit_options.py", "names.py", "sharded.py"],
}
CORE_FILES = [
    "data/allocation.py",
    "data/arrays.py",
    "data/batches.py",
    "data/corpus.py",
    "data/column_pictures.py",
    "data/delimited.py",
    "data/dicom.py",
    "data/dicom_values.py",
    "data/image.py",
    "data/length_batches.py",
    "data/load.py",
    "data/noise.py",
    "data/nifti.py",
    "data/plain.py",
    "data/sampling.py",
    "data/spelling.py",
    "data/split.py",
    "data/table.py",
    "data/table_files.py",
    "data/text_files.py",
    "data/windows.py",
    "evaluation/calibration.py",
    "evaluation/evaluate.py",
    "evaluation/forecasts.py",
    "evaluation/language.py",
    "evaluation/metrics.py",
    "evaluation/temperature.py",
    "evaluation/validation.py",
]


class EjectError(ValueError):
    """A script cannot be made; the message says why."""


def core_files() -> list[Path]:
    """Every file of the core."""
    found = [PACKAGE / name for name in CORE_FILES]
    for folder, left_out in CORE_FOLDERS.items():
        found += [
            path for path in (PACKAGE / folder).glob("*.py") if path.name not in (*left_out, "__init__.py")
        ]
    return sorted(found)


def core_sources() -> dict[str, str]:
    """The text of each core module by its dotted name, such as "flambeau.training.loop"."""
    sources = {}
    for path in core_files():
        name = path.relative_to(PACKAGE).as_posix().removesuffix(".py").replace("/", ".")
        sources[f"{PACKAGE.name}.{name}"] = path.read_text(encoding="utf-8")
    return sources
