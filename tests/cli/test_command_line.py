"""The command as a whole: its help, its errors in words, its exit codes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from flambeau import __version__
from flambeau.cli.main import let_threads_sleep
from flambeau.errors import DataError

HELP = """\
Usage: flambeau [OPTIONS] VERB ...

  From your own data to a tested PyTorch model.

  flambeau train photos/                     a folder of pictures for each class
  flambeau train houses.csv --target price   a column of a table: of numbers, texts, pictures
  flambeau train days.csv --task forecast --target sales --horizon 7   a time series
  flambeau train intents.json                questions with answers: a chatbot
  flambeau train book.txt                    a text to write like
  flambeau train digits                      built-in data: offline, in seconds

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Make a model:
  train       look at data, split, choose, train, test and report
  check       tell what is wrong with data, before any training
  recipe      write every choice for data as a file, without training
  resume      go on with a run that was stopped or killed

Use it:
  predict     answer for new pictures, texts, rows or series
  sample      let a language model write, or a generator draw
  chat        talk to a chatbot
  evaluate    score a run again, or on other data
  report      write a run's report again and tell where it is
  inspect     show the layers of a model: shapes, parameters, work, memory

Ship it:
  export      write the model as ONNX, an exported program, or TorchScript
  serve       answer over HTTP, with a page to try the model
  eject       write a run as one script of plain PyTorch
  models      keep versions of models: tag, roll back, compare
  bundle      write a model as one file or folder to ship

Keep order:
  runs        list the runs of this folder
  verify      check that a run is whole and can be repeated
  cache       show or clear the cache of decoded pictures
  completion  complete verbs and options with the tab key
"""


@pytest.fixture(autouse=True)
def no_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAMBEAU_DEBUG", raising=False)


def test_the_help_names_the_verbs(say: Callable[..., Any]) -> None:
    assert say("--help").out == HELP
    assert say().out == HELP
    assert say("--version").out == f"flambeau {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["trian", "photos"],
            "there is no verb 'trian'\n  hint:     did you mean 'train'?\n  next:     flambeau --help\n",
        ),
        (
            ["train", "--epoch", "3"],
            "there is no option '--epoch'\n  hint:     did you mean '--epochs'?\n"
            "  next:     flambeau train --help\n",
        ),
        (
            ["train", "--epochs"],
            "option '--epochs' requires an argument\n  next:     flambeau train --help\n",
        ),
        (
            ["cache", "cler"],
            "invalid value for '[show|clear]': 'cler' is not one of 'show', 'clear'\n"
            "  next:     flambeau cache --help\n",
        ),
        (
            ["runs", "x"],
            "got unexpected extra argument (x)\n  next:     flambeau runs --help\n",
        ),
    ],
)
def test_what_was_mistyped_is_told(say: Callable[..., Any], typed: list[str], told: str) -> None:
    said = say(*typed)
    assert (said.code, said.out, said.err) == (2, "", told)


def test_an_error_of_flambeau_is_told_without_a_traceback(say: Callable[..., Any], pipeline: Any) -> None:
    pipeline.error = DataError("there is no data", where="photoz", hint="did you mean 'photos'?")
    said = say("check", "photoz")
    assert said.code == 1
    assert said.err == "there is no data\n  where:    photoz\n  hint:     did you mean 'photos'?\n"


def test_a_defect_is_told_as_one(say: Callable[..., Any], pipeline: Any) -> None:
    pipeline.error = ZeroDivisionError("division by zero")
    said = say("check", "photos")
    assert said.code == 1
    assert said.err == (
        "flambeau met something it did not expect: ZeroDivisionError: division by zero\n"
        "  hint:     this is a defect of flambeau, not of what you typed\n"
        "  next:     the same command with --debug shows where it happened\n"
    )


@pytest.mark.parametrize("by", ["option", "environment"])
def test_debug_shows_the_traceback(
    say: Callable[..., Any], pipeline: Any, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    pipeline.error = ZeroDivisionError("division by zero")
    if by == "environment":
        monkeypatch.setenv("FLAMBEAU_DEBUG", "1")
    said = say("check", "photos", *(["--debug"] if by == "option" else []))
    assert said.err.startswith("Traceback (most recent call last):")
    assert "--debug shows" not in said.err


def test_a_full_disk_is_no_defect(say: Callable[..., Any], pipeline: Any) -> None:
    pipeline.error = OSError(errno.ENOSPC, "No space left on device", "runs/x")
    assert say("check", "photos").err == "the disk is full\n  where:    runs/x\n"


def test_ctrl_c_leaves_with_130(say: Callable[..., Any], pipeline: Any) -> None:
    pipeline.error = KeyboardInterrupt()
    said = say("check", "photos")
    assert (said.code, said.err) == (130, "\nstopped\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "flambeau", "recipe", "--schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(timeout=60) == 1


def test_threads_of_openmp_sleep_unless_the_person_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
    for name in names:
        monkeypatch.setenv(name, "x")  # so that monkeypatch restores what the function sets
        monkeypatch.delenv(name)
    let_threads_sleep()
    assert os.environ["GOMP_SPINCOUNT"] == "0"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.delenv("KMP_BLOCKTIME")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_threads_sleep()
    assert "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_one_line_for_the_shell(say: Callable[..., Any], shell: str) -> None:
    said = say("completion", shell)
    assert said.out.count("\n") == 1
    assert f"_FLAMBEAU_COMPLETE={shell}_source flambeau" in said.out


def test_the_shell_is_given_verbs() -> None:
    environment = {
        **os.environ,
        "_FLAMBEAU_COMPLETE": "bash_complete",
        "COMP_WORDS": "flambeau tr",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "flambeau"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["plain,train"]
