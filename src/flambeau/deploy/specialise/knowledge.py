"""Which parameters, fields and attributes of a script always have the same value, found to a fixpoint."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.evaluate import Evaluator
from flambeau.deploy.specialise.purity import Purity
from flambeau.deploy.specialise.signatures import Parameter, Target, bind_call, find_targets, method_of
from flambeau.deploy.specialise.trees import dotted_name
from flambeau.deploy.specialise.types_of import Types
from flambeau.deploy.specialise.values import NOTHING, UNKNOWN, Value

MOST_ROUNDS = 50


class Knowledge:
    """What is known of one script.

    Args:
        script: the script.
        facts: function → expression in it → its value in this run.
    """

    def __init__(self, script: SourceText, facts: Mapping[str, Mapping[str, object]]) -> None:
        self.script = script
        self.targets = find_targets(script)
        self.purity = Purity(script)
        self.types = Types(script, self.targets)
        self._find_method_calls()
        self.evaluator = Evaluator(script, self.targets, self.types, facts)
        self._set_anywhere = self._fields_set_anywhere()
        self._attributes = self._attribute_stores()
        self._solve()

    def value(self, node: ast.expr) -> Value:
        """What is known of an expression."""
        return self.evaluator.value(node)

    def truth(self, node: ast.expr) -> bool | None:
        """Whether a test always holds or never does; None if that is not known."""
        return self.evaluator.truth(node)

    def parameter(self, target: Target, parameter: Parameter) -> Value:
        """What is known of a parameter."""
        return self.evaluator.parameters.get((target.name, parameter.name), UNKNOWN)

    def _find_method_calls(self) -> None:
        """Note where each method is called; what is surely an attribute of another class is none of them."""
        by_name = {name.split(".")[1]: target for name, target in self.targets.items() if "." in name}
        for node in self.script.nodes:
            if not isinstance(node, ast.Attribute) or node.attr not in by_name:
                continue
            target, parent = by_name[node.attr], self.script.parents[node]
            assert target.class_ is not None
            if self.types.is_surely_not(node.value, target.class_.name):
                continue
            is_call = isinstance(parent, ast.Call) and parent.func is node
            site = bind_call(parent, target.parameters) if isinstance(parent, ast.Call) and is_call else None
            if site is None:
                target.opaque = True
            else:
                target.sites.append(site)

    def _solve(self) -> None:
        parameters, attributes = self.evaluator.parameters, self.evaluator.attributes
        for target in self.targets.values():
            for name in target.parameters:
                parameters[target.name, name] = NOTHING
        for key in self._attributes:
            attributes[key] = NOTHING
        for _ in range(MOST_ROUNDS):
            self.evaluator.forget()
            found = {
                (target.name, name): self._joined(target, parameter)
                for target in self.targets.values()
                for name, parameter in target.parameters.items()
            }
            stored = {key: self.evaluator.value(node) for key, node in self._attributes.items()}
            same = all(parameters[key].same(value) for key, value in found.items())
            if same and all(attributes[key].same(value) for key, value in stored.items()):
                break
            parameters.update(found)
            attributes.update(stored)
        else:
            parameters.update(dict.fromkeys(parameters, UNKNOWN))
            attributes.clear()
        for values in (parameters, attributes):
            values.update({key: UNKNOWN for key, value in values.items() if value.level == 0})
        self.evaluator.forget()

    def _joined(self, target: Target, parameter: Parameter) -> Value:
        """What all calls together say of a parameter."""
        if target.opaque or not (target.sites or target.escapes):
            return UNKNOWN
        if target.is_dataclass and parameter.name in self._set_anywhere:
            return UNKNOWN
        if target.escapes and not parameter.keyword_only:
            return UNKNOWN
        result = self._default(parameter) if target.escapes else NOTHING
        for site in target.sites:
            if parameter.name in site.given:
                result = result.join(self.evaluator.value(site.given[parameter.name]))
            elif site.double_starred or (not parameter.keyword_only and (site.starred or site.is_partial)):
                return UNKNOWN
            else:
                result = result.join(self._default(parameter))
        return result

    def _default(self, parameter: Parameter) -> Value:
        return self.evaluator.value(parameter.default) if parameter.default is not None else UNKNOWN

    def _fields_set_anywhere(self) -> set[str]:
        """Names that are assigned as attributes, or given to `replace`, anywhere in the script."""
        names: set[str] = set()
        for node in self.script.nodes:
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                names.add(node.attr)
            elif isinstance(node, ast.Call) and dotted_name(node.func) in (
                "replace",
                "setattr",
                "object.__setattr__",
            ):
                names.update(keyword.arg for keyword in node.keywords if keyword.arg)
                if _sets_computed_names(node):
                    names.update(name for target in self.targets.values() for name in target.parameters)
        return names

    def _attribute_stores(self) -> dict[tuple[str, str], ast.expr]:
        """(class, attribute) → what it is set to, where it is set once in the script, in the class's __init__."""
        stores: dict[str, list[ast.Attribute]] = {}
        for node in self.script.nodes:
            if (
                isinstance(node, ast.Call)
                and dotted_name(node.func) == "setattr"
                and _sets_computed_names(node)
            ):
                return {}
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                stores.setdefault(node.attr, []).append(node)
        result: dict[tuple[str, str], ast.expr] = {}
        for class_ in self.script.tree.body:
            init = method_of(class_, "__init__") if isinstance(class_, ast.ClassDef) else None
            if init is None or not isinstance(class_, ast.ClassDef):
                continue
            for statement in init.body:
                target = statement.targets[0] if isinstance(statement, ast.Assign) else None
                target = statement.target if isinstance(statement, ast.AnnAssign) else target
                value = getattr(statement, "value", None)
                if not isinstance(target, ast.Attribute) or dotted_name(target.value) != "self":
                    continue
                if value is not None and len(stores[target.attr]) == 1:
                    result[class_.name, target.attr] = value
        return result


def _sets_computed_names(call: ast.Call) -> bool:
    """Whether `replace` or `setattr` sets fields whose names are not written there."""
    if dotted_name(call.func) == "replace":
        return any(keyword.arg is None for keyword in call.keywords)
    return len(call.args) < 2 or not isinstance(call.args[-2], ast.Constant)
