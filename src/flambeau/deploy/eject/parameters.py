"""Parameters and fields that a script does not need: those that nobody reads, and those left at a plain default."""

from __future__ import annotations

import ast
from collections.abc import Collection

from flambeau.deploy.eject.edits import Slot, SourceText
from flambeau.deploy.eject.knowledge import Knowledge
from flambeau.deploy.eject.signatures import Parameter, Site, Target
from flambeau.deploy.eject.values import Value

LONGEST_WORD = 20
_WHOLE_OBJECT = ("asdict", "astuple", "fields", "vars")


def substitute_defaults(script: SourceText, knowledge: Knowledge, roots: Collection[str]) -> None:
    """Write the default where a parameter is read that no call sets to anything else, if it is a plain value."""
    for target in knowledge.targets.values():
        if target.name in roots:
            continue
        for parameter in target.parameters.values():
            value = knowledge.parameter(target, parameter)
            if parameter.default is None or not is_plain(value):
                continue
            if value.same(knowledge.value(parameter.default)):
                for read in _reads(script, knowledge, target, parameter):
                    script.replace(read, repr(value.constant))


def is_plain(value: Value) -> bool:
    """Whether a constant reads as well in place as under a name."""
    known = value.constant
    if not value.is_constant:
        return False
    if isinstance(known, str):
        return len(known) <= LONGEST_WORD and known.isprintable()
    return known is None or known == () or (isinstance(known, bool | int | float) and known in (0, 1))


def remove_parameters(script: SourceText, knowledge: Knowledge, roots: Collection[str]) -> None:
    """Take parameters and fields that nobody reads out of signatures and of all calls."""
    for target in knowledge.targets.values():
        if target.opaque or target.name in roots or not _is_certain(knowledge, target):
            continue
        unused = [p for p in target.parameters.values() if _is_unused(script, knowledge, target, p)]
        names = {parameter.name for parameter in unused}
        if names and _are_free(script, target):
            for site in target.sites:
                _drop_arguments(script, target, site, names)
            if target.function is not None:
                _drop_from_signature(script, target.function, names)
            for parameter in unused:
                if isinstance(parameter.node, ast.AnnAssign):
                    script.remove(parameter.node)
                    _remove_stores(script, parameter.name)


def drop_default_arguments(script: SourceText, knowledge: Knowledge) -> None:
    """Take out arguments that say what the default says, unless a comment explains them."""
    for target in knowledge.targets.values():
        if target.opaque or not _is_certain(knowledge, target) or not _are_free(script, target):
            continue
        for site in target.sites:
            names = set()
            for name, node in site.given.items():
                default, value = target.parameters[name].default, knowledge.value(node)
                literal = isinstance(node, ast.Constant | ast.Tuple) and value.is_constant
                keyword = isinstance(script.parents[node], ast.keyword)
                last = not keyword and node is site.call.args[-1] and not site.is_partial
                if literal and default is not None and (keyword or last) and value.same(knowledge.value(default)):
                    names.add(name)
            if names:
                _drop_arguments(script, target, site, names, keep_explained=True)


def _reads(script: SourceText, knowledge: Knowledge, target: Target, parameter: Parameter) -> list[ast.expr]:
    if target.function is None:
        return [
            node
            for node in ast.walk(script.tree)
            if isinstance(node, ast.Attribute)
            and node.attr == parameter.name
            and isinstance(node.ctx, ast.Load)
            and knowledge.evaluator.class_of(node.value) == target.name
        ]
    names = _names_of(script, target, parameter)
    return [] if any(not isinstance(name.ctx, ast.Load) for name in names) else list(names)


def _names_of(script: SourceText, target: Target, parameter: Parameter) -> list[ast.Name]:
    scope = script.scopes.of[target.function] if target.function is not None else None
    return [name for name, home in script.scopes.home.items() if home is scope and name.id == parameter.name]


def _is_unused(script: SourceText, knowledge: Knowledge, target: Target, parameter: Parameter) -> bool:
    if target.rigid(parameter):
        return False
    given = [site.given[parameter.name] for site in target.sites if parameter.name in site.given]
    if not all(knowledge.purity.is_pure(node) for node in given):
        return False
    if target.function is not None:
        return not any(isinstance(n.ctx, ast.Load) for n in _names_of(script, target, parameter))
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Attribute) and node.attr == parameter.name:
            if isinstance(node.ctx, ast.Load) or not _is_pure_store(script, knowledge, node):
                return False
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            keywords = {keyword.arg for keyword in node.keywords}
            if called in _WHOLE_OBJECT or (called == "replace" and keywords & {parameter.name, None}):
                return False
        elif isinstance(node, ast.Constant) and node.value == parameter.name:
            return False
    return True


def _is_pure_store(script: SourceText, knowledge: Knowledge, node: ast.Attribute) -> bool:
    statement = script.parents[node]
    single = isinstance(statement, ast.Assign) and len(statement.targets) == 1
    if not single and not isinstance(statement, ast.AugAssign | ast.AnnAssign):
        return False
    return knowledge.purity.is_pure(getattr(statement, "value", None))


def _remove_stores(script: SourceText, name: str) -> None:
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Attribute) and node.attr == name and not isinstance(node.ctx, ast.Load):
            script.remove(script.statement_of(node))


def _is_certain(knowledge: Knowledge, target: Target) -> bool:
    """Whether every site of a method is surely a call of this method."""
    if "." not in target.name or target.class_ is None:
        return True
    owners = {
        knowledge.evaluator.class_of(site.call.func.value)
        for site in target.sites
        if isinstance(site.call.func, ast.Attribute)
    }
    return target.certain and owners <= {target.class_.name}


def _are_free(script: SourceText, target: Target) -> bool:
    """Whether no other edit, and no other call of the same function, overlaps with the calls."""
    spans = sorted(script.span(site.call) for site in target.sites)
    if target.function is not None:
        spans = sorted([*spans, signature_span(script, target.function)])
    if any(one[1] > two[0] for one, two in zip(spans[:-1], spans[1:], strict=True)):
        return False
    return not any(start < end_ and begin < end for start, end, _ in script.replaced for begin, end_ in spans)


def signature_span(script: SourceText, function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int]:
    """From the bracket that opens a function's parameters to behind the one that closes them."""
    opening = script.text.index("(", script.text.index("def ", script.span(function)[0]))
    depth = 0
    for place in range(opening, len(script.text)):
        depth += (script.text[place] in "([{") - (script.text[place] in ")]}")
        if depth == 0:
            return opening, place + 1
    raise ValueError(f"the parameters of {function.name} never end")


def _drop_from_signature(
    script: SourceText, function: ast.FunctionDef | ast.AsyncFunctionDef, names: set[str]
) -> None:
    opening, end = signature_span(script, function)
    slots = [slot for slot in script.slots(opening, end) if _parameter_name(slot) not in names]
    if slots and slots[-1].core == "*":
        slots.pop()
    script.replace_slots(opening, end, slots)


def _parameter_name(slot: Slot) -> str:
    return slot.core.split(":")[0].split("=")[0].strip()


def _drop_arguments(
    script: SourceText, target: Target, site: Site, names: set[str], *, keep_explained: bool = False
) -> None:
    call = site.call
    end = script.span(call)[1]
    opening = _call_bracket(script, call)
    nodes = sorted(
        [*call.args, *(keyword.value for keyword in call.keywords)], key=lambda node: script.span(node)[0]
    )
    slots = script.slots(opening, end)
    if len(slots) != len(nodes):
        return
    dropped = {id(node) for name, node in site.given.items() if name in names}
    kept = [
        slot
        for slot, node in zip(slots, nodes, strict=True)
        if id(node) not in dropped or (keep_explained and "#" in slot.lead + slot.trailer)
    ]
    if len(kept) < len(slots):
        script.replace_slots(opening, end, kept)


def _call_bracket(script: SourceText, call: ast.Call) -> int:
    return script.text.index("(", script.span(call.func)[1])
