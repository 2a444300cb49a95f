"""What a plain text tells before it is learnt, and files that were probably meant."""

from __future__ import annotations

from flambeau.data.corpus.check import check_text
from flambeau.errors import nearest_file

LINES = [f"this is line number {number} of a text, long enough to be told apart" for number in range(40)]


def test_a_text_is_counted() -> None:
    (told,) = check_text(["ab\nb", "c"], "d")
    assert told.message == "6 characters, 5 different ones, in 4 lines"


def test_lines_of_the_tested_end_that_were_trained_on_are_told() -> None:
    train, test = (
        ["\n".join(LINES)],
        "\n".join([*LINES[:3], "something quite new, as long as all the others are"]),
    )
    found = {finding.code: finding for finding in check_text(train, test)}
    assert "3 of 4 long lines of the tested end" in found["repeated-lines"].message
    assert "repeated-lines" not in {finding.code for finding in check_text(train, "\n".join(LINES).upper())}


def test_a_shared_suffix_is_no_likeness() -> None:
    assert nearest_file("nowhere.csv", ["one.csv", "other.csv"]) == ""
    assert nearest_file("hauses.csv", ["houses.csv", "one.csv"]) == "did you mean 'houses.csv'?"
    assert nearest_file("digts", ["digits"]) == "did you mean 'digits'?"
