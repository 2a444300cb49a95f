"""What was mended stays mended: kept by later repairs, by checkpoints, and by a run that is stopped and resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flambeau.data.batches import Batches, gather_tensors
from flambeau.evaluation.validation import Validation
from flambeau.training.loop import Technique
from flambeau.training.losses import classification_loss
from flambeau.training.mending import roll_back, step_down
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.training.session import Interrupted, Session, run_session
from flambeau.training.state import TrainingState

ROWS, BATCH, EPOCHS = 60, 10, 3
STEPS = ROWS // BATCH
CPU = torch.device("cpu")


def trained(
    folder: Path,
    faults: dict[int, str] | None = None,
    *,
    stop_at: int = 0,
    micro_batch: int = 0,
    notes: list[dict[str, Any]] | None = None,
    **session: Any,
) -> TrainingState:
    """Train on in a folder.

    Args:
        faults: what happens ("nan" or "memory") at which call of the loss, from 1, in this run.
        stop_at: question, from 1, at which training is stopped: one follows each step but an epoch's last, and
            each epoch.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3))
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(ROWS, 4, generator=generator), torch.arange(ROWS) % 3
    batches = Batches(gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=0)
    groups = parameter_groups(model, lr=0.01, weight_decay=0.0)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.99, device=CPU)
    calls = questions = 0

    def faulty(outputs: Tensor, aims: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        fault = (faults or {}).get(calls)
        if fault == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return classification_loss(outputs, aims) * (float("nan") if fault == "nan" else 1.0)

    def should_stop() -> bool:
        nonlocal questions
        questions += 1
        return questions == stop_at

    listen = (lambda record: None) if notes is None else notes.append
    technique = Technique(EPOCHS, lambda done: 1.0, micro_batch=micro_batch)
    watched = Session(folder, should_stop=should_stop, listen=listen, **session)
    return run_session(model, batches, optimizer, faulty, technique, watched)


def weights(state: TrainingState) -> Tensor:
    return torch.cat([tensor.flatten().double() for tensor in state.model.state_dict().values()])


@pytest.mark.parametrize("fault", ["memory", "nan"])
@pytest.mark.parametrize("steps_after", [1, 2, 3])
def test_checkpoints_from_before_a_repair_are_not_resumed(
    tmp_path: Path, fault: str, steps_after: int
) -> None:
    """Those of the same epoch lie further on than the ones that are written after going back."""
    unbroken = trained(tmp_path / "whole", {STEPS + 5: fault})
    assert len(unbroken.changes) == 1
    folder = tmp_path / "broken"
    with pytest.raises(Interrupted):
        trained(folder, stop_at=STEPS + 4)
    assert [path.name.split(".")[0] for path in folder.glob("middle-*")] == [f"middle-{STEPS + 4:09d}"]
    with pytest.raises(Interrupted):
        trained(folder, {1: fault}, stop_at=steps_after)
    assert [path.name.split(".")[0] for path in folder.glob("middle-*")] == [
        f"middle-{STEPS + steps_after:09d}"
    ]
    resumed = trained(folder)
    assert resumed.changes == unbroken.changes
    assert torch.equal(weights(resumed), weights(unbroken))


@pytest.mark.parametrize("fault", ["memory", "nan"])
def test_a_kill_right_after_a_repair_does_not_forget_it(tmp_path: Path, fault: str) -> None:
    unbroken = trained(tmp_path / "whole", {STEPS + 5: fault})

    def kill(record: dict[str, Any]) -> None:
        if "rate_scale" in record or "micro_batch" in record:
            raise SystemExit

    class Killing(list):
        append = staticmethod(kill)

    with pytest.raises(SystemExit):
        trained(tmp_path / "broken", {STEPS + 5: fault}, notes=Killing())
    resumed = trained(tmp_path / "broken")
    assert resumed.changes == unbroken.changes
    assert torch.equal(weights(resumed), weights(unbroken))


# the search for the place repeats the steps up to the fault, which calls the loss as often again
@pytest.mark.parametrize("faults", [{3: "nan", 8: "memory"}, {2: "memory", 5: "nan"}])
def test_one_repair_keeps_the_other_of_the_same_epoch(tmp_path: Path, faults: dict[int, str]) -> None:
    state = trained(tmp_path, faults)
    assert state.rollbacks == 1
    assert state.technique.rate_scale == 0.5
    assert state.technique.micro_batch == 5
    assert sorted(state.changes, key=str) == [
        {"epoch": 0, "micro_batch": 5},
        {"epoch": 0, "rate_scale": 0.5},
    ]


def failing_validation(times: int, fault: Callable[[], Exception]) -> Callable[[nn.Module], Validation]:
    left = [times]

    def validate(module: nn.Module) -> Validation:
        left[0] -= 1
        if left[0] >= 0:
            raise fault()
        return Validation(0.5, 0.5)

    return validate


def no_memory() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory")


def test_out_of_memory_in_the_validation_does_not_touch_the_training(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", validate=failing_validation(0, no_memory))
    again = trained(tmp_path / "again", validate=failing_validation(1, no_memory))
    assert again.changes == []
    assert torch.equal(weights(whole), weights(again))


def test_a_validation_that_does_not_fit_is_told_as_such(tmp_path: Path) -> None:
    notes: list[dict[str, Any]] = []
    with pytest.raises(MemoryError, match="out of memory in the validation after epoch 1,"):
        trained(tmp_path, validate=failing_validation(99, no_memory), notes=notes)
    assert not any("micro_batch" in note for note in notes)


def test_another_error_of_the_validation_is_not_taken_for_memory(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trained(tmp_path, validate=failing_validation(1, lambda: RuntimeError("shapes do not fit")))


def test_out_of_memory_in_the_search_for_the_place_does_not_stop_the_rollback(tmp_path: Path) -> None:
    notes: list[dict[str, Any]] = []
    state = trained(tmp_path, {3: "nan", 4: "memory"}, notes=notes)
    assert state.changes == [{"epoch": 0, "rate_scale": 0.5}]
    assert any("memory ran out while it was looked for" in note.get("text", "") for note in notes)


def test_parts_larger_than_the_batch_are_halved_from_the_batch(tmp_path: Path) -> None:
    assert trained(tmp_path, {1: "memory"}, micro_batch=64).technique.micro_batch == 5


def test_a_state_itself_keeps_one_repair_in_the_other(tmp_path: Path) -> None:
    """Also where its start of the epoch is from a checkpoint that knows nothing of the first."""
    state = trained(tmp_path)
    roll_back(state, "the loss became nan")
    assert "5 samples at once" in step_down(state, BATCH)
    assert (state.rollbacks, state.technique.rate_scale, state.technique.micro_batch) == (1, 0.5, 5)
    assert [sorted(change)[1] for change in state.changes] == ["rate_scale", "micro_batch"]
