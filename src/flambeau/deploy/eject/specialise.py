"""A glue text and the core become one readable script of plain PyTorch for one run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from flambeau.deploy.eject.closure import gather_script
from flambeau.deploy.eject.core import EjectError, core_sources
from flambeau.deploy.eject.docs import remove_tool_comments, shorten_docstrings
from flambeau.deploy.eject.edits import SourceText
from flambeau.deploy.eject.fold import fold_tests, remove_unreachable, tidy_blocks
from flambeau.deploy.eject.formatting import format_script, lay_out_text
from flambeau.deploy.eject.guards import remove_guards
from flambeau.deploy.eject.inline import function_bodies, inline_calls, resolve_lookups
from flambeau.deploy.eject.knowledge import Knowledge
from flambeau.deploy.eject.locals import tidy_locals
from flambeau.deploy.eject.parameters import drop_default_arguments, remove_parameters, substitute_defaults
from flambeau.deploy.eject.unused import remove_unused, replace_protocols

MOST_ROUNDS = 100

Facts = Mapping[str, Mapping[str, object]]
Step = Callable[[SourceText, Knowledge], None]


def eject_text(glue: str, sources: Mapping[str, str] | None = None, *, facts: Facts | None = None) -> str:
    """One script without the package: the glue, and the core's functions and classes that it needs.

    Args:
        glue: a module's text that uses the core's functions and classes by their plain names.
        sources: core module → text; this package's core if None.
        facts: what is known of this run beside what the glue says: function → expression in it, as `ast.unparse`
            writes it → its value, such as {"members_as_rows": {"outputs.ndim != 3": True}}.

    Raises:
        EjectError: what stands in the way.
    """
    gathered = gather_script(glue, core_sources() if sources is None else sources)
    text = remove_tool_comments(shorten_docstrings(gathered.text))
    return format_script(specialise_text(lay_out_text(text), gathered.roots, facts or {}))


def specialise_text(text: str, roots: Collection[str], facts: Facts) -> str:
    """The text without what its own constants make needless, to a fixpoint.

    Args:
        text: of a whole script, laid out by ruff.
        roots: names whose definitions and signatures stay.
        facts: see `eject_text`.
    """
    originals = function_bodies(SourceText(text))
    steps: tuple[Step, ...] = (
        lambda script, known: remove_unused(script, roots),
        lambda script, known: remove_guards(script, known.purity),
        fold_tests,
        lambda script, known: remove_unreachable(script),
        tidy_blocks,
        lambda script, known: substitute_defaults(script, known, roots),
        resolve_lookups,
        lambda script, known: tidy_locals(script, known, roots),
        lambda script, known: inline_calls(script, known, roots, originals),
        lambda script, known: remove_parameters(script, known, roots),
        lambda script, known: replace_protocols(script),
        drop_default_arguments,
    )
    for _ in range(MOST_ROUNDS):
        before = text
        for step in steps:
            script = SourceText(text)
            step(script, Knowledge(script, facts))
            text = script.apply()
        if text == before:
            return text
    raise EjectError(f"specialising has not come to an end in {MOST_ROUNDS} rounds")
