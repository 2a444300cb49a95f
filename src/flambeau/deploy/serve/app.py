"""The ASGI application: which address does what, and every error as a few words of JSON.

The way of a request to predict is short on purpose: one dictionary of paths, the body, the queue, the answer.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from flambeau.deploy.serve.limits import Limits, RefusalError, busy
from flambeau.deploy.serve.metrics import Metrics
from flambeau.deploy.serve.models import Models
from flambeau.deploy.serve.openapi import describe_model, openapi_document
from flambeau.deploy.serve.predicting import ClientLeftError, Predicting, Receive, Scope, dumps
from flambeau.errors import DataError, FlambeauError, UsageError, did_you_mean

Send = Callable[[dict[str, Any]], Awaitable[None]]

logger = logging.getLogger("flambeau.serve")

JSON, HTML = b"application/json", b"text/html; charset=utf-8"
OPEN_PATHS = ("/", "/health", "/ready")


class Text(NamedTuple):
    """What GET answers.

    Args:
        status: of HTTP.
        kind: its content-type.
        body: all of it.
        headers: further ones.
    """

    status: int
    kind: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class App:
    """An ASGI application for some models.

    Args:
        models: that answer.
        limits: of everything that is sent.
        api_key: which everything but `OPEN_PATHS` asks for; none if empty.
        page: the page at "/", if there is one.
        decoders: threads that unpack pictures; see `Predicting`.
    """

    def __init__(
        self,
        models: Models,
        limits: Limits,
        *,
        api_key: str = "",
        page: Text | None = None,
        decoders: int = 2,
    ) -> None:
        self.models = models
        self.api_key = api_key.encode()
        self.ready = False
        self.predicting = Predicting(limits, decoders)
        self.metrics = Metrics(lambda: self.predicting.batcher.waiting)
        self.predicting.batcher.on_batch = self.metrics.batched
        self.targets = {"/predict": models.default}
        document = openapi_document(models, limits, bool(api_key))
        self.texts: dict[str, Callable[[], Text]] = {
            "/health": lambda: Text(200, JSON, b'{"status":"alive"}'),
            "/ready": self._readiness,
            "/models": lambda: Text(200, JSON, self._list_models()),
            "/metrics": lambda: Text(200, Metrics.content_type, self.metrics.text()),
            "/openapi.json": lambda: Text(200, JSON, document),
        }
        if page is not None:
            self.texts["/"] = lambda: page
        for model in models:
            model.on_answers = self.metrics.predicted
            self.targets.setdefault(f"/models/{model.name}/predict", model)
            self.targets[f"/models/{model.name}/versions/{model.version}/predict"] = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; begin and end with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        began = time.perf_counter()
        model = self.targets.get(scope["path"])
        try:
            if scope["type"] != "http":
                raise RuntimeError(f"this application does not speak {scope['type']}")
            if self.api_key:
                self._check_key(scope)
            if model is not None and scope["method"] == "POST":
                await _send(send, 200, JSON, await self.predicting.predict(model, scope, receive))
                self.metrics.answered(model, 200, time.perf_counter() - began)
            else:
                await _send(send, *self._read(scope))
        except ClientLeftError:
            if model is not None:
                self.metrics.answered(model, 499)
        except Exception as error:
            refusal = as_refusal(error)
            if model is not None:
                self.metrics.answered(model, refusal.status)
            await _send(send, refusal.status, JSON, refusal.body(), refusal.headers)

    def stop_being_ready(self) -> None:
        """Say at /ready that no more requests should come, while those that come are still answered."""
        self.ready = False

    def _check_key(self, scope: Scope) -> None:
        """Raise RefusalError 401 unless the request has the key; compared in constant time."""
        if scope["path"] in OPEN_PATHS:
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not hmac.compare_digest(given, self.api_key):
            raise RefusalError(
                401,
                "this server asks for a key",
                got="another key" if given else "none",
                expected="Authorization: Bearer KEY",
                headers=((b"www-authenticate", b"Bearer"),),
            )

    def _read(self, scope: Scope) -> Text:
        """What GET answers. Raises RefusalError 404 or 405."""
        path, method = scope["path"], scope["method"]
        text = self.texts.get(path)
        if text is None and path.startswith("/models/"):
            text = self._about(path)
        if text is not None and method in ("GET", "HEAD"):
            return text()
        if text is not None or path in self.targets:
            allowed = "GET, HEAD" if text is not None else "POST"
            raise RefusalError(
                405,
                "this address does not take that method",
                got=method,
                expected=allowed,
                headers=((b"allow", allowed.encode()),),
            )
        known = [*self.texts, *self.targets]
        raise RefusalError(
            404, "there is nothing at this address", got=path[:200], hint=did_you_mean(path[:200], known)
        )

    def _about(self, path: str) -> Callable[[], Text] | None:
        """One model, or one version of it. Raises RefusalError 404 for an unknown model or version."""
        words = path.split("/")[2:]
        name = words[0]
        versions = self.models.by_name.get(name)
        if versions is None:
            raise RefusalError(
                404,
                "there is no such model",
                got=name[:100],
                hint=did_you_mean(name[:100], self.models.by_name),
            )
        if len(words) >= 3 and words[1] == "versions" and words[2] not in versions:
            raise RefusalError(
                404, "this model has no such version", got=words[2][:100], expected=", ".join(versions)
            )
        if len(words) == 1:
            return lambda: Text(
                200, JSON, dumps(describe_model(next(iter(versions.values())), list(versions)))
            )
        if len(words) == 3 and words[1] == "versions":
            return lambda: Text(200, JSON, dumps(describe_model(versions[words[2]], list(versions))))
        return None

    def _list_models(self) -> bytes:
        found = [describe_model(model, list(self.models.by_name[model.name])) for model in self.models]
        return dumps({"default": self.models.default.name, "models": found})

    def _readiness(self) -> Text:
        if self.ready:
            return Text(200, JSON, b'{"status":"ready"}')
        raise busy("the server is about to stop, or not ready yet", 1.0)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Begin when the server begins; at its end, answer what was accepted."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.predicting.batcher.start()
                self.ready = True
                await send({"type": "lifespan.startup.complete"})
            else:
                self.stop_being_ready()
                self.predicting.batcher.stop()
                if self.predicting.pool is not None:
                    self.predicting.pool.shutdown(wait=False, cancel_futures=True)
                await send({"type": "lifespan.shutdown.complete"})
                return


def as_refusal(error: Exception) -> RefusalError:
    """Any exception as an answer; one that nobody expected is logged here and told without its words."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, (DataError, UsageError)):  # its "where" and "command" may name files
        return RefusalError(422, error.what, got=error.got, expected=error.expected, hint=error.hint)
    if isinstance(error, MemoryError):
        return busy("the server has no memory left for this", 5.0)
    logger.error("a request failed", exc_info=error)
    if isinstance(error, FlambeauError):  # the model's own fault; "got" may name files too
        return RefusalError(500, error.what, hint="the server's log tells more")
    return RefusalError(500, "the server met something it did not expect", hint="its log tells more")


async def _send(
    send: Send, status: int, kind: bytes, body: bytes, more: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
