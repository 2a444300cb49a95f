"""Texts that read pictures: files listed by the run, or arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flambeau.data.join import TEST_PREFIX
from flambeau.data.known.names import BUILTIN_NAMES
from flambeau.data.pictures.archive import extract, is_archive
from flambeau.data.pictures.arrays import PART_OF_WORD, is_idx
from flambeau.data.places import cache_folder
from flambeau.data.samples import Samples
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.text import literal

DTYPES = {
    "classification": "np.int64",
    "multilabel": "np.float32",
    "regression": "np.float64",
    "generate": "np.int64",
}


@dataclass(frozen=True)
class Reading:
    """Text that reads the samples.

    Args:
        body: of the function `read_samples`, which returns inputs and targets; its lines are not indented.
        constants: lines such as DATA = Path("photos").
        imports: lines of imports; core names need none.
        returns: the first of the two types.
        tidy_pictures: whether `decode_tidy` gives the same pixels for every file.
        kinds: of the files: "" for pictures, "dicom", "nifti".
        summary: the function's docstring.
    """

    body: str
    constants: tuple[str, ...]
    imports: tuple[str, ...] = ()
    returns: str = "np.ndarray"
    summary: str = "Pixels (count, height, width, channels) and targets, in the order of the run."
    tidy_pictures: bool = False
    kinds: tuple[str, ...] = ("",)

    @property
    def function(self) -> str:
        """The definition of `read_samples`."""
        lines = [f'"""{self.summary}"""', *self.body.strip().splitlines()]
        head = f"def read_samples() -> tuple[{self.returns}, np.ndarray]:"
        return "\n".join([head, *(f"    {line}" if line else "" for line in lines)])

    @property
    def text(self) -> str:
        """The whole as a module, without the imports of core names."""
        return "\n".join([*self.imports, *self.constants, "", self.function, ""])


def path_constant(name: str, path: str | Path) -> str:
    """NAME = Path("…") with the full path."""
    return f"{name} = Path({literal(str(Path(path).resolve()))})"


def run_constants(facts: RunFacts) -> tuple[str, ...]:
    """RUN, and CLASSES where there are classes."""
    classes = facts.bundle.schema.classes
    lines = [path_constant("RUN", facts.folder.path)]
    return (*lines, f"CLASSES = {literal(tuple(classes))}") if classes else tuple(lines)


def file_readings(facts: RunFacts, samples: Samples, roots: Sequence[Path]) -> Iterator[Reading]:
    """Pictures that are files: named by data.json, their classes by their folders or by data.json too."""
    source = Path(str(facts.recipe.source)).expanduser()
    constants, unpack = [*run_constants(facts)], []
    imports = ["import json", "from pathlib import Path", "import numpy as np"]
    if source.is_file() and is_archive(source):
        constants.append(path_constant("ARCHIVE", source))
        unpack = _unpacking(source, roots[0])
        imports += ["import shutil", "import tempfile"]
    else:
        constants.append(path_constant("DATA", roots[0]))
    data = "folder" if unpack else "DATA"
    name, path = "name", f"{data} / name"
    if len(roots) > 1:
        constants.append(path_constant("TEST", roots[1]))
        prefix = literal(TEST_PREFIX)
        name = f"name.removeprefix({prefix})"
        path = f"TEST / {name} if name.startswith({prefix}) else {data} / name"
    if len(set(samples.ids)) == len(samples.ids) and samples.ids[0].startswith("row "):
        path = f'{data} / name.split(": ", 1)[1]'
    read_list = 'data = json.loads((RUN / "data.json").read_text(encoding="utf-8"))'
    paths = f'paths = [{path} for name in data["ids"]]'
    dtype = DTYPES[facts.task]
    targets = [
        *(
            f'targets = class_indices([{name}.split("/")[{depth}] for name in data["ids"]], CLASSES)'
            for depth in (0, 1)
            if facts.task == "classification"
        ),
        f'targets = np.array(data["targets"], dtype={dtype})',
    ]
    for line in targets:
        yield Reading(
            "\n".join([*unpack, read_list, paths, line, "return paths, targets"]),
            tuple(constants),
            tuple(imports),
            returns="list[Path]",
            summary="Files of the pictures and their targets, in the order of the run.",
        )


def _unpacking(archive: Path, root: Path) -> list[str]:
    """Lines that unpack the archive; `root` is where its pictures lie in flambeau's own copy of it."""
    inner = root.resolve().relative_to(extract(archive, cache_folder())[0].resolve()).as_posix()
    # members of a tar could leave the folder or be devices; those of a zip cannot
    options = "" if archive.suffix.lower() == ".zip" else ', filter="data"'
    if inner == ".":
        return ["folder = Path(tempfile.mkdtemp())", f"shutil.unpack_archive(ARCHIVE, folder{options})"]
    return [
        "unpacked = Path(tempfile.mkdtemp())",
        f"shutil.unpack_archive(ARCHIVE, unpacked{options})",
        f"folder = unpacked / {literal(inner)}",
    ]


def array_readings(facts: RunFacts, samples: Samples) -> Iterator[Reading]:
    """Pictures that came as arrays: built in, `.npz`, `.npy`, or idx files."""
    source = str(facts.recipe.source)
    imports = ["from pathlib import Path", "import numpy as np"]
    constants = [*run_constants(facts)]
    bodies: Iterator[str]
    if source in BUILTIN_NAMES and not Path(source).exists():
        imports.append(f"from sklearn.datasets import load_{source}")
        bodies = iter([_DIGITS])
    else:
        paths = [source] if facts.recipe.data.test is None else [source, facts.recipe.data.test]
        constants += [path_constant(name, path) for name, path in zip(("DATA", "TEST"), paths, strict=False)]
        bodies = _array_bodies(Path(source), several=len(paths) > 1)
    for body in bodies:
        for targets in _array_targets(facts.task):
            lines = [body, targets, "return pixels, targets"]
            yield Reading("\n".join(lines), tuple(constants), tuple(imports))
    if facts.task == "generate" and facts.recipe.data.test is None:
        body = "pixels = read_arrays(DATA, need_labels=False).pixels\ntargets = np.zeros(len(pixels), dtype=np.int64)"
        yield Reading(f"{body}\nreturn pixels, targets", tuple(constants), tuple(imports))


_DIGITS = """\
data = load_digits()
pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., None]
labels = data.target"""


def _array_bodies(path: Path, *, several: bool) -> Iterator[str]:
    sources = "(DATA, TEST)" if several else "(DATA,)"
    general = [
        f"arrays = [read_arrays(path) for path in {sources}]",
        "pixels = np.concatenate([one.pixels for one in arrays])",
        "labels = np.concatenate([one.labels for one in arrays])",
    ]
    if not several:
        yield from (f"{body}\npixels = pixels[..., None]" for body in _short_bodies(path))
        yield from _short_bodies(path)
        general = ["arrays = read_arrays(DATA)", "pixels, labels = arrays.pixels, arrays.labels"]
    yield "\n".join(general)


def _short_bodies(path: Path) -> Iterator[str]:
    if path.suffix.lower() == ".npz":
        yield 'with np.load(DATA) as arrays:\n    pixels, labels = arrays["images"], arrays["labels"]'
        for parts in (("train", "test"), ("train", "valid", "test"), ("train", "val", "test")):
            pixels, labels = (
                f'np.concatenate([arrays[f"{{part}}_{what}"] for part in {literal(parts)}])'
                for what in ("images", "labels")
            )
            yield f"with np.load(DATA) as arrays:\n    pixels = {pixels}\n    labels = {labels}"
    folder = path if path.is_dir() else path.parent
    files = sorted(filter(is_idx, folder.iterdir())) if path.is_dir() else [path] if is_idx(path) else []
    marks = [file.with_name(file.name.replace("images", "labels").replace("idx3", "idx1")) for file in files]
    if files and all(mark.is_file() for mark in marks):
        known = [any(word in file.name.lower() for word in PART_OF_WORD) for file in files]
        where = "DATA /" if path.is_dir() else "DATA.parent /"
        if all(known) or len(files) == 1:
            pixels, labels = (
                f"np.concatenate([read_idx({where} name) for name in {literal([f.name for f in group])}])"
                for group in (files, marks)
            )
            yield f"pixels = {pixels}\nlabels = {labels}"
    if path.suffix.lower() == ".npy":
        for beside in (f"{path.stem}_labels.npy", "labels.npy"):
            yield f"pixels, labels = np.load(DATA), np.load(DATA.with_name({literal(beside)}))"


def _array_targets(task: str) -> Iterator[str]:
    yield f"targets = labels.astype({DTYPES[task]})"
    if task in ("classification", "generate"):
        yield "targets = labels.argmax(axis=1)"
        yield "targets = class_indices([str(label) for label in labels.tolist()], CLASSES)"
