"""Files that hold a text each, and how their bytes become letters."""

from __future__ import annotations

from pathlib import Path

TEXT_SUFFIXES = (".txt", ".text", ".md")
MOST_TEXT_BYTES = 4_000_000
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
UTF8_MARK = b"\xef\xbb\xbf"


def decode_text(content: bytes, *, cut: bool = False) -> tuple[str, str]:
    """The text of bytes with its line ends as one character, and the encoding that they are in.

    A mark at the beginning tells the encoding; without one it is UTF-8 or, where that cannot be, Windows-1252, whose
    undefined bytes become replacement characters.

    Args:
        content: the bytes of a file.
        cut: whether they are its beginning alone, so that their last letter may be cut in two.
    """
    if content[:2] in UTF16_MARKS:
        encoding, text = "utf-16", content[: len(content) - len(content) % 2].decode("utf-16", "replace")
    else:
        try:
            encoding = "utf-8-sig" if content.startswith(UTF8_MARK) else "utf-8"
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            if cut and error.start > len(content) - 4:
                text = content[: error.start].decode(encoding)
            else:
                encoding, text = "cp1252", content.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def read_text_file(path: Path, most: int = MOST_TEXT_BYTES) -> tuple[str, str]:
    """The text of a file, without blanks around it, and how it is encoded; see `decode_text`.

    Args:
        path: of the file.
        most: so many bytes are read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds bytes of zero, as files do that are no texts.
    """
    with path.open("rb") as file:
        raw = file.read(most + 1)
    text, encoding = decode_text(raw[:most], cut=len(raw) > most)
    if "\0" in text:
        raise ValueError(f"{path.name}: got bytes of zero, expected a text")
    return text.strip(), encoding
