"""Stopping anywhere and going on ends in equal weights; damage and divergence are survived."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from flambeau.data.batches import Batches, gather_tensors
from flambeau.evaluation.validation import Validation
from flambeau.training.clipping import clip_gradients
from flambeau.training.loop import Technique
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, make_sgd, parameter_groups
from flambeau.training.schedules import one_cycle
from flambeau.training.session import Interrupted, Session, run_session
from flambeau.training.state import TrainingState
from flambeau.transforms.draws import Draws

CPU = torch.device("cpu")
ROWS, EPOCHS, BATCH = 60, 4, 10


def make_parts(seed: int = 0) -> tuple[nn.Module, Batches]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(ROWS, 3, 6, 6, generator=generator)
    targets = torch.randint(0, 3, (ROWS,), generator=generator)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, 3)
    ).to(memory_format=torch.channels_last)

    def jitter(parts: tuple[Tensor, ...], aims: Tensor, draws: Draws) -> tuple[tuple[Tensor, ...], Tensor]:
        return (parts[0] + 0.1 * draws.uniform().view(-1, 1, 1, 1),), aims

    return model, Batches(
        gather_tensors(inputs), targets, torch.arange(ROWS), BATCH, seed=seed, change=jitter
    )


def run(
    folder: Path, *, stop_after: int | None = None, rule: str = "adamw", **session_options: object
) -> TrainingState:
    model, batches = make_parts()
    groups = parameter_groups(model, lr=0.01, weight_decay=0.05)
    make = partial(make_adamw, beta1=0.9, beta2=0.999) if rule == "adamw" else partial(make_sgd, momentum=0.9)
    technique = Technique(
        epochs=EPOCHS,
        schedule=partial(one_cycle, warmup=0.3),
        average_decay=0.9,
        clip=partial(clip_gradients, norm=1.0),
    )
    calls = 0

    def should_stop() -> bool:
        nonlocal calls
        calls += 1
        return stop_after is not None and calls > stop_after

    def validate(module: nn.Module) -> Validation:
        module.eval()
        with torch.inference_mode():
            value = classification_loss(module(*batches.gather(torch.arange(ROWS))), batches.targets).item()
        return Validation(loss=value, score=value)

    session = Session(folder=folder, validate=validate, should_stop=should_stop, **session_options)
    return run_session(model, batches, make(groups, device=CPU), classification_loss, technique, session)


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("rule", ["adamw", "sgd"])
@pytest.mark.parametrize("stop_after", [0, 3, 7, 13, 20])
def test_stopped_anywhere_and_resumed_equals_unbroken(tmp_path: Path, stop_after: int, rule: str) -> None:
    unbroken = run(tmp_path / "unbroken", rule=rule)
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", stop_after=stop_after, rule=rule)
    resumed = run(tmp_path / "broken", rule=rule)
    assert equal(unbroken.model, resumed.model)
    assert equal(unbroken.evaluated, resumed.evaluated)
    assert resumed.best.epoch == unbroken.best.epoch


def test_another_seed_ends_elsewhere(tmp_path: Path) -> None:
    first = run(tmp_path / "a")
    second = run(tmp_path / "b")
    assert equal(first.model, second.model)
    model, _ = make_parts(seed=1)
    assert not equal(first.model, model)


def test_a_damaged_checkpoint_is_recognised_and_the_one_before_it_used(tmp_path: Path) -> None:
    unbroken = run(tmp_path / "unbroken")
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", stop_after=17, checkpoint_seconds=0.0)
    newest = max((tmp_path / "broken").glob("middle-*"))
    data = bytearray(newest.read_bytes())
    data[-5] ^= 1
    newest.write_bytes(bytes(data))
    notes: list[dict] = []
    resumed = run(tmp_path / "broken", listen=notes.append)
    assert any("damaged" in note.get("text", "") for note in notes)
    assert equal(unbroken.evaluated, resumed.evaluated)


def test_only_the_newest_two_checkpoints_of_a_kind_stay(tmp_path: Path) -> None:
    run(tmp_path, checkpoint_seconds=0.0)
    assert len(list(tmp_path.glob("last-*"))) <= 2
    assert len(list(tmp_path.glob("middle-*"))) <= 2
    assert not list(tmp_path.glob(".*tmp"))


def exploding(outputs: Tensor, targets: Tensor, *, until: list[int]) -> Tensor:
    value = classification_loss(outputs, targets)
    if until[0] > 0:
        until[0] -= 1
        if until[0] == 0:
            return value * float("nan")
    return value


def test_a_nan_goes_back_to_the_epoch_start_at_half_the_rate(tmp_path: Path) -> None:
    model, batches = make_parts()
    optimizer = make_adamw(
        parameter_groups(model, lr=0.01, weight_decay=0.0), beta1=0.9, beta2=0.99, device=CPU
    )
    technique = Technique(epochs=2, schedule=lambda done: 1.0)
    notes: list[dict] = []
    session = Session(folder=tmp_path, listen=notes.append)
    state = run_session(model, batches, optimizer, partial(exploding, until=[9]), technique, session)
    assert state.rollbacks == 1
    assert state.technique.rate_scale == 0.5
    assert any(note.get("rate_scale") == 0.5 for note in notes)
    assert all(torch.isfinite(p).all() for p in state.model.parameters())


def test_a_loss_that_never_recovers_stops_with_a_sentence(tmp_path: Path) -> None:
    model, batches = make_parts()
    optimizer = make_adamw(
        parameter_groups(model, lr=0.01, weight_decay=0.0), beta1=0.9, beta2=0.99, device=CPU
    )
    technique = Technique(epochs=2, schedule=lambda done: 1.0)
    with pytest.raises(ArithmeticError, match=r"half the learning rate did not help"):
        run_session(
            model,
            batches,
            optimizer,
            lambda o, t: o.sum() * float("nan"),
            technique,
            Session(folder=tmp_path),
        )


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(tmp_path: Path) -> None:
    model, batches = make_parts()
    optimizer = make_adamw(
        parameter_groups(model, lr=0.01, weight_decay=0.0), beta1=0.9, beta2=0.99, device=CPU
    )

    def greedy(outputs: Tensor, targets: Tensor) -> Tensor:
        if len(targets) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return classification_loss(outputs, targets)

    notes: list[dict] = []
    session = Session(folder=tmp_path, listen=notes.append)
    state = run_session(model, batches, optimizer, greedy, Technique(2, lambda done: 1.0), session)
    assert state.technique.micro_batch == 5
    assert [note["micro_batch"] for note in notes if "micro_batch" in note] == [5]


def test_out_of_memory_in_the_middle_of_a_batch_leaves_no_gradient_behind(tmp_path: Path) -> None:
    def trained(folder: Path, micro_batch: int, faults: int) -> nn.Module:
        model, batches = make_parts()
        groups = parameter_groups(model, lr=0.01, weight_decay=0.0)
        optimizer = make_adamw(groups, beta1=0.9, beta2=0.99, device=CPU)
        left = [faults]

        def fragile(outputs: Tensor, targets: Tensor) -> Tensor:
            left[0] -= 1
            if left[0] == 0:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return classification_loss(outputs, targets)

        technique = Technique(2, lambda done: 1.0, micro_batch=micro_batch)
        return run_session(model, batches, optimizer, fragile, technique, Session(folder=folder)).model

    # the second of two parts fails, so the first has left gradients
    assert equal(trained(tmp_path / "a", 8, faults=2), trained(tmp_path / "b", 4, faults=0))


def test_weights_that_are_not_finite_are_never_a_state_to_go_back_to(tmp_path: Path) -> None:
    model, batches = make_parts()
    optimizer = make_adamw(
        parameter_groups(model, lr=0.01, weight_decay=0.0), beta1=0.9, beta2=0.99, device=CPU
    )
    calls = [0]

    def poisoned_gradient(outputs: Tensor, targets: Tensor) -> Tensor:
        calls[0] += 1
        value = classification_loss(outputs, targets)
        # finite value, infinite slope, at the last step of the first epoch
        return value + (outputs.sum() * 0.0).sqrt() if calls[0] == 6 else value

    state = run_session(
        model, batches, optimizer, poisoned_gradient, Technique(2, lambda done: 1.0), Session(folder=tmp_path)
    )
    assert state.rollbacks == 1
    assert state.is_finite()


def test_patience_stops_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    model, batches = make_parts()
    optimizer = make_adamw(
        parameter_groups(model, lr=0.01, weight_decay=0.0), beta1=0.9, beta2=0.99, device=CPU
    )
    scores = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    kept: list[dict] = []

    def validate(module: nn.Module) -> Validation:
        kept.append({k: v.clone() for k, v in module.state_dict().items()})
        value = next(scores)
        return Validation(value, value)

    session = Session(folder=tmp_path, validate=validate, patience=2)
    state = run_session(
        model, batches, optimizer, classification_loss, Technique(6, lambda done: 1.0), session
    )
    assert state.best.epoch == 2
    assert state.position.epoch == 4
    assert all(torch.equal(v, kept[1][k]) for k, v in state.evaluated.state_dict().items())


def test_of_epochs_that_are_equally_good_the_last_is_kept(tmp_path: Path) -> None:
    for tolerance, expected in ((0.0, 2), (1.0, 4)):
        model, batches = make_parts()
        groups = parameter_groups(model, lr=0.01, weight_decay=0.0)
        optimizer = make_adamw(groups, beta1=0.9, beta2=0.99, device=CPU)
        losses = iter([3.0, 1.0, 1.4, 1.2, 1.6])

        def validate(module: nn.Module, losses: Iterator[float] = losses) -> Validation:
            value = next(losses)
            return Validation(value, value, spread=0.5)

        session = Session(folder=tmp_path / str(tolerance), validate=validate, tolerance=tolerance)
        state = run_session(
            model, batches, optimizer, classification_loss, Technique(5, lambda done: 1.0), session
        )
        assert state.best.epoch == expected
        assert state.best.loss == 1.0


def test_a_full_disk_raises_and_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, stop_after=8)
    before = {path.name for path in tmp_path.iterdir()}

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, checkpoint_seconds=0.0)
    assert {path.name for path in tmp_path.iterdir()} == before
