"""A scan that is open for reading: whatever its library raises becomes an error that can be told to a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from flambeau.data.pictures.image import TooManyPixelsError


@contextmanager
def readable_scan(source: str | Path | BinaryIO, wrong: type[ValueError], kind: str) -> Iterator[BinaryIO]:
    """The open file; whatever goes wrong inside becomes a ValueError that names it, and tells no value of it.

    Args:
        source: a file, or an open binary stream.
        wrong: the error of this kind of files, whose own messages are kept and which is raised for all others.
        kind: of file, for messages.
    """
    name = str(source) if isinstance(source, (str, Path)) else str(getattr(source, "name", "the picture"))
    try:
        if isinstance(source, (str, Path)):
            with Path(source).open("rb") as file:
                yield file
        else:
            yield source
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except TooManyPixelsError as error:
        raise TooManyPixelsError(f"{name}: {error}") from None
    except wrong as error:
        raise wrong(f"{name}: {error}") from None
    except (
        Exception
    ) as error:  # the libraries raise anything for a damaged file, pydicom with what stands in it
        reason = f"its {kind} data are damaged or cut off ({type(error).__name__})"
        raise wrong(f"{name}: {reason}") from None
