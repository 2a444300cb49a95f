"""Labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST_ROWS = 50
MOST_SHARE = 0.2
LEAST_SURE = 0.8


@dataclass(frozen=True)
class Suspect:
    """A sample whose label is probably another one.

    Args:
        row: its position among the rows that were given.
        given: the class that it is labelled with.
        likely: the class that the model is sure of.
        confidence: the probability of the likely class.
        margin: how much more probable that is than the given one.
    """

    row: int
    given: int
    likely: int
    confidence: float
    margin: float


def find_suspects(targets: np.ndarray, predictions: np.ndarray) -> list[Suspect]:
    """Samples in the off-diagonal cells of the confident joint, the surest first.

    A sample counts for a class if its probability of that class is at least the mean probability that samples labelled
    so have of it; of several such classes the most probable one counts. Of each cell (given, likely) as many are kept
    as the joint says that there are, those with the largest margin ("prune by noise rate"). Of these, only samples
    whose likely class has a probability of 0.8 are told: the mean may be low, and who reads of them relabels.

    Args:
        targets: (n,) class indices.
        predictions: (n, classes) probabilities of models that were not trained on these rows.

    Returns:
        None at all for fewer than 50 rows, where the thresholds would mean nothing, and where the suspects are more
        than a fifth of the rows: then it is the model that does not know.
    """
    count, classes = predictions.shape
    if count < FEWEST_ROWS:
        return []
    own = np.array(
        [
            predictions[targets == label, label].mean() if (targets == label).any() else 2.0
            for label in range(classes)
        ]
    )
    counted = predictions >= own
    likely = np.where(counted, predictions, -1.0).argmax(axis=1)
    sure = counted.any(axis=1)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (targets[sure], likely[sure]), 1)
    # Rows of the joint are scaled to how often each label occurs (eq. 2 of the paper).
    labelled = np.bincount(targets, minlength=classes)
    totals = joint.sum(axis=1)
    scale = np.divide(labelled, totals, out=np.zeros(classes), where=totals > 0)
    expected = np.rint(joint * scale[:, None]).astype(int)
    margins = predictions[np.arange(count), likely] - predictions[np.arange(count), targets]
    rows: list[int] = []
    for given in range(classes):
        for other in range(classes):
            cell = np.flatnonzero(sure & (targets == given) & (likely == other) & (margins > 0))
            if other != given and len(cell):
                most = min(len(cell), int(expected[given, other]))
                rows += cell[np.argsort(-margins[cell], kind="stable")][:most].tolist()
    if len(rows) > MOST_SHARE * count:
        return []
    rows = [row for row in rows if predictions[row, likely[row]] >= LEAST_SURE]
    rows.sort(key=lambda row: -margins[row])
    return [
        Suspect(
            row,
            int(targets[row]),
            int(likely[row]),
            float(predictions[row, likely[row]]),
            float(margins[row]),
        )
        for row in rows
    ]
