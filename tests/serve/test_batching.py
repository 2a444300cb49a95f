"""The queue: what is answered together, what is refused, what is dropped, and that one failure stays alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flambeau.deploy.serve.batching import Batcher, Job
from flambeau.deploy.serve.limits import Limits, RefusalError


class Slow:
    """Answers numbers with their doubles, when it is let; remembers its batches."""

    most = 0

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self.batches: list[list[int]] = []
        self.let = threading.Event()
        self.let.set()

    def answer(self, inputs: list[Any]) -> list[Any]:
        self.batches.append(list(inputs))
        assert self.let.wait(10)
        if 13 in inputs:
            raise ValueError("thirteen")
        return [2 * one for one in inputs]


def run(test: Callable[[Batcher], Awaitable[None]], limits: Limits | None = None) -> None:
    async def whole() -> None:
        batcher = Batcher(limits or Limits(batch=4))
        batcher.start()
        try:
            await asyncio.wait_for(test(batcher), 20)
        finally:
            batcher.stop()

    asyncio.run(whole())


def ask(
    batcher: Batcher, model: Slow, *inputs: int, gone: Callable[[], bool] = lambda: False
) -> asyncio.Future[Any]:
    job = Job(model, len(inputs), gone)
    batcher.admit(job)
    job.inputs = list(inputs)
    batcher.submit(job)
    return job.future


async def busy_with(model: Slow, batches: int = 1) -> None:
    while len(model.batches) < batches:
        await asyncio.sleep(0.001)


def test_a_lone_input_is_answered_at_once() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        assert await ask(batcher, model, 3) == [6]
        assert model.batches == [[3]]
        assert batcher.waiting == 0

    run(test)


def test_what_waits_is_answered_together_and_in_turns() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        model.let.clear()
        futures = [ask(batcher, model, 1)]
        await busy_with(model)
        futures += [ask(batcher, model, *range(100, 106)), ask(batcher, model, 2), ask(batcher, model, 3)]
        model.let.set()
        answers = await asyncio.gather(*futures)
        assert answers == [[2], [2 * n for n in range(100, 106)], [4], [6]]
        # The large request gives way after one batch.
        assert model.batches == [[1], [100, 101, 102, 103], [2, 3, 104, 105]]

    run(test)


def test_models_do_not_share_a_batch() -> None:
    async def test(batcher: Batcher) -> None:
        first, second = Slow(), Slow(most=1)
        first.let.clear()
        futures = [ask(batcher, first, 0)]
        await busy_with(first)
        futures += [ask(batcher, second, 1), ask(batcher, first, 2), ask(batcher, second, 3)]
        first.let.set()
        assert await asyncio.gather(*futures) == [[0], [2], [4], [6]]
        assert first.batches == [[0], [2]]
        assert second.batches == [[1], [3]]

    run(test)


def test_one_failure_does_not_touch_the_others() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        model.let.clear()
        futures = [ask(batcher, model, 1)]
        await busy_with(model)
        futures += [ask(batcher, model, 2), ask(batcher, model, 13), ask(batcher, model, 3)]
        model.let.set()
        answers = await asyncio.gather(*futures, return_exceptions=True)
        assert [answers[0], answers[1], answers[3]] == [[2], [4], [6]]
        assert isinstance(answers[2], ValueError)

    run(test)


def test_a_full_queue_refuses_and_tells_when_to_come_again() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        model.let.clear()
        futures = [ask(batcher, model, n) for n in range(3)]
        with pytest.raises(RefusalError) as refused:
            ask(batcher, model, 9)
        assert refused.value.status == 503
        assert dict(refused.value.headers)[b"retry-after"] == b"1"
        model.let.set()
        assert await asyncio.gather(*futures) == [[0], [2], [4]]
        assert await ask(batcher, model, 5) == [10]

    run(test, Limits(queue=3))


def test_a_wait_beyond_the_limit_is_refused_before_it_begins() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        batcher.seconds_each = 20.0
        ask(batcher, model, 1, 2)
        with pytest.raises(RefusalError) as refused:
            ask(batcher, model, 3)
        assert dict(refused.value.headers)[b"retry-after"] == b"40"

    run(test, Limits(seconds=30))


def test_what_waits_too_long_is_ended_and_never_computed() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        model.let.clear()
        futures = [ask(batcher, model, 1)]
        await busy_with(model)
        futures += [ask(batcher, model, 2)]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(answer) for answer in answers] == [RefusalError, RefusalError]
        model.let.set()
        assert await ask(batcher, model, 3) == [6]
        assert model.batches == [[1], [3]]

    run(test, Limits(seconds=0.3))


def test_a_client_that_left_is_not_computed_for() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        model.let.clear()
        left: list[bool] = []
        first = ask(batcher, model, 1)
        await busy_with(model)
        second = ask(batcher, model, 2, gone=lambda: bool(left))
        third = ask(batcher, model, 3)
        left.append(True)
        model.let.set()
        assert await first == [2]
        assert await third == [6]
        with pytest.raises(RefusalError):
            await second
        assert model.batches == [[1], [3]]
        await asyncio.sleep(0)  # the places are given back by callbacks
        assert batcher.waiting == 0

    run(test)
