"""From a glue text to one module: every core definition that it needs, in an order in which Python can run it."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flambeau.deploy.specialise.core import EjectError
from flambeau.deploy.specialise.modules import CoreModule, Imported, Piece, cut_module

GLUE = "the script"


@dataclass(frozen=True)
class Gathered:
    """A script that needs no other file of the package.

    Args:
        text: of the whole script.
        own: names that the glue itself defines; their signatures stay.
        has_entry: whether the glue does something by itself, so that only what this reaches is wanted.
    """

    text: str
    own: frozenset[str]
    has_entry: bool


def gather_script(glue: str, sources: Mapping[str, str]) -> Gathered:
    """One module text with all core definitions that the glue needs, directly or through others.

    Args:
        glue: a module's text that uses names of the core as if they were its own, imported or not.
        sources: core module → text; names are unique across them.

    Raises:
        EjectError: a name is defined twice or means two things, an import is renamed or stands inside a function.
    """
    closure = _Closure(glue, sources)
    closure.follow()
    has_entry = any(piece.text.startswith("if __name__") for piece in closure.glue.pieces)
    return Gathered(closure.render(), frozenset(closure.glue.defined), has_entry)


@dataclass
class _Wanted:
    """What is taken from one module: places of its pieces."""

    module: CoreModule
    places: set[int] = field(default_factory=set)


class _Closure:
    def __init__(self, glue: str, sources: Mapping[str, str]) -> None:
        self.glue = cut_module(GLUE, glue)
        self.modules = {name: cut_module(name, text) for name, text in sources.items()}
        self.homes: dict[str, str] = {}
        for module in self.modules.values():
            for name in module.defined:
                if self.homes.setdefault(name, module.name) != module.name:
                    raise EjectError(f"'{name}' is defined in {self.homes[name]} and in {module.name}")
        for name in self.glue.defined:
            if name in self.homes:
                raise EjectError(f"the script defines '{name}', which {self.homes[name]} defines too")
        self.wanted: dict[str, _Wanted] = {}
        self.order: list[str] = []
        self.imports: dict[str, Imported] = {}

    def follow(self) -> None:
        """Collect pieces and imports from the glue's names on."""
        for name, module in self.glue.internal.items():
            if self.homes.get(name) != module:
                raise EjectError(f"the script imports '{name}' from {module}, where the core has none")
        for piece in self.glue.pieces:
            self._follow_piece(self.glue, piece)

    def _follow_piece(self, module: CoreModule, piece: Piece) -> None:
        for name in sorted(piece.uses):
            if name in module.defined:
                if module is not self.glue:
                    self._want(module.name, name)
            elif name in module.external:
                self._import(name, module.external[name])
            elif name in module.internal:
                self._want(module.internal[name], name)
            elif module is self.glue and name in self.homes:
                self._want(self.homes[name], name)
            elif not name.startswith("__"):
                raise EjectError(f"{module.name} uses '{name}', which nothing defines")

    def _import(self, name: str, imported: Imported) -> None:
        known = self.imports.setdefault(name, imported)
        if known != imported:
            raise EjectError(f"'{name}' means {known.line(name)!r} and {imported.line(name)!r}")

    def _want(self, module_name: str, name: str) -> None:
        module = self.modules.get(module_name)
        if module is None or name not in module.defined:
            raise EjectError(f"'{name}' of {module_name} is not in the core")
        if name in dir(builtins):
            raise EjectError(f"{module_name} defines '{name}', which Python has built in")
        wanted = self.wanted.setdefault(module_name, _Wanted(module))
        place = module.pieces.index(module.defined[name])
        if place not in wanted.places:
            wanted.places.add(place)
            self._follow_piece(module, module.pieces[place])

    def _ordered_modules(self) -> list[str]:
        """Modules after those from which they take something; otherwise as the glue first needs them."""
        done: dict[str, None] = {}

        def visit(name: str, below: tuple[str, ...]) -> None:
            if name in done or name in below:
                return
            module = self.modules[name]
            used = {use for place in self.wanted[name].places for use in module.pieces[place].uses}
            for bound, source in module.internal.items():
                if bound in used:
                    visit(source, (*below, name))
            done[name] = None

        for name in self.wanted:
            visit(name, ())
        return list(done)

    def render(self) -> str:
        """The whole script."""
        clashes = sorted(set(self.imports) & (set(self.homes) | set(self.glue.defined)))
        for name in clashes:
            taken = [wanted.module.pieces[p].names for wanted in self.wanted.values() for p in wanted.places]
            if name in self.glue.defined or any(name in names for names in taken):
                raise EjectError(f"'{name}' is an import and a definition")
        head, tail = self._glue_blocks()
        parts = [self.glue.docstring, "from __future__ import annotations\n"]
        parts.append("".join(f"{imported.line(name)}\n" for name, imported in sorted(self.imports.items())))
        parts += head
        for name in self._ordered_modules():
            wanted = self.wanted[name]
            parts += _with_gaps(wanted.module.pieces[place] for place in sorted(wanted.places))
        return "\n".join(part for part in [*parts, *tail] if part)

    def _glue_blocks(self) -> tuple[list[str], list[str]]:
        """The glue's constants that need nothing of the core, which come first, and the rest."""
        pieces = self.glue.pieces
        for place, piece in enumerate(pieces):
            if piece.is_definition or piece.uses & (set(self.homes) | set(self.glue.internal)):
                return _with_gaps(pieces[:place]), _with_gaps(pieces[place:])
        return _with_gaps(pieces), []


def _with_gaps(pieces: Iterable[Piece]) -> list[str]:
    """Texts of pieces, where lines of plain statements that follow each other stay together."""
    texts: list[str] = []
    joins = False
    for piece in pieces:
        plain = not piece.is_definition
        if texts and joins and plain and not piece.text.startswith("#"):
            texts[-1] += piece.text
        else:
            texts.append(piece.text)
        joins = plain
    return [text if text.endswith("\n") else text + "\n" for text in texts]
