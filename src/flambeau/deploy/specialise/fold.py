"""Tests that are decided before the script runs: their branches, operands and filters go or stay."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.knowledge import Knowledge
from flambeau.deploy.specialise.trees import dotted_name
from flambeau.deploy.specialise.values import constant

_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
# How tightly an expression holds together; what is not named holds tightest.
_LOOSENESS: dict[type, int] = {
    ast.NamedExpr: 9, ast.Starred: 9, ast.Yield: 9, ast.Lambda: 8, ast.IfExp: 7, ast.BoolOp: 6, ast.UnaryOp: 5,
    ast.Compare: 4, ast.BinOp: 3,
}  # fmt: skip


def fold_tests(script: SourceText, knowledge: Knowledge) -> None:
    """Decide every `if`, `while`, ternary, `and`, `or`, `not`, comparison and filter that can be decided."""
    for node in script.nodes:
        if isinstance(node, ast.If):
            _fold_if(script, knowledge, node)
        elif isinstance(node, ast.While):
            if knowledge.truth(node.test) is False and not node.orelse:
                script.remove(node)
        elif isinstance(node, ast.IfExp):
            holds = knowledge.truth(node.test)
            if ast.dump(node.body) == ast.dump(node.orelse):
                holds = True
            if holds is not None and knowledge.purity.is_pure(node.test):
                put_in_place(script, node, node.body if holds else node.orelse)
        elif isinstance(node, ast.BoolOp):
            _fold_bool(script, knowledge, node)
        elif isinstance(node, ast.Compare) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            holds = knowledge.truth(node)
            if holds is not None and knowledge.purity.is_pure(node):
                script.replace(node, str(holds))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            _fold_factor(script, knowledge, node)
        elif isinstance(node, ast.BinOp | ast.AugAssign):
            _fold_nothing(script, knowledge, node)
        elif isinstance(node, ast.comprehension):
            for test in node.ifs:
                if knowledge.truth(test) is True and knowledge.purity.is_pure(test):
                    start, end = script.span(test)
                    begin = script.text.rindex("if", 0, start)
                    if script.text[begin + 2 : start].strip() == "":
                        script.replace_span(begin, end, "")


def _fold_nothing(script: SourceText, knowledge: Knowledge, node: ast.BinOp | ast.AugAssign) -> None:
    """A comprehension over nothing adds nothing."""
    if not isinstance(node.op, ast.Add | ast.BitOr):
        return
    if isinstance(node, ast.AugAssign):
        if _is_nothing(knowledge, node.value):
            script.remove(node)
    elif _is_nothing(knowledge, node.right):
        put_in_place(script, node, node.left)
    elif _is_nothing(knowledge, node.left):
        put_in_place(script, node, node.right)


def _is_nothing(knowledge: Knowledge, node: ast.expr) -> bool:
    comprehension = isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp)
    return comprehension and knowledge.value(node.generators[0].iter).same(constant(()))  # type: ignore[attr-defined]


def _fold_factor(script: SourceText, knowledge: Knowledge, node: ast.BinOp) -> None:
    """x · 1 → x and -1 · x → -x for floats, which keep every bit."""
    for one, other in ((node.left, node.right), (node.right, node.left)):
        text = script.source(one)
        if text in ("1", "1.0", "-1", "-1.0") and _is_float(knowledge, other):
            if text.startswith("-"):
                script.replace(node, "-" + held_together(script.source(other), other, 0))
            else:
                put_in_place(script, node, other)
            return


def _is_float(knowledge: Knowledge, node: ast.expr) -> bool:
    """Whether an expression is surely a Python float, so that a factor of 1.0 changes nothing."""
    if isinstance(node, ast.Attribute):
        annotation = knowledge.types.field_annotation(node)
        return annotation is not None and ast.unparse(annotation) in ("float", "float | None")
    if not isinstance(node, ast.Call):
        value = knowledge.value(node)
        return value.is_constant and isinstance(value.constant, float)
    return knowledge.types.gives_float(node.func)


def put_in_place(script: SourceText, whole: ast.expr, part: ast.expr) -> None:
    """Put the text of a part in the place of the whole expression, in parentheses where it needs them."""
    script.replace(whole, held_together(script.source(part), part, _LOOSENESS.get(type(whole), 2)))


def held_together(text: str, node: ast.expr, looseness: int = 2) -> str:
    """The text of an expression, in parentheses if it would fall apart where that looseness is expected."""
    if _LOOSENESS.get(type(node), 0) > looseness:
        return f"({text})"
    try:
        ast.parse(text.strip(), mode="eval")
    except SyntaxError:
        return f"({text})"
    return text


def _fold_if(script: SourceText, knowledge: Knowledge, node: ast.If) -> None:
    holds = knowledge.truth(node.test)
    if holds is None or not knowledge.purity.is_pure(node.test):
        return
    is_elif = script.text.startswith("elif", script.span(node)[0])
    first = script.starts[node.lineno - 1]
    end = script.starts[node.end_lineno or 0]
    test_end = script.span(node.test)[1]
    if holds:
        indent = node.col_offset + 4 if is_elif else node.col_offset
        body = script.block_text(test_end, node.body, indent)
        script.replace_span(first, end, " " * node.col_offset + "else:\n" + body if is_elif else body)
    elif not node.orelse:
        if is_elif:
            script.replace_span(first, end, "")
        else:
            script.remove(node)
    elif _is_elif(script, node):
        begin = script.span(node.orelse[0])[0]
        text = script.text[begin:end]
        script.replace_span(first, end, " " * node.col_offset + (text if is_elif else text[2:]))
    else:
        line = script.else_line(node.body, node.orelse)
        if is_elif:
            script.replace_span(first, script.starts[line - 1], "")
        else:
            script.replace_span(
                first, end, script.block_text(script.starts[line - 1], node.orelse, node.col_offset)
            )


def _is_elif(script: SourceText, node: ast.If) -> bool:
    other = node.orelse[0]
    return (
        len(node.orelse) == 1
        and isinstance(other, ast.If)
        and script.text.startswith("elif", script.span(other)[0])
    )


def _fold_bool(script: SourceText, knowledge: Knowledge, node: ast.BoolOp) -> None:
    """Leave out operands that cannot decide, and those behind one that does."""
    decided = isinstance(node.op, ast.Or)
    is_test = in_test_position(script, node)
    kept: list[ast.expr] = []
    for place, operand in enumerate(node.values):
        holds = knowledge.truth(operand)
        last = place == len(node.values) - 1
        if holds is None or not knowledge.purity.is_pure(operand):
            kept.append(operand)
        elif holds is decided:
            if is_test and all(knowledge.purity.is_pure(other) for other in kept):
                script.replace(node, str(decided))
                return
            kept.append(operand)
            break
        elif last and not (is_test and kept):
            kept.append(operand)
    if len(kept) == 1:
        put_in_place(script, node, kept[0])
    elif len(kept) < len(node.values):
        word = " or " if decided else " and "
        script.replace(node, word.join(held_together(script.source(part), part, 5) for part in kept))


def in_test_position(script: SourceText, node: ast.expr) -> bool:
    """Whether only the truth of an expression matters."""
    parent = script.parents[node]
    if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert):
        return parent.test is node
    if isinstance(parent, ast.UnaryOp):
        return isinstance(parent.op, ast.Not)
    if isinstance(parent, ast.comprehension):
        return node in parent.ifs
    if isinstance(parent, ast.BoolOp):
        return in_test_position(script, parent)
    return isinstance(parent, ast.Call) and dotted_name(parent.func) == "bool"


def remove_unreachable(script: SourceText) -> None:
    """Statements behind a return, raise, continue or break."""
    for block in _blocks(script):
        for place, statement in enumerate(block[:-1]):
            if isinstance(statement, _ENDS):
                for other in block[place + 1 :]:
                    script.remove(other)
                break


def tidy_blocks(script: SourceText, knowledge: Knowledge) -> None:
    """What has become empty goes, and a context that does nothing around its block."""
    for node in script.nodes:
        if isinstance(node, ast.With):
            _unwrap_with(script, node)
        elif isinstance(node, ast.If):
            _tidy_if(script, knowledge, node)
        elif isinstance(node, ast.For) and _is_empty(node.body) and not node.orelse:
            if knowledge.purity.is_pure(node.iter):
                script.remove(node)
        elif isinstance(node, ast.Pass) and len(script.blocks[node]) > 1:
            script.remove(node)


def _tidy_if(script: SourceText, knowledge: Knowledge, node: ast.If) -> None:
    pure = knowledge.purity.is_pure(node.test)
    is_elif = script.text.startswith("elif", script.span(node)[0])
    if _is_empty(node.body) and not node.orelse and pure:
        if is_elif:
            script.replace_span(script.starts[node.lineno - 1], script.starts[node.end_lineno or 0], "")
        else:
            script.remove(node)
    elif node.orelse and _is_empty(node.orelse):
        line = script.else_line(node.body, node.orelse)
        script.replace_span(script.starts[line - 1], script.starts[node.end_lineno or 0], "")


def _is_empty(block: list[ast.stmt]) -> bool:
    return all(isinstance(statement, ast.Pass) for statement in block)


def _unwrap_with(script: SourceText, node: ast.With) -> None:
    kept = [item for item in node.items if not _is_null(item)]
    if len(kept) == len(node.items):
        return
    if not kept:
        end = script.span(node.items[-1].context_expr)[1]
        script.replace_lines(node, script.block_text(end, node.body, node.col_offset))
        return
    start = script.span(node.items[0].context_expr)[0]
    last = node.items[-1]
    end = script.span(last.optional_vars or last.context_expr)[1]
    script.replace_span(start, end, ", ".join(_item_text(script, item) for item in kept))


def _item_text(script: SourceText, item: ast.withitem) -> str:
    start = script.span(item.context_expr)[0]
    return script.text[start : script.span(item.optional_vars or item.context_expr)[1]]


def _is_null(item: ast.withitem) -> bool:
    return ast.unparse(item.context_expr) == "nullcontext()" and item.optional_vars is None


def _blocks(script: SourceText) -> Iterator[list[ast.stmt]]:
    seen: set[int] = set()
    for block in script.blocks.values():
        if id(block) not in seen:
            seen.add(id(block))
            yield block
