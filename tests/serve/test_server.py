"""A real server in a process of its own: its end, slow and rude clients, too much at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from served import ROW, exchange, picture, post, receive, running

from flambeau.deploy.serve.limits import HEADER_BYTES

pytestmark = pytest.mark.slow


def status(answer: bytes) -> int:
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def body(answer: bytes) -> dict[str, object]:
    told: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return told


def is_well(port: int) -> bool:
    answer = exchange(port, post(json.dumps(ROW).encode(), "application/json"))
    return status(answer) == 200 and "label" in body(answer)


def end(process: subprocess.Popen[str], sent: int) -> str:
    process.send_signal(sent)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    return out + err


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_and_finishes_what_it_accepted(bundles: Path, sent: int) -> None:
    rows = json.dumps([ROW] * 9_000).encode()
    with running(str(bundles / "table-classification"), "--max-batch", "8") as (port, process):
        idle = socket.create_connection(("127.0.0.1", port))
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(post(rows, "application/json"))
            time.sleep(0.3)
            process.send_signal(sent)
            answer = receive(connection, 30)
        assert status(answer) == 200
        assert len(body(answer)["answers"]) == 9_000  # type: ignore[arg-type]
        out, err = process.communicate(timeout=30)
        idle.close()
        assert process.returncode == 0
        assert "Traceback" not in out + err
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_slow_clients_are_told_to_hurry(bundles: Path) -> None:
    with running(str(bundles / "table-classification"), "--timeout", "1") as (port, process):
        for sent in (
            b"",
            b"POST /predict HTTP/1.1\r\nhost: x\r\n",
            post(b"x" * 500, "application/json")[:-400],
        ):
            began = time.monotonic()
            assert status(exchange(port, sent, 10)) == 408
            assert 0.5 < time.monotonic() - began < 5
        with socket.create_connection(("127.0.0.1", port)) as connection:  # a byte now and then
            for byte in b"POST /predict HTTP/1.1\r\nhost: x\r\nx-slow: " + b"y" * 50:
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    break
                time.sleep(0.05)
            assert status(receive(connection, 5)) in (0, 408)
        assert is_well(port)
        end(process, signal.SIGTERM)


def test_cut_and_strange_requests_do_no_harm(bundles: Path) -> None:
    whole = post(json.dumps(ROW).encode(), "application/json")
    with running(str(bundles / "table-classification")) as (port, process):
        for cut in (1, 30, len(whole) // 2, len(whole) - 1, len(whole)):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(whole[:cut])
        for sent, expected in (
            (b"\0\1\2\3\r\n\r\n", 400),
            (b"GET / HTTP/9.9\r\n\r\n", 400),
            (b"GET /" + b"a" * 2 * HEADER_BYTES, 431),
            (b"GET /health HTTP/1.1\r\nx: " + b"a" * 2 * HEADER_BYTES, 431),
            (b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n", 400),
            (b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", 413),
            (b"GET /%00%ff/..%2f HTTP/1.1\r\nhost: x\r\n\r\n", 404),
            (b"BREW /predict HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        ):
            answer = exchange(port, sent)
            assert status(answer) == expected, (sent[:60], answer[:200])
            assert str(bundles).encode() not in answer and b"Traceback" not in answer
            assert "what" in body(answer)
        assert status(exchange(port, whole + whole)) == 200  # two requests at once, answered in turn
        assert is_well(port)
        assert "Traceback" not in end(process, signal.SIGTERM)


def test_a_client_that_is_killed_leaves_nothing_behind(bundles: Path) -> None:
    rows = post(json.dumps([ROW] * 5_000).encode(), "application/json")
    with running(str(bundles / "table-classification"), "--max-batch", "4", "--queue", "6000") as (
        port,
        process,
    ):
        for _ in range(5):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(rows)
            time.sleep(0.1)
            connection.close()  # with a reset, as when a process dies
        assert is_well(port)
        for _ in range(40):  # what is in the model's hands is finished
            metrics = exchange(port, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").decode()
            if "flambeau_waiting_inputs 0.0" in metrics:
                break
            time.sleep(0.05)
        assert "flambeau_waiting_inputs 0.0" in metrics
        answered = [line for line in metrics.splitlines() if line.startswith("flambeau_batch_inputs_sum")]
        assert float(answered[0].rpartition(" ")[2]) < 20_000  # of 25,000 rows that nobody waits for
        end(process, signal.SIGTERM)


def test_overload_is_refused_quickly_and_survived(bundles: Path) -> None:
    """Some 200 clients that never wait, for 5 s, against a queue of 16."""
    request = post(picture(200, 200, "jpeg"), "image/jpeg")
    statuses: Counter[int] = Counter()
    refused: list[float] = []
    words = [str(bundles / "pictures-classification"), "--queue", "16", "--max-batch", "4"]
    with running(*words) as (port, process):
        stop = time.monotonic() + 5

        def client() -> None:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                while time.monotonic() < stop:
                    began = time.monotonic()
                    connection.sendall(request)
                    answer = receive(connection, 30)
                    statuses[status(answer)] += 1
                    if status(answer) == 503:
                        refused.append(time.monotonic() - began)
                        assert b"retry-after: " in answer

        exchange(port, request)
        memory = psutil.Process(process.pid).memory_info().rss
        threads = [threading.Thread(target=client) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 503} and min(statuses[200], statuses[503]) > 20, statuses
        assert sorted(refused)[len(refused) // 2] < 2
        assert max(refused) < 4  # also for those whose connection came last
        assert psutil.Process(process.pid).memory_info().rss - memory < 300e6
        assert status(exchange(port, request)) == 200
        assert "Traceback" not in end(process, signal.SIGTERM)


def test_a_port_that_is_taken_is_told(bundles: Path) -> None:
    with running(str(bundles / "table-classification")) as (port, process):
        words = ["serve", str(bundles / "table-classification"), "--port", str(port)]
        command = [sys.executable, "-m", "flambeau", *words]
        source = str(Path(__file__).resolve().parents[2] / "src")
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": source}
        )
        assert done.returncode == 2 and "cannot be listened at" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        end(process, signal.SIGTERM)
