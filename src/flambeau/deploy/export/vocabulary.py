"""The words or the tokenizer beside a file that takes words by their numbers."""

from __future__ import annotations

import json
from pathlib import Path

from flambeau.deploy.bundle import Bundle
from flambeau.records import write_text
from flambeau.transforms.table import TablePreparation
from flambeau.transforms.text import TextPreparation


def vocabulary_file(artefact: Path, bundle: Bundle) -> Path | None:
    """Where the words or the tokenizer of a file stand; None where the file needs none."""
    text = _text_of(bundle)
    if text is None or text.tokens not in ("words", "subwords"):
        return None
    return artefact.with_name(f"{artefact.stem}_{'tokenizer' if text.tokens == 'subwords' else 'words'}.json")


def write_vocabulary(artefact: Path, bundle: Bundle) -> list[Path]:
    """Write that file, if there is one: the JSON of the library tokenizers, or word → number.

    Returns:
        The file, or nothing.
    """
    target, text = vocabulary_file(artefact, bundle), _text_of(bundle)
    if target is None or text is None:
        return []
    numbers = {word: number for number, word in enumerate(text.vocabulary, start=2)}
    write_text(target, text.tokenizer or json.dumps(numbers, ensure_ascii=False, indent=0))
    return [target]


def _text_of(bundle: Bundle) -> TextPreparation | None:
    return bundle.preparation.text if isinstance(bundle.preparation, TablePreparation) else None
