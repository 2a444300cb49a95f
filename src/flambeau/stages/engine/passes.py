"""How a model's passes are computed beside its own code: blocks again backwards, or compiled. In place."""

from __future__ import annotations

from torch import nn

from flambeau.data.batches import Inputs
from flambeau.models.compiling import compile_in_place
from flambeau.models.recompute import recompute_blocks
from flambeau.planning.numbers import graphs_pay
from flambeau.recipe import Recipe
from flambeau.stages.engine.work import measure_work


def set_passes(model: nn.Module, recipe: Recipe, inputs: Inputs) -> None:
    """Recompute blocks or compile, as the recipe says; names and values of the weights stay.

    Args:
        model: on its device, laid out and frozen as it will be trained.
        recipe: resolved.
        inputs: of a few samples.
    """
    if recipe.training.recompute:
        recompute_blocks(model)
    elif recipe.training.compile:
        compile_for(model, recipe, inputs)


def compile_for(model: nn.Module, recipe: Recipe, inputs: Inputs) -> None:
    """Compile the training of a model, with CUDA graphs where a GPU would wait for launches.

    Which of the two is decided by counted operations, so that a resumed training computes the same.
    """
    graphs = False
    if next(model.parameters()).device.type == "cuda":
        samples = recipe.training.micro_batch or recipe.training.batch_size or 1
        work = measure_work(model, inputs).times(samples / len(inputs[0]))
        graphs = graphs_pay(work, recipe.training.precision or "fp32")
    compile_in_place(model, graphs=graphs)
