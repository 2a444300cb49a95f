"""Gathering a script from several modules: order, imports, comments, and what is refused."""

from __future__ import annotations

import pytest

from flambeau.deploy.specialise.core import EjectError
from flambeau.deploy.specialise.docs import first_sentence
from flambeau.deploy.specialise.specialise import eject_text

BASE = '''"""Base."""

import json
from dataclasses import dataclass

# why it is so
# and not otherwise
LIMIT = 3

OTHER = 4


def late(text: str) -> object:
    return json.loads(text)


@dataclass(frozen=True)
class Settings:
    """Settings."""

    size: int = LIMIT
'''
ABOVE = '''"""Above."""

import torch.nn.functional as F
from torch import Tensor

from flambeau.base import Settings, late


class Special(Settings):
    """More."""


def layer(values: Tensor, settings: Settings) -> Tensor:
    """Apply."""
    return F.relu(values) * settings.size + float(str(late("1")))
'''
SOURCES = {"flambeau.above": ABOVE, "flambeau.base": BASE}
GLUE = '''"""A script.

With two paragraphs. And three sentences.
"""

from pathlib import Path

from flambeau.above import layer
from torch.nn import functional as F

PLACE = Path("here")  # a reason


def call(values):
    return layer(F.relu(values), Special(2))
'''


def test_definitions_come_in_an_order_that_runs() -> None:
    text = eject_text(GLUE, SOURCES)
    places = [
        text.index(part)
        for part in ("PLACE =", "LIMIT =", "class Settings", "class Special", "def layer", "def call")
    ]
    assert places == sorted(places)
    assert "# why it is so\n# and not otherwise\nLIMIT = 3" in text
    assert 'PLACE = Path("here")  # a reason' in text
    assert "OTHER" not in text
    assert text.startswith('"""A script.\n\nWith two paragraphs. And three sentences.\n"""')
    assert text.count("functional as F") == 1
    assert "flambeau" not in text
    compile(text, "ejected", "exec")


@pytest.mark.parametrize(
    ("glue", "sources", "reason"),
    [
        ("from flambeau.base import late as soon\n", SOURCES, "renames"),
        ("import flambeau.base\n", SOURCES, "renames"),
        ("from flambeau.base import absent\n", SOURCES, "absent"),
        ("def call():\n    import json\n    return json\n", SOURCES, "inside a function"),
        ("CALL = unknown\n", SOURCES, "nothing defines"),
        ("def late():\n    return 1\n", SOURCES, "defines too"),
        ("CALL = late\n", {**SOURCES, "flambeau.third": "def late():\n    return 1\n"}, "is defined in"),
        ("import csv as json\n\nCALL = (json, late)\n", SOURCES, "means"),
        ("from .base import late\n", SOURCES, "relative"),
        ("def call(:\n", SOURCES, "no Python"),
    ],
)
def test_what_cannot_be_gathered_is_refused(glue: str, sources: dict[str, str], reason: str) -> None:
    with pytest.raises(EjectError, match=reason):
        eject_text(glue, sources)


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("One. Two.", "One."),
        ("Mixup (Zhang et al. 2018): a blend.\n\nMore.", "Mixup (Zhang et al. 2018): a blend."),
        ("Numbers, e.g. Two of\n    them. `x` is next.", "Numbers, e.g. Two of them."),
        ("No end", "No end"),
    ],
)
def test_first_sentences(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence
