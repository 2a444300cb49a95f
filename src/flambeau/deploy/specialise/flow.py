"""Which assignments have been done when a name is read."""

from __future__ import annotations

import ast

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.scopes import FunctionNode


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
    places: dict[ast.AST, int] = {}
    for place, statement in enumerate(function.body):
        places.update((node, place) for node in ast.walk(statement))
    if use not in places:
        return True  # a default or decorator
    lazy = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.GeneratorExp)
    for above in script.ancestors(use):
        if above is function:
            break
        if isinstance(above, lazy):
            return False
    first = min(places[store] for store in stores)
    statement = function.body[first]
    simple = isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
    if isinstance(statement, ast.If):
        return places[use] < first or (places[use] == first and use in set(ast.walk(statement.test)))
    return places[use] < first or (places[use] == first and simple)
