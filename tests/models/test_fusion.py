"""The fused model: masks that are exact, gates, and a description that rebuilds it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from flambeau.errors import ModelError
from flambeau.models.build import build_model
from flambeau.models.cnn import SmallCNN
from flambeau.models.embeddings import TableFeatures
from flambeau.models.fused import fusion_spec
from flambeau.models.fused_body import without_picture_body
from flambeau.models.fusion import Fusion, GatedFusion, PictureColumns
from flambeau.models.spec import ModelSpec
from flambeau.models.text import TextBag

SIZE = (8, 8)


def pictures_of(columns: int = 2) -> PictureColumns:
    return PictureColumns(SmallCNN(3, 6, size=SIZE, width=4), columns, 6)


def inputs_of(rows: int = 5, columns: int = 2, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = []
    for _ in range(columns):
        inputs += [torch.rand(rows, 3, *SIZE, generator=generator), torch.ones(rows)]
    return inputs


@pytest.mark.parametrize("training", [False, True])
def test_a_missing_picture_is_never_looked_at(training: bool) -> None:
    torch.manual_seed(0)
    columns = pictures_of()
    nn.init.normal_(columns.absent)
    columns.train(training)
    inputs = inputs_of()
    inputs[1] = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    first = columns(inputs)
    other = list(inputs)
    other[0] = inputs[0].clone()
    other[0][[1, 3]] = 1e6  # whatever stands in the pixels of a picture that is not there
    second = columns(other)
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one, two)
    assert torch.equal(first[0][1], columns.absent[0])
    assert not torch.equal(first[0][0], columns.absent[0])


def test_statistics_of_normalisation_come_from_pictures_that_are_there() -> None:
    torch.manual_seed(0)
    one, other = pictures_of(1), pictures_of(1)
    other.load_state_dict(one.state_dict())
    inputs = inputs_of(6, 1)
    inputs[1] = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    there = inputs[1] > 0
    one.train()(inputs)
    other.train()([inputs[0][there], inputs[1][there]])
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize("there", [0, 1])
def test_batches_with_no_picture_or_one_still_train(there: int) -> None:
    columns = pictures_of(1).train()
    inputs = inputs_of(4, 1)
    inputs[1] = torch.zeros(4)
    inputs[1][:there] = 1
    (features,) = columns(inputs)
    features.sum().backward()
    assert features.isfinite().all()
    assert columns.absent.grad is not None


def test_gates_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    gated = GatedFusion((3, 2), 4)
    parts = [torch.rand(5, 3), torch.rand(5, 2)]
    together = torch.cat(parts, dim=1)
    expected = torch.zeros(5, 4)
    for place, part in enumerate(parts):
        word, gate = gated.words[place], gated.gates[place]
        expected += torch.sigmoid(gate(together)) * torch.tanh(word(part))
    torch.testing.assert_close(gated(parts), expected)


@pytest.mark.parametrize("fusion", ["concat", "gated"])
@pytest.mark.parametrize("members", [0, 3])
def test_all_kinds_together(fusion: str, members: int) -> None:
    torch.manual_seed(0)
    model = Fusion(
        2,
        table=TableFeatures(3, (4,), bins=2),
        text=TextBag(50, width=5),
        pictures=pictures_of(),
        picture_width=6,
        fusion=fusion,
        members=members,
        width=8,
        depth=1,
    )
    numbers, categories = torch.rand(5, 3), torch.randint(0, 4, (5, 1))
    tokens = torch.randint(0, 50, (5, 7))
    outputs = model(numbers, categories, tokens, *inputs_of())
    assert outputs.shape == ((5, members, 2) if members else (5, 2))
    outputs.sum().backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert silent == []


def test_what_cannot_be_fused_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to fuse"):
        Fusion(1)
    with pytest.raises(ValueError, match="concat or gated"):
        Fusion(1, table=TableFeatures(1, ()), fusion="sum")


def spec_of(picture: ModelSpec) -> ModelSpec:
    return fusion_spec(
        outputs=1,
        number_features=2,
        cardinalities=(3,),
        bins=4,
        picture=picture,
        picture_columns=2,
        picture_width=6,
        text=ModelSpec("text_bag", {"cardinality": 20, "width": 5}),
        part_dropout=0.5,
        options={"members": 2, "width": 8, "depth": 1},
    )


def test_a_description_rebuilds_the_model() -> None:
    small = ModelSpec("small_cnn", {"channels": 3, "outputs": 6, "size": list(SIZE), "width": 4})
    spec = ModelSpec.from_json(spec_of(small).to_json())
    model = build_model(spec).eval()
    inputs = (torch.rand(3, 2), torch.zeros(3, 1, dtype=torch.int64), torch.ones(3, 4, dtype=torch.int32))
    assert model(*inputs, *inputs_of(3)).shape == (3, 2, 1)


@pytest.mark.parametrize("name", ["tabm", "own", "fusion", "ensemble"])
def test_an_encoder_that_is_none_for_pictures_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="no encoder of pictures"):
        build_model(spec_of(ModelSpec(name, {"outputs": 6})))


class OfOneSize(nn.Module):
    """As a ViT: it knows one height and width only, and has no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop, self.head = nn.Linear(3 * 6 * 4, 5), nn.Dropout(0.3), nn.Linear(5, 6)

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.shape[2:] != (6, 4):
            raise AssertionError(f"Input height ({pictures.shape[2]}) doesn't match model (6)")
        answer: Tensor = self.head(self.drop(self.body(pictures.flatten(1))))
        return answer


def test_a_body_that_knows_one_size_is_tried_on_this_size() -> None:
    model = Fusion(2, pictures=PictureColumns(OfOneSize(), 1, 6), picture_width=6).eval()
    small = without_picture_body(model, 3, (6, 4))
    assert isinstance(small.pictures, PictureColumns) and isinstance(small.pictures.encoder, nn.Sequential)
    assert isinstance(model.pictures, PictureColumns) and isinstance(model.pictures.encoder, OfOneSize)
