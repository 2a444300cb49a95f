"""uvicorn's HTTP protocol with limits on time, heads and connections, which uvicorn leaves to a proxy."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flambeau.deploy.serve.limits import HEADER_BYTES, Limits, RefusalError, busy

SWEEP_SECONDS = 0.5


class GuardedProtocol(HttpToolsProtocol):
    """One connection. What is late is found by `sweep`, so that a request costs no timer.

    Attributes:
        limits: of the server; set on the class before it begins.
    """

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Take a connection, or refuse it where there are too many."""
        super().connection_made(transport)
        self.in_head = True
        self.head_bytes = 0
        self.complete = 0  # requests that were read to their end
        # When the request that is being read began, or the silent connection; None while none is read.
        self.since: float | None = self.loop.time()
        self.closing_since: float | None = None
        if len(self.connections) > self.limits.connections:
            self.refuse(busy("the server has too many connections", 1.0))

    def data_received(self, data: bytes) -> None:
        """Parse what came, and count the bytes of the head."""
        if self.transport.is_closing():
            return
        if self.since is None:
            self.since = self.loop.time()
        before = self.complete
        super().data_received(data)
        if self.in_head and self.complete == before and not self.transport.is_closing():
            self.head_bytes += len(data)
            if self.head_bytes > HEADER_BYTES:
                self.refuse(
                    RefusalError(
                        431, "the head of the request is too large", expected=f"{HEADER_BYTES} bytes"
                    )
                )

    def on_headers_complete(self) -> None:
        """Begin the request, which can be asked whether its client is still there."""
        self.in_head, self.head_bytes = False, 0
        super().on_headers_complete()
        cycle = self.cycle
        cast(dict[str, Any], self.scope)["flambeau.gone"] = lambda: cycle.disconnected

    def on_message_complete(self) -> None:
        """The request is read; the next one may begin."""
        self.in_head, self.since = True, None
        self.complete += 1
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()  # or a client that leaves while it waits would not be noticed

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the same form as every other error."""
        self.refuse(RefusalError(400, "this is not a request of HTTP/1.1"))

    def refuse(self, refusal: RefusalError) -> None:
        """Answer outside of the application, and close; nothing is said where an answer has begun already."""
        cycle = self.cycle
        between = cycle is None or cycle.response_complete
        if between if self.in_head else not cycle.response_started:
            body = refusal.body()
            phrase = HTTPStatus(refusal.status).phrase
            lines = [f"HTTP/1.1 {refusal.status} {phrase}".encode(), b"content-type: application/json"]
            lines += [name + b": " + value for name, value in refusal.headers]
            lines += [b"content-length: %d" % len(body), b"connection: close", b"", body]
            self.transport.write(b"\r\n".join(lines))
        self.transport.close()

    def check_time(self, now: float) -> None:
        """Close the connection if its client is too slow in sending a request or in taking an answer."""
        if self.transport.is_closing():
            if self.closing_since is None:
                self.closing_since = now
            elif now - self.closing_since > self.limits.header_seconds:
                self.transport.abort()
            return
        if self.flow.write_paused:  # an answer that is not taken
            self.closing_since = self.closing_since or now
            if now - self.closing_since > self.limits.seconds:
                self.transport.abort()
            return
        self.closing_since = None
        if self.since is None:
            return
        allowed = self.limits.header_seconds if self.in_head else self.limits.seconds
        if now - self.since > allowed and not self.flow.read_paused:
            self.refuse(
                RefusalError(408, "the request took too long to arrive", expected=f"at most {allowed:g} s")
            )


async def sweep(connections: set[Any]) -> None:
    """Look at all connections twice a second, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = loop.time()
        for connection in list(connections):
            if isinstance(connection, GuardedProtocol):
                connection.check_time(now)
