"""How much a stranger may send and how long that may take, and the answer where it is too much or wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from flambeau.records import to_json

JSON_BYTES = 8 * 2**20  # parsing holds the interpreter: about 0.1 s for this much
HEADER_BYTES = 64 * 2**10
SPARE_FILES = 64
TEXT_LETTERS = 200_000  # cutting a text into subwords takes about a second for a million


@dataclass(frozen=True)
class Limits:
    """What one server takes on.

    Args:
        bytes: of one request's body.
        pixels: of one picture, as its header declares them.
        files, rows: pictures or rows in one request.
        batch: inputs that the model answers at once.
        queue: inputs that may wait; a request that comes later is refused. One request counts at most a batch of them.
        seconds: from a request's first byte to its last, and from there to the start of its answer.
        header_seconds: from a connection, or a request's first byte, to the end of the request's head.
        bodies: bytes of all bodies that are read or wait at one time.
        connections: open at one time.
    """

    bytes: int = 32 * 2**20
    pixels: int = 50_000_000
    files: int = 64
    rows: int = 10_000
    batch: int = 32
    queue: int = 256
    seconds: float = 30.0
    header_seconds: float = 10.0
    bodies: int = 256 * 2**20
    connections: int = field(default_factory=lambda: max(64, min(4096, _open_files() - SPARE_FILES)))


def _open_files() -> int:
    """How many files this process may have open; connections are files."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 4096
    return int(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class RefusalError(Exception):
    """A request that is answered with an error: a status, and the same words that flambeau's own errors have.

    Args:
        status: of HTTP.
        what: one sentence, without a full stop at its end.
        where, got, expected, hint: as in `FlambeauError`; never a path of this machine.
        retry: seconds after which another try makes sense.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str = "",
        got: object = None,
        expected: object = None,
        hint: str = "",
        retry: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(what)
        self.status = status
        self.words = {"what": what, "where": where, "got": got, "expected": expected, "hint": hint}
        if retry is not None:
            headers = (*headers, (b"retry-after", str(max(1, math.ceil(retry))).encode()))
        self.headers = headers

    def to_json(self) -> dict[str, Any]:
        """The words that say something."""
        return {key: str(value)[:500] for key, value in self.words.items() if value not in (None, "")}

    def body(self) -> bytes:
        """The answer's body."""
        return to_json(self.to_json()).encode("utf-8", "replace")


def busy(what: str, retry: float) -> RefusalError:
    """503: more is asked than the server can do now."""
    return RefusalError(503, what, expected="a little patience", hint="Retry-After says when", retry=retry)
