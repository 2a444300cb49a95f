"""How a chatbot's two nets do on questions: whether a right answer is found, how well right answers are expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flambeau.evaluation.validation import Validation

QUESTIONS_AT_ONCE = 256
PAIRS_AT_ONCE = 64


def hits_within(likeness: np.ndarray, right: Sequence[Sequence[int]], most: int) -> np.ndarray:
    """(n,) 0 or 1: whether a right answer is among the `most` most similar ones; of equal ones the first counts."""
    hits = np.zeros(len(right))
    for place, (row, places) in enumerate(zip(likeness, right, strict=True)):
        known = np.array(sorted(places))
        best = int(known[row[known].argmax()])
        before = int((row > row[best]).sum()) + int((row[:best] == row[best]).sum())
        hits[place] = float(np.isfinite(row[best]) and before < most)
    return hits


def likeness_blocks(finder: nn.Module, questions: Tensor) -> Iterator[np.ndarray]:
    """(up to 256, answers) float32 similarities of pieces of questions (n, longest), in evaluation mode."""
    finder.eval()
    for block in questions.split(QUESTIONS_AT_ONCE):
        with torch.inference_mode(), torch.autocast(questions.device.type, enabled=False):
            likeness = finder(block).float().cpu().numpy().copy()
        yield likeness


def judge_finder(
    module: nn.Module, questions: Tensor, places: Tensor, right: Sequence[Sequence[int]]
) -> Validation:
    """How often a right answer of these questions is found first, and the mean loss.

    Args:
        module: pieces of questions → similarities with all answers; put into evaluation mode.
        questions: (n, longest) pieces.
        places: (n,) int64, of an answer of each.
        right: places of all right answers of each.
    """
    hits, nats, done = [], [], 0
    for likeness in likeness_blocks(module, questions):
        rows = slice(done, done + len(likeness))
        hits.append(hits_within(likeness, right[rows], 1))
        nats.append(
            F.cross_entropy(torch.from_numpy(likeness), places[rows].cpu(), reduction="none").double()
        )
        done += len(likeness)
    losses = torch.cat(nats)
    spread = float(losses.std()) / len(right) ** 0.5 if len(right) > 1 else 0.0
    return Validation(float(losses.mean()), float(np.concatenate(hits).mean()), spread)


def judge_writer(module: nn.Module, inputs: Tensor, targets: Tensor) -> Validation:
    """The mean nats of the subwords of right answers, given their questions; arguments as for `answer_nats`."""
    nats = answer_nats(module, inputs, targets)
    mean = float(np.concatenate(nats).mean())
    return Validation(mean, mean, float(np.std([row.mean() for row in nats]) / len(nats) ** 0.5))


def answer_nats(module: nn.Module, inputs: Tensor, targets: Tensor) -> list[np.ndarray]:
    """For each (question, answer) the nats of each of its answer's subwords and of its end.

    Args:
        module: token ids (batch, length) → logits (batch, length, vocabulary); put into evaluation mode.
        inputs: (pairs, length) ids of questions and answers.
        targets: the same shape: the next id of the answer, and below 0 for all else.
    """
    module.eval()
    result: list[np.ndarray] = []
    with torch.inference_mode(), torch.autocast(inputs.device.type, enabled=False):
        for ids, aims in zip(inputs.split(PAIRS_AT_ONCE), targets.split(PAIRS_AT_ONCE), strict=True):
            logits = module(ids).float().flatten(0, 1)
            nats = F.cross_entropy(logits, aims.flatten().clamp(min=0), reduction="none")
            table = nats.view(aims.shape).double().cpu()
            result += [row[aim >= 0].numpy() for row, aim in zip(table, aims.cpu(), strict=True)]
    return result
