"""Scripts of small modules that tests plant in the place of the core."""

from __future__ import annotations

import sys
import types
from typing import Any

from flambeau.deploy.specialise.formatting import lint_script
from flambeau.deploy.specialise.specialise import eject_text

HEADER = "from __future__ import annotations\n\n"
MODULE = "flambeau.planted"


def eject(glue: str, core: str, **options: Any) -> str:
    """The script, which must be clean."""
    text = eject_text(glue, {MODULE: HEADER + core}, **options)
    assert lint_script(text) == []
    assert text.endswith("\n")
    assert "flambeau" not in text
    return text


def result_of(text: str, name: str = "RESULT") -> Any:
    """What a name of the script stands for after the script has run as a module."""
    module = types.ModuleType("ejected")
    sys.modules["ejected"] = module  # where dataclasses look for it
    try:
        exec(compile(text, "ejected", "exec"), module.__dict__)
    finally:
        del sys.modules["ejected"]
    return getattr(module, name)
