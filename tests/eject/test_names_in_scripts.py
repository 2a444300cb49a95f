"""What strangers and files name is never code in a script."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from flambeau.deploy.eject.picture_sources import _short_bodies
from flambeau.deploy.eject.text import Code, call, literal, one_line
from flambeau.deploy.eject.text_models import directory_code
from flambeau.deploy.eject.words import in_docstring
from flambeau.errors import RunError
from flambeau.models.pretrained_text import plain_settings

HOSTILE = "aa=print(1) or 1, bb"
TEXTS = ('"', "'", '"""', "\\", "\n", "\r", "\u2028", "\x0c", '"); print(1) #', "{x}", "é", "\ud800")


@pytest.mark.parametrize("name", [HOSTILE, "a b", "", "class", "a\n", "a.b", "1"])
def test_an_argument_is_a_name(name: str) -> None:
    with pytest.raises(RunError, match="with this name"):
        call("Net", **{name: 1})
    with pytest.raises(RunError, match="with this name"):
        call("Net", reasons={name: "so"}, **{name: 1})


def test_a_key_of_a_configuration_is_no_code() -> None:
    config = {"model_type": "bert", "hidden_size": 8, HOSTILE: 1, "lambda": 2}
    assert plain_settings(config) == {"model_type": "bert", "hidden_size": 8}
    with pytest.raises(RunError, match="with this name"):
        directory_code({"config": config, "outputs": 2})


@pytest.mark.parametrize("text", TEXTS)
def test_texts_stay_texts(text: str) -> None:
    assert ast.literal_eval(literal({text: [(text,), text]})) == {text: [(text,), text]}
    made = call("Net", text, reasons={"width": f"because {text}"}, width=3)
    (statement,) = ast.parse(made.encode("utf-8", "replace").decode()).body
    assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    assert len(f"# {one_line(text)}".splitlines()) == 1
    assert ast.get_docstring(ast.parse(f'"""{in_docstring(text)} """'.encode("utf-8", "replace"))) is not None


def test_numbers_that_are_none_have_a_text() -> None:
    assert literal(float("inf")) == "float('inf')" and literal(Code("x")) == "x" and literal(0.5) == "0.5"


def test_the_name_of_a_file_is_no_code() -> None:
    for body in _short_bodies(Path('a"); print(1); x = ("b.npy')):
        calls = [node for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Call)]
        assert not any(isinstance(one.func, ast.Name) and one.func.id == "print" for one in calls)
