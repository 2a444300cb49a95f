"""Choices for fast_cnn, the net of the CIFAR-10 speed records: what changes with the number of pictures.

The records are about 50,000 pictures seen eight times each, mirrored and moved by two pixels and nothing more. Fewer
pictures are seen more often, and a net that sees them so often needs more changes of them. Measured in docs/log.md.
"""

from __future__ import annotations

from flambeau.recipe import Choices

# From so many pictures on, what the records do holds.
MANY_PICTURES = 20_000
# Steps of an epoch: larger batches use the processor better, but few steps teach little.
STEPS_AN_EPOCH = 50
SMALLEST_BATCH, LARGEST_BATCH = 64, 1024
FULL_WIDTH, CPU_WIDTH = 64, 32


def plan_fast_pictures(choices: Choices, *, rows: int, device: str) -> None:
    """Fill in what is chosen in another way for fast_cnn than for other nets; the rest is left open.

    Args:
        choices: changed in place; nothing is done for another model.
        rows: samples, all parts together.
        device: "cpu", "cuda" or "mps".
    """
    if choices.recipe.model.name != "fast_cnn":
        return
    if rows >= MANY_PICTURES:
        reason = (
            f"{rows:,} pictures, each seen a few times: flips and crops are enough, as in the speed records"
        )
        for change in ("shift", "scale", "rotate", "brightness", "contrast"):
            choices.choose(f"image.augment.{change}", 0.0, reason)
    full = device != "cpu" or rows >= MANY_PICTURES
    why = "as in the speed records" if full else f"half of the records' width: {rows:,} pictures on a CPU"
    choices.choose("model.width", FULL_WIDTH if full else CPU_WIDTH, why)
    choices.choose("model.dropout", 0.0, "the records do without")
    batch = SMALLEST_BATCH
    while batch * 2 * STEPS_AN_EPOCH <= rows and batch < LARGEST_BATCH:
        batch *= 2
    choices.choose(
        "training.batch_size", batch, f"at least {STEPS_AN_EPOCH} steps an epoch where that is possible"
    )
