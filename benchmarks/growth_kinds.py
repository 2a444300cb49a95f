"""What a text and a series cost by how many there are, and how much of a batch of texts is padding; see growth.py.

Lengths of the made-up texts are those of a log-normal distribution, of 1 to 300 words, as those of real ones are.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from common import SHARED, tell
from torch import Tensor, nn

from flambeau.data.batches import Batches, Gather
from flambeau.data.series.windows import gather_past, target_tensor, usable_origins
from flambeau.data.texts.length_batches import arrange_by_length, gather_trimmed, token_counts
from flambeau.models.forecast import DLinearForecast
from flambeau.models.rnn import TextRecurrent
from flambeau.models.text import TextBag, TextModel
from flambeau.planning.texts import plan_text_length
from flambeau.recipe import Choices, Recipe
from flambeau.training.forecast_losses import forecast_mse_loss
from flambeau.training.loop import StepRecord, Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.transforms.text import TextPreparation, fit_text

SMALLEST, LARGEST, ROUNDS = 1_000, 10_000, 3
WORDS, CLASSES, BATCH = 3_000, 4, 64
SERIES_ROWS, LOOKBACK, HORIZON, CHANNELS = 60, 24, 6, 3


def make_texts(count: int) -> list[str]:
    """Texts of made-up words, frequent and rare ones, of very different lengths."""
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(generator.choice(letters, size)) for size in generator.integers(2, 11, WORDS)]
    lengths = np.clip(generator.lognormal(2.7, 0.9, count), 1, 300).astype(int)
    places = np.minimum(generator.zipf(1.3, int(lengths.sum())) - 1, WORDS - 1)
    return [" ".join(words[place] for place in own) for own in np.split(places, np.cumsum(lengths)[:-1])]


def text_batches(tokens: np.ndarray, batch: int) -> Batches:
    """Batches of texts of about one length, as a run makes them."""
    tensor = torch.from_numpy(tokens)
    targets = torch.arange(len(tokens)) % CLASSES
    arrange = partial(arrange_by_length, lengths=token_counts(tensor))
    rows = torch.arange(len(tokens))
    return Batches(gather_trimmed(tensor, tokens=0), targets, rows, batch, seed=0, arrange=arrange)


def series_batches(series: int) -> Batches:
    """Batches of windows of so many series of 60 rows."""
    count = series * SERIES_ROWS
    values = torch.randn(count, CHANNELS, generator=torch.Generator().manual_seed(0))
    gather: Gather = gather_past(values, values[:, :0], lookback=LOOKBACK, horizon=HORIZON)
    starts = np.arange(0, count + 1, SERIES_ROWS, dtype=np.int64)
    origins = usable_origins(starts, np.ones(count, dtype=bool), lookback=LOOKBACK, horizon=HORIZON)
    return Batches(gather, target_tensor(values, HORIZON), torch.from_numpy(origins), BATCH, seed=0)


def train_samples(
    make: Callable[[], nn.Module], loss: Callable[[Tensor, Tensor], Tensor], batches: Batches, samples: int
) -> int:
    """Train on so many samples, over as many epochs as that takes; how many there were."""
    torch.manual_seed(0)
    model = make()
    optimizer = make_adamw(
        parameter_groups(model, lr=1e-3, weight_decay=0.01),
        beta1=0.9,
        beta2=0.999,
        device=torch.device("cpu"),
    )
    seen = 0
    technique = Technique(epochs=1000, schedule=lambda done: 1.0)
    for record in train(model, batches, optimizer, loss, technique):
        seen += batches.batch_size if isinstance(record, StepRecord) else 0
        if seen >= samples:
            break
    return seen


def compare(name: str, unit: str, arms: Sequence[Callable[[], int]]) -> None:
    """CPU time a sample of a thousand and of ten thousand, in turn, the first round left out."""
    times: list[list[float]] = [[], []]
    for number in range(ROUNDS + 1):
        for own, arm in zip(times, arms, strict=True):
            started = time.process_time()
            seen = arm()
            if number:
                own.append((time.process_time() - started) / seen * 1e6)
    ratios = [large / small for small, large in zip(*times, strict=True)]
    print(
        f"  {name:22} {SMALLEST:,} {unit}: {tell(times[0], 1)} µs a sample; {LARGEST:,}: {tell(times[1], 1)}; "
        f"ratio {tell(ratios, 3)}"
    )


def _fitted(texts: Sequence[str], tokens: str) -> TextPreparation:
    column = {"text": np.array(texts, dtype=object)}
    return fit_text(column, ["text"], tokens=tokens, length=4096, buckets=2**15, ngrams=(2, 4))


def _encode(texts: Sequence[str], tokens: str) -> int:
    _fitted(texts, tokens).encode(texts)
    return len(texts)


def tell_texts() -> None:
    """Encoding, a bag of n-grams and a GRU of words."""
    texts = make_texts(LARGEST)
    sizes = (texts[:SMALLEST], texts)
    for name, tokens, batch, samples in (
        ("bag", "ngrams", 256, LARGEST),
        ("GRU", "words", BATCH, LARGEST // 2),
    ):
        compare(f"{tokens}, encoding", "texts", [partial(_encode, own, tokens) for own in sizes])
        prepared = _fitted(texts, tokens)
        numbers = prepared.cardinality
        encoder = {
            "bag": partial(TextBag, numbers, width=96, token_dropout=0.5),
            "GRU": partial(TextRecurrent, numbers, width=64, cell="gru"),
        }[name]
        feeds = [text_batches(prepared.encode(own), batch) for own in sizes]
        compare(
            f"{name}, training",
            "texts",
            [
                partial(
                    train_samples,
                    lambda own=encoder: TextModel(own(), CLASSES),
                    classification_loss,
                    feed,
                    samples,
                )
                for feed in feeds
            ],
        )


def tell_series() -> None:
    """Windows of many series: walked alone, and through DLinear's training."""
    feeds = [series_batches(SMALLEST), series_batches(LARGEST)]

    def walk(batches: Batches) -> int:
        # an epoch of the largest, so that what an epoch costs once is counted once for it
        seen = epoch = 0
        while seen < len(feeds[1].rows):
            seen += sum(batch.count for batch in batches.epoch(epoch))
            epoch += 1
        return seen

    def make() -> nn.Module:
        return DLinearForecast(channels=CHANNELS, targets=CHANNELS, lookback=LOOKBACK, horizon=HORIZON)

    compare("windows, batches", "series", [partial(walk, feed) for feed in feeds])
    compare(
        "windows, DLinear",
        "series",
        [partial(train_samples, make, forecast_mse_loss, feed, LARGEST * 3) for feed in feeds],
    )


def tell_padding() -> None:
    """Which share of what is computed is padding, of texts cut as a run cuts them: made-up ones, and shared data."""
    found = {"made-up texts": make_texts(LARGEST)}
    news, clinc = SHARED / "text/ag_news_small/train.csv", SHARED / "text/clinc150/train.jsonl"
    if news.is_file():
        rows = csv.DictReader(news.read_text(encoding="utf-8").splitlines())
        found["AG News small"] = [f"{row['title']}\n{row['description']}" for row in rows]
    if clinc.is_file():
        lines = clinc.read_text(encoding="utf-8").splitlines()
        found["CLINC150"] = [json.loads(line)["text"] for line in lines]
    for name, texts in found.items():
        for tokens, batch in (("ngrams", 256), ("words", BATCH)):
            numbers = _fitted(texts, tokens).encode(texts)
            choices = Choices(Recipe())
            choices.recipe.text.tokens = tokens
            plan_text_length(choices, (numbers != 0).sum(axis=1))
            numbers = numbers[:, : choices.recipe.text.length]
            batches = text_batches(numbers, batch)
            real = computed = 0
            for one in batches.epoch(0):
                real += int((one.inputs[0] != 0).sum())
                computed += one.inputs[0].numel()
            steps = token_counts(torch.from_numpy(numbers))[torch.randperm(len(texts))].split(batch)
            plain = sum(int(step.max()) * len(step) for step in steps)
            print(
                f"  {name:14} {len(texts):>6,} texts, {tokens:6} in batches of {batch:3}: {1 - real / computed:.1%} "
                f"of what is computed is padding ({1 - real / plain:.1%} in random order)"
            )
