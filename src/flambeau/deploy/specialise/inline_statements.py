"""A short function that is called once: its statements take the place of the call."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.fold import held_together
from flambeau.deploy.specialise.inline import is_simple, normal_body, own_statements
from flambeau.deploy.specialise.knowledge import Knowledge
from flambeau.deploy.specialise.signatures import Target
from flambeau.deploy.specialise.trees import walk

MOST_LINES = 6
MOST_UNCHANGED_LINES = 2
_UNMOVABLE = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Yield, ast.YieldFrom, ast.Await),
    *(ast.Global, ast.Nonlocal, ast.JoinedStr, ast.Try, ast.NamedExpr),
)
CallStatement = ast.Assign | ast.Return | ast.Expr


def inline_statements(
    script: SourceText, knowledge: Knowledge, own: Collection[str], originals: Mapping[str, str]
) -> None:
    """Dissolve functions that are called once, if folding has left a few lines of them or they had hardly more."""
    for target in knowledge.targets.values():
        function = target.function
        if not isinstance(function, ast.FunctionDef) or target.class_ is not None or target.name in own:
            continue
        if target.opaque or target.escapes or len(target.sites) != 1 or function.decorator_list:
            continue
        body = own_statements(function)
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
        unchanged = originals.get(target.name) == normal_body(function)
        if lines <= (MOST_UNCHANGED_LINES if unchanged else MOST_LINES) and _is_movable(body):
            _dissolve(script, knowledge, target, body)


def _is_movable(body: list[ast.stmt]) -> bool:
    """Whether statements run from the first to the last, with at most one return, at the end."""
    nodes = [node for statement in body for node in walk(statement)]
    returns = [node for node in nodes if isinstance(node, ast.Return)]
    if any(isinstance(node, _UNMOVABLE) for node in nodes):
        return False
    return returns in ([], [body[-1]]) and not (returns and body[-1].value is None)  # type: ignore[attr-defined]


def _dissolve(script: SourceText, knowledge: Knowledge, target: Target, body: list[ast.stmt]) -> None:
    site = target.sites[0]
    statement = script.parents[site.call]
    caller = script.function_of(site.call)
    if not isinstance(statement, CallStatement) or caller is None or caller is target.function:
        return
    if site.is_partial or site.starred or site.double_starred:
        return
    arguments: dict[str, ast.expr] = {}
    for parameter in target.parameters.values():
        argument = site.given.get(parameter.name, parameter.default)
        if argument is None:
            return
        if not is_simple(argument) and not _is_taken_first(
            script, knowledge, target, body, argument, parameter.name
        ):
            return
        arguments[parameter.name] = argument
    if not _fits(script, body, statement, arguments):
        return
    edits = [
        (*script.span(node), held_together(script.source(arguments[node.id]), arguments[node.id], 0))
        for part in body
        for node in walk(part)
        if isinstance(node, ast.Name) and _is_own(script, target, node) and node.id in arguments
    ]
    text = _moved_text(script, body, statement, edits)
    if text is not None:
        script.replace_lines(statement, text)


def _is_taken_first(
    script: SourceText,
    knowledge: Knowledge,
    target: Target,
    body: list[ast.stmt],
    argument: ast.expr,
    name: str,
) -> bool:
    """Whether an argument without effects is read once, in the first statement, before anything has happened."""
    reads = [n for s in body for n in walk(s) if isinstance(n, ast.Name) and n.id == name]
    first = body[0]
    if len(reads) != 1 or not isinstance(first, ast.Expr | ast.Assign | ast.Return):
        return False
    if not knowledge.purity.is_pure(argument) or "#" in script.source(argument):
        return False
    here = script.scopes.home[reads[0]]
    return here.node is target.function and script.statement_of(reads[0]) is first


def _is_own(script: SourceText, target: Target, node: ast.Name) -> bool:
    return script.scopes.home[node].node is target.function


def _fits(
    script: SourceText,
    body: list[ast.stmt],
    statement: CallStatement,
    arguments: Mapping[str, ast.expr],
) -> bool:
    """Whether the names of the function keep their meaning in the place of the call."""
    nodes = [node for part in body for node in walk(part)]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    around = script.scopes.around[statement]
    if any(script.scopes.is_global(n) and around.lookup(n.id) is not script.scopes.module for n in names):
        return False
    goal = statement.targets[0] if isinstance(statement, ast.Assign) else None
    overwritten = {goal.id} if isinstance(goal, ast.Name) else set()
    if isinstance(statement, ast.Assign) and len(statement.targets) > 1:
        return False
    given = {n.id for a in arguments.values() for n in walk(a) if isinstance(n, ast.Name)}
    stored = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    for name in stored & set(arguments):
        argument = arguments[name]
        same = isinstance(argument, ast.Name) and argument.id == name
        if not same or not (isinstance(statement, ast.Return) or name in overwritten):
            return False
    if (stored - set(arguments)) & given:
        return False
    changes = any(
        isinstance(n, ast.Attribute | ast.Subscript) and not isinstance(n.ctx, ast.Load) for n in nodes
    )
    if changes and any(isinstance(a, ast.Attribute) for a in arguments.values()):
        return False
    caller = script.scopes.around[statement]
    if not isinstance(caller.node, ast.FunctionDef):
        return False
    inner = set(caller.bound) - overwritten - set(arguments)
    return isinstance(statement, ast.Return) or not (stored - set(arguments)) & inner


def _moved_text(
    script: SourceText, body: list[ast.stmt], statement: CallStatement, edits: list[tuple[int, int, str]]
) -> str | None:
    """The statements with the arguments in them, at the indentation of the call, ending as the call was used."""
    last = body[-1]
    first_line = body[0].lineno
    while script.lines[first_line - 2].strip().startswith("#"):
        first_line -= 1
    start, end = script.starts[first_line - 1], script.starts[last.end_lineno or 0]
    if isinstance(last, ast.Return) and last.value is not None:
        value = last.value
        begin, stop = script.span(value)
        inside = [edit for edit in edits if begin <= edit[0] < stop]
        result = held_together(_edited(script.text, begin, stop, inside), value, 9)
        edits = [edit for edit in edits if edit not in inside]
        ending = _ending(script, statement, result)
        edits.append((script.span(last)[0], end, ending + "\n" if ending else ""))
    elif not isinstance(statement, ast.Expr):
        return None
    text = _edited(script.text, start, end, edits)
    shift = statement.col_offset - body[0].col_offset
    lines = [_shifted(line, shift) for line in text.splitlines(keepends=True)]
    return "".join(lines)


def _ending(script: SourceText, statement: CallStatement, result: str) -> str:
    """The function's result, used as the call was."""
    if isinstance(statement, ast.Expr):
        return result
    call = statement.value
    assert call is not None
    before = script.text[script.span(statement)[0] : script.span(call)[0]]
    return "" if before.strip() == f"{result} =" else f"{before}{result}"


def _shifted(line: str, shift: int) -> str:
    if not line.strip():
        return line
    return " " * shift + line if shift > 0 else line[-shift:]


def _edited(text: str, start: int, end: int, edits: list[tuple[int, int, str]]) -> str:
    """A slice of the text after edits inside of it."""
    for begin, stop, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[stop:]
        end += len(new) - (stop - begin)
    return text[start:end]
