"""What a model is made of: the layer table of a run's model, or of any nn.Module in a person's file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.errors import ModelError, UsageError
from flambeau.insight.layers import LayerTable, layer_table
from flambeau.models.chat import ChatModel
from flambeau.models.own import digest_of, load_own_class, own_arguments
from flambeau.records import RunFolder
from flambeau.transforms.corpus import CorpusPreparation
from flambeau.transforms.dialogue import ChatPreparation
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation

MOST_DIMENSIONS = 6
LARGEST_SIDE = 10_000_000
SHAPE = re.compile(r"(?P<sizes>\d+(x\d+)*)(:(?P<kind>int|float))?", re.IGNORECASE)


def inspect_run(run: RunFolder, batch: int = 1) -> LayerTable:
    """The layers of a run's model, or of a stored version, for a batch of what it takes."""
    bundle = load_bundle(run.model)
    module = bundle.module
    if isinstance(module, ChatModel) and module.writer is not None:
        module = BothNets(module.finder, module.writer)
    return layer_table(module, inputs_of(bundle, batch))


class BothNets(nn.Module):
    """A chatbot's nets side by side: what finds answers, and what writes them."""

    def __init__(self, finder: nn.Module, writer: nn.Module) -> None:
        super().__init__()
        self.finder, self.writer = finder, writer

    def forward(self, questions: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Pieces of questions, and tokens → similarities with all answers, and logits of the next tokens."""
        return self.finder(questions), self.writer(tokens)


def inputs_of(bundle: Bundle, batch: int) -> list[Tensor]:
    """Zeros in the shapes that the model of a bundle takes."""
    preparation = bundle.preparation
    if bundle.schema.task == "generate":
        return [torch.zeros(batch, int(bundle.spec.arguments["latent"]))]
    if isinstance(preparation, PicturePreparation):
        return [torch.zeros(batch, preparation.channels, *preparation.size)]
    if isinstance(preparation, SeriesPreparation):
        past = torch.zeros(batch, preparation.lookback, len(preparation.channels))
        ahead = torch.zeros(batch, preparation.horizon, preparation.future)
        return [past, ahead] if preparation.future else [past]
    if isinstance(preparation, CorpusPreparation):
        return [torch.zeros(batch, preparation.context, dtype=torch.int64)]
    if isinstance(preparation, ChatPreparation):
        # of the longest questions; ones, as zeros would be padding
        questions = torch.ones(batch, preparation.pieces.length, dtype=torch.int64)
        tokens = torch.ones(batch, preparation.length, dtype=torch.int64)
        return [questions, tokens] if bundle.spec.arguments["writer"] else [questions]
    assert isinstance(preparation, TablePreparation)
    inputs = []
    if preparation.has_cells:
        inputs.append(torch.zeros(batch, len(preparation.numbers)))
        inputs.append(torch.zeros(batch, len(preparation.cardinalities), dtype=torch.int64))
    if preparation.text is not None:
        # of the longest texts; ones, as zeros would be padding
        inputs.append(torch.ones(batch, preparation.text.length, dtype=torch.int32))
    for one in preparation.pictures:
        inputs += [torch.zeros(batch, one.pictures.channels, *one.pictures.size), torch.ones(batch)]
    return inputs


def inspect_own(spec: str, shapes: list[str], outputs: int, batch: int = 1) -> tuple[LayerTable, list[str]]:
    """The layers of a person's own class.

    Args:
        spec: "file.py:Class"; the file is run, as its author or a person who trusts it named it.
        shapes: of each input without the batch, such as "1x28x28" or "40:int".
        outputs: what a constructor that asks for a number of classes is given.
        batch: how many samples.

    Returns:
        The table, and the arguments that the constructor was given, in words.

    Raises:
        UsageError: a shape that is none.
        ModelError: no such file or class, a constructor that asks for more, or a forward that fails.
    """
    sizes = [parse_shape(text) for text in shapes]
    file, _, name = spec.rpartition(":")
    path = Path(file).resolve()
    own_class = load_own_class(path, name, digest=digest_of(path))
    arguments = own_arguments(own_class, _known(sizes, outputs))
    module = _constructed(own_class, arguments, path)
    inputs = [
        torch.zeros(batch, *size, dtype=torch.int64 if whole else torch.float32) for size, whole in sizes
    ]
    try:
        table = layer_table(module, inputs)
    except Exception as error:  # a person's own forward may raise anything
        given = ", ".join(str(tuple(part.shape)) for part in inputs) or "no input"
        raise ModelError(
            f"{own_class.__name__} fails on {given}",
            where=path,
            got=f"{type(error).__name__}: {(str(error) or 'no further word').splitlines()[0]}",
            expected="another --input: the shape of one sample of this class, without the batch",
        ) from error
    return table, [f"{key}={value}" for key, value in arguments.items()]


def parse_shape(text: str) -> tuple[tuple[int, ...], bool]:
    """The sizes in "1x28x28", and whether the numbers are whole ("40:int"). Raises UsageError for anything else."""
    match = SHAPE.fullmatch(text.strip())
    sizes = tuple(int(part) for part in re.split("[xX]", match["sizes"])) if match else ()
    if not match or not 1 <= len(sizes) <= MOST_DIMENSIONS or not all(0 < s <= LARGEST_SIDE for s in sizes):
        raise UsageError(
            "--input is the shape of one sample",
            got=text,
            expected="sizes such as 1x28x28 or 784; :int behind them for whole numbers, as in 40:int",
        )
    return sizes, (match["kind"] or "").lower() == "int"


def _known(sizes: list[tuple[tuple[int, ...], bool]], outputs: int) -> dict[str, int]:
    """What the first input tells about the arguments of a constructor."""
    known = {"outputs": outputs}
    first = sizes[0][0] if sizes else ()
    if len(first) == 1:
        known["inputs"] = first[0]
    if len(first) == 3:
        known |= {"channels": first[0], "height": first[1], "width": first[2]}
    return known


def _constructed(own_class: Callable[..., nn.Module], arguments: Mapping[str, Any], path: Path) -> nn.Module:
    try:
        return own_class(**arguments)
    except Exception as error:  # a person's own constructor may raise anything
        raise ModelError(
            f"{own_class.__name__}{inspect.signature(own_class)} cannot be built",
            where=path,
            got=f"{type(error).__name__}: {error}",
        ) from error
