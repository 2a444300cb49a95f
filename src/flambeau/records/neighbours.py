"""The files that a person's own file imports from its own folder, read once, and run from the bytes that were read.

Which they are is found in the import statements, without running anything, so that a consent covers them. What a file
imports by other means (`importlib.import_module(name)`, `exec`, a changed `sys.path`) or from an installed package is
not seen here, and no consent or digest covers it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader, all_suffixes
from pathlib import Path
from types import CodeType, ModuleType

# Modules in sys.modules that came from the folder of a person's file: name → that folder and the module.
_LOADED: dict[str, tuple[Path, ModuleType]] = {}


def read_with_neighbours(path: Path) -> dict[Path, bytes]:
    """The content of a Python file, then of every file beneath its folder that it imports, they import, and so on.

    Raises OSError where one of them cannot be read.
    """
    contents: dict[Path, bytes] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in contents:
            contents[file] = file.read_bytes()
            waiting.extend(_imported(file, contents[file], path.parent))
    return contents


def digest_contents(path: Path, contents: dict[Path, bytes]) -> str:
    """blake2b of the file; where it has neighbours, of their places and contents as well."""
    if len(contents) == 1:
        return hashlib.blake2b(contents[path], digest_size=16).hexdigest()
    digest = hashlib.blake2b(digest_size=16)
    for file in [path, *sorted(set(contents) - {path})]:
        place = file.relative_to(path.parent).as_posix().encode()
        digest.update(b"%d %d " % (len(place), len(contents[file])) + place + contents[file])
    return digest.hexdigest()


def _imported(file: Path, content: bytes, folder: Path) -> list[Path]:
    if file.suffix != ".py":
        return []
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return []  # what Python cannot read imports nothing; running it tells the line
    found: list[Path] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.extend(_files_of(alias.name.split("."), folder, folder))
        elif isinstance(node, ast.ImportFrom):
            start = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else folder
            if start.is_relative_to(folder):
                base = node.module.split(".") if node.module else []
                for alias in node.names:
                    found.extend(_files_of([*base, alias.name], start, folder))
    return found


def _files_of(parts: Sequence[str], start: Path, folder: Path) -> list[Path]:
    """The files that `import a.b.c` reads: of a, a.b and a.b.c; with "*", all files of the package."""
    if start == folder and parts[:1] == ["flambeau"]:
        return []
    found = [start / f"__init__{suffix}" for suffix in all_suffixes()] if start != folder else []
    place = start
    for part in parts:
        if part == "*":
            found.extend(sorted(place.glob("*.py")) if place != folder else [])
            break
        place = place / part
        for suffix in all_suffixes():
            found.extend((place.with_name(place.name + suffix), place / f"__init__{suffix}"))
    return [file for file in found if file.is_file()]


class BytesLoader(SourceFileLoader):
    """Runs a Python file from bytes that were read before; no .pyc file is read or written.

    Args:
        name: of the module.
        path: its file.
        contents: the bytes of files; one that is not among them is read from disk.
    """

    def __init__(self, name: str, path: str, contents: dict[Path, bytes]) -> None:
        super().__init__(name, path)
        self.content = contents.get(Path(path))

    def get_data(self, path: str) -> bytes:
        """The bytes of the module's file as they were read; of any other file, from disk."""
        if path != self.path:
            return super().get_data(path)
        if self.content is None:
            self.content = super().get_data(path)
        return self.content

    def get_code(self, fullname: str) -> CodeType:
        """Code compiled from the bytes, each time."""
        code: CodeType = compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)
        return code


class _Finder:
    """Finds the modules beneath one folder, so that they are run from bytes and not from a .pyc file."""

    def __init__(self, folder: Path, contents: dict[Path, bytes]) -> None:
        self.folder, self.contents = folder, contents

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        places = [str(self.folder)] if path is None else list(path)
        for place in places:
            if not Path(place).is_relative_to(self.folder):
                continue
            found = FileFinder(place, (SourceFileLoader, [".py"])).find_spec(name)
            if found is not None and found.origin is not None and found.loader is not None:
                return importlib.util.spec_from_file_location(
                    name,
                    found.origin,
                    loader=BytesLoader(name, found.origin, self.contents),
                    submodule_search_locations=found.submodule_search_locations,
                )
        return None


@contextmanager
def importing_neighbours(path: Path, contents: dict[Path, bytes]) -> Iterator[None]:
    """Inside the block, modules beside `path` are imported from `contents`, as when the file itself is run.

    A module of the same name from another folder is set aside. Neighbours stay in sys.modules afterwards, so that
    what is in them can be pickled, until a file of another folder brings one of that name, or their content changes.
    """
    folder = path.parent
    stale = any(_changed(module, contents) for place, module in _LOADED.values() if place == folder)
    tops = {file.relative_to(folder).parts[0].partition(".")[0] for file in contents if file != path}
    own: dict[str, ModuleType] = {}
    others: dict[str, ModuleType] = {}
    for name, module in list(sys.modules.items()):
        place, known = _LOADED.get(name, (None, None))
        if known is not module:
            if _elsewhere(name, module, tops, folder):
                own[name] = sys.modules.pop(name)
        elif place != folder:
            others[name] = sys.modules.pop(name)
        elif stale:
            del sys.modules[name], _LOADED[name]
    before, finder = set(sys.modules), _Finder(folder, contents)
    sys.meta_path.insert(0, finder)
    sys.path.insert(0, str(folder))
    try:
        yield
    except BaseException:
        for name in _beneath(folder, before):
            del sys.modules[name]
        raise
    finally:
        sys.meta_path.remove(finder)
        if str(folder) in sys.path:  # the file may have taken it away
            sys.path.remove(str(folder))
        _LOADED.update({name: (folder, sys.modules[name]) for name in _beneath(folder, before)})
        for name, module in own.items():
            _LOADED.pop(name, None)
            sys.modules[name] = module  # what a person's script imported stays what it was
        for name, module in others.items():
            sys.modules.setdefault(name, module)


def _changed(module: ModuleType, contents: dict[Path, bytes]) -> bool:
    loader = getattr(module, "__loader__", None)
    if not isinstance(loader, BytesLoader) or loader.content is None:
        return False
    file = Path(loader.path)
    now = contents[file] if file in contents else file.read_bytes() if file.is_file() else b""
    return now != loader.content


def _elsewhere(name: str, module: ModuleType, tops: set[str], folder: Path) -> bool:
    """Whether this module stands where a neighbour would be imported, and is another file."""
    top = name.partition(".")[0]
    if top not in tops or top in sys.stdlib_module_names or top in ("flambeau", "__main__"):
        return False
    return not any(place.resolve().is_relative_to(folder) for place in _places(module))


def _beneath(folder: Path, before: set[str]) -> list[str]:
    """Names of the modules that came since `before` and are called as their place beneath the folder is."""
    found = []
    for name in set(sys.modules) - before:
        place = folder.joinpath(*name.split("."))
        stems = {place, place / "__init__"}
        if any(file.parent / file.name.partition(".")[0] in stems for file in _places(sys.modules[name])):
            found.append(name)
    return found


def _places(module: ModuleType) -> list[Path]:
    """The file of a module, or the folders of a package without one."""
    file = getattr(module, "__file__", None)
    return [Path(file)] if file else [Path(place) for place in getattr(module, "__path__", [])]
