"""Generator and discriminator: shapes at any size, spectral normalisation, first weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flambeau.errors import ModelError
from flambeau.models.build import build_model
from flambeau.models.gan import (
    Discriminator,
    Generator,
    begin_discriminator,
    begin_generator,
    count_halvings,
    smallest_maps,
    widths_of,
)
from flambeau.models.spec import ModelSpec, generator_spec
from flambeau.recipe.generate_options import GenerateOptions


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (8, 8), (13, 21), (28, 28), (33, 64)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_any_size_and_channels(size: tuple[int, int], channels: int) -> None:
    generator = Generator(channels, size=size, latent=5, width=2)
    pictures = generator(torch.randn(3, 5))
    assert pictures.shape == (3, channels, *size)
    assert pictures.abs().max() <= 1
    for spectral in (True, False):
        discriminator = Discriminator(channels, size=size, width=2, spectral=spectral)
        begin_discriminator(discriminator)
        assert discriminator(pictures).shape == (3,)


def test_sides_are_halved_down_to_four_and_made_larger_where_they_do_not_divide() -> None:
    assert [count_halvings(size) for size in ((8, 8), (28, 28), (64, 64), (100, 30), (7, 7))] == [
        1,
        2,
        4,
        2,
        0,
    ]
    assert smallest_maps((28, 28)) == (7, 7)
    assert smallest_maps((13, 21)) == (7, 11)
    assert widths_of(2, 5) == [2, 4, 8, 16, 16, 16]


def test_a_picture_that_was_cut_out_is_the_middle_of_a_larger_one() -> None:
    torch.manual_seed(0)
    generator = Generator(1, size=(13, 13), latent=4, width=2).eval()
    noise = torch.randn(2, 4)
    whole = torch.tanh(generator.last(generator.body(generator.first(noise).unflatten(1, (4, 7, 7)))))
    assert whole.shape[2:] == (14, 14)
    assert torch.equal(generator(noise), whole[:, :, :13, :13])


def test_spectral_normalisation_bounds_every_layer_and_leaves_no_batch_normalisation() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(1, size=(8, 8), width=3, spectral=True)
    begin_discriminator(discriminator)
    for parameter in discriminator.parameters():
        parameter.data.mul_(7)
    for _ in range(30):
        discriminator(torch.randn(4, 1, 8, 8))
    layers = [one for one in discriminator.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    assert not any(isinstance(one, nn.BatchNorm2d) for one in discriminator.modules())
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert float(largest) == pytest.approx(1.0, abs=0.02)


def test_without_it_the_answer_of_one_picture_depends_on_the_batch() -> None:
    torch.manual_seed(0)
    plain = Discriminator(1, size=(8, 8), width=3, spectral=False)
    begin_discriminator(plain)
    first, others = torch.randn(1, 1, 8, 8), torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        answers = [plain(torch.cat([first, rest]))[0] for rest in (others, 5 * others)]
    assert not torch.allclose(answers[0], answers[1])
    assert not any(isinstance(one, nn.BatchNorm2d) for one in [plain.layers[0], plain.layers[1]])


def test_first_weights_are_those_of_dcgan() -> None:
    torch.manual_seed(0)
    generator = Generator(3, size=(32, 32), latent=64, width=16)
    begin_generator(generator)
    assert float(generator.first.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    norm = next(one for one in generator.modules() if isinstance(one, nn.BatchNorm2d))
    assert float(norm.weight.detach().mean()) == pytest.approx(1.0, abs=0.02)


def test_a_description_builds_it_again() -> None:
    options = GenerateOptions(latent=6, width=4)
    spec = generator_spec(options, channels=1, size=(8, 8))
    module = build_model(ModelSpec.from_json(spec.to_json()))
    assert isinstance(module, Generator)
    assert module.latent == 6
    with pytest.raises(ModelError, match="cannot be built"):
        build_model(ModelSpec("dcgan", {"channels": 1, "size": [8]}))
