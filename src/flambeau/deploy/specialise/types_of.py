"""What the annotations of a script say of its values: their class, and whether a call gives a float."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.scopes import FunctionNode, Scope, all_arguments
from flambeau.deploy.specialise.signatures import Target
from flambeau.deploy.specialise.trees import written


class Types:
    """Answers for one script.

    Args:
        script: the script.
        targets: its functions and classes.
    """

    def __init__(self, script: SourceText, targets: Mapping[str, Target]) -> None:
        self.script, self.targets = script, targets
        self._parameters: dict[FunctionNode, set[str]] = {}
        self.stores: dict[tuple[Scope, str], list[ast.Name]] = {}
        for node, home in script.scopes.home.items():
            if not isinstance(node.ctx, ast.Load):
                self.stores.setdefault((home, node.id), []).append(node)

    def parameters_of(self, function: FunctionNode) -> set[str]:
        """The names of a function's parameters."""
        if function not in self._parameters:
            self._parameters[function] = {argument.arg for argument in all_arguments(function.args)}
        return self._parameters[function]

    def stored(self, store: ast.Name) -> ast.expr | None:
        """What a plain assignment gives to a name."""
        statement = self.script.parents[store]
        if isinstance(statement, ast.Tuple):
            whole = self.script.parents[statement]
            value = whole.value if isinstance(whole, ast.Assign) and whole.targets == [statement] else None
            if isinstance(value, ast.Tuple) and len(value.elts) == len(statement.elts):
                return value.elts[statement.elts.index(store)]
            return None
        if isinstance(statement, ast.Assign) and statement.targets == [store]:
            return statement.value
        return statement.value if isinstance(statement, ast.AnnAssign) else None

    def class_of(self, node: ast.expr) -> str | None:
        """The class of the script that an expression is an instance of, where that is sure."""
        if isinstance(node, ast.Attribute):
            return self._named_class(self.field_annotation(node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            target = self.targets.get(node.func.id)
            if target is None:
                return self._given_by_callable(node.func)
            if not self.script.scopes.is_global(node.func):
                return None
            returns = getattr(target.function, "returns", None)
            return target.name if target.class_ is not None else self._named_class(returns)
        return self._class_of_name(node) if isinstance(node, ast.Name) else None

    def field_annotation(self, node: ast.Attribute) -> ast.expr | None:
        """The annotation of the dataclass field that an attribute reads."""
        target = self.targets.get(self.class_of(node.value) or "")
        field = target.parameters.get(node.attr) if target is not None and target.is_dataclass else None
        return field.node.annotation if field is not None else None

    def _given_by_callable(self, node: ast.Name) -> str | None:
        """The class that a parameter annotated as Callable[..., CLASS] gives."""
        home = self.script.scopes.home[node]
        if not isinstance(home.node, ast.FunctionDef) or (home, node.id) in self.stores:
            return None
        for argument in (*home.node.args.args, *home.node.args.kwonlyargs):
            annotation = argument.annotation if argument.arg == node.id else None
            if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
                return self._named_class(annotation.slice.elts[-1], whole=True)
        return None

    def _class_of_name(self, node: ast.Name) -> str | None:
        home = self.script.scopes.home[node]
        if not isinstance(home.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        arguments = {a.arg: a for a in (*home.node.args.args, *home.node.args.kwonlyargs)}
        stores = self.stores.get((home, node.id), [])
        if node.id == "self" and not stores:
            parent = self.script.parents[home.node]
            return parent.name if isinstance(parent, ast.ClassDef) else None
        if node.id in arguments:
            return self._named_class(arguments[node.id].annotation)
        if len(stores) != 1:
            return None
        stored = self.stored(stores[0])
        return self.class_of(stored) if stored is not None else None

    def _named_class(self, annotation: ast.expr | None, *, whole: bool = False) -> str | None:
        if annotation is None or (whole and not isinstance(annotation, ast.Name)):
            return None
        names = {name.strip() for name in written(annotation).split("|")} - {"None"}
        name = names.pop() if len(names) == 1 else ""
        target = self.targets.get(name)
        return name if target is not None and target.class_ is not None else None

    def is_surely_not(self, node: ast.expr, name: str) -> bool:
        """Whether an expression is of another class than that class of the script."""
        known = self.class_of(node)
        if known is not None or not isinstance(node, ast.Name):
            return known is not None and known != name
        home = self.script.scopes.home[node]
        if not isinstance(home.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        if (home, node.id) in self.stores:
            classes = self._yielded_classes(self.stores[home, node.id])
            return bool(classes) and name not in classes and classes <= set(self.targets)
        for argument in (*home.node.args.args, *home.node.args.kwonlyargs):
            if argument.arg == node.id and argument.annotation is not None:
                text = written(argument.annotation)
                return text.replace(".", "").isidentifier() and text not in ("Any", "object", name)
        return False

    def _yielded_classes(self, stores: list[ast.Name]) -> set[str]:
        """The classes that `for x in FUNCTION(...)` goes through, where the function is annotated Iterator[A | B]."""
        loop = self.script.parents[stores[0]] if len(stores) == 1 else None
        if (
            not isinstance(loop, ast.For)
            or loop.target is not stores[0]
            or not isinstance(loop.iter, ast.Call)
        ):
            return set()
        callee = loop.iter.func
        target = self.targets.get(callee.id) if isinstance(callee, ast.Name) else None
        returns = getattr(target.function, "returns", None) if target is not None else None
        if not isinstance(returns, ast.Subscript) or written(returns.value) not in (
            "Iterator",
            "Iterable",
        ):
            return set()
        return {name.strip() for name in written(returns.slice).split("|")}

    def gives_float(self, callee: ast.expr) -> bool:
        """Whether calling a function of the script, or a field that holds a function, gives a float."""
        if isinstance(callee, ast.Name):
            target = self.targets.get(callee.id)
            returns = getattr(target.function, "returns", None) if target is not None else None
            return returns is not None and written(returns) == "float"
        if not isinstance(callee, ast.Attribute):
            return False
        annotation = self.field_annotation(callee)
        if isinstance(annotation, ast.Name):
            stores = self.stores.get((self.script.scopes.module, annotation.id), [])
            annotation = self.stored(stores[0]) if len(stores) == 1 else None
        return annotation is not None and written(annotation).endswith("], float]")
