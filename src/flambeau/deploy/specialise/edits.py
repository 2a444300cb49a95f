"""A Python text that is changed by replacing slices of it, so that comments and layout survive."""

from __future__ import annotations

import ast
import io
import itertools
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from flambeau.deploy.specialise.core import EjectError
from flambeau.deploy.specialise.scopes import FunctionNode, Scopes
from flambeau.deploy.specialise.trees import all_below, dotted_name, walk

BLOCKS = ("body", "orelse", "finalbody")
_HOLDERS = (
    *(
        ast.Module,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.If,
        ast.For,
        ast.AsyncFor,
        ast.While,
    ),
    *(ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.ExceptHandler, ast.match_case),
)


@dataclass(frozen=True)
class Slot:
    """One argument between the commas of a call or signature: comments and space before it, itself, and after it."""

    lead: str
    core: str
    trailer: str


class SourceText:
    """A module's text, its tree, and the edits that wait to be applied.

    Every statement stands on lines of its own, as ruff lays them out. `attributes` are those of a name, wherever they
    stand; `calls` are those of a dotted name, such as "torch.device", and of "" for all others.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self.tree = ast.parse(text)
        except SyntaxError as error:
            line = (error.text or "").strip()
            raise EjectError(f"the script is no Python near {line!r}: {error.msg}") from error
        self.lines = text.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        below = all_below(self.tree)
        self.nodes = list(below)
        self.scopes = Scopes(self.tree, below)
        self.parents: dict[ast.AST, ast.AST] = {}
        self.blocks: dict[ast.stmt, list[ast.stmt]] = {}
        for node, parts in below.items():
            self.parents.update(dict.fromkeys(parts, node))
            if isinstance(node, _HOLDERS):
                for name in BLOCKS:
                    block = getattr(node, name, [])
                    self.blocks.update(dict.fromkeys(block, block))
        self.annotations = set(self._annotation_nodes())
        self.attributes: dict[str, list[ast.Attribute]] = {}
        self.calls: dict[str, list[ast.Call]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Attribute):
                self.attributes.setdefault(node.attr, []).append(node)
            elif isinstance(node, ast.Call):
                self.calls.setdefault(dotted_name(node.func), []).append(node)
        self.removed: set[ast.stmt] = set()
        self.replaced: list[tuple[int, int, str]] = []

    def _annotation_nodes(self) -> Iterator[ast.AST]:
        for node in self.nodes:
            if isinstance(node, ast.arg | ast.AnnAssign):
                part = node.annotation
            else:
                part = node.returns if isinstance(node, FunctionNode) else None
            if part is not None:
                yield from walk(part)

    # Where things are

    def offset(self, line: int, column: int) -> int:
        """The place in the text of ast's line (from 1) and column (in bytes)."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        if not text.isascii():
            column = len(text.encode()[:column].decode())
        return self.starts[line - 1] + column

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Start and end of a node in the text."""
        start = self.offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]  # statements, expressions
        return start, self.offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def source(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, the nearest first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that a node is part of."""
        if isinstance(node, ast.stmt):
            return node
        return next(above for above in self.ancestors(node) if isinstance(above, ast.stmt))

    def function_of(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The innermost named function around a node."""
        for above in self.ancestors(node):
            if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
                return above
        return None

    def qualified_name(self, function: ast.AST) -> str:
        """The name of a function after those of the classes and functions around it."""
        names = [getattr(node, "name", "") for node in (function, *self.ancestors(function))]
        return ".".join(name for name in reversed(names) if name)

    def first_line(self, statement: ast.stmt) -> int:
        """The line at which a statement begins, decorators included."""
        return min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])

    def whole_lines(self, statement: ast.stmt) -> tuple[int, int]:
        """The lines of a statement with the comments right above it, as a slice of the text."""
        first = self.first_line(statement)
        block = self.blocks[statement]
        place = block.index(statement)
        floor = (
            (block[place - 1].end_lineno or 0) if place else self.parents[statement].__dict__.get("lineno", 0)
        )
        indent = " " * statement.col_offset
        while first - 1 > floor and self.lines[first - 2].startswith(indent + "#"):
            first -= 1
        return self.starts[first - 1], self.starts[statement.end_lineno or 0]

    def colon_after(self, place: int) -> int:
        """The place of the colon that ends a header whose last expression ends at `place`."""
        while self.text[place] != ":":
            place = self.text.index("\n", place) if self.text[place] == "#" else place + 1
        return place

    def block_text(self, header_end: int, block: list[ast.stmt], indent: int) -> str:
        """The lines of a block below a header that ends at `header_end`, moved to another indentation."""
        colon_line = self.text.count("\n", 0, self.colon_after(header_end)) + 1
        last = block[-1].end_lineno or 0
        shift = block[0].col_offset - indent
        literal = self._lines_inside_strings(block)
        result = []
        for number in range(colon_line + 1, last + 1):
            line = self.lines[number - 1]
            moves = number not in literal and line[:shift].strip(" ") == ""
            result.append(line[shift:] if moves and shift > 0 and line.strip() else line)
        return "".join(result)

    def _lines_inside_strings(self, block: list[ast.stmt]) -> set[int]:
        found: set[int] = set()
        for statement in block:
            for node in walk(statement):
                literal = isinstance(node, ast.JoinedStr) or (
                    isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
                )
                if literal and not isinstance(self.parents[node], ast.Expr):
                    found.update(range(node.lineno + 1, (node.end_lineno or 0) + 1))  # type: ignore[attr-defined]
        return found

    def else_line(self, body: list[ast.stmt], orelse: list[ast.stmt]) -> int:
        """The number of the line of the `else:` between two blocks."""
        first = self.first_line(orelse[0])
        after = body[-1].end_lineno or 0
        return next(n for n in range(after + 1, first) if self.lines[n - 1].lstrip().startswith("else"))

    def else_line_or_elif(self, node: ast.If) -> int:
        """The number of the line of the `else:` or `elif` of an `if`."""
        other = node.orelse[0]
        start = self.span(other)[0]
        if isinstance(other, ast.If) and self.text.startswith("elif", start):
            return other.lineno
        return self.else_line(node.body, node.orelse)

    # Changes

    def replace(self, node: ast.AST, text: str) -> None:
        """Put another text in the place of an expression or statement; nothing inside an f-string is changed."""
        # before Python 3.12, places inside of f-strings are wrong
        if not any(isinstance(above, ast.JoinedStr) for above in self.ancestors(node)):
            self.replace_span(*self.span(node), text)

    def replace_span(self, start: int, end: int, text: str) -> None:
        """Put another text in the place of a slice."""
        self.replaced.append((start, end, text))

    def replace_lines(self, statement: ast.stmt, text: str) -> None:
        """Put other whole lines in the place of a statement; the comments above it stay."""
        start = self.starts[self.first_line(statement) - 1]
        self.replace_span(start, self.starts[statement.end_lineno or 0], text)

    def remove(self, statement: ast.stmt) -> None:
        """Take a statement out, with the comments right above it."""
        self.removed.add(statement)

    @property
    def has_edits(self) -> bool:
        """Whether something is to be changed."""
        return bool(self.replaced or self.removed)

    def apply(self) -> str:
        """The text after all edits; of two that overlap, the one that was asked for first is done."""
        edits = [*self.replaced]
        done_blocks: set[int] = set()
        for statement in sorted(self.removed, key=lambda s: s.lineno):
            start, end = self.whole_lines(statement)
            block = self.blocks[statement]
            keep = all(other in self.removed for other in block) and id(block) not in done_blocks
            if keep:
                done_blocks.add(id(block))
            in_module = isinstance(self.parents[statement], ast.Module)
            empties = keep and not in_module
            edits.append((start, end, " " * statement.col_offset + "pass\n" if empties else ""))
        taken: list[tuple[int, int, str]] = []
        for start, end, text in edits:
            if all(end <= other[0] or start >= other[1] for other in taken):
                taken.append((start, end, text))
        result = self.text
        for start, end, text in sorted(taken, reverse=True):
            result = result[:start] + text + result[end:]
        return result

    # Arguments

    def slots(self, opening: int, end: int) -> list[Slot]:
        """What stands between the bracket at `opening` and the one that ends before `end`, cut at its commas."""
        inside = self.text[opening:end]
        rows = [0]
        for line in inside.splitlines(keepends=True):
            rows.append(rows[-1] + len(line))
        depth, cuts = 0, [1]
        for token in tokenize.generate_tokens(io.StringIO(inside).readline):
            if token.type != tokenize.OP:
                continue
            depth += (token.string in "([{") - (token.string in ")]}")
            if depth == 1 and token.string == ",":
                cuts.append(rows[token.start[0] - 1] + token.start[1] + 1)
            if depth == 0:
                break
        edges = [*cuts, len(inside)]
        raw = [inside[a : b - 1] for a, b in itertools.pairwise(edges)]
        return _with_own_comments(raw)

    def replace_slots(self, opening: int, end: int, kept: list[Slot]) -> None:
        """Write these arguments between the brackets."""
        text = "".join(f"{slot.lead}{slot.core},{slot.trailer}" for slot in kept)
        if text.endswith(",") and "\n" not in text:
            text = text[:-1]
        self.replace_span(opening + 1, end - 1, text.rstrip(" ") + ("\n" if "#" in text else ""))


def _with_own_comments(raw: list[str]) -> list[Slot]:
    """Give the comment that follows a comma to the argument before the comma; an empty last slot goes."""
    slots: list[Slot] = []
    for text in raw:
        first, newline, rest = text.partition("\n")
        if slots and first.strip().startswith("#"):
            slots[-1] = Slot(slots[-1].lead, slots[-1].core, first)
            text = newline + rest
        lead = ""
        for line in text.splitlines(keepends=True):
            if line.strip() and not line.strip().startswith("#"):
                break
            lead += line
        rest = text[len(lead) :]
        core = rest.strip()
        if core:
            slots.append(
                Slot(lead + rest[: len(rest) - len(rest.lstrip())], core, rest[len(rest.rstrip()) :])
            )
    return slots
