"""One request to predict: its body, its place in the queue, its answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

from flambeau.deploy.serve.asked import Asked, takes_too_long
from flambeau.deploy.serve.batching import Batcher, Job
from flambeau.deploy.serve.explaining import Explaining
from flambeau.deploy.serve.inputs import MOST_NUMBERS, read_inputs
from flambeau.deploy.serve.limits import Limits, RefusalError, busy
from flambeau.deploy.serve.models import Loaded
from flambeau.deploy.serve.sent_pictures import unpack_pictures
from flambeau.deploy.serve.series import count_series, joined_answers
from flambeau.errors import did_you_mean
from flambeau.records import to_json

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

MOST_EXPLANATIONS = 4
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ClientLeftError(Exception):
    """The connection is closed; there is nobody to answer."""


def dumps(value: Any) -> bytes:
    """JSON in UTF-8; numbers that JSON does not have become null."""
    try:
        return _encode(value).encode()
    except ValueError:
        return to_json(value).encode("utf-8", "replace")


class Predicting:
    """What requests to predict share: the queue, the threads that decode, and what is held in memory.

    Args:
        limits: of everything that is sent.
        decoders: threads that unpack pictures; 0 where there is no core for them beside that of the model.
    """

    def __init__(self, limits: Limits, decoders: int) -> None:
        self.limits = limits
        self.batcher = Batcher(limits)
        self.pool = ThreadPoolExecutor(decoders, "decode") if decoders else None
        self.held = 0  # bytes of bodies
        self.explaining = 0
        self._explainers: dict[Loaded, Explaining] = {}  # one a model, as the batcher times each on its own

    async def predict(self, model: Loaded, scope: Scope, receive: Receive) -> bytes:
        """The body of the answer. Raises RefusalError, FlambeauError or ClientLeftError."""
        headers = dict(scope["headers"])
        query = scope["query_string"]
        self.batcher.check_room()
        body = await self._read_body(headers, receive)
        job: Job | None = None
        try:
            kind = headers.get(b"content-type", b"").decode("latin-1")
            inputs = await read_inputs(model, kind, body, self.limits)
            gone: Callable[[], bool] | None = scope.get("flambeau.gone")
            job = Job(model, len(inputs.raw), gone) if gone else Job(model, len(inputs.raw))
            explained, label = _explain_option(query) if query else (False, None)
            if explained:
                answers = await self._explain(job, model, inputs.raw, label)
            elif model.asked is not None:
                answers = await self._answer_asked(job, model.asked, inputs.raw)
            elif model.takes_series:
                answers = await self._answer_series(job, model, inputs.raw[0])
            elif model.takes_pictures:
                answers = await self._answer_pictures(job, model, inputs.raw, inputs.many)
            elif model.bundle.schema.picture_columns:
                answers = await self._answer_mixed(job, model, inputs.raw)
            else:
                self.batcher.admit(job)
                job.inputs = inputs.raw
                self.batcher.submit(job)
                answers = await job.future
        finally:
            self._let_go(len(body), job)
        if not inputs.many:
            return dumps(answers[0])
        named = [{"input": name, **answer} for name, answer in zip(inputs.names, answers, strict=True)]
        return dumps({"model": model.name, "version": model.version, "answers": named})

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """All of the body, which then counts as held. Raises RefusalError 413 or 503, or ClientLeftError."""
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self.limits.bytes:
            raise self._too_large(int(declared))
        parts: list[bytes] = []
        size, more = 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeftError
                part = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(part)
                self.held += len(part)
                if size > self.limits.bytes:
                    raise self._too_large(size)
                if self.held > self.limits.bodies:
                    raise busy("the server reads as much as it can hold", 1.0)
                parts.append(part)
        except BaseException:
            self.held -= size
            raise
        return b"".join(parts) if len(parts) > 1 else parts[0]

    def _let_go(self, size: int, job: Job | None) -> None:
        """Count a body as held no more, once nothing decodes its parts, which may be after its request has ended."""
        if job is not None and job.decoded is not None and not job.decoded.done():
            job.decoded.add_done_callback(lambda _: self._let_go(size, None))
        else:
            self.held -= size

    def _too_large(self, size: int) -> RefusalError:
        return RefusalError(
            413,
            "the body is too large",
            got=f"{size:,} bytes or more",
            expected=f"at most {self.limits.bytes:,} bytes",
        )

    async def _answer_pictures(self, job: Job, model: Loaded, bodies: list[bytes], many: bool) -> list[Any]:
        """Decode, then answer; of `many` pictures, one that cannot be read has "error" for an answer."""
        problems: dict[int, RefusalError] = {}

        def decode() -> None:
            for place, body in enumerate(bodies):
                if job.is_over():
                    raise RefusalError(499, "the client has left")
                try:
                    job.inputs.append(model.decode(body))
                except RefusalError as refusal:
                    if not many:
                        raise
                    problems[place] = refusal
            if not job.inputs:
                raise problems[0]

        await self._queue(job, decode)
        found = iter(job.answers)
        return [
            {"error": problems[place].to_json()} if place in problems else next(found)
            for place in range(len(bodies))
        ]

    async def _answer_asked(self, job: Job, asked: Asked, rows: list[dict[str, Any]]) -> list[Any]:
        """Requests in words, each cut into short steps, between which the model answers others."""
        steps = [asked.steps(row) for row in rows]
        job.inputs = [step for some in steps for step in some]
        job.count = len(job.inputs)

        def late() -> RefusalError | None:
            made = asked.progress(job.answers, job.inputs)
            return takes_too_long(made, self.limits.seconds) if made else None

        job.late = late
        self.batcher.admit(job)
        self.batcher.submit(job)
        results = iter(await job.future)
        return [asked.finish([next(results) for _ in some]) for some in steps]

    async def _answer_series(self, job: Job, model: Loaded, rows: list[Any]) -> list[Any]:
        """Rows of the past become windows in a thread, as that takes arrow some milliseconds; each series is an input.

        Raises RefusalError: 413 for more numbers than one answer may have.
        """
        facts = model.bundle.schema.series
        assert facts is not None
        most = min(self.limits.batch, MOST_NUMBERS // facts.outputs)
        if most < 1:
            raise RefusalError(
                413,
                "a forecast of this model has too many numbers for an answer",
                got=f"{facts.outputs:,}",
                expected=f"at most {MOST_NUMBERS:,}",
                hint="flambeau predict writes forecasts of any length",
            )
        job.count = count_series(facts, rows)

        def decode() -> None:
            job.inputs += model.decode_series(rows, most).single()

        await self._queue(job, decode)
        return [joined_answers(facts, job.answers)]

    async def _answer_mixed(self, job: Job, model: Loaded, rows: list[dict[str, Any]]) -> list[Any]:
        """Rows with pictures: those are unpacked in a thread, and no further once nobody waits for the answer."""

        def decode() -> None:
            unpack_pictures(rows, model.bundle.schema.picture_columns, model.pixels, self.limits.files)
            for number, row in enumerate(rows, start=1):
                if job.is_over():
                    raise RefusalError(499, "the client has left")
                job.inputs.append(model.decode_row(row, number))

        await self._queue(job, decode)
        return job.answers

    async def _explain(self, job: Job, model: Loaded, raw: list[Any], label: str | None) -> list[Any]:
        """One input with its explanation. Raises RefusalError: 422 for several, 429 where many are at it already."""
        classes = model.bundle.schema.classes
        if model.takes_series or model.asked is not None:
            what = "forecasts are" if model.takes_series else "what this model answers is"
            raise RefusalError(422, f"{what} not explained", expected="the same request without ?explain")
        if len(raw) != 1:
            raise RefusalError(422, "one input is explained at a time", got=f"{len(raw)} inputs")
        if label is not None and label not in classes:
            raise RefusalError(422, "there is no such label", got=label, hint=did_you_mean(label, classes))
        if self.explaining >= MOST_EXPLANATIONS:
            raise RefusalError(429, "explanations take long, and several are asked for already", retry=2.0)

        def decode() -> None:
            one = model.decode(raw[0]) if model.takes_pictures else raw[0]
            if columns := model.bundle.schema.picture_columns:
                unpack_pictures(raw, columns, model.pixels, self.limits.files)
                one = model.decode_row(raw[0], 1)
            job.inputs.append((one, label))

        self.explaining += 1
        try:
            job.model = self._explainers.setdefault(model, Explaining(model))
            await self._queue(job, decode)
        finally:
            self.explaining -= 1
        return job.answers

    async def _queue(self, job: Job, decode: Callable[[], None]) -> None:
        """Admit a job, decode its inputs in a thread, and wait until it is answered."""
        self.batcher.admit(job)
        job.decoded = asyncio.get_running_loop().create_future()
        if self.pool is None:
            job.decode = decode
            self.batcher.submit(job)
            await job.future
            return

        def decode_and_submit() -> None:
            try:
                decode()
            except Exception as error:
                self.batcher.fail(job, error)
            else:
                self.batcher.submit(job)
            finally:
                self.batcher.end_decoding(job)

        self.pool.submit(decode_and_submit)
        await job.future


def _explain_option(query: bytes) -> tuple[bool, str | None]:
    """Whether `?explain` asks for an explanation, and of which label: 1, true or nothing mean the most probable."""
    words = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("explain")
    if not words or words[-1].lower() in ("0", "false", "no"):
        return False, None
    return True, None if words[-1].lower() in ("", "1", "true", "yes") else words[-1]
