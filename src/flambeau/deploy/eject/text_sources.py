"""Texts that read a folder whose folders are classes of .txt files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flambeau.data.samples import Samples
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.picture_sources import Reading, path_constant, run_constants
from flambeau.deploy.eject.text import literal

SUMMARY = "The texts (name → one value a row) and targets, in the order of the run."


def is_text_folder(facts: RunFacts) -> bool:
    """Whether the run was trained on a folder of texts."""
    return facts.bundle.schema.source == "table" and Path(str(facts.recipe.source)).expanduser().is_dir()


def text_folder_readings(facts: RunFacts, samples: Samples) -> Iterator[Reading]:
    """From the shortest to the most careful: files as they lie in the folder, then those that the run has named."""
    folder = Path(str(facts.recipe.source)).expanduser()
    (column,) = facts.bundle.schema.used_columns
    constants = (*run_constants(facts), f"COLUMNS = ({literal(column.name)},)", path_constant("DATA", folder))
    imports = ("from pathlib import Path", "import numpy as np")
    plain = 'path.read_text(encoding="utf-8").strip()'
    careful = "read_text_file(path)[0]"
    patterns = ["*/*.txt", "**/*.txt", "*/*.*", "**/*.*"]
    for text in (plain, careful):
        for pattern in patterns:
            for missing in (text, f"{text} or None"):
                lines = [
                    f"paths = sorted(path for path in DATA.glob({literal(pattern)}) if path.is_file())",
                    f"texts = [{missing} for path in paths]",
                    f"columns = {{{literal(column.name)}: np.array(texts, dtype=object)}}",
                    "targets = class_indices([path.parent.name for path in paths], CLASSES)",
                    "return columns, targets",
                ]
                yield Reading("\n".join(lines), constants, imports, "dict[str, np.ndarray]", SUMMARY)
