"""Calls that folding has made simpler than the function they call, and tables looked up by a known key."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.fold import held_together
from flambeau.deploy.specialise.knowledge import Knowledge
from flambeau.deploy.specialise.signatures import Site, Target
from flambeau.deploy.specialise.trees import walk
from flambeau.deploy.specialise.unused import defined_names

LONGEST_INLINED = 75


def function_bodies(script: SourceText) -> dict[str, str]:
    """Each function's statements in a normal form, to see later whether it was changed."""
    return {node.name: normal_body(node) for node in script.tree.body if isinstance(node, ast.FunctionDef)}


def normal_body(node: ast.FunctionDef) -> str:
    """The statements of a function in a form that differs only where they do."""
    return "".join(ast.dump(statement) for statement in own_statements(node))


def own_statements(node: ast.FunctionDef) -> list[ast.stmt]:
    """The body of a function without its docstring."""
    return node.body[1:] if ast.get_docstring(node) is not None else node.body


def inline_calls(
    script: SourceText, knowledge: Knowledge, roots: Collection[str], originals: Mapping[str, str]
) -> None:
    """Put the one expression that is left of a folded function in the places of its calls, if it is short."""
    for target in knowledge.targets.values():
        function = target.function
        if not isinstance(function, ast.FunctionDef) or target.class_ is not None or target.name in roots:
            continue
        if target.opaque or target.escapes or not target.sites or function.decorator_list:
            continue
        body = own_statements(function)
        if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
            continue
        if (
            originals.get(target.name) == normal_body(function)
            or len(script.source(body[0].value)) > LONGEST_INLINED
        ):
            continue
        if "#" in script.text[script.span(function)[0] : script.span(body[0])[0]]:
            continue  # a comment would be lost
        for site in target.sites:
            text = _inlined(script, target, site, body[0].value)
            if text is not None:
                script.replace(site.call, text)


def _inlined(script: SourceText, target: Target, site: Site, result: ast.expr) -> str | None:
    """The function's result with the arguments of a call in it; None where that would not be the same."""
    if site.is_partial or site.starred or site.double_starred:
        return None
    if any(isinstance(node, ast.Lambda | ast.GeneratorExp | ast.NamedExpr) for node in walk(result)):
        return None
    arguments: dict[str, ast.expr] = {}
    for parameter in target.parameters.values():
        argument = site.given.get(parameter.name, parameter.default)
        if argument is None:
            return None
        arguments[parameter.name] = argument
    if not all(is_simple(node) for node in arguments.values()) and not _keeps_order(
        script, site, result, arguments
    ):
        return None
    start, end = script.span(result)
    edits: list[tuple[int, int, str]] = []
    assert target.function is not None
    own = script.scopes.of[target.function]
    around = script.scopes.around[site.call]
    for node in walk(result):
        if isinstance(node, ast.JoinedStr):
            return None
        if not isinstance(node, ast.Name):
            continue
        if script.scopes.home[node] is own and node.id in arguments:
            text = held_together(script.source(arguments[node.id]), arguments[node.id], 0)
            edits.append((*script.span(node), text))
        elif script.scopes.is_global(node) and around.lookup(node.id) is not script.scopes.module:
            return None
    text = script.text
    for begin, stop, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[stop:]
    moved = sum(len(new) - (stop - begin) for begin, stop, new in edits)
    inlined = text[start : end + moved]
    if "#" in script.source(result):
        return None
    if isinstance(result, ast.Tuple) and not inlined.startswith("("):
        alone = isinstance(script.parents[site.call], ast.Assign | ast.Return) and "\n" not in inlined
        return inlined if alone else f"({inlined})"
    return held_together(inlined, result, 0)


def _keeps_order(script: SourceText, site: Site, result: ast.expr, arguments: Mapping[str, ast.expr]) -> bool:
    """Whether the result is a call or tuple that takes each argument once, in the order of their evaluation."""
    if isinstance(result, ast.Tuple):
        parts: list[ast.expr] = [*result.elts]
    elif isinstance(result, ast.Call) and is_simple(result.func):
        parts = [*result.args, *(keyword.value for keyword in result.keywords)]
    else:
        return False
    nodes = [node for part in parts for node in walk(part)]
    if not all(isinstance(n, ast.Name | ast.Constant | ast.Tuple | ast.expr_context) for n in nodes):
        return False
    taken = [n for n in nodes if isinstance(n, ast.Name) and n.id in arguments]
    taken.sort(key=lambda node: script.span(node))
    order = sorted(site.given, key=lambda name: script.span(site.given[name]))
    names = [node.id for node in taken]
    return len(set(names)) == len(names) and [name for name in names if name in site.given] == order


def is_simple(node: ast.expr) -> bool:
    """Whether an expression is a name, a constant, or an attribute of a name: repeating it costs nothing."""
    if isinstance(node, ast.Attribute):
        return is_simple(node.value)
    return isinstance(node, ast.Name | ast.Constant)


def resolve_lookups(script: SourceText, knowledge: Knowledge) -> None:
    """`TABLE["key"]` with a known key becomes the value."""
    tables = {
        name: statement.value
        for statement in script.tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Dict)
        for name in defined_names(statement)
    }
    for node in script.nodes:
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
            continue
        key = knowledge.value(node.slice)
        table = (
            tables.get(node.value.id)
            if script.scopes.is_global(node.value)
            else _local_table(knowledge, node.value)
        )
        if table is None or not key.is_constant or not isinstance(node.ctx, ast.Load):
            continue
        for name, value in zip(table.keys, table.values, strict=True):
            if name is not None and knowledge.value(name).same(key) and _means_the_same(script, value, node):
                script.replace(node, held_together(script.source(value), value, 0))


def _local_table(knowledge: Knowledge, node: ast.Name) -> ast.Dict | None:
    home = knowledge.script.scopes.home[node]
    stores = knowledge.types.stores.get((home, node.id), [])
    if len(stores) != 1:
        return None
    statement = knowledge.script.parents[stores[0]]
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Dict):
        return None
    return value if all(is_simple(part) for part in value.values) else None


def _means_the_same(script: SourceText, value: ast.expr, place: ast.expr) -> bool:
    """Whether a table's value can be written elsewhere: plain names of the module that nothing hides there."""
    around = script.scopes.around[place]
    return is_simple(value) and all(
        script.scopes.is_global(node) and around.lookup(node.id) is script.scopes.module
        for node in walk(value)
        if isinstance(node, ast.Name)
    )
