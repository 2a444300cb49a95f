"""Choices for texts: what a token is, which encoder, how large, and how long it trains.

Every rule is a function of the data and the machine's kind. The measurements behind the numbers are in docs/log.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from flambeau.errors import ModelError, RecipeError, did_you_mean
from flambeau.models.spec import TEXT_MODELS
from flambeau.planning.common import FOLDS_BELOW, decides_by_threshold
from flambeau.planning.numbers import plan_numbers
from flambeau.planning.rules import came_from_person, check_init, plan_loss, plan_optimizer, plan_schedule
from flambeau.recipe import Choices
from flambeau.recipe.fields import is_own

# Samples that a net sees in all, each again in every epoch.
SAMPLES_SEEN = 210_000
FEWEST_EPOCHS, MOST_EPOCHS, MOST_EPOCHS_OF_FEW = 4, 12, 20
FEW_ROWS = 3_000
STEPS_AN_EPOCH = 50
# From here on, several nets would take long and gain little. Fewer texts bear more nets, each of which sees more.
MANY_ROWS, MIDDLING_ROWS = 20_000, 10_000
# Of AdamW with batches of 256.
BAG_RATE = 1.2e-2
# Of many classes each is seen in few steps, which are longer therefore: 4 classes lose by it, 151 gain.
MANY_CLASSES, BAG_RATE_OF_MANY_CLASSES = 20, 3e-2
# Tokens of a text. A net without an order of tokens reads long texts as fast as it hashes them.
SHARE_IN_LENGTH = 99.5
SHORTEST, LONGEST, LONGEST_OF_BAG = 16, 512, 4096
BUCKETS = 2**15
# A few classes need few numbers a vector, so that there may be more vectors, which fewer n-grams share.
MORE_BUCKETS, NARROW, WIDE = 2**17, 32, 96
VOCABULARY, SUBWORDS, CHARACTERS = 20_000, 8_000, 5_000
OUT_OF_SCOPE = ("oos", "ood", "out_of_scope", "out-of-scope", "out of scope", "unknown", "none_of_the_above")
# What an encoder reads where nobody says it, and why.
TOKENS_OF_MODELS = {
    "text_bag": ("ngrams", "neighbouring words tell more than words, and no word is unknown"),
    "text_cnn": ("words", "filters look for words and their neighbours"),
    "lstm": ("words", "steps are few"),
    "gru": ("words", "steps are few"),
    "rnn": ("words", "a plain recurrent net forgets what is many steps ago"),
    "transformer": ("words", "attention costs the square of the number of tokens"),
}
NGRAM_OPTIONS = ("buckets", "word_ngrams", "letter_ngrams")


def plan_texts(choices: Choices, *, rows: int, task: str, classes: int, machine: Mapping[str, Any]) -> None:
    """Fill in every open value for a table whose used columns are texts, but for `text.length`.

    Args:
        choices: changed in place.
        rows: samples, all parts together.
        task: classification, multilabel or regression.
        classes: classes or labels; 0 for a regression.
        machine: "device" (cpu, cuda, mps), "cores", "bf16".

    Raises:
        ModelError: a model that is none for texts.
        RecipeError: options of texts that do not go together.
    """
    plan_loss(choices, task=task)
    check_init(choices, pretrained=False)
    name = choices.choose("model.name", "text_bag", "the best of the small nets, and by far the quickest")
    if not is_own(name) and "/" not in name and name not in TEXT_MODELS:
        raise ModelError(
            f"there is no model '{name}' for texts",
            expected=", ".join(TEXT_MODELS) + ", transformers/DIRECTORY, or file.py:Class",
            hint=did_you_mean(name, TEXT_MODELS),
        )
    if name == "text_bag" and choices.recipe.text.tokens in (None, "ngrams"):
        _plan_vectors(choices, rows, classes)
    plan_tokens(choices, name)
    _plan_net(choices, name)
    _plan_length_of_training(choices, name, rows)
    _plan_steps(choices, name, rows, classes)
    plan_schedule(choices)
    plan_numbers(choices, machine, pictures=False)


def plan_tokens(choices: Choices, model: str) -> None:
    """Fill in what a token is for an encoder of that name, but for `text.length`.

    Raises:
        RecipeError: options of other tokens than those that are chosen.
    """
    default = ("subwords", "as the directory's tokenizer cuts them") if "/" in model else ("words", "")
    kind, reason = TOKENS_OF_MODELS.get(model, default)
    kind = choices.choose("text.tokens", kind, reason or "a model of your own is given the numbers of words")
    _check_tokens(choices, kind)
    if kind == "ngrams":
        choices.choose("text.buckets", BUCKETS, "so many that different n-grams seldom share a number")
        choices.choose("text.word_ngrams", 2, "pairs of words tell some of their order")
        choices.choose("text.letter_ngrams", 4, "pieces of words know their relatives and misspelt ones")
    elif kind != "bytes" and "/" not in model:
        sizes = {"words": VOCABULARY, "subwords": SUBWORDS, "characters": CHARACTERS}
        choices.choose("text.vocabulary", sizes[kind], "rarer ones say little, as they are seen too seldom")


def plan_text_length(choices: Choices, counts: np.ndarray, *, most: int | None = None) -> None:
    """Fill in how many tokens of a text are read.

    Args:
        choices: changed in place.
        counts: (texts,) tokens of texts of the training part.
        most: tokens that the model can read, where it has a limit of its own.
    """
    bag = choices.recipe.model.name in (None, "text_bag") or choices.recipe.text.tokens == "ngrams"
    limit = LONGEST_OF_BAG if bag else min(LONGEST, most or LONGEST)
    whole = int(np.percentile(counts, SHARE_IN_LENGTH)) if len(counts) else 0
    length = min(limit, max(SHORTEST, -(-whole * 5 // 4 // 8) * 8))
    share = float((counts <= length).mean()) if len(counts) else 1.0
    reason = f"{100 * share:.1f} % of the training texts are no longer"
    if length == limit:
        reason += ", and longer ones would take too long"
    choices.choose("text.length", length, reason)


def bags_for_texts(model: str, rows: int, *, threshold: bool = False) -> tuple[int, str]:
    """Nets whose predictions are averaged, and why; `threshold`: whether their average is answered above one alone."""
    if model != "text_bag" or rows >= MANY_ROWS:
        return 1, "one net sees enough, and takes its time"
    if rows < FOLDS_BELOW:
        return 1, f"{rows:,} texts: the net that is kept is trained on all of them"
    if threshold:
        return (
            5,
            f"{rows:,} texts: all nets leave out the same ones, on which their average chooses its threshold",
        )
    if rows < MIDDLING_ROWS:
        return 8, f"{rows:,} texts: each net leaves out another eighth, so none is wasted on choosing epochs"
    return 5, f"{rows:,} texts: each net leaves out another fifth, so none is wasted on choosing epochs"


def unknown_class(classes: tuple[str, ...]) -> str | None:
    """The class that stands for what is out of scope, by its name; None where there is none."""
    return next((name for name in classes if name.strip().lower() in OUT_OF_SCOPE), None)


def plan_unknown(choices: Choices, *, task: str, classes: tuple[str, ...]) -> None:
    """Fill in whether an answer may be "unknown".

    Raises:
        RecipeError: it is asked for where answers are no classes.
    """
    key = "text.unknown"
    if task != "classification":
        if choices.recipe.text.unknown:
            raise RecipeError(f"{key} is for classes that exclude each other", got=task, expected="false")
        choices.choose(key, False, "there are no exclusive classes")
        return
    name = unknown_class(classes)
    if name is None:
        choices.choose(
            key, False, "no class stands for what is out of scope; true answers unknown where unsure"
        )
    else:
        choices.choose(key, True, f"the class '{name}' stands for what is out of scope, which has many faces")


def _check_tokens(choices: Choices, kind: str) -> None:
    names: tuple[str, ...] = NGRAM_OPTIONS if kind != "ngrams" else ()
    names += ("vocabulary",) if kind in ("ngrams", "bytes") else ()
    for name in names:
        if choices.get(f"text.{name}") is not None and came_from_person(choices, f"text.{name}"):
            raise RecipeError(
                f"text.{name} says nothing of {kind}",
                got=choices.get(f"text.{name}"),
                expected="n-grams" if name in NGRAM_OPTIONS else "words, subwords or characters",
                command="--set text.tokens=" + ("ngrams" if name in NGRAM_OPTIONS else "words"),
            )


def _plan_vectors(choices: Choices, rows: int, classes: int) -> None:
    """How many vectors n-grams have, and how wide these are, where that is not as usual: many texts of few classes."""
    if rows < FEW_ROWS or classes >= MANY_CLASSES:
        return
    kinds = f"{classes} classes" if classes else "a number"
    choices.choose(
        "model.width", NARROW, f"{kinds}: a few numbers an n-gram tell enough, so that there may be more"
    )
    many = f"{rows:,} texts hold so many different n-grams that fewer would have to share"
    choices.choose("text.buckets", MORE_BUCKETS, many)


def _plan_net(choices: Choices, name: str) -> None:
    if ":" in name:
        choices.choose("text.token_dropout", 0.0, "a model of your own drops what it wants")
        return
    if "/" in name:
        choices.choose("model.dropout", 0.1, "as is usual for fine-tuning")
        return
    width = WIDE if name == "text_bag" else 128
    choices.choose("model.width", width, "wider gained nothing and takes longer")
    dropout, dropped = {"text_bag": (0.3, 0.5), "transformer": (0.1, 0.1)}.get(name, (0.5, 0.3))
    choices.choose("model.dropout", dropout, "texts are few, and soon learnt by heart")
    choices.choose("text.token_dropout", dropped, "no answer may hang on a single word")
    if name not in ("text_bag", "text_cnn"):
        choices.choose("model.depth", 2 if name == "transformer" else 1, "a further layer gained nothing")
    if name == "transformer":
        choices.choose("text.heads", 4, "each looks for something else")


def _plan_length_of_training(choices: Choices, name: str, rows: int) -> None:
    most = MOST_EPOCHS_OF_FEW if rows < FEW_ROWS else MOST_EPOCHS
    epochs = max(FEWEST_EPOCHS, min(most, round(SAMPLES_SEEN / max(1, rows))))
    reason = f"{rows:,} texts: " + ("an epoch is few steps" if rows < FEW_ROWS else "each is seen so often")
    choices.choose("training.epochs", epochs, reason)
    choices.choose("training.tolerance", 0.0, "the best epoch is kept")
    choices.choose("training.patience", 0, "the rate falls to zero at the end, which is where nets are best")
    bags, reason = bags_for_texts(name, rows, threshold=decides_by_threshold(choices.recipe))
    choices.choose("training.bags", bags, reason)
    pretrained = "no effect without a pretrained body"
    choices.choose("training.head_epochs", 0, pretrained)
    choices.choose("training.freeze_early", False, pretrained)
    choices.choose("training.optimizer.body_lr", 1.0, pretrained)


def _plan_steps(choices: Choices, name: str, rows: int, classes: int) -> None:
    size = 2 ** max(4, min(8 if name == "text_bag" else 6, round(math.log2(max(1, rows) / STEPS_AN_EPOCH))))
    batch = choices.choose(
        "training.batch_size", size, f"{rows:,} texts: enough steps an epoch, few tiny ones"
    )
    if "/" in name:
        plan_optimizer(choices, 5e-5, 1e-2, "a pretrained transformer is moved little")
    elif name == "text_bag":
        many = classes >= MANY_CLASSES
        rate = round((BAG_RATE_OF_MANY_CLASSES if many else BAG_RATE) * math.sqrt(batch / 256), 4)
        seen = "each n-gram and each of the many classes" if many else "each n-gram"
        plan_optimizer(choices, rate, 0.0, f"{seen} is seen in few steps, so these are long")
    else:
        plan_optimizer(choices, 1e-3, 1e-2, "usual for recurrent nets, convolutions and attention")
    choices.choose("training.label_smoothing", 0.0, "the labels are learnt as they are")
    choices.choose("training.ema", 0.0, "the falling rate averages enough")
    choices.choose("training.clip_norm", 1.0, "one odd batch cannot throw the weights far")
