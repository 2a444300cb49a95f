"""The net that looks at made pictures: a small classifier trained on the training part, whose features are compared.

Features of a net that knows the data tell more of these pictures than those of one trained on photographs (Heusel et
al. 2017 took the Inception net of ImageNet). Where there are no classes, it is a net with random weights, whose
features still tell pictures apart (Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.data.batches import Batches, Gather, evaluation_batch, mix_seed, ordered_batches
from flambeau.models.cnn import SmallResNet, pool_features
from flambeau.training.loop import Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.training.schedules import one_cycle

EYE_STREAM = 13
EYE_WIDTH, EYE_STEPS, EYE_BATCH = 8, 600, 64
MOST_EPOCHS = 60
# Random weights see pictures as they are only once their normalisation knows them.
PASSES = 10


@dataclass
class Eye:
    """A net and the scale of its features.

    Args:
        net: in evaluation mode.
        mean, std: (features,) of the training part.
        classes: how many it tells apart; 0 for one with random weights.
        method: what it is, in a sentence.
    """

    net: SmallResNet
    mean: np.ndarray
    std: np.ndarray
    classes: int
    method: str = ""

    def look(self, pictures: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Standardised features (n, features) and class indices (n,) of pictures (n, channels, height, width)."""
        device = next(self.net.parameters()).device
        features, classes = [], []
        with torch.inference_mode():
            for block in pictures.split(evaluation_batch(4 * pictures.shape[2] * pictures.shape[3])):
                seen = pool_features(self.net.stages(self.net.stem(block.to(device))))
                features.append(seen.cpu())
                classes.append(self.net.head(seen).argmax(1).cpu())
        standard = (torch.cat(features).double().numpy() - self.mean) / self.std
        return standard, torch.cat(classes).numpy()

    def look_at_rows(self, gather: Gather, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for rows of the data."""
        return self.look(pictures_of(gather, rows))


def pictures_of(gather: Gather, rows: np.ndarray) -> Tensor:
    """(rows, channels, height, width) from -1 to 1, on the CPU."""
    return torch.cat([block[0].cpu() for block in ordered_batches(gather, torch.from_numpy(rows), 256)])


def make_eye(
    gather: Gather,
    targets: Tensor,
    train_rows: np.ndarray,
    valid_rows: np.ndarray,
    *,
    channels: int,
    size: tuple[int, int],
    classes: int,
    seed: int,
) -> Eye:
    """Train the net on the training part, or leave it random where there are no classes.

    Args:
        gather: rows → pictures, on the device.
        targets: (all rows,) class indices, on the device.
        train_rows, valid_rows: the test part is not looked at.
        channels, size: of the pictures.
        classes: 0 where there are none.
        seed: of weights and order.
    """
    device = targets.device
    torch.manual_seed(mix_seed(seed, EYE_STREAM))
    net = SmallResNet(channels, max(classes, 1), size=size, width=EYE_WIDTH).to(device)
    batches = Batches(gather, targets, torch.from_numpy(train_rows), EYE_BATCH, mix_seed(seed, EYE_STREAM))
    if classes:
        _train_eye(net, batches, device)
    else:
        net.train()
        with torch.no_grad():
            for number, batch in enumerate(batches.epoch(0)):
                net(*batch.inputs)
                if number == PASSES:
                    break
    eye = Eye(net.eval(), np.zeros(1), np.ones(1), classes)
    known, _ = eye.look_at_rows(gather, train_rows)
    eye.mean, eye.std = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6)
    eye.method = _describe(eye, gather, targets, valid_rows, known.shape[1])
    return eye


def _train_eye(net: nn.Module, batches: Batches, device: torch.device) -> None:
    epochs = max(1, min(MOST_EPOCHS, round(EYE_STEPS / len(batches))))
    groups = parameter_groups(net, lr=2e-3, weight_decay=0.05)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.999, device=device)
    technique = Technique(epochs, partial(one_cycle, warmup=0.15), seed=batches.seed, device=device)
    for _ in train(net, batches, optimizer, classification_loss, technique):
        pass


def _describe(eye: Eye, gather: Gather, targets: Tensor, valid_rows: np.ndarray, features: int) -> str:
    if not eye.classes:
        return (
            f"the Fréchet distance (Heusel et al. 2017) on {features} features of a small residual net with random "
            "weights, because there are no classes to train it on"
        )
    told = ""
    if len(valid_rows):
        _, classes = eye.look_at_rows(gather, valid_rows)
        right = float((classes == targets.cpu().numpy()[valid_rows]).mean())
        told = f"; it tells {right:.1%} of the validation part right"
    return (
        f"the Fréchet distance (Heusel et al. 2017) on {features} features of a small residual net that was trained on "
        f"the labels of the training part{told}"
    )
