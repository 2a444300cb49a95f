"""What is asked for in one body: short steps, between which others have their turn, and no more than it may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from asked_bundles import ASKED, chat_bundle, generator_bundle, language_bundle

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.serve.batching import Batcher, Job
from flambeau.deploy.serve.limits import Limits, RefusalError
from flambeau.deploy.serve.models import Loaded, load_model
from flambeau.deploy.serve.talking import MOST_READ, MOST_TOKENS, PROMPT_LETTERS, TOKENS_A_STEP, asked_of
from flambeau.deploy.writing.chatting import ChatBot
from flambeau.deploy.writing.writing import continue_text
from flambeau.models.writing import READ_AT_ONCE
from flambeau.transforms.dialogue import wide_pieces


def stays(batches: list[Any]) -> bool:
    return False


def batches_of(
    model: Loaded, *bodies: list[dict[str, Any]], gone: Callable[[list[Any]], bool] = stays
) -> list[Any]:
    """The steps of each batch that answers these bodies, which come at one moment; the first one's client may leave."""
    assert model.asked is not None
    asked, batches, answer = model.asked, [], model.asked.answer

    def watched(steps: Any) -> Any:
        batches.append(list(steps))
        return answer(steps)

    asked.answer = watched  # type: ignore[method-assign]

    async def whole() -> None:
        batcher = Batcher(Limits())
        batcher.start()
        jobs = []
        with batcher._wake:
            for body in bodies:
                steps = [step for row in asked.read(body) for step in asked.steps(row)]
                job = Job(model, len(steps), lambda first=not jobs: first and gone(batches))
                batcher.admit(job)
                job.inputs = steps
                batcher.submit(job)
                jobs.append(job)
        await asyncio.wait_for(asyncio.gather(*(job.future for job in jobs), return_exceptions=True), 20)
        batcher.stop()

    asyncio.run(whole())
    return batches


def kinds(batches: list[Any]) -> list[list[str]]:
    return [[type(step).__name__ for step in batch] for batch in batches]


def test_a_long_step_is_a_batch_by_itself() -> None:
    class Doubling:
        most = 0
        batches: ClassVar[list[list[int]]] = []

        def alone(self, one: int) -> bool:
            return one >= 100

        def answer(self, inputs: list[int]) -> list[int]:
            self.batches.append(list(inputs))
            return [2 * one for one in inputs]

    async def whole() -> list[list[int]]:
        batcher, model, jobs = Batcher(Limits(batch=4)), Doubling(), []
        batcher.start()
        with batcher._wake:
            for inputs in ([1, 100, 101, 2, 3], [4, 5], [102]):
                job = Job(model, len(inputs))
                batcher.admit(job)
                job.inputs = inputs
                batcher.submit(job)
                jobs.append(job)
        answers = [await job.future for job in jobs]
        batcher.stop()
        return answers

    assert asyncio.run(whole()) == [[2, 200, 202, 4, 6], [8, 10], [204]]
    assert Doubling.batches == [[1, 4, 5], [102], [100], [101], [2, 3]]


def test_a_chatbot_writes_in_turns(asked_folder: Path) -> None:
    model = load_model(str(asked_folder / "bot"), Limits())
    long = [{"question": "zyx", "write": True}, {"question": "wvu", "write": True}]
    found = kinds(batches_of(model, long, [{"question": "hello"}]))
    assert found[0] == ["_Question", "_Question"]  # one of the first body, and all of the second
    assert ["_Piece"] in found and all("_Piece" not in batch or len(batch) == 1 for batch in found)


def test_where_it_knows_nothing_is_written(asked_folder: Path) -> None:
    model = load_model(str(asked_folder / "bot"), Limits())
    found = kinds(batches_of(model, [{"question": "hello", "write": True}]))
    assert found == [["_Question"], ["_Piece", "_Piece"]]


def test_who_has_left_is_not_written_for(asked_folder: Path) -> None:
    model = load_model(str(asked_folder / "bot"), Limits())
    asked = [{"question": "zyx", "write": True}]
    assert len(batches_of(model, asked)) == 3
    model = load_model(str(asked_folder / "bot"), Limits())
    assert len(batches_of(model, asked, gone=lambda batches: len(batches) > 1)) == 2


def test_any_one_text_may_be_written() -> None:
    asked = asked_of(chat_bundle())
    assert asked is not None
    object.__setattr__(asked.bot.preparation, "length", MOST_TOKENS + 24)  # type: ignore[attr-defined]
    (row,) = asked.read([{"question": "zyx", "write": True}])
    assert len(asked.steps(row)) > MOST_TOKENS / TOKENS_A_STEP
    with pytest.raises(RefusalError, match="too much is to be written"):
        asked.read([{"question": "zyx", "write": True}] * 2)


@pytest.mark.parametrize("tokens", ["characters", "bytes", "subwords"])
def test_a_long_prompt_is_read_in_turns(tokens: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = language_bundle(tokens=tokens, context=1_000)
    model = Loaded("writer", "1", bundle, 10**6)
    prompt = "the dog ran after a ball\n" * 60
    expected = continue_text(bundle, prompt, length=20, seed=3)
    extend, read = bundle.module.extend, []

    def watched(ids: torch.Tensor, *rest: Any) -> Any:
        read.append(ids.shape[1])
        return extend(ids, *rest)  # type: ignore[operator]

    monkeypatch.setattr(bundle.module, "extend", watched)
    batches = batches_of(model, [{"prompt": prompt, "length": 20, "seed": 3}])
    assert max(read) <= READ_AT_ONCE and sum(read) > 20 + READ_AT_ONCE
    assert model.asked is not None
    assert model.asked.finish(batches[0])["text"] == expected
    assert len(batches) >= 1 + len([length for length in read if length > 1])


def test_prompts_of_one_body_are_limited() -> None:
    asked = asked_of(language_bundle(context=5_000))
    assert asked is not None
    assert len(asked.read([{"prompt": "x" * PROMPT_LETTERS, "length": 1}])) == 1
    with pytest.raises(RefusalError, match="too much is to be read"):
        asked.read([{"prompt": "x" * PROMPT_LETTERS, "length": 1}] * (MOST_READ // 5_000 + 1))


@pytest.mark.parametrize(
    ("bundle", "request_", "told"),
    [
        (language_bundle(), {"length": 40}, "32 tokens"),
        (chat_bundle(), {"question": "zyx", "write": True}, "16 tokens"),
        (generator_bundle(), {"count": 3}, "3 of 3 pictures"),
    ],
)
def test_it_tells_how_far_it_came(bundle: Bundle, request_: dict[str, Any], told: str) -> None:
    asked = asked_of(bundle)
    assert asked is not None
    steps = asked.steps(asked.read([request_])[0])
    assert asked.progress([], steps) == ""  # another try may help
    results = [result for step in steps[:2] for result in asked.answer([step])[0]]
    assert asked.progress(results, steps) == told


def test_the_vectors_of_answers_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = ChatBot(chat_bundle())
    pieces = wide_pieces(bot.preparation.pieces, ASKED)
    with torch.inference_mode():
        expected = bot.module(torch.from_numpy(pieces)).numpy()
    compare, found = bot.module.finder.compare, []
    monkeypatch.setattr(bot.module.finder, "known_answers", None)
    monkeypatch.setattr(bot.module.finder, "compare", lambda *of: found.append(compare(*of)) or found[-1])
    assert bot.reply("hello").knows
    bot.chances(pieces)
    assert (found[-1].numpy() == expected).all()
