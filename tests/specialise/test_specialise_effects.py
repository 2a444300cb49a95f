"""What has an effect keeps it when a script is specialised, and what facts and loops tell is used."""

from __future__ import annotations

import pytest
from planted import eject, result_of

from flambeau.deploy.specialise.core import EjectError
from flambeau.deploy.specialise.given import Instead


def test_random_draws_keep_their_order_though_nobody_reads_them() -> None:
    core = """
import random


def draw(generator: random.Random, *, first: bool = False) -> float:
    unused = generator.random()
    count = len("abc")
    if first:
        return 0.0
    return generator.random()
"""
    text = eject("import random\n\nRESULT = draw(random.Random(1))\n", core)
    generator = __import__("random").Random(1)
    generator.random()
    assert result_of(text) == generator.random()
    assert "unused" not in text
    assert "count" not in text
    assert text.count("generator.random()") == 2


def test_what_a_module_does_in_place_stays() -> None:
    core = """
class Box:
    def __init__(self) -> None:
        self.place = "here"

    def to(self, place: str) -> Box:
        self.place = place
        return self


def move(box: Box, place: str) -> Box:
    if place == "nowhere":
        raise ValueError(place)
    return box.to(place)
"""
    glue = 'def main() -> str:\n    box = Box()\n    move(box, "there")\n    return box.place\n\n\nRESULT = main()\n'
    assert result_of(eject(glue, core)) == "there"


def test_locals_with_the_same_name_do_not_mix_when_a_call_is_dissolved() -> None:
    core = """
def twice(number: int) -> int:
    total = number
    total += number
    return total


def outer(number: int) -> int:
    total = 100
    doubled = twice(number)
    return total + doubled
"""
    assert result_of(eject("RESULT = outer(4)\n", core)) == 108


def test_facts_decide_what_no_call_says() -> None:
    core = """
def rows(values: list[list[int]]) -> list[list[int]]:
    if len(values[0]) != 3:
        return values
    return [row[:2] for row in values]


def total(values: list[list[int]]) -> int:
    return sum(map(sum, rows(values)))
"""
    glue = "RESULT = total([[1, 2]])\n"
    facts = {"rows": {"len(values[0]) != 3": True}}
    text = eject(glue, core, facts=facts)
    assert "def rows" not in text or "!= 3" not in text
    assert result_of(text) == 3
    text = eject(glue, core, facts={"total": {"rows(values)": Instead("values")}})
    assert "rows" not in text
    assert result_of(text) == 3
    with pytest.raises(EjectError, match="has no expression"):
        eject(glue, core, facts={"rows": {"len(values) == 7": True}})


def test_records_that_every_loop_passes_over_are_not_made() -> None:
    core = '''
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Step:
    """A step."""

    number: int


@dataclass
class Epoch:
    """An epoch."""

    number: int
    total: int


def walk(epochs: int) -> Iterator[Step | Epoch]:
    for epoch in range(epochs):
        total = 0
        for step in range(3):
            total += step
            yield Step(step)
        yield Epoch(epoch, total)
'''
    loop = "for record in walk(2):\n        if isinstance(record, Step):\n            continue\n"
    body = f"    {loop}        found.append(record.total)\n"
    glue = f"def main():\n    found = []\n{body}    return found\n\n\nRESULT = main()\n"
    text = eject(glue, core)
    assert "Step" not in text
    assert "Iterator[Epoch]" in text
    assert result_of(text) == [3, 3]
    heard = eject(glue + "OTHER = [record.number for record in walk(1)]\n", core)
    assert result_of(heard, "OTHER") == [0, 1, 2, 0]
