"""A server's models that make pictures."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field as Described

from flambeau.data.batches import evaluation_batch
from flambeau.data.pictures.noise import draw_noise
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.making.making import SAMPLE_STREAM, latent_of, make_pictures, picture_png, pixels_of
from flambeau.deploy.serve.asked import FREE, Asked, Field, seed_field, too_much
from flambeau.deploy.serve.drift import Strange
from flambeau.transforms.image import PicturePreparation

MOST_PICTURES = 64  # that one body asks for
MOST_VALUES = 2**24  # of all their pixels and channels
USUAL_PICTURES = 16


class Making(Asked):
    """A net that makes pictures: a block of them is a batch."""

    rows = MOST_PICTURES

    def __init__(self, bundle: Bundle) -> None:
        self.module, self.latent = bundle.module, latent_of(bundle)
        assert isinstance(bundle.preparation, PicturePreparation)  # `check_preparation` lets no other through
        self.preparation = bundle.preparation
        pixels = math.prod(self.preparation.size)
        self.largest = max(1, min(MOST_PICTURES, MOST_VALUES // (pixels * self.preparation.channels)))
        self.block = evaluation_batch(4 * pixels)
        usual = min(USUAL_PICTURES, self.largest)
        self.fields = (
            Field("count", "whole", "Pictures that are made.", usual, 1, self.largest),
            seed_field("pictures, for equal counts"),
        )

    @property
    def example(self) -> dict[str, Any]:
        """A few pictures."""
        return {"count": min(4, self.largest), "seed": 1}

    def answer_fields(self) -> dict[str, Any]:
        """The pictures."""
        text = "data:image/png;base64,… of each picture."
        return {"pictures": (list[str], Described(description=text))}

    def steps(self, row: Mapping[str, Any]) -> list[Any]:
        """Blocks of noise, cut as `flambeau sample` cuts them."""
        noise = draw_noise(row["count"], self.latent, row["seed"], SAMPLE_STREAM)
        return list(noise.split(self.block))

    def alone(self, step: Any) -> bool:
        """Each block is a batch."""
        return True

    def progress(self, results: Sequence[Any], steps: Sequence[Any]) -> str:
        """Pictures that are made."""
        made, asked = sum(map(len, results)), sum(map(len, steps))
        return f"{made:,} of {asked:,} pictures" if made else ""

    def answer(self, steps: Sequence[Any]) -> tuple[list[Any], np.ndarray, list[Strange]]:
        """Make the pictures of each block."""
        made = [
            [
                _data_address(one)
                for one in pixels_of(make_pictures(self.module, noise), self.preparation.bits)
            ]
            for noise in steps
        ]
        return made, np.array([len(some) for some in made]), [FREE] * len(made)

    def finish(self, results: Sequence[Any]) -> dict[str, Any]:
        """All pictures."""
        return {"pictures": [one for some in results for one in some]}

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise RefusalError 413 for more pictures than one body may ask for."""
        count = sum(row["count"] for row in rows)
        if count > self.largest:
            raise too_much(
                "too many pictures are asked for",
                f"{count:,}",
                f"at most {self.largest:,} in one request",
                "flambeau sample makes any number of them",
            )


def _data_address(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(picture_png(pixels)).decode()
