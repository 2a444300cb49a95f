"""Facts about a run that its glue cannot say: the value of an expression, or a shorter one that does the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

from flambeau.deploy.specialise.core import EjectError
from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.scopes import FunctionNode
from flambeau.deploy.specialise.trees import walk


@dataclass(frozen=True)
class Instead:
    """The text of an expression that does the same in this run."""

    text: str


# Holds together wherever it stands.
_PLAIN = re.compile(r"[\w.]+")
# Function, with the classes and functions around it and dots between → expression in it → what is known.
Facts = Mapping[str, Mapping[str, object]]


def replace_by_facts(text: str, facts: Facts) -> str:
    """The text with every expression for which the facts name another one.

    Raises:
        EjectError: a fact is about an expression that its function does not have, so it has become untrue unnoticed.
    """
    script = SourceText(text)
    known = {script.qualified_name(node): node for node in script.nodes if isinstance(node, FunctionNode)}
    for name, expressions in facts.items():
        if name not in known:
            continue
        for expression, value in expressions.items():
            nodes = [n for n in walk(known[name]) if isinstance(n, ast.expr) and ast.unparse(n) == expression]
            if not nodes:
                raise EjectError(f"'{name}' has no expression {expression!r}")
            if isinstance(value, Instead):
                for node in nodes:
                    statement = script.statement_of(node)
                    if value.text == "None" and isinstance(statement, ast.Expr) and statement.value is node:
                        script.remove(statement)
                    else:
                        plain = _PLAIN.fullmatch(value.text) is not None
                        script.replace(node, value.text if plain else f"({value.text})")
    return script.apply()
