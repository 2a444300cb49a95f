"""A glue text and the core become one readable script of plain PyTorch for one run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping

from flambeau.deploy.specialise.closure import gather_script
from flambeau.deploy.specialise.core import EjectError, core_sources
from flambeau.deploy.specialise.docs import remove_tool_comments, shorten_docstrings
from flambeau.deploy.specialise.edits import SourceText
from flambeau.deploy.specialise.fold import fold_tests, remove_unreachable, tidy_blocks
from flambeau.deploy.specialise.formatting import format_script, lay_out_text
from flambeau.deploy.specialise.given import Facts, replace_by_facts
from flambeau.deploy.specialise.guards import remove_guards
from flambeau.deploy.specialise.inline import function_bodies, inline_calls, resolve_lookups
from flambeau.deploy.specialise.inline_statements import inline_statements
from flambeau.deploy.specialise.knowledge import Knowledge
from flambeau.deploy.specialise.locals import tidy_locals
from flambeau.deploy.specialise.parameters import (
    drop_default_arguments,
    drop_needless_defaults,
    remove_parameters,
    substitute_defaults,
)
from flambeau.deploy.specialise.trees import no_collection
from flambeau.deploy.specialise.unused import remove_unused, replace_protocols
from flambeau.deploy.specialise.yields import remove_unheard_yields

MOST_ROUNDS = 100

Step = Callable[[SourceText, Knowledge], None]


def eject_text(glue: str, sources: Mapping[str, str] | None = None, *, facts: Facts | None = None) -> str:
    """One script without the package: the glue, and the core's functions and classes that it needs.

    Args:
        glue: a module's text that uses the core's functions and classes by their plain names.
        sources: core module → text; this package's core if None.
        facts: what is known of this run beside what the glue says: function → expression in it, as `ast.unparse`
            writes it → its value, or the expression that does the same in this run, such as
            {"members_as_rows": {"outputs.ndim != 3": True}, "scale": {"match_channels(a, 1)": Instead("a")}}.

    Raises:
        EjectError: what stands in the way.
    """
    with no_collection():
        gathered = gather_script(glue, core_sources() if sources is None else sources)
        text = remove_tool_comments(shorten_docstrings(replace_by_facts(gathered.text, facts or {})))
        return format_script(
            specialise_text(lay_out_text(text), gathered.own, facts or {}, gathered.has_entry)
        )


def specialise_text(text: str, own: Collection[str], facts: Facts, has_entry: bool = False) -> str:
    """The text without what its own constants make needless, to a fixpoint.

    Args:
        text: of a whole script, laid out by ruff.
        own: names whose signatures and literals stay; without an entry, their definitions stay too.
        facts: see `eject_text`.
        has_entry: whether the script does something by itself.
    """
    originals = function_bodies(SourceText(text))
    steps: tuple[Step, ...] = (
        lambda script, known: remove_unused(script, () if has_entry else own),
        lambda script, known: remove_guards(script, known.purity),
        fold_tests,
        lambda script, known: remove_unreachable(script),
        tidy_blocks,
        lambda script, known: substitute_defaults(script, known, own),
        resolve_lookups,
        lambda script, known: tidy_locals(script, known, own),
        lambda script, known: inline_calls(script, known, own, originals),
        lambda script, known: remove_parameters(script, known, own),
        lambda script, known: replace_protocols(script),
        lambda script, known: remove_unheard_yields(script, known.purity),
        lambda script, known: drop_default_arguments(script, known, own),
        lambda script, known: drop_needless_defaults(script, known, own),
        lambda script, known: inline_statements(script, known, own, originals),
    )
    script = SourceText(text)
    known = Knowledge(script, facts)
    idle = 0
    for step in itertools.chain.from_iterable(itertools.repeat(steps, MOST_ROUNDS)):
        step(script, known)
        text = script.apply() if script.has_edits else script.text
        idle = idle + 1 if text == script.text else 0
        if idle == len(steps):
            return text
        if script.has_edits:
            script = SourceText(text)
            known = Knowledge(script, facts)
    raise EjectError(f"specialising has not come to an end in {MOST_ROUNDS} rounds")
