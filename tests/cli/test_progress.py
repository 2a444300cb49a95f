"""The moving line on a terminal, the plain lines elsewhere, and words for numbers."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from flambeau.cli.progress import Progress
from flambeau.cli.show import Terminal
from flambeau.cli.words import clock, counted, duration, number, short, size, table

EPOCH: dict[str, Any] = {
    "kind": "epoch", "stage": "fold 1 of 5", "epoch": 1, "epochs": 10, "loss": 0.5, "score": 0.9,
    "metric": "accuracy", "seconds": 1.0, "samples_per_second": 8123.0, "memory_gb": 0.9, "best": True,
    "seconds_left": 65,
}  # fmt: skip


def console(width: int = 100, terminal: bool = True) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    made = Console(
        file=out,
        width=width,
        force_terminal=terminal,
        color_system=None,
        highlight=False,
        legacy_windows=False,
    )
    return made, out


def line(width: int) -> str:
    progress = Progress(console()[0], moving=True)
    progress._facts = {**EPOCH, "step": 5, "steps": 10, "epoch": 6}
    return progress._line(width).plain


def test_the_line_shows_all_where_it_fits() -> None:
    assert line(120) == (
        "  ━━━━━━━━━━━━  fold 1 of 5  epoch 6/10  loss 0.5000  accuracy 0.9000"
        "  1:05 left  8,123 samples/s  0.9 GB"
    )


@pytest.mark.parametrize("width", [100, 80, 60, 40, 20])
def test_the_line_never_breaks(width: int) -> None:
    assert len(line(width)) <= width
    assert "epoch" in line(width) or width < 30


def test_a_terminal_gets_one_line_for_each_training_at_the_end() -> None:
    made, out = console()
    show = Terminal(made)
    for epoch in (1, 2):
        show({**EPOCH, "epoch": epoch, "score": 0.8 + epoch / 10, "epochs": 2})
    show({**EPOCH, "stage": "fold 2 of 5", "epochs": 1})
    show({"kind": "stage", "name": "test", "text": "now"})
    text = out.getvalue()
    assert "  fold 1 of 5  2 epochs in 2.0 s; best accuracy 1.0000 at epoch 2\n" in text
    assert "  fold 2 of 5  1 epoch in 1.0 s; best accuracy 0.9000 at epoch 1\n" in text
    assert text.endswith("test       now\n")


def test_the_cursor_comes_back_when_a_run_is_stopped() -> None:
    made, out = console()
    with pytest.raises(KeyboardInterrupt), Terminal(made) as show:
        show(EPOCH)
        raise KeyboardInterrupt
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1


def test_plain_lines_come_at_most_every_two_seconds() -> None:
    made, out = console(terminal=False)
    times = iter([0.0, 0.1, 1.0, 2.5, 2.5, 3.0])
    progress = Progress(made, moving=False, now=lambda: next(times))
    for epoch in range(1, 5):
        progress.epoch({**EPOCH, "epoch": epoch, "epochs": 4})
    shown = [text.split("  ")[2] for text in out.getvalue().splitlines()]
    assert shown == ["epoch 3/4"]


def test_a_table_is_told_in_columns() -> None:
    made, out = console(terminal=False)
    rows = [["batch", "samples/s"], ["16", "2,977"], ["256", "14,164"]]
    Terminal(made)({"kind": "table", "title": "speed of batches", "rows": rows})
    assert out.getvalue().splitlines() == ["  batch  samples/s", "     16      2,977", "    256     14,164"]


def test_long_reasons_hang_on_a_terminal() -> None:
    made, out = console(width=80)
    Terminal(made)({"kind": "choice", "key": "seed", "value": 1, "reason": "word " * 20})
    lines = out.getvalue().splitlines()
    assert len(lines) > 1
    assert all(len(text) <= 80 for text in lines)
    assert {len(text) - len(text.lstrip()) for text in lines[1:]} == {47}
    assert lines[0].index("word") == 47


def test_words_for_numbers() -> None:
    assert [number(x) for x in (None, 0.0, 0.98765, 12.345, 45873.2, -1234.0, 0.0000123)] == [
        "-", "0.0000", "0.9877", "12.35", "45,873", "-1,234", "1.2e-05"
    ]  # fmt: skip
    assert [short(x) for x in (None, True, 0.003, 1797, (64, 32), "sgd", 1e-5)] == [
        "none", "true", "0.003", "1,797", "64 × 32", "sgd", "1e-05"
    ]  # fmt: skip
    assert [clock(x) for x in (-1, 7.4, 65, 3723)] == ["0:00", "0:07", "1:05", "1:02:03"]
    assert [duration(x) for x in (2.04, 43, 125, 4320)] == ["2.0 s", "43 s", "2 min 5 s", "1 h 12 min"]
    assert [size(x) for x in (512, 3400, 3.4e6, 1.2e9)] == ["512 bytes", "3.4 kB", "3.4 MB", "1.2 GB"]
    assert [counted(1, "entry", "entries"), counted(1797, "sample")] == ["1 entry", "1,797 samples"]


def test_tables_are_aligned_by_what_is_seen() -> None:
    assert table([["名", "x"], ["a", "10"], ["bb", "9"]]) == ["名    x", "a    10", "bb    9"]
    assert table([]) == []
