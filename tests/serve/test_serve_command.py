"""`flambeau serve`: what it prints, what it loads, and what it says when something cannot be meant."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvicorn
from served import ROW, exchange, picture_bundle, running, table_bundle

from flambeau.cli.main import run
from flambeau.deploy.serve.app import App
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import Models, load_model
from flambeau.deploy.serve.run import _Server
from flambeau.deploy.versions.store import register
from flambeau.errors import RunError, UsageError


@pytest.mark.slow
def test_it_tells_where_it_is_and_how_to_ask(bundles: Path) -> None:
    words = [f"mine={bundles / 'table-classification'}", str(bundles / "pictures-regression")]
    with running(*words) as (port, process):
        told = json.loads(
            exchange(port, b"GET /models HTTP/1.1\r\nhost: x\r\n\r\n").partition(b"\r\n\r\n")[2]
        )
        assert [model["name"] for model in told["models"]] == ["mine", "pictures-regression"]
        page = exchange(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"text/html" in page and b"content-security-policy" in page
        assert str(bundles).encode() not in page
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.mark.slow
def test_the_server_starts_without_what_it_does_not_need() -> None:
    source = Path(__file__).resolve().parents[2] / "src"
    modules = subprocess.run(
        [sys.executable, "-c", "import flambeau.deploy.serve.run, sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(source)},
    ).stdout.split()  # fmt: skip
    heavy = {"torchvision", "timm", "torch._dynamo", "sklearn", "matplotlib", "captum", "onnxruntime"}
    assert heavy & set(modules) == set()


@pytest.mark.slow
def test_the_example_that_it_prints_works(bundles: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import threading

    from flambeau.deploy.serve.run import Address, serve

    told: list[Address] = []
    answers: list[str] = []

    def ready(address: Address) -> None:
        told.append(address)
        threading.Thread(target=ask, args=(address.example,)).start()

    def ask(example: str) -> None:
        answers.append(
            subprocess.run([*shlex.split(example), "-s"], capture_output=True, text=True, check=False).stdout
        )
        signal.raise_signal(signal.SIGINT)

    before = (signal.getsignal(signal.SIGINT), sys.getswitchinterval())
    serve(
        [str(bundles / "table-classification")], host="127.0.0.1", port=0, api_key="", threads=1,
        limits=Limits(), on_ready=ready, on_note=print,
    )  # fmt: skip
    assert (signal.getsignal(signal.SIGINT), sys.getswitchinterval()) == before
    assert '"label"' in answers[0], answers
    assert told[0].url.startswith("http://127.0.0.1:")


def test_names_and_versions(tmp_path: Path) -> None:
    folder = table_bundle(tmp_path / "run one" / "model")
    model = load_model(str(folder), Limits())
    assert model.name == "run-one" and len(model.version) == 8
    assert load_model(f"mine={folder}", Limits()).name == "mine"
    other = load_model(str(picture_bundle(tmp_path / "other")), Limits())
    assert [one.name for one in Models([model, other])] == ["run-one", "other"]
    with pytest.raises(UsageError, match="one name and one version"):
        Models([model, load_model(str(folder), Limits())])


def test_a_damaged_bundle_and_one_that_is_not_there(tmp_path: Path) -> None:
    folder = table_bundle(tmp_path / "bundle")
    with (folder / "weights.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"\x7f")
    with pytest.raises(RunError, match="altered or damaged"):
        load_model(str(folder), Limits())
    with pytest.raises(RunError):
        load_model(str(tmp_path / "nothing"), Limits())


def test_a_key_that_cannot_stand_in_a_header(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("", "two words", "schlüssel", "a\nb"):
        assert run(["serve", str(bundles / "table-classification"), "--api-key", key]) == 2
        assert "cannot stand in a header" in capsys.readouterr().err


def test_a_row_for_the_example_is_complete(bundles: Path) -> None:
    model = load_model(str(bundles / "table-regression"), Limits())
    assert {column.name for column in model.bundle.schema.used_columns} == set(ROW)


def test_it_is_not_ready_from_the_moment_it_begins_to_stop(bundles: Path) -> None:
    app = App(Models([load_model(str(bundles / "table-regression"), Limits())]), Limits())
    app.ready = True
    server = _Server(uvicorn.Config(app), lambda port: None, app.stop_being_ready)
    server.handle_exit(signal.SIGTERM, None)
    assert not app.ready and server.should_exit and not server.force_exit


def test_a_word_with_two_meanings_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLAMBEAU_MODELS", raising=False)
    first = picture_bundle(Path("first"))
    register(first, "wine", tag="production")
    shutil.copytree(first, "wine")
    served = load_model("wine", Limits())
    assert served.name == "wine" and served.bundle.schema.task == "classification"
    shutil.rmtree("wine")
    assert load_model("wine", Limits()).version == "1"
    picture_bundle(Path("wine"), "regression")
    with pytest.raises(UsageError, match="two meanings") as caught:
        load_model("wine", Limits())
    assert "./wine or wine@1" in str(caught.value)
    assert load_model("wine@1", Limits()).version == "1"
    assert load_model("./wine", Limits()).bundle.schema.task == "regression"
