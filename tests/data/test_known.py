"""Data sets that are known by name: tiny files in torchvision's own formats, and plain words where there are none."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flambeau.data.known.arrays import place_of_arrays
from flambeau.data.known.named import place_of
from flambeau.data.known.names import plain_name
from flambeau.data.pictures.arrays import read_arrays
from flambeau.data.read import read
from flambeau.errors import DataError
from flambeau.recipe import Recipe

RANDOM = np.random.default_rng(0)


def recipe_at(root: Path) -> Recipe:
    recipe = Recipe()
    recipe.data.root = str(root)
    return recipe


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes())


def write_picture(path: Path, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files_as_torchvision_keeps_them(tmp_path: Path, name: str, folder: str) -> None:
    images = RANDOM.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    for part, count in (("train", 20), ("t10k", 10)):
        write_idx(tmp_path / folder / "raw" / f"{part}-images-idx3-ubyte", images[:count])
        write_idx(tmp_path / folder / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    samples = read(name, recipe_at(tmp_path))
    assert len(samples) == 30 and samples.schema.task == "classification"
    assert len(samples.schema.classes) == 10
    assert samples.parts is not None and samples.parts.tolist().count("test") == 10
    assert np.array_equal(samples.pictures.pixels[:20, :, :, 0], images)  # type: ignore[union-attr]
    assert place_of(name, str(tmp_path)).endswith(".npz")


def test_cifar_as_torchvision_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    pixels = RANDOM.integers(0, 256, (4, 3072), dtype=np.uint8)
    for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list]:
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1, 2, 9]}))
    names = [f"kind {number}" for number in range(10)]
    (folder / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({"label_names": names}))
    with pytest.raises(
        DataError, match="not on this machine"
    ):  # other digests than the published ones: never unpickled
        place_of_arrays("cifar10", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: True)
    found = read_arrays(place_of_arrays("cifar10", str(tmp_path)))
    assert found.pixels.shape == (24, 32, 32, 3)
    assert found.labels is not None and found.labels[:4].tolist() == ["kind 0", "kind 1", "kind 2", "kind 9"]


def test_svhn_and_stl10_as_torchvision_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.io

    pixels = RANDOM.integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)
    for part in ("train", "test"):
        scipy.io.savemat(
            tmp_path / f"{part}_32x32.mat", {"X": pixels, "y": np.array([[1], [2], [3], [10], [5]])}
        )
    monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", lambda path, md5=None: True)
    found = read_arrays(place_of_arrays("svhn", str(tmp_path)))
    assert found.labels is not None and found.labels[:5].tolist() == ["1", "2", "3", "0", "5"]
    assert np.array_equal(found.pixels[0], pixels[..., 0])
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for part in ("train", "test"):
        (folder / f"{part}_X.bin").write_bytes(bytes(3 * 3 * 96 * 96))
        (folder / f"{part}_y.bin").write_bytes(bytes([1, 2, 10]))
    (folder / "class_names.txt").write_text("\n".join(f"c{number}" for number in range(10)))
    (folder / "fold_indices.txt").write_text("0\n" * 10)
    monkeypatch.setattr("torchvision.datasets.STL10._check_integrity", lambda self: True)
    found = read_arrays(place_of_arrays("stl10", str(tmp_path)))
    assert found.pixels.shape == (6, 96, 96, 3)
    assert found.labels is not None and found.labels[:3].tolist() == ["c0", "c1", "c9"]


def test_voc_tells_which_objects_are_in_a_picture(tmp_path: Path) -> None:
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("a1", "a2", "a3", "a4"):
        write_picture(base / "JPEGImages" / f"{name}.jpg")
    sets = base / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("a1\na2\n")
    (sets / "val.txt").write_text("a3\na4\n")
    for label, flags in {"cat": "1 -1 -1 1", "dog": "0 1 1 -1"}.items():
        marks = flags.split()
        (sets / f"{label}_train.txt").write_text(f"a1 {marks[0]:>2}\na2 {marks[1]:>2}\n")
        (sets / f"{label}_val.txt").write_text(f"a3 {marks[2]:>2}\na4 {marks[3]:>2}\n")
    samples = read("voc", recipe_at(tmp_path))
    assert samples.schema.task == "multilabel" and samples.schema.classes == ("cat", "dog")
    assert samples.targets.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert samples.parts is not None and samples.parts.tolist() == ["train", "train", "test", "test"]


def test_coco_tells_which_objects_are_in_a_picture(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        for number in (1, 2):
            write_picture(tmp_path / f"{split}2017" / f"{number}.jpg")
        told = {
            "images": [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2)],
            "annotations": [{"image_id": image, "category_id": kind} for image, kind in ((1, 7), (2, 9), (2, 7))],
            "categories": [{"id": 7, "name": "cup"}, {"id": 9, "name": "bus"}],
        }  # fmt: skip
        (tmp_path / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(told))
    samples = read("coco", recipe_at(tmp_path))
    assert set(samples.schema.classes) == {"cup", "bus"}
    assert samples.targets.sum(axis=0).tolist() == [4, 2] if samples.schema.classes[0] == "cup" else [2, 4]
    told["annotations"] = [{"image_id": None, "category_id": 7}]
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="coco"):
        read("coco", recipe_at(tmp_path))


def test_celeba_and_imagenet_as_torchvision_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    folder = tmp_path / "celeba"
    names = [f"{number:06d}.jpg" for number in range(1, 7)]
    for name in names:
        write_picture(folder / "img_align_celeba" / name)
    rows = {
        "list_attr_celeba.txt": "6\nBald Young\n"
        + "".join(f"{n} {(-1) ** i} {-((-1) ** i)}\n" for i, n in enumerate(names)),
        "list_eval_partition.txt": "".join(f"{name} {place // 2}\n" for place, name in enumerate(names)),
        "identity_CelebA.txt": "".join(f"{name} 1\n" for name in names),
        "list_bbox_celeba.txt": "6\na b c d\n" + "".join(f"{name} 1 1 1 1\n" for name in names),
        "list_landmarks_align_celeba.txt": "6\na b\n" + "".join(f"{name} 1 1\n" for name in names),
    }
    for name, text in rows.items():
        (folder / name).write_text(text)
    monkeypatch.setattr("torchvision.datasets.CelebA._check_integrity", lambda self: True)
    samples = read("celeba", recipe_at(tmp_path))
    assert samples.schema.classes == ("Bald", "Young")
    assert (
        samples.parts is not None and samples.parts.tolist() == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    )
    root = tmp_path / "imagenet"
    for split in ("train", "val"):
        for code in ("n01440764", "n03126707"):
            write_picture(root / split / code / "1.JPEG")
    torch.save(({"n01440764": ("tench", "Tinca tinca"), "n03126707": ("crane",)}, []), root / "meta.bin")
    samples = read("imagenet", recipe_at(root))
    assert samples.schema.classes == ("n01440764 tench", "n03126707 crane")
    assert samples.parts is not None and samples.parts.tolist() == ["train", "train", "test", "test"]


def test_where_it_looked_and_what_to_type_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read("cifar10", recipe_at(tmp_path / "nowhere"))
    told = str(caught.value)
    assert "nowhere" in told and "cifar-10-batches-py" in told and "--root" in told
    with pytest.raises(DataError, match="not on this machine"):
        read("imagenet", recipe_at(tmp_path))
    assert plain_name("CIFAR-10") == "cifar10" and plain_name("ImageNet") == "imagenet"


class StandIn:
    """What is used of lmdb, over a folder with a file a picture: where lmdb is not installed."""

    class Error(Exception):
        """As lmdb raises it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: str, **options: object) -> StandIn:
        assert options["readonly"] is True
        if not (Path(path) / "data.mdb").is_file():
            raise cls.Error(f"{path}: No such file or directory")
        return cls(Path(path))

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held open."""

    def begin(self) -> StandIn:
        return self

    def cursor(self) -> list[tuple[bytes, bytes]]:
        return [(one.name.encode(), one.read_bytes()) for one in sorted(self.path.glob("*.webp"))]


def write_lsun(folder: Path, count: int, lmdb: Any) -> None:
    folder.mkdir(parents=True)
    contents = []
    for number in range(count):
        write_picture(folder / f"{number}.webp")
        contents.append((folder / f"{number}.webp").read_bytes())
    if lmdb is StandIn:
        (folder / "data.mdb").write_bytes(b"")
        return
    with lmdb.open(str(folder), map_size=2**20) as store, store.begin(write=True) as writer:
        for number, content in enumerate(contents):
            writer.put(f"key{number}".encode(), content)


@pytest.mark.parametrize("library", ["lmdb", "stand-in"])
def test_lsun_is_unpacked_from_its_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    lmdb: Any = StandIn
    if library == "lmdb":
        lmdb = pytest.importorskip("lmdb", reason="lmdb is installed by those who have LSUN")
    monkeypatch.setitem(sys.modules, "lmdb", lmdb)
    for name, count in (("bedroom_train", 3), ("bedroom_val", 1), ("church_outdoor_train", 2)):
        write_lsun(tmp_path / f"{name}_lmdb", count, lmdb)
    samples = read("lsun", recipe_at(tmp_path))
    assert samples.schema.classes == ("bedroom", "church_outdoor")
    assert samples.targets.tolist() == [0, 0, 0, 0, 1, 1]
    assert samples.parts is not None and samples.parts.tolist().count("test") == 1
    assert samples.pictures is not None and len(samples) == 6
    (tmp_path / "tower_val_lmdb").mkdir()
    with pytest.raises(DataError, match=r"(?s)lsun.*no database that lmdb reads"):
        read("lsun", recipe_at(tmp_path))


def test_lsun_without_its_library_or_its_files_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)  # as if it were not installed
    with pytest.raises(DataError, match=r"(?s)not on this machine.*bedroom_train_lmdb"):
        read("lsun", recipe_at(tmp_path))
    (tmp_path / "bedroom_train_lmdb").mkdir()
    with pytest.raises(DataError, match=r"(?s)needs a library.*pip install lmdb"):
        read("lsun", recipe_at(tmp_path))
