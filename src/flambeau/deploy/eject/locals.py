"""Local names that folding has left without a use, or with nothing but a plain value."""

from __future__ import annotations

import ast
from collections.abc import Collection

from flambeau.deploy.eject.edits import SourceText
from flambeau.deploy.eject.knowledge import Knowledge
from flambeau.deploy.eject.scopes import FunctionNode, Scope

LONGEST_LITERAL = 20


def tidy_locals(script: SourceText, knowledge: Knowledge, roots: Collection[str]) -> None:
    """Remove local names that nobody reads, and write plain values and other names in place."""
    uses: dict[tuple[Scope, str], list[ast.Name]] = {}
    for node, home in script.scopes.home.items():
        if isinstance(home.node, ast.FunctionDef | ast.AsyncFunctionDef):
            uses.setdefault((home, node.id), []).append(node)
    for (scope, name), nodes in uses.items():
        stores = [node for node in nodes if not isinstance(node.ctx, ast.Load)]
        loads = [node for node in nodes if isinstance(node.ctx, ast.Load)]
        function = scope.node
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if stores and not loads and not _is_declared_outer(function, name):
            for store in stores:
                _remove_store(script, knowledge, store)
        elif len(stores) == 1 and function.name not in roots and not _is_parameter(function, name):
            _write_in_place(script, knowledge, stores[0], loads)
    _remove_functions(script)
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Yield | ast.YieldFrom):
            if knowledge.purity.is_pure(node.value):
                script.remove(node)


def _is_declared_outer(function: FunctionNode, name: str) -> bool:
    return any(isinstance(n, ast.Global | ast.Nonlocal) and name in n.names for n in ast.walk(function))


def _is_parameter(function: FunctionNode, name: str) -> bool:
    return any(isinstance(node, ast.arg) and node.arg == name for node in ast.walk(function.args))


def _remove_store(script: SourceText, knowledge: Knowledge, store: ast.Name) -> None:
    """Remove an assignment to one name that nobody reads; what has an effect stays as a statement."""
    statement = script.parents[store]
    if isinstance(statement, ast.Tuple):
        whole = script.parents[statement]
        if isinstance(whole, ast.Assign) and knowledge.purity.is_pure(whole.value):
            names = [part.id if isinstance(part, ast.Name) else "" for part in statement.elts]
            if all(name and not _is_read(script, store, name) for name in names):
                script.remove(whole)
        return
    if isinstance(statement, ast.Assign) and len(statement.targets) > 1:
        start, end = script.span(store)
        script.replace_span(start, script.text.index("=", end) + 1, "")
        return
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return
    if statement.value is None or knowledge.purity.is_pure(statement.value):
        script.remove(statement)
    elif not isinstance(statement, ast.AugAssign):
        script.replace_span(script.span(statement)[0], script.span(statement.value)[0], "")


def _is_read(script: SourceText, beside: ast.Name, name: str) -> bool:
    home = script.scopes.home[beside]
    return any(
        node.id == name and script.scopes.home[node] is home and isinstance(node.ctx, ast.Load)
        for node in script.scopes.home
    )


def _write_in_place(script: SourceText, knowledge: Knowledge, store: ast.Name, loads: list[ast.Name]) -> None:
    """`x = VALUE` with a short literal, or another name that is never set anew, goes into the places of x."""
    statement = script.parents[store]
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None or not loads:
        return
    if isinstance(statement, ast.Assign) and statement.targets != [store]:
        return
    value = statement.value
    text = script.source(value)
    literal = isinstance(value, ast.Constant | ast.Tuple | ast.UnaryOp) and knowledge.value(value).is_constant
    if not (literal and len(text) <= LONGEST_LITERAL) and not _is_fixed_name(script, knowledge, value):
        return
    inside = any(isinstance(above, ast.JoinedStr) for load in loads for above in script.ancestors(load))
    if inside or not all(knowledge.evaluator.dominates(store, load) for load in loads):
        return
    for load in loads:
        script.replace(load, text)
    script.remove(statement)


def _is_fixed_name(script: SourceText, knowledge: Knowledge, node: ast.expr) -> bool:
    if not isinstance(node, ast.Name):
        return False
    home = script.scopes.home[node]
    if not isinstance(home.node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    stores = knowledge.evaluator.stores.get((home, node.id), [])
    if _is_parameter(home.node, node.id):
        return not stores
    return len(stores) == 1 and isinstance(script.parents[stores[0]], ast.Assign)


def _remove_functions(script: SourceText) -> None:
    """Functions inside functions that nobody calls."""
    for node in ast.walk(script.tree):
        if isinstance(node, ast.FunctionDef) and isinstance(script.parents[node], ast.FunctionDef):
            home = script.scopes.around[node]
            if not any(n.id == node.name and h is home for n, h in script.scopes.home.items()):
                script.remove(node)
