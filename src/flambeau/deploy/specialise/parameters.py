"""Parameters and fields that a script does not need: those that nobody reads, and those left at a plain default."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Collection

from flambeau.deploy.specialise.edits import Slot, SourceText
from flambeau.deploy.specialise.knowledge import Knowledge
from flambeau.deploy.specialise.signatures import Parameter, Site, Target
from flambeau.deploy.specialise.trees import walk
from flambeau.deploy.specialise.values import Value

LONGEST_WORD = 20
_BY_NAME = ("getattr", "setattr", "hasattr", "attrgetter")
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
    if isinstance(known, float):
        return known in (0.0, 1.0)
    return known is None or known == () or isinstance(known, bool) or known == 0


def remove_parameters(script: SourceText, knowledge: Knowledge, roots: Collection[str]) -> None:
    """Take parameters and fields that nobody reads out of signatures and of all calls."""
    for target in knowledge.targets.values():
        if target.opaque or target.name in roots or not _is_certain(knowledge, target):
            continue
        unused = [p for p in target.parameters.values() if _is_unused(script, knowledge, target, p)]
        names = {parameter.name for parameter in unused}
        if names and _are_free(script, target):
            for site in target.sites:
                _drop_arguments(script, site, names)
            if target.function is not None:
                _drop_from_signature(script, target.function, names)
            for parameter in unused:
                if isinstance(parameter.node, ast.AnnAssign):
                    script.remove(parameter.node)
                    _remove_stores(script, knowledge, target, parameter.name)


def drop_default_arguments(script: SourceText, knowledge: Knowledge, own: Collection[str]) -> None:
    """Take out arguments that say what the default says, but for those that the glue chose or a comment explains."""
    for target in knowledge.targets.values():
        if target.opaque or not _is_certain(knowledge, target) or not _are_free(script, target):
            continue
        for site in target.sites:
            if any(getattr(above, "name", "") in own for above in script.ancestors(site.call)):
                continue
            names = set()
            for name, node in site.given.items():
                default, value = target.parameters[name].default, knowledge.value(node)
                literal = isinstance(node, ast.Constant | ast.Tuple) and value.is_constant
                keyword = isinstance(script.parents[node], ast.keyword)
                last = not keyword and node is site.call.args[-1] and not site.is_partial
                if (
                    literal
                    and default is not None
                    and (keyword or last)
                    and value.same(knowledge.value(default))
                ):
                    names.add(name)
            if names:
                _drop_arguments(script, site, names, keep_explained=True)


def drop_needless_defaults(script: SourceText, knowledge: Knowledge, own: Collection[str]) -> None:
    """Parameters that every call sets need no default, and where they are never None, no type that allows it."""
    for target in knowledge.targets.values():
        if target.opaque or target.name in own or not target.sites or not _is_certain(knowledge, target):
            continue
        needless: dict[str, bool] = {}
        may_drop = True
        for name, parameter in target.parameters.items():
            given = all(name in site.given for site in target.sites) and not target.rigid(parameter)
            given &= not (target.escapes and parameter.keyword_only)
            some = knowledge.parameter(target, parameter).is_some
            if not parameter.has_default and some and given and _allows_none(parameter.node.annotation):
                needless[name] = True
            if parameter.has_default and given and (may_drop or parameter.keyword_only):
                needless[name] = some
            elif parameter.has_default and not parameter.keyword_only:
                may_drop = False
        if needless and target.function is None:
            for name, some in needless.items():
                field = target.parameters[name].node
                annotation = script.source(field.annotation) if field.annotation is not None else "object"
                script.replace(field, f"{name}: {_without_none(annotation) if some else annotation}")
        elif needless and target.function is not None:
            _drop_defaults(script, target, needless)


def _drop_defaults(script: SourceText, target: Target, needless: dict[str, bool]) -> None:
    assert target.function is not None
    opening, end = signature_span(script, target.function)
    if any(start < end and opening < stop for start, stop, _ in script.replaced):
        return
    slots = []
    for slot in script.slots(opening, end):
        name = _parameter_name(slot)
        if name in needless:
            node = target.parameters[name].node
            annotation = script.source(node.annotation) if node.annotation is not None else ""
            is_set = any(
                not isinstance(n.ctx, ast.Load) for n in _names_of(script, target, target.parameters[name])
            )
            annotation = _without_none(annotation) if needless[name] and not is_set else annotation
            slot = Slot(slot.lead, f"{name}: {annotation}" if annotation else name, slot.trailer)
        slots.append(slot)
    script.replace_slots(opening, end, slots)


def _allows_none(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).endswith(" | None")


def _without_none(annotation: str) -> str:
    return annotation.removesuffix(" | None")


def _reads(script: SourceText, knowledge: Knowledge, target: Target, parameter: Parameter) -> list[ast.expr]:
    if target.function is None:
        return [
            node
            for node in script.attributes.get(parameter.name, [])
            if isinstance(node.ctx, ast.Load) and knowledge.types.class_of(node.value) == target.name
        ]
    names = _names_of(script, target, parameter)
    return [] if any(not isinstance(name.ctx, ast.Load) for name in names) else list(names)


def _names_of(script: SourceText, target: Target, parameter: Parameter) -> list[ast.Name]:
    scope = script.scopes.of[target.function] if target.function is not None else None
    return script.scopes.uses.get((scope, parameter.name), []) if scope is not None else []


def _is_unused(script: SourceText, knowledge: Knowledge, target: Target, parameter: Parameter) -> bool:
    if target.rigid(parameter):
        return False
    given = [site.given[parameter.name] for site in target.sites if parameter.name in site.given]
    if not all(knowledge.purity.is_pure(node) for node in given):
        return False
    if target.function is not None:
        return _is_never_read(target.function, _names_of(script, target, parameter))
    if any(name in script.calls for name in _WHOLE_OBJECT):
        return False
    for name in _BY_NAME:
        for call in script.calls.get(name, []):
            if any(isinstance(part, ast.Constant) and part.value == parameter.name for part in call.args):
                return False
    for call in script.calls.get("replace", []):
        if {keyword.arg for keyword in call.keywords} & {parameter.name, None}:
            return False
    for node in script.attributes.get(parameter.name, []):
        if knowledge.types.is_surely_not(node.value, target.name):
            continue
        if isinstance(node.ctx, ast.Load) or not _is_pure_store(script, knowledge, node):
            return False
    return True


def _is_never_read(function: ast.FunctionDef | ast.AsyncFunctionDef, names: list[ast.Name]) -> bool:
    """Whether a parameter is not read, or only after the function itself has set it."""
    stores = [name for name in names if not isinstance(name.ctx, ast.Load)]
    if len(stores) == len(names):
        return True
    for place, statement in enumerate(function.body):
        if any(name in stores for name in walk(statement)):
            sets = isinstance(statement, ast.Assign) and statement.targets[0] in stores
            before = {node for other in function.body[:place] for node in walk(other)}
            read = before | (set(walk(statement)) - set(stores))
            return sets and not any(name in read for name in names)
    return False


def _is_pure_store(script: SourceText, knowledge: Knowledge, node: ast.Attribute) -> bool:
    if knowledge.types.class_of(node.value) is None:
        return False
    statement = script.parents[node]
    single = isinstance(statement, ast.Assign) and len(statement.targets) == 1
    if not single and not isinstance(statement, ast.AugAssign | ast.AnnAssign):
        return False
    return knowledge.purity.is_pure(getattr(statement, "value", None))


def _remove_stores(script: SourceText, knowledge: Knowledge, target: Target, name: str) -> None:
    for node in script.attributes.get(name, []):
        if isinstance(node.ctx, ast.Load):
            continue
        if knowledge.types.class_of(node.value) == target.name:
            script.remove(script.statement_of(node))


def _is_certain(knowledge: Knowledge, target: Target) -> bool:
    """Whether every site of a method is surely a call of this method."""
    if "." not in target.name or target.class_ is None:
        return True
    owners = {
        knowledge.types.class_of(site.call.func.value)
        for site in target.sites
        if isinstance(site.call.func, ast.Attribute)
    }
    return target.certain and owners <= {target.class_.name}


def _are_free(script: SourceText, target: Target) -> bool:
    """Whether no other edit, and no other call of the same function, overlaps with the calls."""
    spans = sorted(script.span(site.call) for site in target.sites)
    if target.function is not None:
        spans = sorted([*spans, signature_span(script, target.function)])
    if any(one[1] > two[0] for one, two in itertools.pairwise(spans)):
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


def _drop_arguments(script: SourceText, site: Site, names: set[str], *, keep_explained: bool = False) -> None:
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
