"""Encoders of texts: padding and neighbours in a batch change no answer, and what is learnt is learnt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from flambeau.errors import ModelError
from flambeau.models.attention import MultiHeadAttention, attend
from flambeau.models.build import build_model
from flambeau.models.encoders import build_encoder, encoder_arguments
from flambeau.models.rnn import TextRecurrent
from flambeau.models.spec import ModelSpec
from flambeau.models.state_dicts import load_partly
from flambeau.models.text import TextBag, TextModel
from flambeau.models.transformer import DecoderBlock, EncoderBlock

LENGTHS = (9, 1, 0, 4, 7, 9)
NAMES = ("text_bag", "text_cnn", "lstm", "gru", "rnn", "transformer")


def tokens_of(lengths: tuple[int, ...] = LENGTHS) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 50, (len(lengths), max(lengths)), generator=generator, dtype=torch.int32)
    for row, length in enumerate(lengths):
        tokens[row, length:] = 0
    return tokens


def model_of(name: str, **changes: object) -> nn.Module:
    options = {"width": 8, "depth": 2, "token_dropout": 0.3, "heads": 2, **changes}
    arguments = encoder_arguments(name, cardinality=50, length=16, **options)  # type: ignore[arg-type]
    torch.manual_seed(0)
    return build_model(ModelSpec(name, {**arguments, "outputs": 3, "dropout": 0.1})).eval()


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_no_answer(name: str) -> None:
    model, tokens = model_of(name), tokens_of()
    answers = model(tokens)
    assert answers.shape == (6, 3) and bool(answers.isfinite().all())
    torch.testing.assert_close(model(nn.functional.pad(tokens, (0, 5))), answers, rtol=0, atol=1e-5)
    alone = [model(row[None, : max(1, length)]) for row, length in zip(tokens, LENGTHS, strict=True)]
    torch.testing.assert_close(torch.cat(alone), answers, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_learns_but_the_vector_of_padding(name: str) -> None:
    model = model_of(name).train()
    model(tokens_of()).square().sum().backward()
    silent = [key for key, weights in model.named_parameters() if weights.grad is None]
    assert silent == []
    for layer in model.modules():
        if isinstance(layer, nn.Embedding):
            assert (
                layer.weight.grad is not None and not layer.weight.grad[0].any() and not layer.weight[0].any()
            )


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_packed_and_padded_recurrent_nets_agree(cell: str, bidirectional: bool) -> None:
    encoder = TextRecurrent(50, cell=cell, width=6, depth=2, bidirectional=bidirectional).eval()
    packed = encoder(tokens_of())
    encoder.packed = False
    torch.testing.assert_close(encoder(tokens_of()), packed, rtol=0, atol=1e-6)
    assert packed.shape == (6, encoder.width) and not packed[2].any()


def test_one_bidirectional_layer_is_that_of_torch() -> None:
    encoder = TextRecurrent(50, cell="lstm", width=6, depth=1).eval()
    both = nn.LSTM(6, 6, batch_first=True, bidirectional=True)
    both.load_state_dict(
        {
            f"{key}{end}": value
            for layers, end in ((encoder.ahead, ""), (encoder.back, "_reverse"))
            for key, value in layers[0].state_dict().items()
        }
    )
    tokens = tokens_of((5, 5, 5))
    outputs = both(encoder.vectors(tokens))[0]
    torch.testing.assert_close(encoder(tokens), outputs.amax(1))


def test_a_bag_is_the_mean_of_its_vectors_and_leaves_tokens_out_in_training() -> None:
    bag = TextBag(50, width=4, token_dropout=0.5)
    tokens = tokens_of()
    bag.eval()
    wanted = torch.stack(
        [bag.vectors.weight[row[row > 0].long()].sum(0) / max(1, int((row > 0).sum())) for row in tokens]
    )
    torch.testing.assert_close(bag(tokens), wanted)
    bag.train()
    torch.manual_seed(0)
    many = torch.stack([bag(tokens) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(many, wanted, rtol=0, atol=0.02)


def test_attention_is_softmax_of_dot_products_under_its_masks() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = torch.randn(3, 2, 2, 5, 4, generator=generator)
    seen = torch.tensor([[True, True, True, False, False], [True] * 5])
    for causal in (False, True):
        scores = queries @ keys.transpose(2, 3) / 2.0
        mask = seen[:, None, None, :].expand(2, 2, 5, 5)
        mask = mask & torch.ones(5, 5, dtype=torch.bool).tril() if causal else mask
        wanted = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ values
        torch.testing.assert_close(attend(queries, keys, values, seen, causal=causal), wanted)
    torch.testing.assert_close(
        attend(queries, keys, values, causal=True), attend(queries, keys, values, seen | True, causal=True)
    )
    with pytest.raises(ValueError, match="divide"):
        MultiHeadAttention(10, 3)


def test_causal_blocks_do_not_look_ahead() -> None:
    torch.manual_seed(0)
    encoder, decoder = EncoderBlock(8, 2, 16).eval(), DecoderBlock(8, 2, 16).eval()
    inputs, memory = torch.randn(2, 6, 8), torch.randn(2, 4, 8)
    changed = inputs.clone()
    changed[:, 4:] = 0
    for block in (lambda x: encoder(x, None, True), lambda x: decoder(x, memory)):
        torch.testing.assert_close(block(inputs)[:, :4], block(changed)[:, :4])
        assert not torch.allclose(block(inputs)[:, 4:], block(changed)[:, 4:])
    memory_seen = torch.tensor([[True, True, False, False]] * 2)
    other = memory.clone()
    other[:, 2:] = 7
    torch.testing.assert_close(
        decoder(inputs, memory, None, memory_seen), decoder(inputs, other, None, memory_seen)
    )


@pytest.mark.parametrize("name", ["lstm", "transformer", "text_cnn"])
def test_order_is_learnt(name: str) -> None:
    """Whether 7 comes before 9: no bag could tell."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(10, 50, (256, 8), generator=generator)
    places = torch.stack([torch.randperm(8, generator=generator)[:2] for _ in range(256)])
    rows = torch.arange(256)
    tokens[rows, places[:, 0]], tokens[rows, places[:, 1]] = 7, 9
    targets = (places[:, 0] < places[:, 1]).long()
    near = name == "text_cnn"
    if near:  # filters see neighbours only
        tokens = torch.where(targets[:, None] == 1, torch.tensor([7, 9]), torch.tensor([9, 7])).repeat(1, 2)
    model = model_of(name, width=16, token_dropout=0.0).train()
    rule = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        rule.zero_grad()
        nn.functional.cross_entropy(model(tokens), targets).backward()
        rule.step()
    assert (model.eval()(tokens).argmax(1) == targets).float().mean() > 0.95


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(ModelError, match="lstn"):
        build_encoder("lstn", {})
    with pytest.raises(ModelError) as caught:
        encoder_arguments("lstn", cardinality=5, length=4, width=4, depth=1, token_dropout=0, heads=1)
    assert "lstm" in str(caught.value)


def test_a_directory_of_transformers_is_an_encoder(tmp_path: Path) -> None:
    library = pytest.importorskip("transformers", reason="the library transformers is not installed")
    from flambeau.models.encoders import directory_spec
    from flambeau.models.pretrained_text import longest_input, read_directory_weights

    config = library.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=20,
    )  # fmt: skip
    library.BertModel(config).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    spec = directory_spec(str(tmp_path), outputs=3, dropout=0.0)
    assert longest_input(spec.arguments["config"]) == 20
    model = build_model(ModelSpec.from_json(spec.to_json()))
    assert isinstance(model, TextModel)
    report = load_partly(model, read_directory_weights(str(tmp_path)))
    assert report.missing == ("head.weight", "head.bias") and not report.unexpected
    model.eval()
    answers = model(tokens_of())
    torch.testing.assert_close(model(nn.functional.pad(tokens_of(), (0, 3))), answers, rtol=0, atol=1e-5)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        directory_spec(str(tmp_path), outputs=3, dropout=0.0)
