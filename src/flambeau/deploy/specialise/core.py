"""The core: the files whose functions and classes an ejected script is made of."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]

# All of these folders but the named files, and these files.
CORE_FOLDERS = {
    "models": [
        "build.py",
        "encoders.py",
        "forecasters.py",
        "fused.py",
        "own.py",
        "pretrained_text.py",
        "spec.py",
    ],
    "transforms": [],
    "training": ["distributed.py", "fit.py", "fit_loss.py", "fit_options.py", "names.py", "sharded.py"],
}
CORE_FILES = [
    "data/allocation.py",
    "data/pictures/arrays.py",
    "data/batches.py",
    "data/corpus/corpus.py",
    "data/pictures/column_pictures.py",
    "data/tables/delimited.py",
    "data/scans/dicom.py",
    "data/scans/dicom_values.py",
    "data/dialogue/joining.py",
    "data/dialogue/shapes.py",
    "data/pictures/image.py",
    "data/texts/length_batches.py",
    "data/pictures/load.py",
    "data/pictures/noise.py",
    "data/scans/nifti.py",
    "data/scans/readable.py",
    "data/tables/plain.py",
    "data/sampling.py",
    "data/tables/spelling.py",
    "data/split.py",
    "data/tables/table.py",
    "data/tables/files.py",
    "data/texts/files.py",
    "data/series/windows.py",
    "evaluation/answers.py",
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
