"""Functions and classes of a script that can be specialised: their parameters, and where they are called."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.scopes import FunctionNode
from flambeau.deploy.specialise.trees import dotted_name, written

# Methods that libraries call; their parameters are not ours to change.
LIBRARY_METHODS: frozenset[str] = frozenset(
    *[
        [
            "forward",
            "train",
            "eval",
            "extra_repr",
            "reset_parameters",
            "state_dict",
            "load_state_dict",
            "apply",
            "to",
        ]
    ]
)


@dataclass(eq=False)
class Parameter:
    """A parameter of a function, or a field of a dataclass.

    Args:
        default: the expression of its default; None without one, or where the default is made by a factory.
        has_default: whether it can be left out.
        node: the parameter in the signature, or the field's statement.
    """

    name: str
    node: ast.arg | ast.AnnAssign
    keyword_only: bool
    default: ast.expr | None = None
    has_default: bool = False


@dataclass(eq=False)
class Site:
    """One call: parameter → expression; what is not in it takes its default.

    Args:
        call: the call itself.
        given: parameter → the expression that is passed.
        skipped: arguments in front of the parameters (the function that `partial` gets).
        is_partial: whether further positional arguments come later.
        starred: whether it passes *args; `double_starred`: whether it passes **kwargs.
    """

    call: ast.Call
    given: dict[str, ast.expr]
    skipped: int = 0
    is_partial: bool = False
    starred: bool = False
    double_starred: bool = False


@dataclass(eq=False)
class Target:
    """A function, method or constructor with all its calls.

    Args:
        name: "function", "Class" or "Class.method".
        function: its definition; None for a dataclass.
        class_: the class it belongs to; None for a plain function.
        parameters: without self.
        sites: all calls.
        escapes: it is handed around as a value, so positional arguments may be anything.
        opaque: nothing can be said about its calls.
        certain: every site surely calls this one.
    """

    name: str
    function: FunctionNode | None
    class_: ast.ClassDef | None
    parameters: dict[str, Parameter]
    sites: list[Site] = field(default_factory=list)
    escapes: bool = False
    opaque: bool = False
    certain: bool = True

    @property
    def is_dataclass(self) -> bool:
        """Whether the parameters are fields."""
        return self.function is None

    def rigid(self, parameter: Parameter) -> bool:
        """Whether the parameter has to stay in the signature."""
        if self.opaque or not self.certain or any(site.double_starred for site in self.sites):
            return True
        return not parameter.keyword_only and (
            self.escapes or any(site.starred or site.is_partial for site in self.sites)
        )


def is_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class is decorated as a dataclass."""
    return any("dataclass" in written(decorator).split("(")[0] for decorator in node.decorator_list)


def method_of(node: ast.ClassDef, name: str) -> FunctionNode | None:
    """The method of that name that the class itself defines."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name == name:
            return part
    return None


def function_parameters(function: FunctionNode, *, skip_first: bool) -> dict[str, Parameter] | None:
    """The parameters of a function; None where it takes *args or **kwargs."""
    arguments = function.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        return None
    plain = arguments.args[1:] if skip_first else arguments.args
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults)) + list(
        arguments.defaults
    )
    result = {
        a.arg: Parameter(a.arg, a, False, d, d is not None) for a, d in zip(plain, defaults, strict=True)
    }
    for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        result[a.arg] = Parameter(a.arg, a, True, d, d is not None)
    return result


def dataclass_fields(node: ast.ClassDef) -> dict[str, Parameter] | None:
    """The fields of a dataclass; None where its constructor is not the plain one."""
    if node.bases or method_of(node, "__init__") or "kw_only" in ast.unparse(node.decorator_list[0]):
        return None
    result: dict[str, Parameter] = {}
    for part in node.body:
        if not isinstance(part, ast.AnnAssign) or not isinstance(part.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(part.annotation) or "InitVar" in ast.unparse(part.annotation):
            return None
        parameter = Parameter(part.target.id, part, False, part.value, part.value is not None)
        if isinstance(part.value, ast.Call) and dotted_name(part.value.func) == "field":
            keywords = {keyword.arg: keyword.value for keyword in part.value.keywords}
            if not set(keywords) <= {"default", "default_factory", "repr", "compare"}:
                return None
            factory = keywords.get("default_factory")
            parameter.default = factory.body if isinstance(factory, ast.Lambda) else keywords.get("default")
            parameter.has_default = factory is not None or parameter.default is not None
        result[parameter.name] = parameter
    return result


def bind_call(call: ast.Call, parameters: dict[str, Parameter], *, skipped: int = 0) -> Site | None:
    """Which expression each parameter gets; None for a call that does not fit."""
    positional = [name for name, parameter in parameters.items() if not parameter.keyword_only]
    site = Site(call, {}, skipped)
    for place, argument in enumerate(call.args[skipped:]):
        if isinstance(argument, ast.Starred):
            site.starred = True
            break
        if place >= len(positional):
            return None
        site.given[positional[place]] = argument
    for keyword in call.keywords:
        if keyword.arg is None:
            site.double_starred = True
        elif keyword.arg not in parameters:
            return None
        else:
            site.given[keyword.arg] = keyword.value
    return site


def find_targets(script: SourceText) -> dict[str, Target]:
    """Every function, constructor and uniquely named method of a script, with all calls."""
    targets: dict[str, Target] = {}
    methods: dict[str, list[ast.ClassDef]] = {}
    for node in script.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parameters = function_parameters(node, skip_first=False)
            decorated = [written(decorator) for decorator in node.decorator_list]
            target = Target(node.name, node, None, parameters or {}, opaque=parameters is None)
            target.opaque |= not set(decorated) <= {
                "torch.no_grad()",
                "contextmanager",
                "torch.inference_mode()",
            }
            targets[node.name] = target
        elif isinstance(node, ast.ClassDef):
            targets[node.name] = _constructor(node)
            for part in node.body:
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    methods.setdefault(part.name, []).append(node)
    for name, owners in methods.items():
        real = [owner for owner in owners if "Protocol" not in map(written, owner.bases)]
        if len(real) == 1 and not name.startswith("__") and name not in LIBRARY_METHODS:
            method = method_of(real[0], name)
            assert method is not None
            parameters = function_parameters(method, skip_first=True)
            if parameters is not None and not method.decorator_list:
                target = Target(f"{real[0].name}.{name}", method, real[0], parameters)
                target.certain = len(owners) == 1
                targets[target.name] = target
    _find_sites(script, targets)
    return targets


def _constructor(node: ast.ClassDef) -> Target:
    if is_dataclass(node):
        fields = dataclass_fields(node)
        return Target(node.name, None, node, fields or {}, opaque=fields is None)
    function = method_of(node, "__init__")
    parameters = function_parameters(function, skip_first=True) if function else None
    return Target(node.name, function, node, parameters or {}, opaque=parameters is None)


def _find_sites(script: SourceText, targets: dict[str, Target]) -> None:
    for node in script.nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node not in script.annotations:
            if node.id in targets and script.scopes.is_global(node):
                _note_use(script, targets[node.id], node)
            elif node.id == "cls" and (owner := _class_around(script, node)) is not None:
                _note_use(script, targets[owner.name], node)


def _class_around(script: SourceText, node: ast.AST) -> ast.ClassDef | None:
    return next((above for above in script.ancestors(node) if isinstance(above, ast.ClassDef)), None)


def _note_use(script: SourceText, target: Target, node: ast.Name) -> None:
    parent = script.parents[node]
    if isinstance(parent, ast.Call):
        called = dotted_name(parent.func)
        if parent.func is node:
            _add_site(target, bind_call(parent, target.parameters))
            return
        if called == "partial" and parent.args[0] is node:
            site = bind_call(parent, target.parameters, skipped=1)
            if site is not None:
                site.is_partial = True
            _add_site(target, site)
            return
    if target.class_ is None:
        target.escapes = True
    elif not (isinstance(parent, ast.Attribute) or _is_checked_for(script, node)):
        target.opaque = True


def _is_checked_for(script: SourceText, node: ast.Name) -> bool:
    """Whether a class is named in isinstance or issubclass."""
    return any(
        isinstance(above, ast.Call) and dotted_name(above.func) in ("isinstance", "issubclass")
        for above in script.ancestors(node)
    )


def _add_site(target: Target, site: Site | None) -> None:
    if site is None:
        target.opaque = True
    else:
        target.sites.append(site)
