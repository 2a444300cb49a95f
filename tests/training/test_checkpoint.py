"""A checkpoint holds every tensor exactly, is readable by safetensors, and is named after its own content."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from flambeau.training.checkpoint import (
    STORED_TYPES,
    CheckpointError,
    check_storable,
    checkpoint_paths,
    model_tensors,
    newest_checkpoint,
    read_checkpoint,
    remove_from,
    remove_older,
    restore_model,
    write_checkpoint,
)


def test_every_kind_of_tensor_comes_back_in_bits(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"a/{number}": torch.randn(3, 5, generator=generator).mul(9).to(kind)
        for number, kind in enumerate(STORED_TYPES)
    }
    tensors["empty"] = torch.empty(0, 3)
    tensors["scalar"] = torch.tensor(7.0)
    tensors["channels last"] = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tensors["transposed"] = torch.randn(4, 6).t()
    tensors["expanded"] = torch.randn(1, 6).expand(4, 6)
    tensors["conjugate"] = torch.randn(3, dtype=torch.complex64).conj()
    path = write_checkpoint(tmp_path, "last", 3, tensors, {"epoch": 1, "text": "é", "loss": 0.1, "nan": None})
    stored = read_checkpoint(path)
    assert stored.values == {"epoch": 1, "text": "é", "loss": 0.1, "nan": None}
    assert set(stored.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert stored.tensors[name].dtype == tensor.dtype
        same = stored.tensors[name].contiguous().view(-1).view(torch.uint8)
        assert torch.equal(same, tensor.resolve_conj().contiguous().view(-1).view(torch.uint8)), name
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(tensors)


def test_tied_weights_are_stored_under_both_names(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    stored = read_checkpoint(write_checkpoint(tmp_path, "last", 0, model_tensors("model", model), {}))
    other = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    restore_model("model", other, stored.tensors)
    assert torch.equal(other[0].weight, model[0].weight)
    assert torch.equal(other[1].weight, model[0].weight)


@pytest.mark.parametrize("place", [3, 40, -1])
def test_a_flipped_byte_is_noticed_and_the_checkpoint_before_is_used(tmp_path: Path, place: int) -> None:
    write_checkpoint(tmp_path, "last", 1, {"a": torch.ones(9)}, {"epoch": 1})
    path = write_checkpoint(tmp_path, "last", 2, {"a": torch.zeros(9)}, {"epoch": 2})
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="damaged: its digest is"):
        read_checkpoint(path)
    found, sentences = newest_checkpoint(tmp_path, "last")
    assert found is not None
    assert found.values == {"epoch": 1}
    assert len(sentences) == 1


def test_one_of_the_same_number_is_replaced(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "last", 1, {"a": torch.ones(9)}, {})
    write_checkpoint(tmp_path, "last", 2, {"a": torch.ones(9)}, {"micro_batch": 0})
    path = write_checkpoint(tmp_path, "last", 2, {"a": torch.ones(9)}, {"micro_batch": 5})
    assert checkpoint_paths(tmp_path, "last")[0] == path
    assert len(checkpoint_paths(tmp_path, "last")) == 2
    assert not list(tmp_path.glob(".*"))


def test_a_tensor_that_cannot_be_stored_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"model/x is a tensor of complex128.*expected a dense one"):
        check_storable("model/x", torch.zeros(2, dtype=torch.complex128))
    with pytest.raises(ValueError, match="in the layout sparse_coo"):
        check_storable("model/x", torch.zeros(2, 2).to_sparse())


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    stored = read_checkpoint(
        write_checkpoint(tmp_path, "last", 0, model_tensors("model", nn.Linear(2, 2)), {})
    )
    with pytest.raises(ValueError, match="another model: 2 tensors differ"):
        restore_model(
            "model", nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))[0:0], stored.tensors
        )


def not_permitted(path: Path, missing_ok: bool = False) -> None:
    raise PermissionError(13, "Permission denied")


def test_an_old_checkpoint_that_cannot_be_removed_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_checkpoint(tmp_path, "last", number, {"a": torch.ones(9)}, {})
    monkeypatch.setattr(Path, "unlink", not_permitted)
    told = r"last-00000000\d\..* cannot be removed: Permission denied"
    with pytest.raises(CheckpointError, match=told):
        remove_older(tmp_path, "last", keep=2)
    with pytest.raises(CheckpointError, match=told):
        remove_from(tmp_path, "last", 2)
    with pytest.raises(CheckpointError, match=told):
        write_checkpoint(tmp_path, "last", 1, {"a": torch.zeros(9)}, {})


def test_the_first_error_of_a_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    monkeypatch.setattr(Path, "unlink", not_permitted)
    with pytest.raises(CheckpointError, match="No space left"):
        write_checkpoint(tmp_path, "last", 1, {"a": torch.ones(9)}, {})


def test_checkpoints_from_a_number_on_are_removed(tmp_path: Path) -> None:
    for kind, number in (("middle", 5), ("middle", 6), ("middle", 10), ("last", 6)):
        write_checkpoint(tmp_path, kind, number, {"a": torch.ones(9)}, {})
    remove_from(tmp_path, "middle", 6)
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == [
        "last-000000006",
        "middle-000000005",
    ]
