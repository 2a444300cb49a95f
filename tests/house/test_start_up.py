"""What starts quickly stays quick: looked up in the modules that are loaded, not on a clock."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "pydantic", "rich", "yaml", "psutil", "pyarrow", "sklearn", "matplotlib")


def loaded_after(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of these modules are loaded once the code has run in a fresh Python."""
    script = f"import sys\n{code}\nprint('loaded', *[n for n in {names!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    return done.stdout.splitlines()[-1].split()[1:]


def test_importing_flambeau_imports_nothing_heavy() -> None:
    assert loaded_after("import flambeau; flambeau.__version__; dir(flambeau)", HEAVY) == []


def test_a_public_name_loads_on_first_use() -> None:
    assert loaded_after("import flambeau; flambeau.FlambeauError", HEAVY) == []
    assert loaded_after("import flambeau; flambeau.Recipe", HEAVY) == ["pydantic", "yaml"]


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"], ["trian"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_after(f"from flambeau.cli.main import run; run({arguments!r})", HEAVY) == []


@pytest.mark.parametrize(
    "arguments", [["train", "--help"], ["runs"], ["models"], ["recipe", "--options"], ["train", "--lr", "x"]]
)
def test_what_is_quick_to_tell_does_not_wait_for_torch(arguments: list[str]) -> None:
    assert (
        loaded_after(f"from flambeau.cli.main import run; run({arguments!r})", ("torch", "numpy", "sklearn"))
        == []
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    import flambeau

    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = flambeau.trian


def test_every_public_name_is_there() -> None:
    import flambeau

    assert [name for name in flambeau.__all__ if not hasattr(flambeau, name)] == []


def test_predicting_imports_no_optimizer_and_no_torchvision() -> None:
    names = ("torchvision", "timm", "torch._dynamo", "sklearn", "matplotlib", "flambeau.training")
    assert loaded_after("import flambeau; flambeau.load; import flambeau.deploy.predict", names) == []
