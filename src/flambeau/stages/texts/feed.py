"""Texts on their way into a model: tokens fitted on training rows, their length, and batches of about one length."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flambeau.data.batches import Arrange, Gather, gather_tensors
from flambeau.data.samples import Samples
from flambeau.data.split import Split
from flambeau.data.texts.length_batches import arrange_by_length, gather_trimmed, token_counts
from flambeau.deploy.checks.subwords import tokenizer_fault
from flambeau.deploy.files import MOST_JSON_BYTES
from flambeau.errors import ModelError
from flambeau.evaluation.text_baselines import fit_text_baselines
from flambeau.models.encoders import text_spec
from flambeau.models.pretrained_text import (
    find_directory,
    longest_input,
    read_directory_config,
    read_directory_weights,
)
from flambeau.models.spec import ModelSpec
from flambeau.planning.texts import plan_text_length
from flambeau.recipe import Choices, Recipe
from flambeau.stages.journal import Journal
from flambeau.stages.starting.weights import OwnWeights
from flambeau.transforms.table import TablePreparation
from flambeau.transforms.text import BYTES_A_TOKEN, TextPreparation, fit_text

# Texts that the length is chosen from.
MOST_MEASURED = 5_000
LONGEST_MEASURED = 2**16
# No model of a directory sees more tokens.
USUAL_LENGTH = 2**13


def text_columns(samples: Samples) -> tuple[str, ...]:
    """The used columns of texts, in order."""
    return tuple(column.name for column in samples.schema.used_columns if column.kind == "text")


def fit_texts(
    samples: Samples, rows: np.ndarray, recipe: Recipe, *, length: int | None = None
) -> TextPreparation:
    """The tokens that the recipe asks for, fitted on these rows; `length` instead of the recipe's.

    Raises:
        ModelError: a directory's tokenizer cannot be read.
    """
    assert samples.columns is not None
    names, options = text_columns(samples), recipe.text
    most = length or options.length or LONGEST_MEASURED
    place = directory_of(recipe)
    if place is not None:
        return TextPreparation(
            names, "subwords", most, tokenizer=_read_tokenizer(find_directory(place), most)
        )
    given = {
        "vocabulary": options.vocabulary,
        "buckets": options.buckets,
    }
    return fit_text(
        {name: samples.columns[name][rows] for name in names},
        names,
        tokens=options.tokens or "ngrams",
        length=most,
        ngrams=(options.word_ngrams or 1, options.letter_ngrams or 0),
        **{key: value for key, value in given.items() if value is not None},
    )


def find_directory_weights(recipe: Recipe, journal: Journal) -> OwnWeights | None:
    """The weights of a directory of the library `transformers`; None where the recipe names none."""
    place = directory_of(recipe)
    if place is None:
        return None
    tensors = read_directory_weights(place)
    journal.note(f"starting from the transformer in {place}; the head is new")
    return OwnWeights(tensors, place)


def directory_of(recipe: Recipe) -> str | None:
    """The directory that "transformers/DIRECTORY" names; None for other models."""
    library, _, place = (recipe.model.name or "").partition("/")
    return place if library == "transformers" and place else None


def _read_tokenizer(folder: Path, length: int) -> str:
    path = folder / "tokenizer.json"
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ValueError("it is larger than any tokenizer")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError(
            "this directory has no tokenizer that can be read",
            where=path,
            got=str(error)[:200],
            expected="a transformer as `save_pretrained` writes it, with tokenizer.json",
        ) from error
    if fault := tokenizer_fault(text, BYTES_A_TOKEN * min(length, USUAL_LENGTH), length):
        raise ModelError(
            "this directory's tokenizer has parts that flambeau does not use",
            where=path,
            got=fault,
            expected="a tokenizer as BERT, RoBERTa or SentencePiece have it",
        )
    return text


def choose_text_length(choices: Choices, samples: Samples, split: Split) -> None:
    """Fill in `text.length` from texts of the training part, where there are texts."""
    if samples.columns is None or not text_columns(samples) or choices.recipe.text.length is not None:
        return
    rows = split.train[np.unique(np.linspace(0, len(split.train) - 1, MOST_MEASURED).astype(np.int64))]
    prepared = fit_texts(samples, rows, choices.recipe, length=LONGEST_MEASURED)
    texts = prepared.join({name: samples.columns[name][rows] for name in prepared.columns})
    place = directory_of(choices.recipe)
    most = None if place is None else longest_input(read_directory_config(place))
    plan_text_length(choices, (prepared.encode(texts) != 0).sum(axis=1), most=most)


def gather_table(
    preparation: TablePreparation, arrays: tuple[np.ndarray, ...], device: torch.device
) -> tuple[Gather, Tensor | None]:
    """A gather over a table's arrays on the device, texts trimmed; and how many tokens each row has.

    Args:
        preparation: that made the arrays.
        arrays: without pictures.
        device: where they are kept.
    """
    tensors = [torch.from_numpy(array).to(device) for array in arrays]
    if preparation.text is None:
        return gather_tensors(*tensors), None
    place = 2 if preparation.has_cells else 0
    return gather_trimmed(*tensors, tokens=place), token_counts(tensors[place]).cpu()


def arrangement(lengths: Tensor | None) -> Arrange | None:
    """How batches are made of samples of about one length; None where samples have none."""
    return None if lengths is None else partial(arrange_by_length, lengths=lengths)


def choose_text_model(preparation: TextPreparation, recipe: Recipe, outputs: int) -> ModelSpec:
    """The description of the model for texts alone that the recipe asks for.

    Raises:
        ModelError: there is no such model, or a directory's tokenizer knows more subwords than its model.
    """
    spec = text_spec(
        recipe.model,
        recipe.text,
        cardinality=preparation.cardinality,
        length=preparation.length,
        outputs=outputs,
    )
    known = spec.arguments.get("config", {}).get("vocab_size")
    if isinstance(known, int) and known < preparation.cardinality - 1:
        raise ModelError(
            "this directory's tokenizer and its model are not of one kind",
            where=directory_of(recipe),
            got=f"{preparation.cardinality - 1:,} subwords, of which the model knows {known:,}",
            expected="a tokenizer.json that was trained for this model",
        )
    return spec


def judge_texts(
    samples: Samples, text: TextPreparation, split: Split, recipe: Recipe
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The baselines of texts, fitted on the train and valid rows, on the test rows; and sentences about them."""
    assert samples.columns is not None
    texts = text.join(samples.columns)
    known = np.union1d(split.train, split.valid)
    return fit_text_baselines(
        samples.schema.task,
        [texts[row] for row in known],
        samples.targets[known],
        [texts[row] for row in split.test],
        outputs=samples.schema.outputs,
        seed=recipe.seed,
    )
