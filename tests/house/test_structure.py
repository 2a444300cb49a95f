"""Habits of the house: short files and functions, imports that point one way, a core that can be copied out."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from flambeau.deploy.specialise import core

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "flambeau"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
LONGER_FUNCTIONS = {("training/loop.py", "train"): 120}

CORE_LIBRARIES = {
    "numpy", "torch", "torchvision", "timm", "PIL", "pyarrow", "fastexcel", "scipy", "sklearn", "safetensors",
    "pydicom", "nibabel", "tokenizers", "yaml",
}  # fmt: skip


def short_name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, at any depth; a relative import counts as "."."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else str(node.module)


def top_level_names(tree: ast.Module) -> Iterator[str]:
    """Functions, classes and variables that a module defines."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)
            )


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = short_name(path) if path.is_relative_to(PACKAGE) else path.name
            allowed = LONGER_FUNCTIONS.get((name, node.name), MAX_FUNCTION_LINES)
            assert lines_of_code(node) <= allowed, node.name


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the end; the docstring does not count, so that nobody is tempted to leave it out."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def core_files() -> list[Path]:
    """The core's files in this checkout, also where the tests run with an installed package."""
    return [PACKAGE / path.relative_to(core.PACKAGE) for path in core.core_files()]


def test_all_core_files_exist() -> None:
    assert [short_name(path) for path in core_files() if not path.is_file()] == []


@pytest.mark.parametrize("path", core_files(), ids=short_name)
def test_a_core_file_imports_only_the_core_and_its_libraries(path: Path) -> None:
    core_modules = {
        "flambeau." + short_name(file).removesuffix(".py").replace("/", ".") for file in core_files()
    }
    allowed = CORE_LIBRARIES | sys.stdlib_module_names
    foreign = [
        module
        for module in imported_modules(parse(path))
        if module not in core_modules and module.split(".")[0] not in allowed
    ]
    assert foreign == []


@pytest.mark.parametrize("path", core_files(), ids=short_name)
def test_a_core_file_imports_names_at_its_top_only(path: Path) -> None:
    tree = parse(path)
    inside = [
        node.lineno
        for statement in tree.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Import | ast.ImportFrom) and node is not statement
    ]
    assert inside == []
    own = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    assert [name for name in own if name.split(".")[0] == "flambeau"] == []


def test_names_of_the_core_are_unique_across_its_files() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in core_files():
        for name in dict.fromkeys(top_level_names(parse(path))):
            homes[name].append(short_name(path))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_imports_point_one_way() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed beside this Python")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tracked_files() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def test_no_file_names_a_place_of_one_machine_or_a_registry() -> None:
    # Written in pieces, so that this file does not name them either.
    places = ["/" + name + "/" for name in ("home", "root", "work", "Users")]
    hosts = ["py" + "pi", "python" + "hosted", "conda" + "-forge", "index" + "-url"]
    pattern = re.compile(
        "|".join(rf"(?<![\w.}}]){re.escape(place)}" for place in places) + "|" + "|".join(hosts)
    )
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content[:1000]:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []
