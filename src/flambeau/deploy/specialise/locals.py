"""Local names that folding has left without a use, or with nothing but a plain value."""

from __future__ import annotations

import ast
from collections.abc import Collection

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.flow import dominates
from flambeau.deploy.specialise.fold import held_together
from flambeau.deploy.specialise.knowledge import Knowledge
from flambeau.deploy.specialise.scopes import FunctionNode, all_arguments
from flambeau.deploy.specialise.trees import dotted_name, walk, written

LONGEST_LITERAL = 20


def tidy_locals(script: SourceText, knowledge: Knowledge, roots: Collection[str]) -> None:
    """Remove local names that nobody reads, and write plain values and other names in place."""
    for (scope, name), nodes in script.scopes.uses.items():
        if not isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        stores = [node for node in nodes if not isinstance(node.ctx, ast.Load)]
        loads = [node for node in nodes if isinstance(node.ctx, ast.Load)]
        function = scope.node
        if stores and not loads and not _is_declared_outer(function, name):
            for store in stores:
                _remove_store(script, knowledge, store)
        elif len(stores) == 1 and function.name not in roots and not _is_parameter(function, name):
            _write_in_place(script, knowledge, stores[0], loads)
    _shorten_loops(script)
    _return_at_once(script, roots)
    _remove_overwritten(script, knowledge)
    _remove_functions(script)
    for statement in script.blocks:
        if not isinstance(statement, ast.Expr) or isinstance(statement.value, ast.Constant):
            continue
        if knowledge.purity.is_pure(statement.value):
            script.remove(statement)


def _is_declared_outer(function: FunctionNode, name: str) -> bool:
    return any(isinstance(n, ast.Global | ast.Nonlocal) and name in n.names for n in walk(function))


def _is_parameter(function: FunctionNode, name: str) -> bool:
    return any(argument.arg == name for argument in all_arguments(function.args))


def _remove_store(script: SourceText, knowledge: Knowledge, store: ast.Name) -> None:
    """Remove an assignment to one name that nobody reads; what has an effect stays as a statement."""
    statement = script.parents[store]
    if store.id == "_":
        return
    if isinstance(statement, ast.Tuple) and isinstance(script.parents[statement], ast.Assign):
        whole = script.parents[statement]
        if isinstance(whole, ast.Assign) and knowledge.purity.is_pure(whole.value):
            names = [part.id if isinstance(part, ast.Name) else "" for part in statement.elts]
            if all(name and not _is_read(script, store, name) for name in names):
                script.remove(whole)
        return
    if any(isinstance(above, ast.For) and store in walk(above.target) for above in script.ancestors(store)):
        script.replace(store, "_")
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
    uses = script.scopes.uses.get((script.scopes.home[beside], name), [])
    return any(isinstance(node.ctx, ast.Load) for node in uses)


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
    if not (literal and len(text) <= LONGEST_LITERAL) and not _is_fixed_name(
        script, knowledge, value, statement
    ):
        return
    inside = any(isinstance(above, ast.JoinedStr) for load in loads for above in script.ancestors(load))
    if inside or not all(dominates(script, store, load) for load in loads):
        return
    for load in loads:
        script.replace(load, text)
    script.remove(statement)


def _is_fixed_name(script: SourceText, knowledge: Knowledge, node: ast.expr, before: ast.stmt) -> bool:
    """Whether an expression is a local name that is set once, before that statement."""
    if not isinstance(node, ast.Name):
        return False
    home = script.scopes.home[node]
    if not isinstance(home.node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    stores = knowledge.types.stores.get((home, node.id), [])
    if _is_parameter(home.node, node.id):
        return not stores
    return len(stores) == 1 and script.span(stores[0])[0] < script.span(before)[0]


def _shorten_loops(script: SourceText) -> None:
    """`for _, x in enumerate(XS)` becomes `for x in XS`, and `a, b = A, b` becomes `a = A`."""
    for node in script.nodes:
        if (
            isinstance(node, ast.For)
            and isinstance(node.target, ast.Tuple)
            and isinstance(node.iter, ast.Call)
        ):
            first, *others = node.target.elts
            counted = dotted_name(node.iter.func) == "enumerate" and len(node.iter.args) == 1
            if counted and written(first) == "_" and len(others) == 1:
                script.replace(node.iter, script.source(node.iter.args[0]))
                script.replace(node.target, script.source(others[0]))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            if not isinstance(target, ast.Tuple) or not isinstance(value, ast.Tuple):
                continue
            pairs = list(zip(target.elts, value.elts, strict=False))
            kept = [pair for pair in pairs if not _is_same_name(*pair)]
            if len(target.elts) == len(value.elts) and len(kept) == 1 < len(pairs):
                script.replace(node, f"{script.source(kept[0][0])} = {script.source(kept[0][1])}")


def _is_same_name(one: ast.expr, other: ast.expr) -> bool:
    return isinstance(one, ast.Name) and isinstance(other, ast.Name) and one.id == other.id


def _remove_overwritten(script: SourceText, knowledge: Knowledge) -> None:
    """`x = x`, and `x = A` right before `x = B`."""
    for statement, block in script.blocks.items():
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        target = _only_target(statement)
        if not isinstance(target, ast.Name | ast.Attribute) or not knowledge.purity.is_pure(statement.value):
            continue
        name, place = written(target), block.index(statement)
        following = block[place + 1] if place + 1 < len(block) else None
        if written(statement.value) == name:
            script.remove(statement)
        elif isinstance(following, ast.Assign) and written(following.targets[0]) == name:
            sets = isinstance(_only_target(following), ast.Name | ast.Attribute)
            if sets and not _mentions(following.value, name):
                script.remove(statement)


def _only_target(statement: ast.Assign | ast.AnnAssign) -> ast.expr | None:
    if isinstance(statement, ast.AnnAssign):
        return statement.target
    return statement.targets[0] if len(statement.targets) == 1 else None


def _mentions(node: ast.expr, name: str) -> bool:
    """Whether an expression may read that name or attribute; a call may read any attribute of an object it gets."""
    parts = [part for part in walk(node) if isinstance(part, ast.Name | ast.Attribute)]
    return any(written(part) == name for part in parts) or (
        "." in name and any(written(part) == name.split(".")[0] for part in parts)
    )


def _return_at_once(script: SourceText, roots: Collection[str]) -> None:
    """`x = E` right before `return x` becomes `return E`."""
    for node in script.nodes:
        function = script.function_of(node) if isinstance(node, ast.Return) else None
        if not isinstance(node, ast.Return) or function is None or function.name in roots:
            continue
        block = script.blocks[node]
        before = block[block.index(node) - 1] if block.index(node) else None
        if isinstance(before, ast.Assign) and isinstance(node.value, ast.Name) and len(before.targets) == 1:
            target = before.targets[0]
            if (
                isinstance(target, ast.Name)
                and target.id == node.value.id
                and script.scopes.home[target].node is function
            ):
                start = script.starts[before.lineno - 1]
                value = held_together(script.source(before.value), before.value, 9)
                text = f"{' ' * node.col_offset}return {value}\n"
                script.replace_span(start, script.starts[node.end_lineno or 0], text)


def _remove_functions(script: SourceText) -> None:
    """Functions inside functions that nobody calls."""
    for node in script.nodes:
        if isinstance(node, ast.FunctionDef) and isinstance(script.parents[node], ast.FunctionDef):
            home = script.scopes.around[node]
            if (home, node.name) not in script.scopes.uses:
                script.remove(node)
