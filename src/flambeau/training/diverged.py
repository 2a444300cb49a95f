"""Where a loss stopped being a finite number: the first layer whose output, or whose gradient, is not finite.

The steps of the epoch are repeated with hooks on every layer. That is as exact as resuming is, and costs nothing
while all goes well.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from flambeau.training.loop import EpochBatches, StepRecord, train
from flambeau.training.losses import Loss
from flambeau.training.state import TrainingState
from flambeau.training.steps import Step

NOT_AGAIN = "when its steps were repeated, everything was finite"


class DivergedError(ArithmeticError):
    """The loss, or the weights, became NaN or infinite.

    Args:
        sentence: what was noticed.
        epoch: counted from 0.
        step: after which one, counted from 1; 0 where it was the validation.
    """

    def __init__(self, sentence: str, epoch: int, step: int) -> None:
        super().__init__(sentence)
        self.epoch, self.step = epoch, step


def diverged_elsewhere(epoch: int, step: int) -> DivergedError:
    """What a process raises whose own numbers are finite."""
    return DivergedError(
        f"another process's loss is not finite by epoch {epoch + 1}, step {step}", epoch, step
    )


@dataclass
class LossWatch:
    """Looks at the losses of steps together, because reading one makes the CPU wait for a GPU.

    Args:
        every: steps between two looks; at an epoch's last step it looks too.
    """

    every: int
    _waiting: list[StepRecord] = field(default_factory=list)

    def is_due(self, record: StepRecord) -> bool:
        """Whether this is a step after which is looked."""
        return record.step % self.every == 0 or record.step == record.steps

    def add(self, record: StepRecord) -> None:
        """Take in one step."""
        self._waiting.append(record)

    def look(self) -> DivergedError | None:
        """The first step since the last look whose loss is not finite."""
        if len(self._waiting) == 1:
            values = [self._waiting[0].loss.item()]
        else:
            values = torch.stack([record.loss for record in self._waiting]).tolist()
        records, self._waiting = self._waiting, []
        for record, value in zip(records, values, strict=True):
            if not math.isfinite(value):
                where = f"at epoch {record.epoch + 1}, step {record.step}"
                return DivergedError(f"the loss became {value} {where}", record.epoch, record.step)
        return None


class FiniteWatch:
    """Hooks on a model that remember the first place where something was not finite.

    Outputs are looked at in the order in which they are computed, then the loss, then gradients in the order in which
    they are computed, which is backwards.

    Args:
        model: whose layers are watched.
        gradients: whether to look at gradients too; those of fp16 overflow now and then, which its scaler handles.
    """

    def __init__(self, model: nn.Module, *, gradients: bool) -> None:
        self.found = ""
        self._model = model
        self._gradients = gradients
        self._names = {module: name.removeprefix("module.") for name, module in model.named_modules()}
        # (tensor, whether a layer handed this gradient on, its name) of gradients that were not finite
        self._bad_gradients: list[tuple[int, bool, str]] = []
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> FiniteWatch:
        self._handles.append(self._model.register_forward_pre_hook(self._look_at_inputs, with_kwargs=False))
        for module in self._names:
            if not list(module.children()):
                self._handles.append(module.register_forward_pre_hook(self._follow_inputs))
            self._handles.append(module.register_forward_hook(self._look_at_output))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def look_at_loss(self, outputs: Any, targets: Tensor, value: Tensor) -> None:
        """Look at the targets and at the loss of finite outputs."""
        if not are_finite(targets):
            self._note("the targets")
        elif not are_finite(value):
            self._note("the loss itself, of finite outputs")

    def look_at_gradients(self) -> None:
        """Look at what was found backwards, and at the gradients of the parameters."""
        if not self._gradients or self.found:
            return
        if self._bad_gradients:
            first = self._bad_gradients[0][0]
            same = [(handed, name) for tensor, handed, name in self._bad_gradients if tensor == first]
            # the layer that computed this gradient says more than the one that receives it
            handed_on, name = max(same, key=lambda one: one[0])
            self._note(f"the gradient that {name} hands on" if handed_on else f"the gradient at {name}")
            return
        for name, parameter in self._model.named_parameters():
            if parameter.grad is not None and not are_finite(parameter.grad):
                owner, _, own = name.rpartition(".")
                self._note(f"the gradient of {own} in {self._title(self._model.get_submodule(owner))}")
                return

    def look_at_weights(self) -> None:
        """Look at the parameters after a step."""
        for name, parameter in self._model.named_parameters():
            if not are_finite(parameter):
                owner, _, own = name.rpartition(".")
                module = self._model.get_submodule(owner)
                self._note(f"{own} of {self._title(module)}, after a step from finite gradients")
                return

    def _note(self, found: str) -> None:
        self.found = self.found or found

    def _title(self, module: nn.Module) -> str:
        return layer_title(self._names[module], module)

    def _look_at_inputs(self, module: nn.Module, inputs: Any) -> None:
        if not are_finite(inputs):
            self._note("the inputs of the model")

    def _follow_inputs(self, module: nn.Module, inputs: Any) -> None:
        self._follow(inputs, True, self._title(module))

    def _look_at_output(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not are_finite(output):
            self._note(f"the output of {self._title(module)}")
        self._follow(output, False, f"the output of {self._title(module)}")

    def _follow(self, values: Any, handed_on: bool, name: str) -> None:
        if not self._gradients or not torch.is_grad_enabled():
            return
        for tensor in _tensors_in(values):
            if tensor.requires_grad:
                tensor.register_hook(self._gradient_hook(id(tensor), handed_on, name))

    def _gradient_hook(self, tensor: int, handed_on: bool, name: str) -> Callable[[Tensor], None]:
        def look(gradient: Tensor) -> None:
            if not are_finite(gradient):
                self._bad_gradients.append((tensor, handed_on, name))

        return look


def layer_title(name: str, module: nn.Module) -> str:
    """What a module, by its name in the model, is called in messages."""
    return f"'{name}' ({type(module).__name__})" if name else f"the model ({type(module).__name__})"


def first_not_finite(
    state: TrainingState, batches: EpochBatches, loss: Loss, error: DivergedError, *, alone: bool = True
) -> str:
    """Repeat the epoch up to the step of the error and tell what was the first that was not finite.

    Args:
        state: with a boundary; taken back to it before, and left at some other place.
        batches, loss: as for `train`.
        error: epoch and step.
        alone: whether the search may end as soon as it found something; several processes must do equal steps.

    Returns:
        Such as "first not finite: the output of 'features.2' (Log)".
    """
    state.repeat_epoch()
    with _uncompiled(state.model), FiniteWatch(state.model, gradients=state.scaler is None) as watch:
        watched_loss = _watched_loss(watch, loss)
        technique = replace(state.technique, step=_watched_step(watch, state.technique.step))
        records = train(
            state.model,
            batches,
            state.optimizer,
            watched_loss,
            technique,
            average=state.average,
            scaler=state.scaler,
            position=state.position,
        )
        for record in records:
            over = not isinstance(record, StepRecord) or record.step >= error.step
            if over or (alone and watch.found):
                break
    return f"first not finite: {watch.found}" if watch.found else NOT_AGAIN


def first_in_validation(module: nn.Module, validate: Callable[[nn.Module], Any]) -> str:
    """Validate again and tell what was the first that was not finite."""
    with _uncompiled(module), FiniteWatch(module, gradients=False) as watch:
        validate(module)
    return f"first not finite: {watch.found}" if watch.found else "all outputs of the model are finite"


def _watched_loss(watch: FiniteWatch, loss: Loss) -> Loss:
    def watched(outputs: Tensor, targets: Tensor) -> Tensor:
        value = loss(outputs, targets)
        watch.look_at_loss(outputs, targets, value)
        return value

    return watched


def _watched_step(watch: FiniteWatch, step: Step) -> Step:
    def watched(
        optimizer: Optimizer,
        gradients: Callable[[], Tensor],
        clip: Callable[[], Tensor | None],
        scaler: GradScaler | None,
    ) -> tuple[Tensor, Tensor | None]:
        def looked_at() -> Tensor:
            value = gradients()
            watch.look_at_gradients()
            return value

        result = step(optimizer, looked_at, clip, scaler)
        watch.look_at_weights()
        return result

    return watched


@contextlib.contextmanager
def _uncompiled(model: nn.Module) -> Iterator[None]:
    # hooks inside a compiled model would not be called
    compiled = any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )
    if not compiled:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _tensors_in(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors_in(value)
    elif isinstance(values, dict):
        yield from _tensors_in(list(values.values()))


def are_finite(values: Any) -> bool:
    """Whether all numbers of the tensors in this value, however deep they lie, are finite."""
    return all(
        bool(torch.isfinite(tensor.detach()).all())
        for tensor in _tensors_in(values)
        if tensor.is_floating_point() or tensor.is_complex()
    )
