"""The value of expressions as far as it is known before a script runs."""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.flow import dominates, is_before
from flambeau.deploy.specialise.given import Instead
from flambeau.deploy.specialise.scopes import FunctionNode
from flambeau.deploy.specialise.signatures import Target
from flambeau.deploy.specialise.trees import dotted_name, walk
from flambeau.deploy.specialise.types_of import Types
from flambeau.deploy.specialise.values import NOTHING, SOME, UNKNOWN, Device, Value, constant, truth_of

_COMPUTED = frozenset(("len", "max", "min", "bool", "int", "float", "str", "tuple", "abs", "round", "sum"))
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.SetComp, ast.DictComp, ast.Lambda, ast.JoinedStr)
_MAYBE_NONE = ("None", "Any", "Optional", "object")


class Evaluator:
    """Evaluates expressions of one script.

    Args:
        script: the script.
        targets: its functions and classes.
        types: what its annotations say.
        facts: function → expression in it → its value in this run.
    """

    def __init__(
        self,
        script: SourceText,
        targets: Mapping[str, Target],
        types: Types,
        facts: Mapping[str, Mapping[str, object]],
    ) -> None:
        self.script, self.targets = script, targets
        self.parameters: dict[tuple[str, str], Value] = {}
        self.attributes: dict[tuple[str, str], Value] = {}
        self.names = {target.function: target for target in targets.values() if target.function is not None}
        self.types = types
        self.stores = self.types.stores
        # where the script names no device but the CPU, every tensor is there
        self.on_cpu = _names_only_the_cpu(script)
        self._facts = dict(self._nodes_of_facts(facts))
        self._known: dict[ast.expr, Value] = {}

    def forget(self) -> None:
        """Start anew after parameters or attributes have changed."""
        self._known.clear()

    def value(self, node: ast.expr) -> Value:
        """What is known of an expression."""
        if node not in self._known:
            self._known[node] = UNKNOWN  # of a value that depends on itself
            self._known[node] = self._facts.get(node) or self._evaluate(node)
        return self._known[node]

    def truth(self, node: ast.expr) -> bool | None:
        """Whether a test always holds or never does; None if that is not known."""
        fact = self._facts.get(node)
        if fact is not None:
            return truth_of(fact)
        if isinstance(node, ast.BoolOp):
            known = [self.truth(part) for part in node.values]
            decided = isinstance(node.op, ast.Or)
            if decided in known:
                return decided
            return (not decided) if None not in known else None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.truth(node.operand)
            return None if inner is None else not inner
        return truth_of(self.value(node))

    def _nodes_of_facts(self, facts: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[ast.expr, Value]]:
        """The expressions of the script whose value is given, with it."""
        for function in self.script.nodes if facts else ():
            if not isinstance(function, FunctionNode):
                continue
            known = facts.get(self.script.qualified_name(function), {})
            values = {text: value for text, value in known.items() if not isinstance(value, Instead)}
            kinds = tuple({type(ast.parse(text, mode="eval").body) for text in values})
            for node in walk(function) if values else ():
                if isinstance(node, kinds) and self.script.function_of(node) is function:
                    text = ast.unparse(node)
                    if text in values and isinstance(node, ast.expr):
                        yield node, constant(values[text])

    def _evaluate(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant():
                return constant(node.value)
            case ast.Name():
                return self._name(node)
            case ast.Tuple():
                parts = [self.value(part) for part in node.elts]
                plain = all(part.is_constant for part in parts)
                return constant(tuple(part.constant for part in parts)) if plain else SOME
            case ast.UnaryOp() | ast.BinOp() | ast.Compare():
                return self._operation(node)
            case ast.BoolOp():
                return self._bool_operation(node)
            case ast.IfExp():
                holds = self.truth(node.test)
                if holds is None:
                    return self.value(node.body).join(self.value(node.orelse))
                return self.value(node.body if holds else node.orelse)
            case ast.Call():
                return self._call(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Subscript():
                return self._subscript(node)
        return SOME if isinstance(node, _DISPLAYS) else UNKNOWN

    def _name(self, node: ast.Name) -> Value:
        home = self.script.scopes.home[node]
        stores = self.stores.get((home, node.id), [])
        if home.parent is None:
            if node.id in self.targets:
                return SOME
            if not stores and (node.id in home.bound or hasattr(builtins, node.id)):
                return SOME  # an import, or built in
            single = len(stores) == 1 and self.types.stored(stores[0])
            return self.value(single) if isinstance(single, ast.expr) else UNKNOWN
        if not isinstance(home.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return UNKNOWN
        target = self.names.get(home.node)
        if target is not None and node.id in target.parameters:
            before = not stores or is_before(self.script, node, stores, home.node)
            return self.parameters[target.name, node.id] if before else UNKNOWN
        if len(stores) != 1 or node.id in self.types.parameters_of(home.node):
            return UNKNOWN
        stored = self.types.stored(stores[0])
        return (
            self.value(stored) if stored is not None and dominates(self.script, stores[0], node) else UNKNOWN
        )

    def _operation(self, node: ast.UnaryOp | ast.BinOp | ast.Compare) -> Value:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            holds = self.truth(node.operand)
            return UNKNOWN if holds is None else constant(not holds)
        if isinstance(node, ast.UnaryOp):
            inner = self.value(node.operand)
            negated = isinstance(node.op, ast.USub) and isinstance(inner.constant, int | float)
            return constant(-inner.constant) if negated else UNKNOWN
        if isinstance(node, ast.BinOp):
            return self._apply(node.op, self.value(node.left), self.value(node.right))
        left, results = node.left, []
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.Is | ast.IsNot):
                results.append(self._is_none(left, right, isinstance(op, ast.Is)))
            elif self._is_same_length(left, right):
                results.append(constant(isinstance(op, ast.Eq | ast.LtE | ast.GtE)))
            elif isinstance(op, ast.In | ast.NotIn) and self._is_empty(right):
                results.append(constant(isinstance(op, ast.NotIn)))
            else:
                results.append(self._apply(op, self.value(left), self._members(right)))
            left = right
        if len(results) == 1:
            return results[0]
        if any(result.is_constant and not result.constant for result in results):
            return constant(False)
        return constant(True) if all(result.is_constant for result in results) else UNKNOWN

    def _is_same_length(self, left: ast.expr, right: ast.expr) -> bool:
        """Whether both are one name that stands for a length, which unlike other values surely equals itself."""
        if not (isinstance(left, ast.Name) and isinstance(right, ast.Name) and left.id == right.id):
            return False
        stores = self.stores.get((self.script.scopes.home[left], left.id), [])
        stored = self.types.stored(stores[0]) if len(stores) == 1 else None
        return isinstance(stored, ast.Call) and dotted_name(stored.func) == "len"

    def _is_empty(self, node: ast.expr) -> bool:
        """Whether it is an empty tuple, or the set of one that is only ever asked for its members."""
        if isinstance(node, ast.Name):
            home = self.script.scopes.home[node]
            stores = self.stores.get((home, node.id), [])
            stored = self.types.stored(stores[0]) if len(stores) == 1 else None
            if isinstance(stored, ast.Call) and dotted_name(stored.func) == "set" and len(stored.args) == 1:
                uses = self.script.scopes.uses[home, node.id]
                asked = all(
                    isinstance(self.script.parents[n], ast.Compare)
                    for n in uses
                    if isinstance(n.ctx, ast.Load)
                )
                return asked and self.value(stored.args[0]).same(constant(()))
        return self.value(node).same(constant(()))

    def _members(self, node: ast.expr) -> Value:
        """A value, where a list or set of constants counts as the tuple of them."""
        if isinstance(node, ast.List | ast.Set):
            parts = [self.value(part) for part in node.elts]
            if all(part.is_constant for part in parts):
                return constant(tuple(part.constant for part in parts))
        return self.value(node)

    def _is_none(self, left: ast.expr, right: ast.expr, positive: bool) -> Value:
        if not (isinstance(right, ast.Constant) and right.value is None):
            return UNKNOWN
        value = self.value(left)
        if value.is_some:
            return constant(not positive)
        return constant(positive) if value.is_constant else (NOTHING if value.level == 0 else UNKNOWN)

    def _apply(self, op: ast.AST, left: Value, right: Value) -> Value:
        function = _OPERATORS.get(type(op))
        if NOTHING in (left, right):
            return NOTHING
        if function is None or not (left.is_constant and right.is_constant):
            return UNKNOWN
        if isinstance(left.constant, Device) or isinstance(right.constant, Device):
            return UNKNOWN
        try:
            return constant(function(left.constant, right.constant))
        except (TypeError, ValueError, ArithmeticError):
            return UNKNOWN

    def _bool_operation(self, node: ast.BoolOp) -> Value:
        decided = isinstance(node.op, ast.Or)
        possible = NOTHING
        for part in node.values[:-1]:
            holds = self.truth(part)
            if holds is decided:
                return possible.join(self.value(part))
            if holds is None:
                # what remains of `x or y` is a true x, which is not None
                possible = possible.join(SOME if decided else self.value(part))
        return possible.join(self.value(node.values[-1]))

    def _call(self, node: ast.Call) -> Value:
        name = dotted_name(node.func)
        if name == "torch.device" and len(node.args) == 1 and not node.keywords:
            kind = self.value(node.args[0])
            named = kind.is_constant and isinstance(kind.constant, str)
            return constant(Device(kind.constant.split(":")[0])) if named else SOME
        if name == "partial" or not isinstance(node.func, ast.Name):
            return SOME if name == "partial" else UNKNOWN
        if not self.script.scopes.is_global(node.func):
            return SOME if self.types.class_of(node) is not None else UNKNOWN
        target = self.targets.get(name)
        if target is not None:
            returns = getattr(target.function, "returns", None)
            text = ast.unparse(returns) if returns is not None else "Any"
            whole = target.class_ is not None or not any(word in text for word in _MAYBE_NONE)
            return SOME if whole else UNKNOWN
        values = [self.value(argument) for argument in node.args]
        if name not in _COMPUTED or node.keywords or not all(value.is_constant for value in values):
            return UNKNOWN
        try:
            return constant(getattr(builtins, name)(*(value.constant for value in values)))
        except (TypeError, ValueError, ArithmeticError):
            return UNKNOWN

    def _subscript(self, node: ast.Subscript) -> Value:
        container, index = self.value(node.value), self.value(node.slice)
        try:
            return constant(container.constant[index.constant])
        except (TypeError, LookupError):
            return UNKNOWN

    def _attribute(self, node: ast.Attribute) -> Value:
        owner = self.types.class_of(node.value)
        if owner is not None:
            for values in (self.attributes, self.parameters):
                if (owner, node.attr) in values:
                    is_field = self.targets[owner].is_dataclass or values is self.attributes
                    return values[owner, node.attr] if is_field else UNKNOWN
        value = self.value(node.value)
        if value.is_constant and isinstance(value.constant, Device) and node.attr == "type":
            return constant(value.constant.type)
        of_device = isinstance(node.value, ast.Attribute) and node.value.attr == "device"
        return constant("cpu") if of_device and node.attr == "type" and self.on_cpu else UNKNOWN


def _names_only_the_cpu(script: SourceText) -> bool:
    calls = [node for node in script.nodes if isinstance(node, ast.Call)]
    devices = {ast.unparse(call) for call in calls if dotted_name(call.func) == "torch.device"}
    named = [
        s for s in script.tree.body if isinstance(s, ast.Assign) and "torch.device(" in ast.unparse(s.value)
    ]
    moved = any(isinstance(call.func, ast.Attribute) and call.func.attr in ("cuda", "mps") for call in calls)
    return bool(named) and devices == {"torch.device('cpu')"} and not moved
