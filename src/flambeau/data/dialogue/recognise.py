"""Which files hold questions and answers rather than a table, by their beginning."""

from __future__ import annotations

import re
from pathlib import Path

_LOOKED_AT = 4096
_JSON_MARK = re.compile(rb'\A(\xef\xbb\xbf)?\s*\{.*?"(intents|conversations)"\s*:\s*\[', re.DOTALL)
_YAML_MARK = re.compile(rb"^(intents|conversations)\s*:", re.MULTILINE)


def looks_like_chat(path: Path) -> bool:
    """Whether the beginning of a JSON or YAML file holds intents or conversations, and so no table."""
    marks = {".json": _JSON_MARK, ".yml": _YAML_MARK, ".yaml": _YAML_MARK}
    mark = marks.get(path.suffix.lower())
    if mark is None or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    return mark.search(start) is not None
