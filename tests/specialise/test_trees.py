"""Quick walks see what those of `ast` see, and the search for cycles is put back."""

from __future__ import annotations

import ast
import gc
import inspect

import pytest

from flambeau.deploy.specialise import edits, evaluate, trees
from flambeau.deploy.specialise.trees import all_below, dotted_name, no_collection, walk, written

SHARED = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)


@pytest.mark.parametrize("module", [edits, evaluate, trees])
def test_walks_are_those_of_ast_without_what_nodes_share(module: object) -> None:
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]  # a module
    plain = [node for node in ast.walk(tree) if not isinstance(node, SHARED)]
    assert walk(tree) == plain
    below = all_below(tree)
    assert list(below) == plain
    assert [node for parts in below.values() for node in parts] == plain[1:]
    for node in plain:
        if isinstance(node, ast.expr):
            assert written(node) == ast.unparse(node)
            assert dotted_name(node) in ("", ast.unparse(node))


def test_the_search_for_cycles_is_put_back() -> None:
    for before in (True, False):
        (gc.enable if before else gc.disable)()
        with pytest.raises(ZeroDivisionError), no_collection():
            assert not gc.isenabled()
            _ = 1 / 0
        assert gc.isenabled() is before
    gc.enable()
