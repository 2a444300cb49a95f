"""Where the seconds of a training went: spans add up, and each planted delay is found where it was planted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flambeau.data.batches import Batch, Batches, gather_tensors
from flambeau.evaluation.validation import Validation
from flambeau.training.loop import Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, make_lbfgs, parameter_groups
from flambeau.training.session import Session, run_session
from flambeau.training.spans import STEPS_BETWEEN_EVENTS, Spans
from flambeau.training.steps import step_once, step_with_closure

CPU = torch.device("cpu")


class FakeClock:
    """A clock that moves only where time is planted."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time

    def spend(self, seconds: float) -> None:
        self.time += seconds


class SlowBatches:
    """Batches that take planted time: the first epoch more than the others."""

    def __init__(self, steps: int, clock: FakeClock, first: float, later: float) -> None:
        self.steps, self.clock, self.seconds = steps, clock, (first, later)

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for _ in range(start, self.steps):
            self.clock.spend(self.seconds[min(1, epoch)])
            yield Batch((torch.ones(2, 3),), torch.tensor([0, 1]), 2)


def trained(
    clock: FakeClock, spans: Spans, *, compute: float = 0.0, step: float = 0.0, data: tuple[float, float]
) -> dict[str, Any]:
    model = nn.Linear(3, 2)
    optimizer = make_adamw(
        parameter_groups(model, lr=0.01, weight_decay=0.0), beta1=0.9, beta2=0.99, device=CPU
    )

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        clock.spend(compute)
        return classification_loss(outputs, targets)

    def clip(parameters: list[Tensor]) -> None:
        clock.spend(step)

    technique = Technique(3, lambda done: 1.0, clip=clip, step=spans.measure_step(step_once))
    batches = spans.measure_batches(SlowBatches(40, clock, *data))
    for _ in train(model, batches, optimizer, loss, technique):
        clock.spend(0.25)
    return spans.record("training", resumed=False)


def test_each_delay_is_found_where_it_was_planted() -> None:
    clock = FakeClock()
    spans = Spans(now=clock)
    with spans.validating():
        clock.spend(5)
    with spans.saving_state():
        clock.spend(7)
    record = trained(clock, spans, compute=4.0, step=0.5, data=(2.0, 1.0))
    expected = {"data": 40 * 2.0 + 80 * 1.0, "compute": 120 * 4.0, "optimizer": 120 * 0.5}
    expected |= {"validation": 5.0, "saving": 7.0, "other": 0.25 * 123}
    assert record["spans"] == pytest.approx(expected)
    assert record["seconds"] == pytest.approx(sum(expected.values()))
    assert sum(record["shares"].values()) == pytest.approx(1.0)
    assert record["steps"] == 120
    assert record["bound_by"] == "compute"
    # 80 s of the 461.25 s of the later epochs
    later = 80 * 1.0 + 80 * 4.0 + 80 * 0.5 + 0.25 * 82
    assert record["later_data_share"] == pytest.approx(80 / later, rel=0.01)
    assert record["text"].startswith("bound by computing: 6")
    assert "waiting for data after the first epoch" in record["text"]


def test_slow_data_bound_the_run() -> None:
    clock = FakeClock()
    record = trained(clock, Spans(now=clock), compute=0.1, data=(10.0, 10.0))
    assert record["bound_by"] == "data"
    assert record["later_data_share"] > 0.9
    assert record["text"].startswith("bound by waiting for data: ")


class FakeEvent:
    """An event of a device that works at once, on a planted clock; it may be late to tell that it has happened."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.at = clock, 0.0

    def record(self) -> None:
        self.at = self.clock()

    def query(self) -> bool:
        return int(self.at) % 2 == 0

    def synchronize(self) -> None:
        self.at = float(self.at)

    def elapsed_time(self, other: FakeEvent) -> float:
        return 1000 * (other.at - self.at)


def test_sampled_steps_of_a_device_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambeau.training.spans.MOST_WAITING_EVENTS", 2)
    clock = FakeClock()
    made = []

    def make_event() -> FakeEvent:
        made.append(FakeEvent(clock))
        return made[-1]

    spans = Spans(make_event=make_event, now=clock)
    record = trained(clock, spans, compute=4.0, step=0.5, data=(2.0, 1.0))
    expected = {"data": 160.0, "compute": 480.0, "optimizer": 60.0, "validation": 0.0, "saving": 0.0}
    assert {name: record["spans"][name] for name in expected} == pytest.approx(expected)
    assert record["measured"] == "device events every 16th step"
    sampled = 3 + 5  # of 40 steps of the first epoch, of 80 of the others
    assert len(made) <= 4 * sampled + 3 < 120 / STEPS_BETWEEN_EVENTS * 5


def test_all_evaluations_of_a_closure_are_computing() -> None:
    clock = FakeClock()
    for spans in (Spans(now=clock), Spans(make_event=lambda: FakeEvent(clock), now=clock)):
        model = nn.Linear(3, 2)
        optimizer = make_lbfgs(parameter_groups(model, lr=0.1, weight_decay=0.0), device=CPU)
        calls = []

        def loss(outputs: Tensor, targets: Tensor, calls: list[int] = calls) -> Tensor:
            clock.spend(3.0)
            calls.append(1)
            return classification_loss(outputs, targets)

        technique = Technique(1, lambda done: 1.0, step=spans.measure_step(step_with_closure))
        batches = spans.measure_batches(SlowBatches(1, clock, 1.0, 1.0))
        list(train(model, batches, optimizer, loss, technique))
        record = spans.record("training", resumed=False)
        assert len(calls) > 1
        assert record["spans"]["compute"] == pytest.approx(3.0 * len(calls))
        assert record["spans"]["data"] == pytest.approx(1.0)
        assert record["later_data_share"] is None


def test_a_training_tells_its_spans_at_the_end(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(60, 3, generator=generator), torch.randint(2, (60,), generator=generator)
    model = nn.Linear(3, 2)
    optimizer = make_adamw(
        parameter_groups(model, lr=0.01, weight_decay=0.0), beta1=0.9, beta2=0.99, device=CPU
    )
    batches = Batches(gather_tensors(inputs), targets, torch.arange(60), 10, seed=0)
    records: list[dict[str, Any]] = []
    session = Session(
        tmp_path, validate=lambda module: Validation(1.0, 1.0), stage="fold 1", listen=records.append
    )
    run_session(model, batches, optimizer, classification_loss, Technique(3, lambda done: 1.0), session)
    (told,) = [record for record in records if record["kind"] == "spans"]
    assert records[-1] is told
    assert told["stage"] == "fold 1"
    assert told["steps"] == 18
    assert all(seconds >= 0 for seconds in told["spans"].values())
    assert sum(told["spans"].values()) == pytest.approx(told["seconds"])
    assert told["spans"]["compute"] > 0
    assert told["spans"]["saving"] > 0
    run_session(model, batches, optimizer, classification_loss, Technique(3, lambda done: 1.0), session)
    assert sum(record["kind"] == "spans" for record in records) == 1, "nothing was trained the second time"
