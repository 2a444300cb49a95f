"""The lines of an example that make the integers of a text."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.deploy.export.inputs import RawInput
from flambeau.deploy.export.texts import UNIT
from flambeau.transforms.text import BYTES_A_TOKEN, WORD_PATTERN, TextPreparation

# The conversions themselves: `byte_tokens`, `character_tokens`, `split_words` and `subword_tokens`.
_NUMBERS = {
    "bytes": ['    numbers = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)'],
    "characters": ["    numbers = np.array([ord(character) for character in text], np.int32)"],
    "words": [
        f'    words = re.findall(r"{WORD_PATTERN.pattern}", text[: {BYTES_A_TOKEN} * LENGTH].lower())[:LENGTH]',
        "    numbers = np.array([WORDS.get(word, 1) for word in words], np.int32)  # 1 is unknown",
    ],
    "subwords": [
        "    # 0 is padding, so each number is moved by one",
        "    numbers = np.array(TOKENIZER.encode(text[:LETTERS]).ids, np.int32) + 1",
    ],
}


def text_lines(inputs: Sequence[RawInput], vocabulary: str) -> tuple[list[str], list[str]]:
    """Imports, and lines that define `read_text`: a row → (1, width) integers; nothing where no input is a text.

    Args:
        inputs: of the artefact.
        vocabulary: the name of the file beside it with the words or the tokenizer; empty for none.
    """
    text = next((one.text for one in inputs if one.text is not None), None)
    if text is None:
        return [], []
    imports, lines = _vocabulary_lines(text, vocabulary)
    joined = '"\\n".join(clean(row.get(name)) for name in one["columns"])'
    lines += [
        "def clean(value):",
        '    text = "" if value is None else str(value).strip()',
        '    return "" if text in MISSING else text',
        "",
        "",
        "def read_text(one, row):",
        f"    text = {joined}",
        *_NUMBERS["bytes" if UNIT[text.tokens] == "bytes" else text.tokens],
        "    return np.pad(numbers, (0, max(0, 2 - len(numbers))))[None]  # at least two wide",
        "",
        "",
    ]
    return imports, lines


def _vocabulary_lines(text: TextPreparation, vocabulary: str) -> tuple[list[str], list[str]]:
    place = f"Path(__file__).with_name({vocabulary!r})"
    if text.tokens == "words":
        read = f'WORDS = json.loads({place}.read_text(encoding="utf-8"))'
        return ["import re"], [read, f"LENGTH = {text.length}", "", ""]
    if text.tokens == "subwords":
        return ["from tokenizers import Tokenizer"], [
            f"TOKENIZER = Tokenizer.from_file(str({place}))",
            "TOKENIZER.no_padding()",
            f"TOKENIZER.enable_truncation({text.length})",
            f"LETTERS = {BYTES_A_TOKEN * text.length}",
            "",
            "",
        ]
    return [], []
