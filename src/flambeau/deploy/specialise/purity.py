"""Which expressions can be left out or repeated because they do nothing but compute a value."""

from __future__ import annotations

import ast

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.trees import children_of, walk, written

_BUILTINS = frozenset({
    "len", "float", "int", "str", "bool", "tuple", "list", "dict", "set", "frozenset", "sorted", "min",
    "max", "sum", "abs", "round", "range", "zip", "enumerate", "isinstance", "issubclass", "getattr",
    "hasattr", "type", "repr", "reversed", "any", "all", "divmod", "pow", "partial", "replace", "field",
    "asdict", "Path", "nullcontext"
})  # fmt: skip
_MODULES = frozenset(("math", "operator"))
_NUMPY_EFFECTS = frozenset({
    "random", "save", "savez", "load", "copyto", "put", "place", "at", "fill_diagonal", "seterr", "errstate"
})  # fmt: skip
_TORCH = frozenset({
    "tensor", "zeros", "ones", "empty", "full", "arange", "linspace", "zeros_like", "ones_like",
    "empty_like", "where", "stack", "cat", "exp", "log", "sqrt", "floor", "cos", "sin", "relu", "amax",
    "isfinite", "from_numpy", "device", "Generator", "finfo", "iinfo", "get_total_norm",
    "get_float32_matmul_precision", "is_tensor"
})  # fmt: skip
# Not .to(), .float() and their like: what they do to a tensor is a value, but a module they change.
_METHODS = frozenset({
    "item", "detach", "numpy", "tolist", "astype", "clone", "view", "reshape", "flatten", "unflatten",
    "transpose", "permute", "squeeze", "unsqueeze", "expand", "contiguous", "mean", "sum", "min", "max",
    "any", "all", "std", "var", "abs", "square", "sqrt", "clamp", "round", "floor", "size", "dim",
    "numel", "argmax", "argmin", "keys", "values", "items", "strip", "lstrip", "rstrip", "lower",
    "upper", "rsplit", "startswith", "endswith", "removeprefix", "removesuffix", "partition",
    "rpartition", "parameters", "named_parameters", "modules", "named_modules", "buffers", "children",
    "state_dict", "get_submodule", "is_file", "exists", "isdigit", "isascii", "encode", "decode", "fromkeys"
})  # fmt: skip
_EXPRESSIONS = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.BinOp, ast.UnaryOp),
    *(ast.BoolOp, ast.Compare, ast.IfExp, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.JoinedStr),
    *(ast.FormattedValue, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
_STATEMENTS = (ast.Pass, ast.Return, ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.For)


class Purity:
    """Answers for one script."""

    def __init__(self, script: SourceText) -> None:
        self.script = script
        self.functions = {n.name: n for n in script.tree.body if isinstance(n, ast.FunctionDef)}
        self.classes = {n.name: n for n in script.tree.body if isinstance(n, ast.ClassDef)}
        self.known: dict[str, bool] = {}

    def is_pure(self, node: ast.expr | None) -> bool:
        """Whether evaluating an expression has no effect and draws no random number."""
        if node is None or isinstance(node, ast.Lambda):
            return True
        if isinstance(node, ast.Call):
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
            return self._is_pure_callee(node.func) and all(self.is_pure(part) for part in parts)
        if not isinstance(node, _EXPRESSIONS):
            return False
        return all(self._part_is_pure(child) for child in children_of(node))

    def _part_is_pure(self, node: ast.AST) -> bool:
        if isinstance(node, ast.expr):
            return self.is_pure(node)
        if isinstance(node, ast.comprehension):
            return self.is_pure(node.iter) and all(self.is_pure(test) for test in node.ifs)
        return True

    def _is_pure_callee(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            if not self.script.scopes.is_global(node):
                return False
            if node.id in self.functions:
                return self._is_pure_function(node.id)
            return node.id in _BUILTINS or self._is_plain_dataclass(node.id)
        if not isinstance(node, ast.Attribute):
            return False
        root = written(node).split(".")
        if root[0] in _MODULES:
            return True
        if root[0] == "np":
            return not _NUMPY_EFFECTS & set(root)
        if root[0] in ("torch", "nn", "F", "functional"):
            return node.attr in _TORCH
        return node.attr in _METHODS and self.is_pure(node.value)

    def _is_plain_dataclass(self, name: str) -> bool:
        node = self.classes.get(name)
        if node is None or not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
            return False
        return not any(
            isinstance(part, ast.FunctionDef) and part.name == "__post_init__" for part in node.body
        )

    def _is_pure_function(self, name: str) -> bool:
        if name not in self.known:
            self.known[name] = True  # of a recursion
            self.known[name] = not self.functions[name].decorator_list and all(
                self._is_pure_statement(statement) for statement in self.functions[name].body
            )
        return self.known[name]

    def _is_pure_statement(self, node: ast.stmt) -> bool:
        if not isinstance(node, _STATEMENTS):
            return False
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For):
            targets = [node.target]
        names = [leaf for target in targets for leaf in walk(target) if isinstance(leaf, ast.expr)]
        if not all(isinstance(leaf, ast.Name | ast.Tuple) for leaf in names):
            return False
        for child in children_of(node):
            if isinstance(child, ast.expr) and child not in targets and child not in self.script.annotations:
                if not self.is_pure(child):
                    return False
            elif isinstance(child, ast.stmt) and not self._is_pure_statement(child):
                return False
        return True
