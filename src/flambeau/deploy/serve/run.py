"""From names of models to a server that runs until it is told to stop, and then finishes what it accepted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import shlex
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
import uvicorn

from flambeau.deploy.serve.app import HTML, JSON, App, Text
from flambeau.deploy.serve.inputs import example_file
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import Loaded, Models, load_model
from flambeau.deploy.serve.page import page_headers, page_models, render_page
from flambeau.deploy.serve.protocol import GuardedProtocol, sweep
from flambeau.errors import UsageError
from flambeau.records.environment import usable_cores
from flambeau.records.files import to_json
from flambeau.schema import Column

KEEP_ALIVE_SECONDS = 30
BACKLOG = 2048
ACCEPTED_A_TURN = 16
# Threads that wait for the interpreter get it after this long; the default would add 5 ms to a batch.
SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class Address:
    """Where a server listens, and what for.

    Args:
        url: without a slash at its end.
        models: "NAME, version VERSION" of each.
        example: a command that asks the default model.
    """

    url: str
    models: tuple[str, ...]
    example: str


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it is ready, looks after slow clients, and ends with 0 after a signal."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[int], None], on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.on_ready = on_ready
        self.on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. uvloop takes one new connection a turn, so under load new clients would wait for many seconds."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        if not type(loop).__module__.startswith("uvloop"):
            return

        def connect() -> asyncio.Protocol:
            protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return protocol

        for listening in list(self.servers[0].sockets):
            for _ in range(ACCEPTED_A_TURN - 1):
                again = socket.socket(fileno=os.dup(listening.fileno()))
                self.servers.append(await loop.create_server(connect, sock=again, backlog=BACKLOG))

    async def main_loop(self) -> None:
        """Run until told to stop."""
        self.on_ready(self.servers[0].sockets[0].getsockname()[1])
        sweeper = asyncio.create_task(sweep(self.server_state.connections))
        await super().main_loop()
        # Slow clients are looked after until the end, or they would hold it up.
        asyncio.get_running_loop().call_later(self.config.timeout_graceful_shutdown or 0, sweeper.cancel)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT and SIGTERM; unlike uvicorn's own, without raising them again at the end."""
        known = [
            signal.SIGINT,
            signal.SIGTERM,
            *(getattr(signal, name) for name in ("SIGBREAK",) if hasattr(signal, name)),
        ]
        before = {number: signal.signal(number, self.handle_exit) for number in known}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A first signal stops gracefully, a second one at once."""
        self.on_stop()
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(
    words: Sequence[str],
    *,
    host: str,
    port: int,
    api_key: str,
    threads: int | None,
    limits: Limits,
    on_ready: Callable[[Address], None],
    on_note: Callable[[str], None],
) -> None:
    """Serve models until SIGINT or SIGTERM.

    Args:
        words: RUN or name=RUN; see `load_model`.
        host, port: where to listen; port 0 takes a free one.
        api_key: which clients must send; none if empty.
        threads: of torch; all cores that may be used if None.
        limits: of everything that is sent.
        on_ready: told once, when requests are answered.
        on_note: told of what is not as usual.

    Raises:
        FlambeauError: no such model, a damaged one, or a port that is taken.
    """
    torch.set_num_threads(threads or usable_cores())
    models = Models([load_model(word, limits, on_note) for word in words])
    html = render_page(models, locked=bool(api_key)).encode()
    page = Text(200, HTML, html, tuple(_as_bytes(page_headers())))
    app = App(models, limits, api_key=api_key, page=page, decoders=min(4, usable_cores() - 1))
    about_models = Text(200, JSON, to_json(page_models(models)).encode("utf-8", "replace"))
    app.texts["/page.json"] = lambda: about_models
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type("Protocol", (GuardedProtocol,), {"limits": limits}),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(limits.seconds) + 2,
    )

    def ready(number: int) -> None:
        url = f"http://{f'[{host}]' if ':' in host else host}:{number}"
        names = tuple(f"{model.name}, version {model.version}" for model in models)
        on_ready(Address(url, names, _example(models.default, url, bool(api_key))))

    server = _Server(config, ready, app.stop_being_ready)
    try:
        with _at_work():
            server.run()
    except SystemExit:
        raise UsageError(
            "this address cannot be listened at",
            got=f"{host}, port {port}",
            expected="an address of this machine, and a port that no other program has in use",
            command="flambeau serve RUN --port 0",
        ) from None


@contextlib.contextmanager
def _at_work() -> Iterator[None]:
    """Settings of the interpreter that suit a server; as before afterwards."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every broken form
    gc.collect()
    gc.freeze()  # what is there stays, and need not be looked through again
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged metadata in pictures that it reads all the same.
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval)


def _example(model: Loaded, url: str, locked: bool) -> str:
    """A command that asks a model, to be typed into a shell as it is."""
    key = ' -H "Authorization: Bearer $FLAMBEAU_API_KEY"' if locked else ""
    if model.takes_pictures:
        file, kind = example_file(model.bundle.schema)
        return f"curl {url}/predict{key} -H 'content-type: {kind}' --data-binary @{file}"
    if model.bundle.schema.series is not None:
        # so many rows fit into no line
        return f"curl {url}/predict{key} -H 'content-type: application/json' --data-binary @rows.json"
    row = (
        model.asked.example
        if model.asked is not None
        else {column.name: _example_of(column) for column in model.bundle.schema.used_columns}
    )
    return f"curl {url}/predict{key} -H 'content-type: application/json' -d {shlex.quote(to_json(row))}"


def _example_of(column: Column) -> Any:
    if column.kind == "text":
        return "…"
    return column.values[0] if column.values else column.low


def _as_bytes(headers: dict[str, str]) -> Iterator[tuple[bytes, bytes]]:
    return ((name.encode(), value.encode()) for name, value in headers.items())
