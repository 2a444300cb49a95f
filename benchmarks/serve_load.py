"""A cheap HTTP load generator: the same request over and over on kept connections, answers counted by status."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast


class Client(asyncio.Protocol):
    """One connection that sends its next request when the answer to the last one is complete."""

    def __init__(self, request: bytes, load: Load) -> None:
        self.request, self.load = request, load
        self.answer = b""
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.load.open.add(self)
        self.send()

    def send(self) -> None:
        self.answer, self.sent = b"", time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.answer = self.answer + data if self.answer else data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if not found:
            return
        start = head.lower().index(b"content-length:") + 15
        if len(body) >= int(head[start:].split(b"\r\n", 1)[0]):
            self.load.answered(int(head[9:12]), time.perf_counter() - self.sent)
            if self.load.pause:
                asyncio.get_running_loop().call_later(self.load.pause, self.send)
            else:
                self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self.load.open.discard(self)
        self.load.lost += 1


class Load:
    """All connections together, and what came back."""

    def __init__(self, request: bytes, pause: float) -> None:
        self.request, self.pause = request, pause
        self.open: set[Client] = set()
        self.lost = 0
        self.counting = False
        self.seconds: dict[int, list[float]] = {}
        self.statuses: Counter[int] = Counter()

    def answered(self, status: int, seconds: float) -> None:
        if self.counting:
            self.statuses[status] += 1
            self.seconds.setdefault(status, []).append(seconds)

    async def run(self, port: int, clients: int, warm: float, seconds: float) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        for _ in range(clients):
            await loop.create_connection(lambda: Client(self.request, self), "127.0.0.1", port)
        await asyncio.sleep(warm)
        print("begin", flush=True)
        sys.stdin.readline()
        self.counting, self.lost, began = True, 0, time.perf_counter()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        self.counting = False
        lost = self.lost
        for client in list(self.open):
            client.transport.abort()
        times = {status: sorted(values) for status, values in self.seconds.items()}
        return {
            "seconds": took,
            "lost": lost,
            "statuses": dict(self.statuses),
            "p50": {status: values[len(values) // 2] for status, values in times.items()},
            "p99": {status: values[int(len(values) * 0.99)] for status, values in times.items()},
            "max": {status: values[-1] for status, values in times.items()},
        }


def main() -> None:
    """Run one load and print its figures as JSON; waits for a line on stdin when warm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("request", type=Path, help="a file with the bytes of one request")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds between an answer and the next request"
    )
    given = parser.parse_args()
    import uvloop

    load = Load(given.request.read_bytes(), given.pause)
    print(json.dumps(uvloop.run(load.run(given.port, given.clients, given.warm, given.seconds))))


if __name__ == "__main__":
    main()
