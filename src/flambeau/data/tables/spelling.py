"""How values are spelled: what counts as missing, as true or false, and the one spelling of a category."""

from __future__ import annotations

import datetime
import json
import math
import re
from typing import Any

import numpy as np

MISSING_SPELLINGS = (
    *("", "NA", "N/A", "NaN", "null", "None", "?", "-", "nan", "n/a", "#N/A"),
    *("<NA>", "NULL", "none", "Null", "na", "NAN", "#NA"),
)
TRUE_WORDS = ("true", "yes", "y", "t", "on", "1")
FALSE_WORDS = ("false", "no", "n", "f", "off", "0")
NUMBER_PATTERN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"

_LARGEST_EXACT_FLOAT = 2**53
_MOST_DIGITS = 4000


def spell_value(value: Any) -> str | None:
    """The text of a Python value as it would stand in a file; None for a missing one."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value)


def spell_category(text: str) -> str:
    """The one spelling of a category: numbers without needless digits, truth values in small letters.

    >>> spell_category("01.50"), spell_category("2.0"), spell_category("True"), spell_category(" Red ")
    ('1.5', '2', 'true', 'Red')
    """
    text = text.strip()
    if re.match(NUMBER_PATTERN, text):
        if text.lstrip("+-").isdigit():
            return str(int(text)) if len(text) < _MOST_DIGITS else text
        number = float(text)
        if not math.isfinite(number):
            return text
        return (
            str(int(number)) if number.is_integer() and abs(number) < _LARGEST_EXACT_FLOAT else repr(number)
        )
    return text.lower() if text.lower() in ("true", "false") else text


def number_of(count: int, noun: str, nouns: str = "") -> str:
    """A number with its noun, or with noun and verb where their plural is given, too.

    >>> number_of(1, "row"), number_of(2000, "row"), number_of(1, "row has", "rows have")
    ('1 row', '2,000 rows', '1 row has')
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
