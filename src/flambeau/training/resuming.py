"""How a training finds its place again in the checkpoints of its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from flambeau.training.checkpoint import newest_checkpoint
from flambeau.training.clock import Listener
from flambeau.training.snapshot import Captured, read_capture


class Restorable(Protocol):
    """A training's state, as far as checkpoints are put back into it."""

    boundary: Captured | None

    def restore(self, captured: Captured) -> None: ...

    def restore_boundary(self) -> None: ...


def resume_state(
    state: Restorable,
    folder: Path,
    *,
    share: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    listen: Listener,
) -> bool:
    """Load the newest undamaged checkpoint of a folder; whether there is one.

    Args:
        state: restored in place, together with the start of its epoch.
        folder: of the checkpoints.
        share: tensors of a checkpoint → those of this process.
        listen: is told of each damaged checkpoint that is passed over.
    """
    last, damaged = newest_checkpoint(folder, "last")
    middle, damaged_middle = newest_checkpoint(folder, "middle")
    for sentence in damaged + damaged_middle:
        listen({"kind": "note", "text": f"{sentence}; the checkpoint before it is used"})
    if last is None:
        return False
    state.boundary = read_capture(share(last.tensors), last.values)
    # a state inside an epoch is of use only with the start of that epoch, to which a rollback would go
    if middle is not None and middle.values["epoch"] == last.values["epoch"]:
        state.restore(read_capture(share(middle.tensors), middle.values))
    else:
        state.restore_boundary()
    return True
