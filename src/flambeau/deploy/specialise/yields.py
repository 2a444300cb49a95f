"""Records that a generator yields and every caller passes over at once: nobody would miss them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.purity import Purity
from flambeau.deploy.specialise.scopes import FunctionNode
from flambeau.deploy.specialise.trees import dotted_name


@dataclass
class _Uses:
    """Where a class of records is used: statements that yield it, and tests at the head of loops that skip it."""

    yields: list[ast.Expr] = field(default_factory=list)
    skips: list[ast.If] = field(default_factory=list)


def remove_unheard_yields(script: SourceText, purity: Purity) -> None:
    """`yield C(...)` goes where each loop over the generator begins with `if isinstance(record, C): continue`."""
    for class_ in script.tree.body:
        uses = _uses_of(script, purity, class_.name) if isinstance(class_, ast.ClassDef) else None
        if uses is None or not uses.yields or not uses.skips or not isinstance(class_, ast.ClassDef):
            continue
        generators = {script.function_of(statement) for statement in uses.yields}
        generator = generators.pop()
        if generators or generator is None or not _all_loops_skip(script, generator, uses.skips):
            continue
        annotation = _without_class(generator.returns, class_.name)
        if annotation is None or generator.returns is None:
            continue
        script.replace(generator.returns, annotation)
        for statement in (*uses.yields, *uses.skips):
            script.remove(statement)
        return


def _uses_of(script: SourceText, purity: Purity, name: str) -> _Uses | None:
    """All uses of a class outside of annotations; None if there is any other kind."""
    uses = _Uses()
    for node in script.nodes:
        if not isinstance(node, ast.Name) or node.id != name or node in script.annotations:
            continue
        call = script.parents[node]
        if not isinstance(call, ast.Call):
            return None
        above = script.parents[call]
        if call.func is node and isinstance(above, ast.Yield) and purity.is_pure(call):
            statement = script.parents[above]
            if not isinstance(statement, ast.Expr):
                return None
            uses.yields.append(statement)
        elif isinstance(above, ast.If) and _is_skip(script, above, call, node):
            uses.skips.append(above)
        else:
            return None
    return uses


def _is_skip(script: SourceText, statement: ast.If, test: ast.Call, node: ast.Name) -> bool:
    """Whether it is `if isinstance(record, C): continue` at the head of `for record in GENERATOR(...)`."""
    loop = script.parents[statement]
    return (
        isinstance(loop, ast.For)
        and loop.body[0] is statement
        and statement.test is test
        and dotted_name(test.func) == "isinstance"
        and test.args[1] is node
        and ast.unparse(test.args[0]) == ast.unparse(loop.target)
        and not statement.orelse
        and len(statement.body) == 1
        and isinstance(statement.body[0], ast.Continue)
    )


def _all_loops_skip(script: SourceText, generator: FunctionNode, skips: list[ast.If]) -> bool:
    """Whether the generator is only ever walked through by loops that pass over these records."""
    loops = [script.parents[skip] for skip in skips]
    for node in script.nodes:
        if isinstance(node, ast.Name) and node.id == generator.name and script.scopes.is_global(node):
            call = script.parents[node]
            loop = script.parents[call]
            if not (isinstance(loop, ast.For) and loop.iter is call and loop in loops):
                return False
    return generator in script.tree.body


def _without_class(annotation: ast.expr | None, name: str) -> str | None:
    """`Iterator[A | B]` without one of the two."""
    if not isinstance(annotation, ast.Subscript):
        return None
    parts = [part.strip() for part in ast.unparse(annotation.slice).split("|")]
    if name not in parts or len(parts) < 2:
        return None
    return f"{ast.unparse(annotation.value)}[{' | '.join(part for part in parts if part != name)}]"
