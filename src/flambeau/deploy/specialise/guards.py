"""Guards go: checks that only raise, assertions, and handlers that only raise another error."""

from __future__ import annotations

import ast
import builtins

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.purity import Purity
from flambeau.deploy.specialise.trees import walk


def remove_guards(script: SourceText, purity: Purity) -> None:
    """Take out what a run that went well has never done.

    A guard stays where something in the script may catch what it raises and go on.
    """
    kept_apart = _functions_under_handlers(script)
    for node in script.nodes:
        if isinstance(node, ast.Assert):
            script.remove(node)
        elif isinstance(node, ast.Raise):
            _remove_raise(script, purity, node, kept_apart)
        elif isinstance(node, ast.Try):
            _unwrap_try(script, node)


def _remove_raise(
    script: SourceText, purity: Purity, node: ast.Raise, kept_apart: dict[str, set[str]]
) -> None:
    block, parent = script.blocks[node], script.parents[node]
    if node.exc is None or isinstance(parent, ast.ExceptHandler) or _is_caught(script, node, kept_apart):
        return
    if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
        script.remove(node)
        return
    if not isinstance(parent, ast.If) or len(block) != 1:
        return
    if block is parent.orelse:
        line = script.else_line(parent.body, parent.orelse)
        script.replace_span(script.starts[line - 1], script.starts[parent.end_lineno or 0], "")
        return
    if not purity.is_pure(parent.test):
        return
    is_elif = script.text.startswith("elif", script.span(parent)[0])
    first, end = script.starts[parent.lineno - 1], script.starts[parent.end_lineno or 0]
    if not parent.orelse:
        script.replace_span(first, end, "") if is_elif else script.remove(parent)
    elif is_elif:
        script.replace_span(first, script.starts[script.else_line_or_elif(parent) - 1], "")
    else:
        other = parent.orelse[0]
        if isinstance(other, ast.If) and script.text.startswith("elif", script.span(other)[0]):
            begin = script.span(other)[0]
            script.replace_span(first, end, " " * parent.col_offset + script.text[begin + 2 : end])
        else:
            line = script.else_line(parent.body, parent.orelse)
            text = script.block_text(script.starts[line - 1], parent.orelse, parent.col_offset)
            script.replace_span(first, end, text)


def _unwrap_try(script: SourceText, node: ast.Try) -> None:
    """`try: BODY except A: raise B` → BODY."""
    if node.finalbody or not all(_only_raises(handler) for handler in node.handlers):
        return
    text = script.block_text(script.starts[node.lineno - 1], node.body, node.col_offset)
    if node.orelse:
        line = script.else_line(node.handlers[-1].body, node.orelse)
        text += script.block_text(script.starts[line - 1], node.orelse, node.col_offset)
    script.replace_lines(node, text)


def _only_raises(handler: ast.ExceptHandler) -> bool:
    *before, last = handler.body
    return isinstance(last, ast.Raise) and all(isinstance(statement, ast.Assign) for statement in before)


def _functions_under_handlers(script: SourceText) -> dict[str, set[str]]:
    """Function or method → names of the exceptions that somebody who calls it may catch and pass over."""
    bodies: dict[str, list[ast.AST]] = {}
    for node in script.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            bodies.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.ClassDef):
            bodies.setdefault(node.name, []).extend(node.body)
    uses = {name: {use for node in nodes for use in _names(node)} for name, nodes in bodies.items()}
    result: dict[str, set[str]] = {}
    for node in script.nodes:
        if not isinstance(node, ast.Try):
            continue
        caught = {name for h in node.handlers if not _only_raises(h) for name in _caught_names(h)}
        todo = [name for statement in node.body for name in _names(statement)] if caught else []
        seen: set[str] = set()
        while todo:
            name = todo.pop()
            if name in bodies and name not in seen:
                seen.add(name)
                result.setdefault(name, set()).update(caught)
                todo += uses[name]
    return result


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in walk(node) if isinstance(part, ast.Name)} | {
        part.attr for part in walk(node) if isinstance(part, ast.Attribute)
    }


def _caught_names(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"BaseException"}
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(part) for part in parts}


def _is_caught(script: SourceText, node: ast.Raise, kept_apart: dict[str, set[str]]) -> bool:
    caught: set[str] = set()
    for above in script.ancestors(node):
        if isinstance(above, ast.Try):
            caught |= {name for h in above.handlers if not _only_raises(h) for name in _caught_names(h)}
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            caught |= kept_apart.get(above.name, set())
    if not caught:
        return False
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    kind = getattr(builtins, ast.unparse(raised), None) if isinstance(raised, ast.Name) else None
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        return True  # of an exception of the script or a library the bases are not known
    known = [getattr(builtins, name, None) for name in caught]
    # a name that is not built in may stand for any tuple of exceptions, unless it is a library's dotted one
    unknown = any(one is None and "." not in name for one, name in zip(known, caught, strict=True))
    return unknown or any(isinstance(one, type) and issubclass(kind, one) for one in known)
