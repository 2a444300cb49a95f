"""Register, tag, roll back, remove: what the store knows afterwards, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from flambeau.deploy.files import check_files
from flambeau.deploy.versions.index import check_name, check_tag, read_index
from flambeau.deploy.versions.listing import list_versions, versions_of
from flambeau.deploy.versions.store import (
    model_names,
    move_tag,
    register,
    remove,
    roll_back,
    store_folder,
)
from flambeau.errors import RunError, UsageError

Make = Callable[[str], Path]


@pytest.fixture
def three(variant: Make, store: Path) -> Path:
    for name in ("one", "two", "three"):
        register(variant(name), "things", store=store)
    return store


def test_a_registered_bundle_is_whole_and_listed(bundle: Path, store: Path) -> None:
    assert register(bundle, "things", tag="production", note="the\nfirst", origin="good-1", store=store) == 1
    assert check_files(store / "things" / "1") == check_files(bundle)
    (row,) = list_versions(store)
    assert (row.name, row.version, row.tags, row.note, row.origin) == (
        "things", 1, ("production",), "the first", "good-1",
    )  # fmt: skip
    data = json.loads((bundle / "facts.json").read_text())["data"]
    assert (row.task, row.metric, row.fingerprint) == ("classification", "accuracy", data["fingerprint"])
    assert row.score["low"] <= row.score["value"] <= row.score["high"]
    assert row.registered[:4].isdigit()


def test_versions_count_up_and_numbers_are_not_given_twice(three: Path, variant: Make) -> None:
    remove("things", 3, store=three)
    assert register(variant("four"), "things", store=three) == 4
    assert [row.version for row in versions_of("things", three)] == [4, 2, 1]
    assert not (three / "things" / "3").exists()


def test_the_same_bundle_is_not_registered_twice(three: Path, variant: Make, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="already, as things@2"):
        register(tmp_path / "variants" / "two", "things", store=three)
    assert register(tmp_path / "variants" / "two", "others", store=three) == 1
    assert model_names(three) == ["others", "things"]


def test_a_damaged_bundle_is_not_registered(variant: Make, store: Path) -> None:
    damaged = variant("damaged")
    (damaged / "recipe.yaml").write_text("seed: 9\n")
    with pytest.raises(RunError, match="altered or damaged"):
        register(damaged, "things", store=store)
    assert list_versions(store) == []


def test_a_tag_moves_and_rolls_back_as_far_as_it_came(three: Path) -> None:
    assert move_tag("things", 1, "production", store=three) is None
    assert move_tag("things", 2, "production", store=three) == 1
    assert move_tag("things", 2, "production", store=three) == 2
    assert move_tag("things", 3, "production", store=three) == 2
    assert roll_back("things", store=three) == (3, 2)
    assert roll_back("things", store=three) == (2, 1)
    with pytest.raises(RunError, match="never pointed to another"):
        roll_back("things", store=three)
    changes = [(change["what"], change["version"]) for change in read_index(three / "things").history[3:]]
    assert changes == [("tag", 1), ("tag", 2), ("tag", 3), ("rollback", 2), ("rollback", 1)]


def test_a_rollback_passes_over_versions_that_are_gone(three: Path) -> None:
    for version in (1, 2, 1, 3):
        move_tag("things", version, "production", store=three)
    remove("things", 2, store=three)
    assert roll_back("things", store=three) == (3, 1)
    with pytest.raises(RunError):
        roll_back("things", store=three)


def test_a_tagged_version_is_removed_by_force_only(three: Path) -> None:
    move_tag("things", 2, "production", store=three)
    with pytest.raises(RunError, match="a tag points to things@2"):
        remove("things", 2, store=three)
    remove("things", 2, force=True, store=three)
    assert [row.tags for row in versions_of("things", three)] == [(), ()]
    with pytest.raises(RunError, match="no tag 'production'"):
        roll_back("things", store=three)


@pytest.mark.parametrize("version", [0, 4, 10**9])
def test_versions_that_are_not_there(three: Path, version: int) -> None:
    with pytest.raises(RunError, match="has no version") as caught:
        move_tag("things", version, "production", store=three)
    assert "one of 1, 2, 3" in str(caught.value)


def test_an_unknown_model_is_told_with_the_nearest(three: Path) -> None:
    with pytest.raises(RunError, match="no model 'thing'") as caught:
        move_tag("thing", 1, "production", store=three)
    assert "did you mean 'things'?" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", "/etc", ".hidden", "end.", "a b", "a\n", "a\0", "\x1b[2J", "a@1", "x" * 101,
     "é" * 101, "𝕏" * 60, "-x", "~", "$(x)", "a:b", "*"],
)  # fmt: skip
def test_names_that_are_none(name: str, bundle: Path, store: Path) -> None:
    with pytest.raises(UsageError, match="no name"):
        register(bundle, name, store=store)
    assert not store.exists()


def test_names_and_tags_that_are_good() -> None:
    for name in ("digits", "a", "v1.2+3", "Größe_2", "x" * 100):
        assert check_name(name) == name
    for tag in ("7", "latest", "..", "a@b"):
        with pytest.raises(UsageError):
            check_tag(tag)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"next": "1", "versions": {}, "tags": {}, "history": []}', "[" * 100_000,
     '{"next": 2, "versions": {"x": {}}, "tags": {}, "history": []}',
     '{"next": 2, "versions": {}, "tags": {"a": []}, "history": []}',
     '{"next": 2, "versions": {}, "tags": {"../a": [1]}, "history": []}',
     '{"next": 2, "versions": {}, "tags": {}, "history": [{"version": "../.."}]}'],
)  # fmt: skip
def test_a_damaged_index_is_told_and_nothing_is_lost(three: Path, variant: Make, text: str) -> None:
    (three / "things" / "index.json").write_text(text)
    for change in (
        lambda: register(variant("more"), "things", store=three),
        lambda: move_tag("things", 1, "production", store=three),
        lambda: list_versions(three),
    ):
        with pytest.raises(RunError, match="index of this model is damaged"):
            change()
    assert check_files(three / "things" / "3")


def test_the_store_is_where_the_person_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert store_folder() == Path("models")
    monkeypatch.setenv("FLAMBEAU_MODELS", str(tmp_path))
    assert store_folder() == tmp_path
    assert store_folder("here") == Path("here")


def _register(job: tuple[Path, Path]) -> int:
    bundle, store = job
    return register(bundle, "things", tag="production", store=store)


def test_processes_that_register_at_once_get_a_number_each(variant: Make, store: Path) -> None:
    jobs = [(variant(f"at-once-{number}"), store) for number in range(6)]
    with ProcessPoolExecutor(3) as pool:
        numbers = sorted(pool.map(_register, jobs))
    assert numbers == [1, 2, 3, 4, 5, 6]
    index = read_index(store / "things")
    assert sorted(index.versions) == numbers
    assert sorted(index.tags["production"]) == numbers
    names = {entry.name for entry in (store / "things").iterdir()}
    assert names == {".lock", "index.json", *map(str, numbers)}
