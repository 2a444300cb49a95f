"""The limits of one connection, with a server in this process whose application answers at length."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.protocol import GuardedProtocol, sweep

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def run(limits: Limits, size: int, test: Callable[[int, ServerState], Awaitable[None]]) -> None:
    """Serve answers of `size` bytes while the test talks to the port."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = str(size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        for start in range(0, size, 2**20):
            part = b"x" * min(2**20, size - start)
            await send({"type": "http.response.body", "body": part, "more_body": start + len(part) < size})

    async def whole() -> None:
        config, state = uvicorn.Config(app, log_config=None, lifespan="off"), ServerState()
        kind = type("Limited", (GuardedProtocol,), {"limits": limits})
        server = await asyncio.get_running_loop().create_server(
            lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        sweeper = asyncio.create_task(sweep(state.connections))
        try:
            await asyncio.wait_for(test(server.sockets[0].getsockname()[1], state), 20)
        finally:
            sweeper.cancel()
            server.close()

    asyncio.run(whole())


def test_too_many_connections_are_refused() -> None:
    async def test(port: int, state: ServerState) -> None:
        _, first = await asyncio.open_connection("127.0.0.1", port)
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in answer
        first.close()
        second.close()

    run(Limits(connections=1), 10, test)


def test_an_answer_that_is_not_taken_is_given_up() -> None:
    async def test(port: int, state: ServerState) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readexactly(100)
        while not state.connections or not next(iter(state.connections)).flow.write_paused:
            await asyncio.sleep(0.01)
        while state.connections:
            await asyncio.sleep(0.05)
        writer.close()

    run(Limits(seconds=0.2), 256 * 2**20, test)


def test_what_a_refusal_leaves_unread_is_thrown_away() -> None:
    async def test(port: int, state: ServerState) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        writer.write(b"y" * 1_000_000 + GET)
        rest = await reader.readuntil(b"HTTP/1.1 200 ")
        assert b"408" not in rest
        writer.close()

    run(Limits(), 10, test)


def test_a_body_that_stops_after_its_answer_gets_no_second_one() -> None:
    async def test(port: int, state: ServerState) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        whole = await reader.read()
        assert whole.count(b"HTTP/1.1") == 1 and whole.endswith(b"x" * 10)
        writer.close()

    run(Limits(seconds=0.2), 10, test)
