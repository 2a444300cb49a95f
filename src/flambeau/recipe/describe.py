"""The options in words: what each takes, its default and meaning, and which one a misspelt key meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from flambeau.recipe.fields import OneOf, auto_is_none
from flambeau.recipe.options import Recipe

# Sections that only one kind of data or task reads.
SECTIONS_OF_ONE_KIND = frozenset(("chat", "forecast", "generate", "language", "mixed", "scan", "text"))

# What people call options elsewhere, without "_" and "-".
ALIASES = {
    "accumulate": "training.micro_batch",
    "accumulategradbatches": "training.micro_batch",
    "activationcheckpointing": "training.recompute",
    "amp": "training.precision",
    "architecture": "model.arch",
    "augmentation": "image.augment",
    "autolrfind": "training.lr_finder",
    "autoscalebatchsize": "training.batch_finder",
    "batch": "training.batch_size",
    "beta1": "training.optimizer.momentum",
    "bs": "training.batch_size",
    "channelslast": "training.memory_format",
    "checkpointing": "training.recompute",
    "classweight": "training.class_weights",
    "clip": "training.clip_norm",
    "criterion": "training.loss.name",
    "crossvalidation": "split.folds",
    "cv": "split.folds",
    "ddp": "training.distributed",
    "dtype": "training.precision",
    "earlystopping": "training.patience",
    "ensemble": "training.bags",
    "epoch": "training.epochs",
    "freezebackbone": "training.freeze",
    "frozen": "training.freeze",
    "fsdp": "training.distributed",
    "gpus": "devices",
    "gradclip": "training.clip_norm",
    "gradientaccumulation": "training.micro_batch",
    "gradientcheckpointing": "training.recompute",
    "gradientclipping": "training.clip_norm",
    "hflip": "image.augment.flip_horizontal",
    "hiddensize": "model.width",
    "imagesize": "image.size",
    "imgsize": "image.size",
    "initialization": "model.init",
    "kfold": "split.folds",
    "l2": "training.optimizer.weight_decay",
    "label": "data.target",
    "layers": "model.depth",
    "learningrate": "training.optimizer.lr",
    "lossfn": "training.loss.name",
    "lrfind": "training.lr_finder",
    "lrscheduler": "training.schedule.name",
    "maxepochs": "training.epochs",
    "maxlr": "training.optimizer.lr",
    "memorylimit": "training.memory_limit_gb",
    "mixedprecision": "training.precision",
    "nepochs": "training.epochs",
    "norm": "model.normalisation",
    "nproc": "devices",
    "numepochs": "training.epochs",
    "numgpus": "devices",
    "opt": "training.optimizer.name",
    "optim": "training.optimizer.name",
    "randomseed": "seed",
    "randomstate": "seed",
    "resolution": "image.size",
    "rotation": "image.augment.rotate",
    "scheduler": "training.schedule.name",
    "smoothing": "training.label_smoothing",
    "strategy": "training.distributed",
    "tf32": "training.matmul",
    "time": "training.minutes",
    "torchcompile": "training.compile",
    "vflip": "image.augment.flip_vertical",
    "warmupratio": "training.schedule.warmup",
    "wd": "training.optimizer.weight_decay",
    "weights": "model.pretrained",
    "worldsize": "devices",
}


@dataclass(frozen=True)
class OptionRow:
    """One option: its dotted key, what it takes in words, its default as in YAML, and what it means."""

    key: str
    takes: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Option:
    """One field of the recipe's tree.

    Args:
        key: dotted, such as "training.optimizer.lr".
        field: pydantic's description of it.
    """

    key: str
    field: FieldInfo

    @property
    def automatic(self) -> bool:
        """Whether "auto" leaves the choice to flambeau."""
        return any(isinstance(m, BeforeValidator) and m.func is auto_is_none for m in self.field.metadata)

    @property
    def section(self) -> type[BaseModel] | None:
        """The class of the section, where this is one."""
        kind = self.field.annotation
        return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None

    @property
    def takes_text(self) -> bool:
        """Whether any text is a value of it."""
        kind = self.field.annotation
        return kind is str or (get_origin(kind) in (Union, UnionType) and str in get_args(kind))

    @property
    def names(self) -> tuple[str, ...]:
        """The names it takes, where a misspelt one can be told apart from a person's own."""
        own = next((m.names for m in _metadata(self.field) if isinstance(m, OneOf)), ())
        return own or _literals(self.field.annotation)

    @property
    def is_mapping(self) -> bool:
        """Whether its keys are the person's own."""
        return get_origin(self.field.annotation) is dict

    def words(self, limits: bool = True, part: bool = False) -> str:
        """What it takes, such as "an integer from 1 to 20" or "true or false".

        Args:
            limits: tell the range too.
            part: what one entry of a list or mapping takes.
        """
        kind: Any = self.field.annotation
        bounds = [m for m in self.field.metadata if isinstance(m, Ge | Gt | Le | Lt | OneOf)]
        return in_words(_entry(kind) if part else Annotated[kind, *bounds] if bounds else kind, limits)


def _metadata(field: FieldInfo) -> Iterator[Any]:
    yield from field.metadata
    kinds = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else ()
    for kind in kinds:
        yield from get_args(kind)[1:] if get_origin(kind) is Annotated else ()


@cache
def options() -> dict[str, Option]:
    """Every option and every section, by dotted key, in the order of the recipe."""
    return dict(_walk(Recipe, ""))


def _walk(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, Option]]:
    for name, field in section.model_fields.items():
        option = Option(prefix + name, field)
        yield option.key, option
        if option.section is not None:
            yield from _walk(option.section, f"{option.key}.")


def option_rows() -> list[OptionRow]:
    """Every option (no sections) for documentation and `flambeau recipe --options`."""
    rows = []
    for option in options().values():
        if option.section is None:
            default = "auto" if option.automatic else shown(option.field.default)
            rows.append(OptionRow(option.key, option.words(), default, option.field.description or ""))
    return rows


def shown(value: Any) -> str:
    """A value in a message or table, as YAML would write it, shortened: 'ten', true, [64, 64]."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _literals(kind: Any) -> tuple[str, ...]:
    """The words of a Literal, wherever in a type it stands."""
    if get_origin(kind) is Literal:
        return tuple(word for word in get_args(kind) if isinstance(word, str))
    return tuple(word for part in get_args(kind) for word in _literals(part))


def in_words(kind: Any, limits: bool = True) -> str:
    """A type in words.

    >>> in_words(Annotated[int, Ge(1), Le(20)])
    'an integer from 1 to 20'
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        base, *metadata = arguments
        named = next((item for item in metadata if isinstance(item, OneOf)), None)
        if named is not None:
            return named.words()
        bounds = [m for item in metadata for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return in_words(base, limits) + (_range(bounds) if limits else "")
    if origin in (Union, UnionType):
        return " or ".join(in_words(item, limits) for item in arguments if item is not type(None))
    if origin is Literal:
        return _either([f"{choice}" for choice in arguments])
    if origin is tuple:
        return f"{in_words(arguments[0], limits)}, or {len(arguments)} in brackets"
    if origin is list:
        return f"a list in brackets, each {in_words(arguments[0], limits)}"
    if origin is dict:
        return f"a mapping of names, each to {in_words(arguments[1], limits)}"
    return {int: "an integer", float: "a number", bool: "true or false", str: "text"}[kind]


def _entry(kind: Any) -> Any:
    """The type of one entry of a list, tuple or mapping; of anything else, the type itself."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated or origin in (Union, UnionType):
        return _entry(next(item for item in arguments if item is not type(None)))
    return arguments[-1] if origin in (list, tuple, dict) else kind


def _range(bounds: list[Any]) -> str:
    low = next((b for b in bounds if isinstance(b, Ge | Gt)), None)
    high = next((b for b in bounds if isinstance(b, Le | Lt)), None)
    if isinstance(low, Ge) and isinstance(high, Le):
        return f" from {_number(low.ge)} to {_number(high.le)}"
    words = []
    if low is not None:
        words.append(f"of at least {_number(low.ge)}" if isinstance(low, Ge) else f"above {_number(low.gt)}")
    if high is not None:
        words.append(f"at most {_number(high.le)}" if isinstance(high, Le) else f"below {_number(high.lt)}")
    return " " + " and ".join(words) if words else ""


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def nearest_key(key: str) -> str:
    """The known key that a misspelt or misplaced one meant, or "".

    >>> nearest_key("learning_rate"), nearest_key("trainng.epochs")
    ('training.optimizer.lr', 'training.epochs')
    """
    known = list(options())
    meant = _by_last_word(key, exact=True) or difflib.get_close_matches(key, known, n=1, cutoff=0.75)
    meant = meant or _by_last_word(key, exact=False)
    return meant[0] if meant else ""


def _by_last_word(key: str, exact: bool) -> list[str]:
    """Keys whose last word is that of `key`, or nearly; the ones in the most similar place first."""
    by_word: dict[str, list[str]] = {alias: [target] for alias, target in ALIASES.items()}
    for known in options():
        by_word.setdefault(_squeezed(known), []).append(known)
    word = _squeezed(key)
    matches = [word] if word in by_word else []
    if not exact:
        matches = difflib.get_close_matches(word, list(by_word), n=1, cutoff=0.75)
    found = [known for match in matches for known in by_word[match] if known != key]

    def fitness(known: str) -> tuple[bool, float]:
        # A word alone means the option that all kinds of data share: 'epochs' is training.epochs, not chat.epochs.
        shared = "." not in key and known.split(".", 1)[0] not in SECTIONS_OF_ONE_KIND
        return shared, difflib.SequenceMatcher(None, key, known).ratio()

    return sorted(found, key=fitness, reverse=True)


def _squeezed(key: str) -> str:
    return key.rsplit(".", 1)[-1].replace("_", "").replace("-", "").lower()
