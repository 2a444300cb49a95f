"""A module's text cut into its top-level definitions, each with the comments above it, and its imports."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field

from flambeau.deploy.specialise.core import EjectError
from flambeau.deploy.specialise.scopes import Scopes
from flambeau.deploy.specialise.trees import walk

PACKAGE_NAME = "flambeau"


@dataclass(frozen=True)
class Imported:
    """What a name stands for that comes from outside: `module`, or `name` of `module`."""

    module: str
    name: str = ""

    def line(self, bound: str) -> str:
        """The import statement that binds it to a name."""
        if not self.name:
            plain = self.module == bound or self.module.startswith(bound + ".")
            return f"import {self.module}" + ("" if plain else f" as {bound}")
        return f"from {self.module} import {self.name}" + ("" if self.name == bound else f" as {bound}")


@dataclass(frozen=True)
class Piece:
    """One top-level statement: the names that it defines, its text, and the module's names that it uses."""

    names: tuple[str, ...]
    text: str
    uses: frozenset[str]
    is_definition: bool


@dataclass
class CoreModule:
    """A module as pieces.

    Args:
        name: dotted, or "the script" for the glue.
        docstring: of the module, as written.
        pieces: its statements in their order, imports and docstring left out.
        external: bound name → what is imported from a library.
        internal: bound name → the module of the package that it comes from.
    """

    name: str
    docstring: str = ""
    pieces: list[Piece] = field(default_factory=list)
    external: dict[str, Imported] = field(default_factory=dict)
    internal: dict[str, str] = field(default_factory=dict)

    @property
    def defined(self) -> dict[str, Piece]:
        """Name → the piece that defines it."""
        return {name: piece for piece in self.pieces for name in piece.names}


def cut_module(name: str, text: str) -> CoreModule:
    """The pieces of a module's text.

    Raises:
        EjectError: it imports inside functions, renames or wholly imports modules of the package, or is no Python.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise EjectError(f"{name} is no Python: {error}") from error
    module = CoreModule(name)
    scopes = Scopes(tree)
    lines = text.splitlines(keepends=True)
    end_before = 0
    for position, node in enumerate(tree.body):
        first, last = _first_line(node), node.end_lineno or node.lineno
        if position == 0 and _is_docstring(node):
            module.docstring = "".join(lines[first - 1 : last])
        elif isinstance(node, ast.Import | ast.ImportFrom):
            _note_import(node, module)
        else:
            _refuse_inner_imports(node, name)
            start = _comments_above(lines, first, end_before)
            names = tuple(_defined_names(node))
            uses = frozenset(scopes.global_names(node) - set(dir(builtins)))
            is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            module.pieces.append(Piece(names, "".join(lines[start - 1 : last]), uses, is_definition))
        end_before = last
    return module


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _comments_above(lines: list[str], first: int, end_before: int) -> int:
    """The line at which the comments right above a statement begin."""
    while first - 1 > end_before and lines[first - 2].startswith("#"):
        first -= 1
    return first


def _defined_names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (leaf.id for leaf in walk(target) if isinstance(leaf, ast.Name))


def _refuse_inner_imports(statement: ast.stmt, module: str) -> None:
    for node in walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            raise EjectError(f"{module} imports inside a function or block, on line {node.lineno}")


def _note_import(node: ast.Import | ast.ImportFrom, module: CoreModule) -> None:
    for alias in node.names:
        source = alias.name if isinstance(node, ast.Import) else f"{node.module}"
        bound = alias.asname or alias.name
        if isinstance(node, ast.ImportFrom) and (node.level or alias.name == "*"):
            raise EjectError(f"{module.name} has a relative or starred import on line {node.lineno}")
        if source == "__future__":
            continue
        if source.split(".")[0] == PACKAGE_NAME:
            if isinstance(node, ast.Import) or bound != alias.name:
                raise EjectError(f"{module.name} renames an import of the core on line {node.lineno}")
            module.internal[bound] = source
        elif isinstance(node, ast.Import):
            # `import a.b` binds a; `import a.b as c` is `from a import b as c`
            parent, _, last = source.rpartition(".")
            if alias.asname and parent:
                module.external[bound] = Imported(parent, last)
            else:
                module.external[bound if alias.asname else source.split(".")[0]] = Imported(source)
        else:
            module.external[bound] = Imported(source, alias.name)
