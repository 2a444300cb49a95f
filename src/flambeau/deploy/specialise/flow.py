"""Which assignments have been done when a name is read."""

from __future__ import annotations

import ast

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.scopes import FunctionNode
from flambeau.deploy.specialise.trees import walk


def dominates(script: SourceText, store: ast.Name, use: ast.Name) -> bool:
    """Whether an assignment has been done wherever control reaches the use."""
    statement = script.statement_of(store)
    block = script.blocks[statement]
    for above in [use, *script.ancestors(use)]:
        if isinstance(above, ast.stmt) and above in block:
            return block.index(above) > block.index(statement)
    return False


def is_before(script: SourceText, use: ast.Name, stores: list[ast.Name], function: FunctionNode) -> bool:
    """Whether a use of a parameter is evaluated before the function assigns the parameter."""
    place_of_use = _place_of(script, use, function)
    if place_of_use is None:
        return True  # a default or decorator
    lazy = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.GeneratorExp)
    for above in script.ancestors(use):
        if above is function:
            break
        if isinstance(above, lazy):
            return False
    first = min(place for store in stores if (place := _place_of(script, store, function)) is not None)
    statement = function.body[first]
    simple = isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
    if isinstance(statement, ast.If):
        return place_of_use < first or (place_of_use == first and use in walk(statement.test))
    return place_of_use < first or (place_of_use == first and simple)


def _place_of(script: SourceText, node: ast.AST, function: FunctionNode) -> int | None:
    """The number of the function's statement that a node stands in; None for one outside of its body."""
    for one in (node, *script.ancestors(node)):
        if isinstance(one, ast.stmt) and script.blocks.get(one) is function.body:
            return function.body.index(one)
    return None
