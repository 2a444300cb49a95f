"""Walks over a syntax tree that are faster than those of `ast`, and names as they are written."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Load, Store, Add and their like are objects that all nodes of a kind share; the rest are words and numbers.
_LEFT_OUT = frozenset({
    "ctx", "op", "ops", "id", "attr", "arg", "name", "asname", "module", "level", "kind", "rest", "simple",
    "is_async", "conversion", "type_comment", "type_ignores"
})  # fmt: skip
Below = dict[ast.AST, list[ast.AST]]


_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(name for name in kind._fields if name not in _LEFT_OUT)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}


def children_of(node: ast.AST) -> list[ast.AST]:
    """The nodes right below a node, in the order of `ast.iter_child_nodes`, without operators and contexts."""
    found: list[ast.AST] = []
    for name in _FIELDS[node.__class__]:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [part for part in value if isinstance(part, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def all_below(tree: ast.AST) -> Below:
    """Each node of a tree, in the order of `ast.walk` → the nodes right below it."""
    below: Below = {}
    nodes = [tree]
    for one in nodes:  # grows meanwhile
        nodes += below.setdefault(one, children_of(one))
    return below


def walk(node: ast.AST) -> list[ast.AST]:
    """A node and all below it, in the order of `ast.walk`, without operators and contexts."""
    nodes = [node]
    for one in nodes:  # grows meanwhile
        nodes += children_of(one)
    return nodes


def dotted_name(node: ast.AST) -> str:
    """`a.b.c` as `ast.unparse` writes it; empty for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted_name(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def written(node: ast.AST) -> str:
    """What `ast.unparse` gives, at once for dotted names."""
    return dotted_name(node) or ast.unparse(node)


@contextmanager
def no_collection() -> Iterator[None]:
    """Hold the search for reference cycles, which walks through every tree again and again; memory stays modest."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
