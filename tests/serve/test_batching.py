"""The queue: what is answered together, what is refused, what is dropped, and that one failure stays alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flambeau.deploy.serve.batching import Batcher, Job
from flambeau.deploy.serve.limits import Limits, RefusalError


class Slow:
    """Answers numbers with their doubles, when it is let; remembers its batches."""

    alone = None

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
        batcher.seconds_each[model] = 20.0
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


def test_decoding_does_not_hold_up_the_event_loop_and_waits_for_its_models_turn() -> None:
    async def test(batcher: Batcher) -> None:
        first, second = Slow(), Slow()
        decoding, go = threading.Event(), threading.Event()
        decoded: list[int] = []

        def job_of(model: Slow, number: int) -> Job:
            job = Job(model, 1)

            def decode() -> None:
                decoded.append(number)
                decoding.set()
                assert go.wait(10)
                job.inputs = [number]

            job.decode = decode
            batcher.admit(job)
            return job

        jobs = [job_of(first, 1), job_of(second, 2)]
        batcher.submit(jobs[0])
        await asyncio.to_thread(decoding.wait, 10)
        began = time.monotonic()
        batcher.submit(jobs[1])
        lone = ask(batcher, first, 3)
        assert time.monotonic() - began < 5
        assert decoded == [1]
        go.set()
        assert await asyncio.gather(*(job.future for job in jobs), lone) == [[2], [4], [6]]
        assert first.batches == [[1], [3]] or first.batches == [[1, 3]]
        assert decoded == [1, 2]

    run(test)


def test_what_is_not_of_this_batchs_model_is_put_aside_before_it_is_decoded() -> None:
    async def test(batcher: Batcher) -> None:
        first, second = Slow(), Slow()
        first.let.clear()
        began: list[list[list[int]]] = []
        futures = [ask(batcher, first, 0)]
        await busy_with(first)
        other = Job(second, 1)

        def decode() -> None:
            began.append(list(first.batches))
            other.inputs = [1]

        other.decode = decode
        futures.append(ask(batcher, first, 2))
        batcher.admit(other)
        batcher.submit(other)
        futures += [other.future, ask(batcher, first, 3)]
        first.let.set()
        assert await asyncio.gather(*futures) == [[0], [4], [2], [6]]
        assert began == [[[0], [2, 3]]]

    run(test)


def test_one_large_request_leaves_room_for_others() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        model.let.clear()
        futures = [ask(batcher, model, *range(100, 200))]
        await busy_with(model)
        assert batcher.waiting == 4
        futures.append(ask(batcher, model, 1))
        model.let.set()
        assert [len(answers) for answers in await asyncio.gather(*futures)] == [100, 1]
        assert [1 in batch for batch in model.batches].index(True) <= 2

    run(test, Limits(batch=4, queue=8))


def test_the_time_of_one_model_tells_nothing_about_another() -> None:
    async def test(batcher: Batcher) -> None:
        slow, quick = Slow(), Slow()
        slow.let.clear()
        batcher.seconds_each = {slow: 20.0, quick: 0.001}
        futures = [ask(batcher, slow, 1), ask(batcher, quick, *range(1000, 3000))]
        assert batcher.expected_wait() == pytest.approx(20.032)
        slow.let.set()
        await asyncio.gather(*futures)
        assert batcher.expected_wait() == 0
        assert batcher.seconds_each[slow] < 20.0

    run(test, Limits(batch=32))


def test_what_nobody_waits_for_is_told_to_be_decoded_no_more() -> None:
    async def test(batcher: Batcher) -> None:
        model = Slow()
        model.let.clear()
        first = ask(batcher, model, 1)
        await busy_with(model)
        left = Job(model, 1, lambda: True, lambda: pytest.fail("nobody waits for this"))
        batcher.admit(left)
        left.decoded = asyncio.get_running_loop().create_future()
        batcher.submit(left)
        await asyncio.sleep(0.05)
        assert not left.decoded.done()
        model.let.set()
        await left.decoded
        assert left.decode is None
        assert await first == [2]
        with pytest.raises(RefusalError):
            await left.future

    run(test)
