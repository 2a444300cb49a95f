"""What holds of the loop and its batches in every script: one process that measures nothing and begins at the start."""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.specialise.given import Instead


def whole_epochs(*, changes: bool | None, arranges: bool = False) -> dict[str, dict[str, object]]:
    """A script begins every epoch at its start and has all samples of a step; tables have no random changes.

    Batches are arranged by length for texts only.
    """
    changed: dict[str, object] = {} if changes is None else {"self.change is not None": changes}
    block: dict[str, object] = {
        "[share_of_step(count, self.rank, self.ranks) for count in counts]": Instead("None"),
        "[end - begin for begin, end in shares]": Instead("counts"),
        "self.ranks == 1": True,
    }
    if changes is False:
        block |= {
            "(self._changed(piece, epoch, sizes) for piece in rows.split(most))": Instead("None"),
            "join_pieces(pieces, len(rows))": Instead("self._changed(rows, epoch, sizes)"),
        }
    return {
        "Batches.epoch": {
            "start - start % together": Instead("0"),
            "islice(block, max(0, start - first), None)": Instead("block"),
            "(size + 1) // 2 < self.ranks": False,
            "self.arrange is not None": arranges,
            # each step of texts is gathered by itself, however many values a sample has
            **({"self.gather(order[:1])": Instead("()")} if arranges else {}),
        },
        "Batches._block": block,
        "Batches._changed": changed,
    }


@dataclass(frozen=True)
class LoopFacts:
    """What is known of a run's loop.

    Args:
        in_parts: whether a batch may go through the model in several parts.
        freezes: whether something is done to the model at the beginning of an epoch.
        closes: whether the optimizer asks for its gradients by a closure.
        clips: whether gradients are clipped.
        scales: whether the loss is scaled, as in fp16.
        device: its type.
        changes: whether samples are changed at random; None where some trainings do and others do not.
        arranges: whether batches are of texts of about one length.
    """

    in_parts: bool = True
    freezes: bool = True
    closes: bool = True
    clips: bool = True
    scales: bool = True
    device: str = "cpu"
    changes: bool | None = None
    arranges: bool = False


def one_process(loop: LoopFacts) -> dict[str, dict[str, object]]:
    """A script is one process, which measures nothing: what a technique is by default stands there by itself."""
    step = "technique.step(optimizer, gradients, clip, scaler)"
    weighs = "technique.weight_of(targets) != count"
    asked = "(last if position.step + 1 == steps else technique.clip)(parameters)"
    return {
        "part_gradients": {
            "technique.together(model, last)": Instead("nullcontext()"),
            **({"technique.weight_of": Instead("len")} if loop.in_parts else {weighs: Instead("False")}),
        },
        "accumulate_gradients": {
            "parts > len(targets)": False,
            "technique.weight_of is not len": False,
            **({"technique.processes": Instead("1")} if loop.in_parts else {"parts <= 1": True}),
        },
        "train.gradients": {
            "technique.total(accumulate_gradients(model, loss, batch, technique, scaler))": Instead(
                "accumulate_gradients(model, loss, batch, technique, scaler)"
            )
        },
        "train.clip": {asked: Instead("technique.clip(parameters)" if loop.clips else "None")},
        "train": {
            "MeasuredClip(technique.clip, parameters)": Instead("None"),
            "last.norm.item()": Instead("0.0"),
            "last.update_ratio()": Instead("0.0"),
            **({} if loop.freezes else {"technique.begin_epoch(model, position.epoch)": Instead("None")}),
            **({} if loop.closes else {step: Instead(step.replace("technique.step", "step_once"))}),
        },
        "step_once": {"scaler is None": not loop.scales},
        "seed_device": {f"device.type == '{kind}'": loop.device == kind for kind in ("cuda", "mps")},
    }


def changes_parts(facts: RunFacts) -> bool:
    """Whether memory ran out on the way, so that batches were cut into parts."""
    changes = [change for one in facts.trainings for change in [*one["changes"], *one["head_changes"]]]
    return any("micro_batch" in change for change in changes)
