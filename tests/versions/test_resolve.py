"""Which model a word means, from every verb and from Python."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_things import QUICK, make_things

import flambeau as fb
from flambeau.cli.main import run as run_command
from flambeau.deploy.packed import ship
from flambeau.deploy.versions.resolve import find_model, resolve_bundle
from flambeau.deploy.versions.store import move_tag, register
from flambeau.errors import FlambeauError, RunError

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trained: Path
) -> Say:
    """Types a command in an empty folder whose runs/ are those that were trained."""
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to(trained)

    def call(*words: str) -> tuple[int, str, str]:
        code = run_command(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_every_way_to_name_a_bundle(
    trained: Path,
    bundle: Path,
    variant: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to(trained)
    for name in ("one", "two", "three"):
        register(variant(name), "things")
    assert resolve_bundle(trained / "good-1") == bundle
    assert resolve_bundle("good-1") == Path("runs/good-1/model")
    assert resolve_bundle(str(bundle)) == bundle
    things = Path("models/things")
    assert resolve_bundle("things") == resolve_bundle("things@latest") == things / "3"
    assert resolve_bundle("things@2") == things / "2"
    move_tag("things", 1, "production")
    move_tag("things", 2, "beta")
    assert resolve_bundle("things") == resolve_bundle("things@production") == things / "1"
    assert resolve_bundle("things@beta") == things / "2"
    ship(bundle, Path("shipped.zip"), "good")
    assert (resolve_bundle("shipped.zip") / "versions.json").is_file()
    assert find_model("things@2").recipe.is_file()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("things@4", "things has no version or tag '4'"),
        ("things@beta", "did you mean"),
        ("things@", "no version or tag"),
        ("thigns", "did you mean 'things'?"),
        ("thigns@3", "did you mean 'things'?"),
        ("../models/things@1", "there is no run, bundle or model"),
        ("@1", "there is no run, bundle or model"),
        (".", "neither a run nor a bundle"),
        ("things@" + "9" * 50, "no version or tag"),
    ],
)
def test_words_that_mean_nothing(
    word: str, told: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    register(bundle, "things", tag="beta2")
    with pytest.raises(FlambeauError) as caught:
        resolve_bundle(word)
    assert told in str(caught.value)


def test_a_run_that_is_not_finished_has_no_model(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(RunError, match="no model yet"):
        resolve_bundle(tmp_path)


def test_the_whole_way_on_the_command_line(say: Say, things: Path) -> None:
    assert say("models") == (0, "no models in models yet\n  next:     flambeau models register RUN\n", "")
    code, out, _ = say("models", "register", "poor-1", "--name", "things", "--note", "quick")
    assert (code, out.splitlines()[0]) == (0, "things@1  models/things/1")
    assert say("models", "register", "good-1", "--name", "things", "--tag", "production")[0] == 0
    assert say("models", "tag", "things", "1", "production")[1] == "production is things@1; it was things@2\n"
    assert say("models", "rollback", "things")[1] == "production is things@2 again; it was things@1\n"
    lines = say("models")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["model", "things@2", "things@1"]
    assert "production" in lines[1] and "quick" in lines[2]
    rows = [json.loads(line) for line in say("models", "--json")[1].splitlines()]
    assert [row["version"] for row in rows] == [2, 1]
    code, out, err = say("evaluate", "things@1", str(things))
    assert code == 0 and "were trained on" in out and "models/things/1" in err
    Path("new.csv").write_text("size,colour\n9.5,red\n0.5,blue\n")
    code, out, _ = say("predict", "things", "new.csv")
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()] == ["large", "small"]
    assert say("models", "remove", "things", "2")[0] == 1
    assert say("models", "remove", "things", "2", "--force")[0] == 0
    assert say("models", "--store", "elsewhere")[1].startswith("no models in elsewhere")
    assert say("models", "register", "good-1", "--store", "elsewhere")[1].startswith("good@1")


def test_a_name_of_data_is_not_taken_for_a_model(say: Say, bundle: Path) -> None:
    register(bundle, "digits")
    Path("new.csv").write_text("size,colour\n9.5,red\n")
    code, out, _ = say("predict", "digits", "new.csv")
    assert (code, out.split()[2]) == (0, "large")
    code, _, err = say("evaluate", "digits")
    assert "run       runs" in err
    assert code == 1  # the newest run answers rows, and digits are pictures


def test_mistakes_are_told_in_words(say: Say) -> None:
    code, _, err = say("models", "regster")
    assert (code, "register" in err) == (2, True)
    code, _, err = say("models", "register", "good-1", "--name", "../up")
    assert (code, "no name for a model" in err) == (2, True)
    code, _, err = say("evaluate", "god-1")
    assert (code, "did you mean 'good-1'?" in err) == (1, True)


def test_python_loads_runs_bundles_zips_and_versions(
    trained: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    register(bundle, "things")
    ship(bundle, Path("shipped.zip"), "good")
    ship(bundle, Path("shipped"), "good")
    row = {"size": 9.5, "colour": "red"}
    answers = []
    for word in (trained / "good-1", bundle, "things@1", "shipped.zip", "shipped"):
        model = fb.load(word)
        assert model.scores["task"] == "classification"
        assert not model.module.training
        answers.append(model.predict(row)[0]["probabilities"]["large"])
    assert np.ptp(answers) == 0


def test_a_bundle_that_was_altered_is_not_believed(bundle: Path, tmp_path: Path) -> None:
    copy: Any = shutil.copytree(bundle, tmp_path / "altered")
    scores = json.loads((copy / "scores.json").read_text())
    scores["test"]["accuracy"]["value"] = 1.0
    (copy / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(RunError, match="altered or damaged"):
        fb.load(copy)


def test_training_goes_on_from_a_version(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    register(bundle, "things")
    new = make_things(tmp_path / "new.csv", rows=100, first=500)
    run = fb.train(new, target="kind", from_run="things@1", out=tmp_path / "on-1", epochs=1, **QUICK)
    told = json.loads((bundle / "facts.json").read_text())["data"]["fingerprint"]
    assert run.bundle.facts["earlier"] == told
