"""Equal and nearly equal samples are found and grouped; different ones are left alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flambeau.data.duplicates import find_duplicates, merge_groups
from flambeau.data.pictures import near_duplicates
from flambeau.data.samples import PictureArray, Samples
from flambeau.schema import PictureFacts, Schema


def samples_of(pixels: np.ndarray, targets: np.ndarray | None = None) -> Samples:
    count, height, width, channels = pixels.shape
    schema = Schema(
        "pictures", "classification", "folder", ("a", "b"), picture=PictureFacts(channels, 8, height, width)
    )
    return Samples(
        schema,
        ids=tuple(f"{index}.png" for index in range(count)),
        targets=np.zeros(count, dtype=np.int64) if targets is None else targets,
        pictures=PictureArray(pixels),
        digests=tuple(picture.tobytes().hex() for picture in pixels),
    )


def smooth_pictures(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Random coarse pictures, enlarged: pictures with structure at several sizes, all different."""
    generator = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        pictures.append(np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(pictures)


def reencoded(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_exact_copies_and_conflicting_targets() -> None:
    pixels = smooth_pictures(6, 16)
    pixels[3] = pixels[1]
    pixels[5] = pixels[1]
    found = find_duplicates(samples_of(pixels, np.array([0, 0, 0, 0, 0, 1])), pixels, near=True)
    assert found.exact_pairs == ((1, 3), (1, 5))
    assert found.conflicting == ((1, 5),)
    assert found.near_pairs == ()
    assert found.groups.tolist() == [0, 1, 2, 1, 4, 1]


def test_reencoded_and_brightened_pictures_join_their_original() -> None:
    pixels = np.concatenate([smooth_pictures(80, 48), np.zeros((4, 48, 48, 3), dtype=np.uint8)])
    pixels[80] = reencoded(pixels[7], 40)
    pixels[81] = np.clip(pixels[8] * 1.1, 0, 255)
    pixels[82] = pixels[80]
    pixels[83] = 9
    found = find_duplicates(samples_of(pixels), pixels, near=True)
    assert found.exact_pairs == ((80, 82),)
    assert sorted(found.near_pairs) == [(7, 80), (8, 81)]
    assert found.groups[7] == found.groups[80] == found.groups[82]
    assert len(np.unique(found.groups)) == 81
    assert find_duplicates(samples_of(pixels), pixels, near=False).near_pairs == ()


def test_a_common_frame_does_not_make_pictures_alike() -> None:
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 32) ** 2 + (columns - 32) ** 2 < 28**2
    texture = generator.normal(size=(100, 8, 8)).repeat(8, 1).repeat(8, 2) * 12
    pixels = (disc * np.clip(150 + texture, 0, 255)).astype(np.uint8)[..., None]
    plain = pixels.reshape(100, -1)
    assert np.corrcoef(plain[0], plain[1])[0, 1] > 0.97
    assert find_duplicates(samples_of(pixels), pixels, near=True).near_pairs == ()


def test_small_pictures_are_compared_exactly_only() -> None:
    pixels = smooth_pictures(60, 28)
    pixels[9] = reencoded(pixels[7], 90)
    assert find_duplicates(samples_of(pixels), pixels, near=True).near_pairs == ()


def test_groups_do_not_chain() -> None:
    """A row of pictures, each near the next: every member is near its own representative."""
    start, end = smooth_pictures(2, 40, seed=4).astype(np.float64)
    steps = np.linspace(0, 1, 12)[:, None, None, None]
    pixels = np.concatenate(
        [(start * (1 - steps) + end * steps).astype(np.uint8), smooth_pictures(60, 40, seed=5)]
    )
    found = find_duplicates(samples_of(pixels), pixels, near=True)
    representatives = {one for one, _ in found.near_pairs}
    members = {other for _, other in found.near_pairs}
    assert len(found.near_pairs) >= 4
    assert not representatives & members
    assert found.groups[0] != found.groups[11]


def test_rows_of_a_table_have_exact_duplicates() -> None:
    samples = Samples(
        Schema("table", "regression", "price"),
        ids=("row 1", "row 2", "row 3"),
        targets=np.array([1.0, 2.0, 1.0]),
        columns={},
        digests=("a", "a", "b"),
    )
    found = find_duplicates(samples, None, near=True)
    assert found.exact_pairs == ((0, 1),)
    assert found.conflicting == ((0, 1),)


def test_merged_groups_are_transitive() -> None:
    patients = np.array([5, 5, 6, 7, 8, 8])
    copies = np.array([0, 1, 1, 3, 4, 5])
    assert merge_groups(patients, None, copies).tolist() == [0, 0, 0, 1, 2, 2]
    assert merge_groups(None, None) is None
    chain = np.arange(1000)
    assert set(merge_groups(chain // 2, (chain + 1) // 2).tolist()) == {0}


@pytest.mark.slow
def test_real_photos(shared_data: Path) -> None:
    """Different photos of one hand stay apart; re-encoded copies of cells are all found."""
    hands = load_folder(shared_data / "images" / "sign_digits", "*.JPG", 64)
    assert len(find_duplicates(samples_of(hands), hands, near=True).near_pairs) <= 2
    cells = load_folder(shared_data / "medical" / "blood_cells" / "images", "*.jpg", 96)
    copies = np.stack([reencoded(picture, 60) for picture in cells[:100]])
    both = np.concatenate([cells, copies])
    expected = {(index, len(cells) + index) for index in range(100)}
    found = set(find_duplicates(samples_of(both), both, near=True).near_pairs)
    assert len(expected & found) >= 99
    assert len(found - expected) <= 2


def load_folder(folder: Path, pattern: str, size: int) -> np.ndarray:
    paths = sorted(folder.rglob(pattern))
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in paths])


def test_many_pairs_of_pictures_that_are_all_grouped_already(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    pixels = np.repeat(generator.integers(40, 200, (1, 32, 32, 1)), 12, axis=0)
    pixels = (pixels + generator.integers(0, 3, pixels.shape)).astype(np.uint8)
    monkeypatch.setattr(near_duplicates, "_CHUNK_BYTES", 8 * 32 * 32 * 11)  # so many pairs at a time
    pairs = near_duplicates.find_near_pairs(pixels, np.arange(12))
    assert sorted(pairs) == [(0, member) for member in range(1, 12)]
