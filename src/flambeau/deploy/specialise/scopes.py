"""Which names of a Python text mean names of the module, and which are local: Python's scoping rules over `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from flambeau.deploy.specialise.trees import Below, all_below, walk

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_OWN_SCOPE = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


@dataclass(eq=False)
class Scope:
    """The names that a module, class, function, lambda or comprehension binds.

    Args:
        node: what opens the scope.
        parent: the scope around it; None for the module.
        bound: names bound here.
    """

    node: ast.AST
    parent: Scope | None
    bound: set[str] = field(default_factory=set)

    def lookup(self, name: str) -> Scope:
        """The scope in which a name used here is bound; the module's for a name that nobody binds."""
        if name in self.bound or self.parent is None:
            return self
        outer: Scope = self.parent
        while outer.parent is not None and isinstance(outer.node, ast.ClassDef):
            outer = outer.parent
        return outer.lookup(name)


class Scopes:
    """The scopes of one module.

    `home` tells where each name is bound, `uses` where a name of a scope stands, `around` in which scope each node is.
    """

    def __init__(self, tree: ast.Module, below: Below | None = None) -> None:
        self.below = all_below(tree) if below is None else below
        self.module = Scope(tree, None, set(self._bindings(tree.body)))
        self.home: dict[ast.Name, Scope] = {}
        self.uses: dict[tuple[Scope, str], list[ast.Name]] = {}
        self.around: dict[ast.AST, Scope] = {}
        self.of: dict[ast.AST, Scope] = {tree: self.module}
        for statement in tree.body:
            self._visit(statement, self.module)

    def is_global(self, node: ast.Name) -> bool:
        """Whether a name means the module's, or a built-in one."""
        return self.home[node] is self.module

    def global_names(self, node: ast.AST) -> set[str]:
        """Names of the module, or built-in ones, that occur in a node."""
        return {n.id for n in walk(node) if isinstance(n, ast.Name) and self.is_global(n)}

    def _visit(self, node: ast.AST, scope: Scope) -> None:
        self.around[node] = scope
        if isinstance(node, ast.Name):
            home = self.home[node] = scope.lookup(node.id)
            self.uses.setdefault((home, node.id), []).append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            self._visit_function(node, scope)
        elif isinstance(node, ast.ClassDef):
            for part in (*node.decorator_list, *node.bases, *node.keywords):
                self._visit(part, scope)
            self._visit_body(node, node.body, Scope(node, scope, set(self._bindings(node.body))))
        elif isinstance(node, Comprehension):
            self._visit_comprehension(node, scope)
        else:
            for child in self.below[node]:
                self._visit(child, scope)

    def _visit_function(self, node: FunctionNode | ast.Lambda, scope: Scope) -> None:
        arguments = all_arguments(node.args)
        outside: list[ast.AST | None] = [*node.args.defaults, *node.args.kw_defaults]
        outside += [argument.annotation for argument in arguments]
        if not isinstance(node, ast.Lambda):
            outside += [*node.decorator_list, node.returns]
        for part in outside:
            if part is not None:
                self._visit(part, scope)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        names = {argument.arg for argument in arguments} | set(self._bindings(body))
        inner = Scope(node, scope, names)
        for argument in arguments:
            self.around[argument] = inner
        self._visit_body(node, body, inner)

    def _visit_body(self, node: ast.AST, body: list[ast.stmt] | list[ast.expr], scope: Scope) -> None:
        self.of[node] = scope
        for part in body:
            self._visit(part, scope)

    def _visit_comprehension(self, node: Comprehension, scope: Scope) -> None:
        targets = {
            leaf.id
            for generator in node.generators
            for leaf in walk(generator.target)
            if isinstance(leaf, ast.Name)
        }
        inner = Scope(node, scope, targets)
        self.of[node] = inner
        self._visit(node.generators[0].iter, scope)
        for position, generator in enumerate(node.generators):
            parts = [generator.target, *generator.ifs, *([generator.iter] if position else [])]
            for part in parts:
                self._visit(part, inner)
        elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for part in elements:
            self._visit(part, inner)

    def _bindings(self, body: list[ast.stmt] | list[ast.expr]) -> Iterator[str]:
        """Names that statements bind in their own scope; a walrus inside a comprehension binds outside of it."""
        declared: set[str] = set()
        found: list[str] = []
        stack: list[tuple[ast.AST, bool]] = [(part, False) for part in body]
        while stack:
            node, walrus_only = stack.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.append(node.name)
                stack += [(part, walrus_only) for part in node.decorator_list]
                continue
            if isinstance(node, ast.Lambda):
                continue
            if isinstance(node, ast.NamedExpr):
                found.append(node.target.id)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and not walrus_only:
                found.append(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found += [alias.asname or alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                found.append(node.name)
            elif isinstance(node, ast.MatchMapping) and node.rest:
                found.append(node.rest)
            elif isinstance(node, ast.Global | ast.Nonlocal):
                declared.update(node.names)
            inside = walrus_only or isinstance(node, _OWN_SCOPE)
            stack += [(child, inside) for child in self.below[node]]
        yield from (name for name in found if name not in declared)


def all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    """Every parameter of a function, in the order of its signature."""
    named = [*arguments.posonlyargs, *arguments.args]
    named += [arguments.vararg] if arguments.vararg else []
    named += arguments.kwonlyargs
    return [*named, arguments.kwarg] if arguments.kwarg else named
