"""When a bot says that it knows nothing, and how it is scored: in blocks, and from what is kept of many answers."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.data.dialogue.entries import ReadDialogues
from flambeau.data.dialogue.joining import Dialogues, right_answers
from flambeau.data.split import Split
from flambeau.evaluation.answers import hits_within
from flambeau.evaluation.chat import (
    Settled,
    answer_chances,
    compare_answers,
    fit_doubt,
    hits_interval,
    settle,
    shares,
    usual_doubt,
)
from flambeau.stages.chat.asking import baseline_hits
from flambeau.stages.chat.training import ChatMaterial
from flambeau.stages.texts.using import known_answers
from flambeau.transforms.dialogue import ChatPreparation, chat_pieces, fit_chat_tokens


def test_doubt_tells_questions_without_an_answer() -> None:
    draw = np.random.default_rng(0)
    right = [(int(place),) for place in draw.integers(0, 20, 200)]
    likeness = draw.normal(size=(200, 20)).astype(np.float32)
    likeness[np.arange(200), [place for (place,) in right]] += 6
    held_out = compare_answers([likeness], right)
    settled = settle(held_out, lambda: held_out, None)
    temperature, doubt, threshold = settled.temperature, settled.doubt, settled.threshold
    assert settled.fitted
    sure = answer_chances(likeness, temperature, doubt)[:, :-1].max(axis=1)
    strange = answer_chances(draw.normal(size=(200, 20)), temperature, doubt)[:, :-1].max(axis=1)
    assert (sure >= threshold).mean() > 0.9 and (strange >= threshold).mean() < 0.1
    assert hits_within(likeness, right, 5).mean() >= hits_within(likeness, right, 1).mean() > 0.9


def test_what_was_learnt_is_answered_where_new_questions_are_mostly_answered_wrongly() -> None:
    draw = np.random.default_rng(0)
    right = [(int(place),) for place in draw.integers(0, 50, 60)]
    likeness, known = (draw.normal(size=(60, 50)).astype(np.float32) for _ in range(2))
    likeness[np.arange(60), [(place + 1) % 50 for (place,) in right]] += 4
    likeness[0, (right[0][0] + 1) % 50] += 9
    known[np.arange(60), [place for (place,) in right]] += 6
    held_out, learnt = (compare_answers([values], right) for values in (likeness, known))
    settled = settle(held_out, lambda: learnt, None)
    sure = answer_chances(known, settled.temperature, settled.doubt)[:, :-1].max(axis=1)
    assert (sure >= settled.threshold).mean() > 0.5


def test_few_questions_settle_nothing() -> None:
    likeness = np.ones((3, 4), dtype=np.float32)
    held_out, learnt = (compare_answers([values], [(0,)] * 3) for values in (likeness, likeness * 2))
    assert settle(held_out, lambda: learnt, None) == Settled(1.0, 2.0, 0.5, fitted=False)
    assert settle(held_out, lambda: learnt, 0.9) == Settled(1.0, 2.0, 0.9, fitted=False)
    assert settle(compare_answers([], []), lambda: learnt, None).doubt == 2.0


def test_what_is_kept_of_many_answers_is_as_good_as_all() -> None:
    draw = np.random.default_rng(0)
    count = 3_000
    likeness = draw.normal(size=(60, count)).astype(np.float32) * 2
    right = [(int(place), int(place) // 2) for place in draw.integers(2, count, 60)]
    likeness[np.arange(60), [places[0] for places in right]] += 9
    kept = compare_answers([likeness[:40], likeness[40:]], right)
    assert kept.others.size + kept.rest.size < likeness.size / 20
    temperature, doubt = fit_doubt(kept)
    chances = answer_chances(likeness, temperature, doubt)
    exact = -np.log([chances[row, list(places)].sum() for row, places in enumerate(right)])
    known, others, none, _ = shares(kept, temperature, doubt)
    assert -np.log(known / (known + others + none)) == pytest.approx(exact, rel=2e-3)


def test_the_bot_and_its_baselines_are_asked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    texts = [f"question {word} {number}" for number, word in enumerate(["red", "green", "blue"] * 10)]
    answers = tuple((text.replace("question", "answer"),) for text in texts)
    dialogues = ReadDialogues(tuple(texts), tuple(range(30)), ("",) * 30, answers)
    split = Split(np.arange(20), np.arange(20, 20), np.arange(20, 30), "random", "")
    material = ChatMaterial(dialogues, split, "")
    whole = baseline_hits(material, split.test)
    monkeypatch.setattr("flambeau.stages.chat.asking.MOST_AT_ONCE", 90)
    parts = baseline_hits(material, split.test)
    assert all((whole[name][top] == parts[name][top]).all() for name in whole for top in ("top1", "top5"))
    assert whole["nearest answer"]["top1"].mean() == 1 and not whole["nearest question"]["top1"].any()
    likeness = draw.integers(0, 4, (50, 12)).astype(float)
    right = [tuple(draw.choice(12, 2, replace=False).tolist()) for _ in range(50)]
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :3]
    hits = [float(bool(set(places) & set(row))) for places, row in zip(right, order.tolist(), strict=True)]
    assert hits_within(likeness, right, 3).tolist() == hits


def test_what_was_learnt_is_answered_where_few_questions_were_held_out() -> None:
    right = [(0,), (1,), (2,)]
    likeness = np.full((3, 3), 2.0, dtype=np.float32) + 10 * np.eye(3, dtype=np.float32)
    doubt = usual_doubt(compare_answers([likeness], right))
    assert doubt == 7.0
    asked = np.concatenate([likeness, np.full((1, 3), 3.0, dtype=np.float32)])
    sure = answer_chances(asked, 1.0, doubt)[:, :-1].max(axis=1)
    assert (sure[:3] > 0.9).all() and sure[3] < 0.5


def test_what_two_answers_say_is_right_of_both() -> None:
    answers = (("x", "y"), ("x",), ("z",))
    dialogues = Dialogues(("one?", "two?", "three?", "four?"), (0, 1, 2, 3), ("",) * 4, (*answers, ("w",)))
    tokens = fit_chat_tokens(["one"], 300, 8)
    bot = ChatPreparation(chat_pieces(256), tokens, answers, ("",) * 3, 1.0, 0.0, 0.5, "", 8)
    right, unknown = known_answers(dialogues, bot)
    assert right == {"one": {0, 1}, "two": {0, 1}, "three": {2}} and unknown == 1
    assert [set(places) for places in right_answers(dialogues, [0, 1, 2])] == list(right.values())


def test_few_hits_have_a_wide_interval() -> None:
    one = hits_interval(np.zeros(1), 100, 0)
    assert one["low"] == 0.0 and one["high"] == pytest.approx(0.7935, abs=1e-4)
    many = hits_interval(np.tile([0.0, 1.0], 50), 200, 0)
    assert 0.35 < many["low"] < 0.5 < many["high"] < 0.65
