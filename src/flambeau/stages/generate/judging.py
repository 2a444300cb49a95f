"""The score of made pictures: by epoch against the validation part, at the end against the untouched test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from flambeau.data.batches import mix_seed
from flambeau.data.pictures.noise import draw_noise
from flambeau.data.split import Split
from flambeau.deploy.making.making import between, make_pictures, pixels_of, png_of, sheet_of
from flambeau.evaluation.generated import (
    LEAST_DIVERSITY,
    LEAST_OF_A_CLASS,
    MOST_COPIES,
    Copies,
    class_shares,
    diversity_of,
    evenly_spaced,
    find_copies,
    fit_gaussian,
    frechet_distance,
    frechet_interval,
    frechet_of,
    squared_distances,
)
from flambeau.evaluation.validation import Validation
from flambeau.recipe import Recipe
from flambeau.records import RunFolder
from flambeau.schema import Finding
from flambeau.stages.generate.eye import Eye, pictures_of
from flambeau.stages.generate.parts import GanParts

SCORE_STREAM, SHEET_STREAM, TEST_STREAM = 14, 15, 16
MOST_SHEETS = 40
FEWEST_JUDGED = 10
MOST_RESAMPLES = 500
WAYS = 8
SHOWN_NEAREST = 16
TINY_SIDE = 16
OTHER_WAYS = "smaller rates, or another seed"
# Of training pictures that made ones are compared with, all together: some seconds of work, for copies to be found.
MOST_NUMBERS = 2**28
ROWS_A_BLOCK = 2000


class EpochJudge:
    """Called with the generator after each epoch: its score on the validation part, and a sheet of its pictures.

    Without a validation part of some size the score is on the training part, which is told by the method.

    Args:
        run: sheets go to its folder samples/.
        parts, eye, split, recipe: of the training.
    """

    def __init__(self, run: RunFolder, parts: GanParts, eye: Eye, split: Split, recipe: Recipe) -> None:
        self.run, self.eye, self.bits = run, eye, parts.preparation.bits
        options, latent, seed = recipe.generate, parts.state.technique.latent, recipe.seed
        rows = split.valid if len(split.valid) >= FEWEST_JUDGED else split.train
        features, _ = eye.look_at_rows(parts.gather, evenly_spaced(rows, options.score_samples or 1000))
        self.real, self.known = features, fit_gaussian(features)
        self.noise = draw_noise(options.score_samples or 1000, latent, seed, SCORE_STREAM)
        self.shown = draw_noise(options.sheet, latent, seed, SHEET_STREAM)
        self.epochs = recipe.training.epochs or 1

    def __call__(self, generator: nn.Module, number: int) -> tuple[Validation, Mapping[str, Any]]:
        made, _ = self.eye.look(make_pictures(generator, self.noise))
        score = frechet_distance(fit_gaussian(made), self.known)
        if self.draws_sheet(number):
            pixels = pixels_of(make_pictures(generator, self.shown), self.bits)
            self.run.write_bytes(f"samples/epoch-{number:04d}.png", png_of(sheet_of(pixels)))
        return Validation(score, score), {"diversity": diversity_of(made, self.real)}

    def draws_sheet(self, number: int) -> bool:
        """Whether this epoch has a sheet: the first, the last, and evenly spaced ones."""
        every = max(1, -(-self.epochs // MOST_SHEETS))
        return number in (1, self.epochs) or number % every == 0


@dataclass(frozen=True)
class Generated:
    """What is known of the kept generator.

    Args:
        distance: value, low and high of the Fréchet distance from the test part.
        references: the same distance of training pictures (the floor) and of spoilt ones (the ceiling).
        measures: "diversity", "copies", "nearest", and "classes" with the share of each.
        method, verdict: in sentences.
        standing: "better", "unclear" or "worse" than the nearer of noise and blurred pictures.
        findings: collapse and copies.
        sheets: name → picture.
    """

    distance: dict[str, float]
    references: dict[str, float]
    measures: dict[str, Any]
    method: str
    verdict: str
    standing: str
    findings: tuple[Finding, ...]
    sheets: dict[str, Image.Image]


def judge_generator(
    parts: GanParts, eye: Eye, split: Split, recipe: Recipe, classes: Sequence[str] = ()
) -> Generated:
    """Everything about the kept generator, on the test part, which nothing has looked at before."""
    state, options = parts.state, recipe.generate
    count = min(options.score_samples or 1000, max(2, len(split.train)))
    noise = draw_noise(count, state.technique.latent, recipe.seed, TEST_STREAM)
    pictures = make_pictures(state.evaluated, noise)
    real = pictures_of(parts.gather, evenly_spaced(split.train, count))
    test = pictures_of(parts.gather, split.test)
    made_features, made_classes = eye.look(pictures)
    real_features, _ = eye.look(real)
    test_features, _ = eye.look(test)
    resamples = min(recipe.evaluation.resamples, MOST_RESAMPLES)
    distance = frechet_interval(made_features, test_features, resamples=resamples, seed=recipe.seed)
    references = {
        "training pictures": frechet_of(real_features, test_features),
        "blurred pictures": frechet_of(eye.look(blur(real))[0], test_features),
        "noise": frechet_of(eye.look(noise_like(real, recipe.seed))[0], test_features),
    }
    flat = [one.flatten(1).numpy() for one in (pictures, real, test)]
    compared = evenly_spaced(split.train, max(count, MOST_NUMBERS // flat[0].shape[1]))
    blocks = np.array_split(compared, -(-len(compared) // ROWS_A_BLOCK))
    copies = find_copies(
        flat[0], (pictures_of(parts.gather, rows).flatten(1).numpy() for rows in blocks), flat[2]
    )
    measures: dict[str, Any] = {
        "diversity": round(diversity_of(made_features, test_features), 4),
        "copies": round(copies.share, 4),
        "nearest": round(copies.ratio, 4),
    }
    if eye.classes:
        measures["classes"] = class_shares(made_classes, eye.classes).round(4).tolist()
        targets = parts.targets.cpu().numpy()[split.train]
        measures["classes_of_training"] = class_shares(targets, eye.classes).round(4).tolist()
    method = f"{eye.method}, of {count:,} made pictures from the {len(split.test):,} of the test part"
    verdict, standing = verdict_of(distance, references, measures)
    found = collapse_findings(measures, classes, _way_out(parts, recipe)) + copy_findings(
        copies, len(compared)
    )
    sheets = draw_sheets(parts, recipe, pictures, flat[0], real, flat[1])
    return Generated(distance, references, measures, method, verdict, standing, found, sheets)


def blur(pictures: Tensor) -> Tensor:
    """Pictures of a quarter of the detail, of tiny ones half, at the same size."""
    height, width = pictures.shape[2:]
    factor = 2 if min(height, width) <= TINY_SIDE else 4
    small = F.interpolate(
        pictures, (max(1, height // factor), max(1, width // factor)), mode="bilinear", antialias=True
    )
    return F.interpolate(small, (height, width), mode="bilinear")


def noise_like(pictures: Tensor, seed: int) -> Tensor:
    """Pictures whose pixels are those of the given ones, each put anywhere: the right colours, and no shapes."""
    generator = torch.Generator().manual_seed(mix_seed(seed, TEST_STREAM))
    flat = pictures.flatten(2)
    places = torch.rand(flat.shape[0], 1, flat.shape[2], generator=generator).argsort(dim=2)
    return flat.gather(2, places.expand_as(flat)).view_as(pictures)


def verdict_of(
    distance: Mapping[str, float], references: Mapping[str, float], measures: Mapping[str, Any]
) -> tuple[str, str]:
    """A sentence, and "better", "unclear" or "worse" against the nearer of noise and blurred pictures."""
    floor, blurred = references["training pictures"], references["blurred pictures"]
    scale = (
        f"{distance['value']:.3g} from the test part (95 % interval {distance['low']:.3g} to {distance['high']:.3g}); "
        f"real training pictures are at {floor:.3g}, blurred ones at {blurred:.3g}, noise at {references['noise']:.3g}"
    )
    spoilt = {"plain noise": references["noise"], "blurred ones": blurred}
    name = min(spoilt, key=lambda key: spoilt[key])
    verb = "is" if name == "plain noise" else "are"
    if distance["high"] < spoilt[name]:
        lead, standing = f"The made pictures are nearer to real ones than {name} {verb}", "better"
    elif distance["low"] > spoilt[name]:
        lead, standing = f"The made pictures are further from real ones than {name} {verb}", "worse"
    else:
        lead, standing = f"The made pictures are about as far from real ones as {name} {verb}", "unclear"
    if floor and distance["value"] < 1.2 * floor:
        lead = "The made pictures are hardly further from the test part than other real ones are"
    told = f"Their diversity is {measures['diversity']:.0%} of that of real ones"
    if measures["diversity"] < LEAST_DIVERSITY:
        told += ": the generator has collapsed"
        standing = "unclear" if standing == "better" else standing
    return f"{lead}: {scale}. {told}.", standing


def _way_out(parts: GanParts, recipe: Recipe) -> str:
    """What may mend a collapse, without what is done already."""
    if parts.state.best.epoch == recipe.training.epochs:
        return "more epochs: its score was best at the last one"
    untried = [] if recipe.generate.spectral_norm else ["--set generate.spectral_norm=true"]
    return ", ".join(
        [*untried, *(["--set generate.loss=hinge"] if recipe.generate.loss != "hinge" else []), OTHER_WAYS]
    )


def collapse_findings(
    measures: Mapping[str, Any], classes: Sequence[str] = (), way_out: str = OTHER_WAYS
) -> tuple[Finding, ...]:
    """Whether the generator makes only a few kinds of pictures; `classes` are their names, `way_out` may mend it."""
    found = []
    if measures["diversity"] < LEAST_DIVERSITY:
        message = (
            f"the generator has collapsed: two made pictures differ by {measures['diversity']:.0%} of what two real "
            f"ones differ by; try {way_out}"
        )
        found.append(Finding("warning", "mode-collapse", message))
    made, real = (np.array(measures.get(key, [])) for key in ("classes", "classes_of_training"))
    # without classes both are empty
    lacking = np.flatnonzero((real > 0) & (made < LEAST_OF_A_CLASS * real))
    if len(lacking):
        message = (
            f"{len(lacking)} of {len(made)} classes are hardly ever made (by the classifier of the score): the "
            "generator has left them out, which is a collapse in part"
        )
        listed = tuple(
            f"{classes[place]}: {made[place]:.1%}, of real ones {real[place]:.1%}" for place in lacking[:20]
        )
        found.append(Finding("warning", "missing-modes", message, listed))
    return tuple(found)


def copy_findings(copies: Copies, compared: int) -> tuple[Finding, ...]:
    """Whether made pictures are some of the training pictures that they were compared with, learnt by heart."""
    if copies.share <= MOST_COPIES:
        return ()
    message = (
        f"{copies.share:.0%} of the made pictures are nearer to one of {compared:,} training pictures than nearly all "
        "test pictures are: the generator repeats what it has seen, so look at samples/nearest.png, and do not share "
        "its pictures where the training pictures are private"
    )
    return (Finding("warning", "memorised", message),)


def draw_sheets(
    parts: GanParts, recipe: Recipe, pictures: Tensor, made: np.ndarray, real: Tensor, known: np.ndarray
) -> dict[str, Image.Image]:
    """Sheets of the kept generator: its pictures, ways between them, real ones, and the nearest real ones."""
    state, bits, sheet = parts.state, parts.preparation.bits, recipe.generate.sheet
    latent = state.technique.latent
    shown = make_pictures(state.evaluated, draw_noise(sheet, latent, recipe.seed, SHEET_STREAM))
    ways = between(draw_noise(2 * WAYS, latent, recipe.seed, SHEET_STREAM), WAYS)
    few = min(SHOWN_NEAREST, len(pictures))
    nearest = squared_distances(made[:few], known).argmin(axis=1)
    pairs = torch.cat([pictures[:few], real[torch.from_numpy(nearest)]])
    return {
        "final": sheet_of(pixels_of(shown, bits)),
        "interpolation": sheet_of(pixels_of(make_pictures(state.evaluated, ways), bits), len(ways) // WAYS),
        "real": sheet_of(pixels_of(real[:sheet], bits)),
        "nearest": sheet_of(pixels_of(pairs, bits), few),
    }
