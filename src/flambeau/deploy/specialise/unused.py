"""Definitions that nothing in a script reaches."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.trees import dotted_name, walk, written

# A base class other than these may call any method of its heirs.
_KNOWN_BASES = {"nn.Module", "Protocol", "ABC", "object", "Exception", "ValueError", "OSError"}
_MODULE_METHODS = frozenset({
    "forward", "train", "eval", "extra_repr", "reset_parameters", "state_dict", "load_state_dict",
    "apply", "to", "cuda", "cpu", "float", "half", "bfloat16", "requires_grad_", "parameters",
    "named_parameters", "buffers", "children", "modules", "zero_grad", "get_submodule"
})  # fmt: skip
Part = ast.stmt


class _Reach:
    """Walks from the roots to all that they need."""

    def __init__(self, script: SourceText, roots: Collection[str]) -> None:
        self.script = script
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.live: set[Part] = set()
        self.sleeping: dict[ast.ClassDef, list[Part]] = {}
        for statement in script.tree.body:
            defined = set(defined_names(statement))
            if not defined or defined & set(roots):
                self._wake(statement)
        self._settle()

    def _settle(self) -> None:
        before = -1
        while before != len(self.live):
            before = len(self.live)
            for statement in self.script.tree.body:
                if statement not in self.live and set(defined_names(statement)) & self.names:
                    self._wake(statement)
            for methods in self.sleeping.values():
                for method in [m for m in methods if set(defined_names(m)) & self.attributes]:
                    methods.remove(method)
                    self._wake(method)

    def _wake(self, statement: Part) -> None:
        self.live.add(statement)
        if isinstance(statement, ast.ClassDef):
            for part in (*statement.bases, *statement.decorator_list, *statement.keywords):
                self._note(part)
            self.sleeping[statement] = []
            for member in statement.body:
                if _may_sleep(statement, member):
                    self.sleeping[statement].append(member)
                else:
                    self._wake(member)
        else:
            self._note(statement)

    def _note(self, node: ast.AST) -> None:
        for part in walk(node):
            if (
                isinstance(part, ast.Name)
                and isinstance(part.ctx, ast.Load)
                and self.script.scopes.is_global(part)
            ):
                self.names.add(part.id)
            elif isinstance(part, ast.Attribute):
                self.attributes.add(part.attr)
            elif isinstance(part, ast.Call) and dotted_name(part.func) in ("getattr", "hasattr"):
                self.attributes.update(str(a.value) for a in part.args if isinstance(a, ast.Constant))


def _may_sleep(class_: ast.ClassDef, member: ast.stmt) -> bool:
    """Whether a member of a class can be left out while nobody names it."""
    if not isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) or member.name.startswith("__"):
        return False
    bases = {written(base) for base in class_.bases}
    return bases <= _KNOWN_BASES and member.name not in _MODULE_METHODS


def defined_names(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement defines; none for imports and for what is done for its effect."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from (leaf.id for leaf in walk(target) if isinstance(leaf, ast.Name))


def remove_unused(script: SourceText, roots: Collection[str]) -> None:
    """Take out functions, classes, methods and constants that nothing needs; the roots are always needed."""
    reach = _Reach(script, roots)
    for statement in script.tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom | ast.Expr):
            continue
        if statement not in reach.live:
            script.remove(statement)
        elif isinstance(statement, ast.Assign):
            _shorten_tuple(script, statement, reach.names | set(roots))
    for methods in reach.sleeping.values():
        for method in methods:
            script.remove(method)


def _shorten_tuple(script: SourceText, statement: ast.Assign, needed: set[str]) -> None:
    """`A, B, C = 1, 2, 3` of which only some are needed."""
    target, value = statement.targets[0], statement.value
    if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)) or len(statement.targets) > 1:
        return
    if len(target.elts) != len(value.elts) or not all(isinstance(part, ast.Constant) for part in value.elts):
        return
    kept = [
        (name, part)
        for name, part in zip(target.elts, value.elts, strict=True)
        if isinstance(name, ast.Name) and name.id in needed
    ]
    if 0 < len(kept) < len(value.elts):
        names = ", ".join(script.source(name) for name, _ in kept)
        script.replace(statement, f"{names} = {', '.join(script.source(part) for _, part in kept)}")


def replace_protocols(script: SourceText) -> None:
    """Annotations by a Protocol that a single class of the script fulfils name that class."""
    classes = [node for node in script.tree.body if isinstance(node, ast.ClassDef)]
    methods = {c.name: {m.name for m in c.body if isinstance(m, ast.FunctionDef)} for c in classes}
    protocols = {c.name for c in classes if "Protocol" in map(written, c.bases)}
    for name in protocols:
        fitting = [c for c in methods if c not in protocols and methods[name] <= methods[c]]
        if len(fitting) == 1:
            for node in script.annotations:
                if isinstance(node, ast.Name) and node.id == name:
                    script.replace(node, fitting[0])
