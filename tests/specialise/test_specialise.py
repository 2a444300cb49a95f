"""Each rule of specialising, on small modules planted for it: what goes, what stays, and that results are equal."""

from __future__ import annotations

import pytest
from planted import eject, result_of

CHANGE = '''
def change(numbers: list[float], *, shift: float = 0.0, scale: float = 1.5, mode: str = "plain") -> list[float]:
    """Change numbers. There is more to say.

    Args:
        numbers: some.
    """
    if mode not in ("plain", "mirror"):
        raise ValueError(mode)
    # turned round before anything else
    if mode == "mirror":
        # from the last to the first
        numbers = numbers[::-1]
    elif shift:
        numbers = [number + shift for number in numbers]
    else:
        numbers = list(numbers)
    return [number * scale for number in numbers]
'''


@pytest.mark.parametrize(
    ("arguments", "kept", "gone", "result"),
    [
        ("", ["list(numbers)"], ["mirror", "shift", "if", "last"], [1.5, 3.0]),
        ("shift=2.0", ["number + shift", "shift: float"], ["mirror", "list(numbers)", "mode"], [4.5, 6.0]),
        ('mode="mirror", scale=2.0', ["from the last", "scale: float"], ["shift", "mode"], [4.0, 2.0]),
    ],
)
def test_branches_that_cannot_run_go_with_their_comments(
    arguments: str, kept: list[str], gone: list[str], result: list[float]
) -> None:
    text = eject(f"RESULT = change([1.0, 2.0], {arguments})\n", CHANGE)
    body = text[text.index("def change") :]
    assert all(part in body for part in kept), text
    assert not any(part in body for part in [*gone, "raise", "There is more"]), text
    assert result_of(text) == result


def test_a_parameter_with_several_values_keeps_its_tests() -> None:
    text = eject("RESULT = change([1.0], shift=1.0) + change([1.0])\n", CHANGE)
    assert "if shift:" in text
    assert "mode" not in text
    assert result_of(text) == [3.0, 1.5]


def test_a_partial_fixes_keywords_and_leaves_the_rest_open() -> None:
    glue = "CALL = partial(change, shift=2.0)\nRESULT = list(map(CALL, [[1.0], [2.0]]))\n"
    text = eject("from functools import partial\n\n" + glue, CHANGE)
    assert "mode" not in text
    assert "numbers: list[float]" in text
    assert result_of(text) == [[4.5], [6.0]]


def test_a_function_that_is_handed_around_keeps_its_positional_parameters() -> None:
    core = "def pick(first: int, second: int = 0, *, third: bool = False) -> int:\n    return -1 if third else first\n"
    text = eject("RESULT = [call(4, 5) for call in (pick,)] + [pick(1)]\n", core)
    assert "def pick(first: int, second: int = 0) -> int:\n    return first" in text
    assert result_of(text) == [4, 1]


FIELDS = '''
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Technique:
    """How."""

    epochs: int
    clip: float = 0.0
    rate: float = 1.0
    label: str = "x"

    def text(self) -> str:
        return self.label

    def to_json(self) -> dict[str, int]:
        return {"epochs": self.epochs}


def run(technique: Technique) -> list[float]:
    done = []
    for epoch in range(technique.epochs):
        value = float(epoch) * technique.rate
        if technique.clip > 0:
            value = min(value, technique.clip)
        done.append(value)
    return done


def slower(technique: Technique) -> Technique:
    return replace(technique, rate=0.5)
'''


def test_fields_that_are_constant_decide_tests_and_go() -> None:
    text = eject("RESULT = run(Technique(epochs=3))\n", FIELDS)
    assert not any(part in text for part in ("clip", "label", "to_json", "replace", "def text"))
    assert result_of(text) == [0.0, 1.0, 2.0]


def test_a_field_that_is_replaced_stays() -> None:
    text = eject("RESULT = run(slower(Technique(epochs=3)))\n", FIELDS)
    assert "technique.rate" in text
    assert "clip" not in text
    assert result_of(text) == [0.0, 0.5, 1.0]


OBJECTS = """
class Layer:
    def __init__(self, width: int, *, bins: int = 0) -> None:
        self.edges: list[int] | None = None
        if bins:
            self.edges = list(range(bins))
        self.width = width

    def forward(self, number: int) -> int:
        return number + self.width if self.edges is None else number + len(self.edges)

    def unused(self) -> int:
        return helper(self.width)


def helper(number: int) -> int:
    return number
"""


@pytest.mark.parametrize(
    ("call", "result", "gone"),
    [("Layer(2)", 3, ["edges", "bins"]), ("Layer(2, bins=5)", 6, ["width"])],
)
def test_attributes_that_are_set_once_decide_tests(call: str, result: int, gone: list[str]) -> None:
    text = eject(f"RESULT = {call}.forward(1)\n", OBJECTS)
    assert "unused" not in text
    assert "helper" not in text
    if "edges" in gone:
        assert "number + self.width" in text
        assert "is None" not in text
    assert result_of(text) == result


def test_guards_go_unless_somebody_catches_what_they_raise() -> None:
    core = '''
def read(text: str) -> int:
    check(text)
    try:
        number = int(text)
    except ValueError as error:
        raise ValueError(f"no number: {text}") from error
    assert number < 100
    return number


def check(text: str) -> None:
    """Raise unless it is short."""
    if len(text) > 2:
        raise ValueError("long")


def read_or_none(text: str) -> int | None:
    try:
        return limited(text)
    except ValueError:
        return None


def limited(text: str) -> int:
    if text == "7":
        raise ValueError("not this one")
    return int(text)
'''
    text = eject('RESULT = read("42")\n', core)
    assert not any(part in text for part in ("try", "raise", "assert", "check"))
    assert result_of(text) == 42
    text = eject('RESULT = [read_or_none("7"), read_or_none("8")]\n', core)
    assert "raise" in text
    assert result_of(text) == [None, 8]


def test_a_function_folded_to_one_expression_is_dissolved() -> None:
    core = """
from contextlib import AbstractContextManager, nullcontext

TABLE = {"plain": min, "other": max}


def around(name: str, depth: int) -> AbstractContextManager[None]:
    if name == "plain":
        return nullcontext()
    raise NotImplementedError(depth)


def work(numbers: list[int], name: str) -> int:
    with around(name, len(name)):
        # the comment stays
        best = TABLE[name](numbers)
    return best
"""
    text = eject('RESULT = work([3, 1, 2], "plain")\n', core)
    assert not any(part in text for part in ("with", "around", "TABLE", "nullcontext", "name"))
    assert "# the comment stays\n" in text
    assert "min(numbers)" in text
    assert result_of(text) == 1
