"""Language models: what they remember equals what they see at once, no token sees a later one, draws repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from flambeau.evaluation.language import token_nats, validate_tokens
from flambeau.evaluation.ngrams import baseline_nats, ngram_nats, token_intervals
from flambeau.models.language import (
    LanguageLSTM,
    LanguageTransformer,
    causal_attention,
)
from flambeau.models.writing import READ_AT_ONCE, choose_tokens, draw_tokens, write_tokens
from flambeau.training.losses import count_tokens, token_loss
from flambeau.training.names import make_optimizer_of, optimizer_rule
from flambeau.training.optimizers import parameter_groups

MODELS = {
    "transformer": lambda: LanguageTransformer(20, 16, 32, 2, 4),
    "tied": lambda: LanguageTransformer(20, 16, 32, 2, 4, tie=True),
    "lstm": lambda: LanguageLSTM(20, 16, 24, 2),
}
every_model = pytest.mark.parametrize("name", MODELS)


def make(name: str) -> LanguageTransformer | LanguageLSTM:
    torch.manual_seed(0)
    return MODELS[name]().eval()


@every_model
def test_memory_equals_seeing_all_at_once(name: str) -> None:
    model, tokens = make(name), torch.randint(20, (3, 14))
    whole = model(tokens)
    logits, memory = model.extend(tokens[:, :5], None, 0)
    torch.testing.assert_close(logits, whole[:, 4])
    for place in range(5, 14):
        logits, memory = model.extend(tokens[:, place : place + 1], memory, place)
        torch.testing.assert_close(logits, whole[:, place])


@every_model
def test_no_token_sees_a_later_one(name: str) -> None:
    model, tokens = make(name), torch.randint(20, (1, 12))
    changed = tokens.clone()
    changed[0, 7:] = (changed[0, 7:] + 1) % 20
    torch.testing.assert_close(model(tokens)[:, :7], model(changed)[:, :7])
    assert not torch.allclose(model(tokens)[:, 7], model(changed)[:, 7])


@every_model
def test_equal_seeds_write_equal_texts(name: str) -> None:
    model, prompt = make(name), torch.tensor([[1, 2, 3]])
    one, two, other = (write_tokens(model, prompt, 40, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert one.shape == (1, 40)
    greedy = [write_tokens(model, prompt, 5, temperature=0, seed=seed) for seed in (1, 2)]
    assert torch.equal(*greedy)


@pytest.mark.parametrize("kind", [LanguageTransformer, LanguageLSTM])
def test_a_long_prompt_is_read_in_blocks(kind: Any) -> None:
    torch.manual_seed(0)
    heads = {"heads": 2} if kind is LanguageTransformer else {}
    model = kind(20, 2 * READ_AT_ONCE + 90, 16, 1, **heads).eval()
    prompt = torch.randint(20, (2, 2 * READ_AT_ONCE + 50))
    drawn = draw_tokens(model, prompt, temperature=0)
    assert [next(drawn).shape[1] for _ in range(4)] == [0, 0, 1, 1]
    whole = prompt
    with torch.no_grad():
        for _ in range(8):
            whole = torch.cat([whole, model(whole)[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    assert torch.equal(write_tokens(model, prompt, 8, temperature=0), whole[:, -8:])


def test_every_whole_number_is_a_seed() -> None:
    model, prompt = make("transformer"), torch.tensor([[1, 2, 3]])
    texts = [write_tokens(model, prompt, 20, seed=seed) for seed in (10**22, -1, 2**64 - 1, 2**64 + 5, 5)]
    assert torch.equal(texts[1], texts[2]) and torch.equal(texts[3], texts[4])
    assert not torch.equal(texts[0], texts[1])


def test_only_likely_tokens_are_drawn() -> None:
    logits = torch.arange(10.0).repeat(200, 1)
    drawn = choose_tokens(logits, 3.0, 2, torch.Generator().manual_seed(0))
    assert set(drawn.flatten().tolist()) == {8, 9}


def test_muon_is_for_the_matrices_of_the_blocks() -> None:
    model = make("transformer")
    assert isinstance(model, LanguageTransformer)
    groups = parameter_groups(model, lr=0.1, weight_decay=0.1)
    optimizer = make_optimizer_of(optimizer_rule("muon"), model, groups, torch.device("cpu"))
    hidden = sum(len(group["params"]) for group in optimizer.param_groups if group["hidden"])
    assert hidden == len(model.hidden_names()) == 2 * 4


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="even multiple"):
        LanguageTransformer(20, 16, 30, 1, 4)


def test_padding_counts_for_nothing() -> None:
    outputs, targets = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    targets[1, 2:] = -1
    kept = torch.nn.functional.cross_entropy(outputs.flatten(0, 1)[:7], targets.flatten()[:7])
    torch.testing.assert_close(token_loss(outputs, targets), kept)
    assert count_tokens(targets) == 7


@pytest.mark.parametrize("length", [2, 9, 17, 18, 60])
def test_every_token_but_the_first_is_judged_once(length: int) -> None:
    model, tokens = make("transformer"), torch.randint(20, (length,), dtype=torch.int32)
    nats = token_nats(model, tokens, context=16, stride=8)
    assert nats.shape == (length - 1,)
    if length <= 17:
        logits = model(tokens[None, :-1].long())[0]
        plain = torch.nn.functional.cross_entropy(logits, tokens[1:].long(), reduction="none")
        np.testing.assert_allclose(nats, plain.detach().numpy(), rtol=1e-5)
    assert validate_tokens(model, [tokens], context=16).loss == pytest.approx(
        token_nats(model, tokens, context=16, stride=16).mean()
    )


def test_pieces_are_judged_each_by_itself() -> None:
    model, pieces = make("transformer"), torch.randint(20, (120,), dtype=torch.int32).split([70, 2, 48])
    alone = [token_nats(model, piece, context=16, stride=16) for piece in pieces]
    found = validate_tokens(model, pieces, context=16)
    assert found.loss == pytest.approx(np.concatenate(alone).mean())


@pytest.mark.parametrize("length", [2, 16, 64])
def test_attention_in_full_is_that_of_the_fused_kernel(length: int) -> None:
    draw = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, 3, length, 16, generator=draw, requires_grad=True) for _ in range(3)]
    low = [part.detach().bfloat16().requires_grad_() for part in parts]
    exact, plain = causal_attention(*parts), causal_attention(*low)
    assert plain.dtype == torch.bfloat16
    torch.testing.assert_close(plain.float(), exact, atol=0.03, rtol=0.03)
    for result in (exact, plain):
        result.float().square().sum().backward()
    for one, other in zip(low, parts, strict=True):
        torch.testing.assert_close(one.grad.float(), other.grad, atol=0.08, rtol=0.08)


def test_ngrams_are_probabilities() -> None:
    draw = np.random.default_rng(0)
    train, history = draw.integers(0, 6, 500), [1, 4, 2]
    for order in range(4):
        chances = [np.exp(-ngram_nats(train, np.array([*history, w]), 6, 4)[order][-1]) for w in range(6)]
        assert sum(chances) == pytest.approx(1.0)


def test_ngrams_learn_what_repeats() -> None:
    tokens = np.tile(np.arange(5), 200)
    nats = baseline_nats(tokens[:800], tokens[800:900], tokens[900:], 5)
    assert list(nats)[:2] == ["uniform", "frequencies"]
    best = list(nats.values())[-1]
    assert best.mean() < 0.1 < nats["frequencies"].mean() <= nats["uniform"].mean() + 1e-2


def test_the_three_units_agree() -> None:
    nats = np.random.default_rng(0).exponential(size=4000)
    scores = token_intervals(nats, nats_a_character=0.5, resamples=200, seed=0)
    assert scores["perplexity"]["value"] == pytest.approx(np.exp(nats.mean()))
    assert scores["bits_per_character"]["value"] == pytest.approx(nats.mean() * 0.5 / np.log(2))
    assert all(score["low"] < score["value"] < score["high"] for score in scores.values())
