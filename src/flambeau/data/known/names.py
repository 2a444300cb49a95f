"""Names that stand for data: what is built in, what is known by name, and what is made; read without any library."""

from __future__ import annotations

from dataclasses import dataclass, field

from flambeau.errors import DataError, did_you_mean

BUILTIN_NAMES = ("digits", "iris", "wine", "breast_cancer", "diabetes")
KNOWN_ARRAY_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "stl10")
KNOWN_FILE_NAMES = ("imagenet", "celeba", "lsun", "coco", "voc")
KNOWN_NAMES = (*KNOWN_ARRAY_NAMES, *KNOWN_FILE_NAMES)
SYNTHETIC_KINDS = (
    *("image", "table", "multilabel", "regression", "text", "series", "prices"),
    *("dialogue", "mixed", "scans", "language"),
)
SYNTHETIC = "synthetic"
DATA_WORDS = (*BUILTIN_NAMES, *KNOWN_NAMES, f"{SYNTHETIC}:KIND")

_MOST_SAMPLES = 10_000_000
_OPTIONS = ("count", "seed", "noise")


@dataclass(frozen=True)
class SyntheticName:
    """What `synthetic:KIND:COUNT:OPTION=VALUE` asks for.

    Args:
        kind: one of `SYNTHETIC_KINDS`.
        count: samples (rows of a series, sentences of a language); None for the maker's own number.
        seed: of everything random.
        noise: how hard it is: 1 as the maker has it, 0 for none.
    """

    kind: str
    count: int | None = None
    seed: int = 0
    noise: float = field(default=1.0)


def plain_name(name: str) -> str:
    """The spelling under which a known data set stands in the tables.

    >>> plain_name("CIFAR-10"), plain_name("FashionMNIST"), plain_name("breast cancer")
    ('cifar10', 'fashion_mnist', 'breast_cancer')
    """
    known = {one.replace("_", ""): one for one in (*BUILTIN_NAMES, *KNOWN_NAMES)}
    return known.get(name.lower().replace("-", "").replace("_", "").replace(" ", ""), name)


def is_synthetic(source: str) -> bool:
    """Whether the words ask for made data, rightly spelt or not."""
    return source.partition(":")[0].lower() == SYNTHETIC


def is_data_name(source: str) -> bool:
    """Whether the words are the name of data rather than a path."""
    return is_synthetic(source) or plain_name(source) in (*BUILTIN_NAMES, *KNOWN_NAMES)


def read_synthetic_name(source: str) -> SyntheticName:
    """The kind and the options in words such as "synthetic:image:500:seed=3".

    Raises:
        DataError: no such kind or option, or a value that cannot be.
    """
    _, *words = source.split(":")
    kind = words[0].lower() if words else ""
    if kind not in SYNTHETIC_KINDS:
        raise DataError(
            f"there is no maker of '{kind}'" if kind else "which kind of data is to be made?",
            where=source,
            expected="synthetic:KIND with one of " + ", ".join(SYNTHETIC_KINDS),
            hint=did_you_mean(kind, SYNTHETIC_KINDS) if kind else "",
            command="flambeau train synthetic:image:500",
        )
    values: dict[str, str] = {}
    for word in words[1:]:
        name, given, value = word.partition("=")
        if not given:
            name, value = "count", word
        if name not in _OPTIONS or name in values:
            raise DataError(
                f"'{name}' is given twice" if name in values else f"made data have no option '{name}'",
                where=source,
                expected="a count, seed=N or noise=X",
                hint=did_you_mean(name, _OPTIONS),
                command=f"flambeau train synthetic:{kind}:500:seed=1",
            )
        values[name] = value
    return SyntheticName(
        kind,
        _whole(source, "count", values["count"], 1, _MOST_SAMPLES) if "count" in values else None,
        _whole(source, "seed", values.get("seed", "0"), 0, 2**31 - 1),
        _noise(source, values.get("noise", "1")),
    )


def _whole(source: str, name: str, text: str, lowest: int, highest: int) -> int:
    if not (text.isascii() and text.isdigit()) or not lowest <= int(text) <= highest:
        raise DataError(
            f"the {name} of made data cannot be '{text}'",
            where=source,
            expected=f"a whole number from {lowest} to {highest:,}",
            command="flambeau train synthetic:image:500",
        )
    return int(text)


def _noise(source: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise DataError(
            f"the noise of made data cannot be '{text}'",
            where=source,
            expected="a number from 0 (none) on; 1 is as the maker has it",
            command="flambeau train synthetic:image:500:noise=0.5",
        )
    return value
