"""Fine-tuning from the outside: frozen parts stay, thawed ones learn, features come once, weights fit partly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import flambeau as fb
from flambeau.deploy.eject import eject
from flambeau.deploy.eject.check import check_script
from flambeau.evaluation.validation import validate_predictions
from flambeau.recipe import Choices, Recipe, with_settings
from flambeau.schema import PictureFacts, Schema
from flambeau.stages.journal import Journal
from flambeau.stages.starting import weights as starting_weights
from flambeau.stages.starting.weights import StartingWeights, find_starting_weights
from flambeau.using import verify

pytestmark = pytest.mark.slow

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels: int, num_classes: int, hidden: int = 6) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, hidden, 3, padding=1), nn.BatchNorm2d(hidden), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1), nn.BatchNorm2d(hidden), nn.ReLU())
        self.third = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * hidden, 8), nn.ReLU())
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(self.third(self.second(self.first(x))))
"""
QUICK: dict[str, Any] = {"epochs": 4, "folds": 0, "threads": 1, "baselines": False, "batch_size": 8}


class Killed(BaseException):
    """A process that ends without a word."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of small pictures, and net.py with its weights beside them."""
    (tmp_path / "net.py").write_text(NET)
    spaces: dict[str, Any] = {}
    exec(NET, spaces)
    torch.manual_seed(5)
    torch.save({"state_dict": spaces["Net"](3, 7).state_dict()}, tmp_path / "weights.pth")
    return make_photos(tmp_path / "photos", seed=0, each=20)


def make_photos(folder: Path, *, seed: int, each: int) -> Path:
    generator = np.random.default_rng(seed)
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            pixels = generator.integers(0, 156, (12, 12, 3), dtype=np.uint8) + np.uint8(100 * number)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def own_net(photos: Path, **more: Any) -> dict[str, Any]:
    folder = photos.parent
    return {**QUICK, "model": f"{folder}/net.py:Net", "pretrained": f"{folder}/weights.pth", **more}


def notes_of(run: fb.Run) -> list[str]:
    return [record["text"] for record in run.folder.read_log(["note"])]


def test_weights_of_an_own_model_are_loaded_as_far_as_they_fit_and_it_is_told(
    photos: Path, tmp_path: Path
) -> None:
    run = fb.train(photos, out=tmp_path / "run", **own_net(photos))
    told = next(note for note in notes_of(run) if note.startswith("weights.pth"))
    assert "16 of 18 tensors loaded" in told or "of another shape" in told
    assert "fc.weight: (7, 8), (2, 8)" in told
    assert told in run.report.read_text(encoding="utf-8").replace("&#39;", "'")
    record = next(record for record in run.folder.read_log(["note"]) if "matched" in record)
    assert "first.0.weight" in record["matched"]
    assert record["other_shape"] == ["fc.weight: (7, 8), (2, 8)", "fc.bias: (7,), (2,)"]


def test_weights_of_another_model_are_refused_with_both_sides(photos: Path, tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 3).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(fb.FlambeauError, match="of another model") as caught:
        fb.train(photos, out=tmp_path / "run", **own_net(photos))
    assert "2 tensors, such as weight, bias" in str(caught.value)
    assert "first.0.weight" in str(caught.value)


def test_weights_for_a_table_need_a_model(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 3).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(fb.FlambeauError, match="this is a table"):
        fb.train("wine", pretrained=str(tmp_path / "weights.pth"), out=tmp_path / "run", **QUICK)


def test_frozen_parts_stay_bit_for_bit_with_their_statistics(photos: Path, tmp_path: Path) -> None:
    run = fb.train(photos, out=tmp_path / "run", freeze=["first", "second.0.*"], **own_net(photos))
    start = torch.load(tmp_path / "weights.pth", weights_only=True)["state_dict"]
    end = run.module.state_dict()
    for name in start:
        if name.startswith(("first.", "second.0.")):
            assert torch.equal(start[name], end[name]), name
    assert not torch.equal(start["second.1.running_mean"], end["second.1.running_mean"])
    assert not torch.equal(start["third.2.weight"], end["third.2.weight"])
    assert any(note.startswith("frozen: 6 of 12 parameter tensors") for note in notes_of(run))


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        ("thrid", "did you mean 'third'?"),
        ("*", "here the head is 'fc', and the body's parts before it are third, second, first"),
        ("fc2.*", "did you mean 'fc.*'?"),
        ("nothing", "--freeze body"),
    ],
)
def test_what_cannot_be_frozen(photos: Path, tmp_path: Path, freeze: str, expected: str) -> None:
    with pytest.raises(fb.FlambeauError) as caught:
        fb.train(photos, out=tmp_path / "run", freeze=[freeze], **own_net(photos))
    assert expected in str(caught.value)
    assert not (tmp_path / "run").exists()


def killed_then_resumed(photos: Path, out: Path, epoch: int, **options: Any) -> fb.Run:
    def kill(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch" and record["epoch"] == epoch and record["stage"] == "":
            raise Killed

    with pytest.raises(Killed):
        fb.train(photos, out=out, on_record=kill, **options)
    return fb.resume(out)


def same_weights(one: fb.Run, other: fb.Run) -> bool:
    first, second = one.module.state_dict(), other.module.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_gradual_unfreezing_is_told_thaws_in_turn_and_resumes_exactly(photos: Path, tmp_path: Path) -> None:
    options = own_net(photos, **{"training.unfreeze_every": 2, "training.checkpoint_seconds": 0.0})
    run = fb.train(photos, out=tmp_path / "run", **options)
    told = next(note for note in notes_of(run) if note.startswith("gradual unfreezing"))
    assert "third from epoch 3" in told
    assert "second" not in told
    assert any("4 epochs are too few for second, first" in note for note in notes_of(run))
    start = torch.load(tmp_path / "weights.pth", weights_only=True)["state_dict"]
    end = run.module.state_dict()
    assert torch.equal(start["second.0.weight"], end["second.0.weight"])
    assert torch.equal(start["second.1.running_var"], end["second.1.running_var"])
    assert same_weights(run, killed_then_resumed(photos, tmp_path / "broken", 3, **options))


def test_feature_extraction_trains_the_head_on_features_and_repeats(photos: Path, tmp_path: Path) -> None:
    options = own_net(photos, freeze=["body"], **{"training.checkpoint_seconds": 0.0})
    run = fb.train(photos, out=tmp_path / "run", **options)
    assert any(note.startswith("feature extraction") for note in notes_of(run))
    start = torch.load(tmp_path / "weights.pth", weights_only=True)["state_dict"]
    end = run.module.state_dict()
    assert all(torch.equal(start[name], end[name]) for name in start if not name.startswith("fc."))
    recipe = fb.load_recipe(run.folder.recipe)
    assert not any(recipe.image.augment.model_dump().values())
    assert "Feature extraction: the body is frozen" in run.report.read_text(encoding="utf-8")
    assert {answer["label"] for answer in run.predict(photos)} <= {"cat", "dog"}
    assert same_weights(run, killed_then_resumed(photos, tmp_path / "broken", 2, **options))
    checks = verify(run.folder, retrain=True)
    assert all(check["ok"] for check in checks), checks


def test_the_dropout_before_the_head_stays_and_what_changes_is_told(photos: Path, tmp_path: Path) -> None:
    layers = "        self.inner = nn.Dropout(0.3)\n        self.drop = nn.Dropout(0.5, inplace=True)\n"
    dropping = NET.replace("        self.fc =", f"{layers}        self.fc =").replace(
        "self.fc(self.third(self.second(self.first(x))))",
        "self.fc(self.drop(self.third(self.inner(self.second(self.first(x))))))",
    )
    (photos.parent / "dropping.py").write_text(dropping)
    more: dict[str, Any] = {"training.precision": "bf16", "training.micro_batch": 4}
    plain = fb.train(photos, out=tmp_path / "plain", freeze=["body"], **own_net(photos))
    options = own_net(photos, model=f"{photos.parent}/dropping.py:Net", freeze=["body"], **more)
    run = fb.train(photos, out=tmp_path / "run", **options)
    assert not torch.equal(plain.module.fc.weight, run.module.fc.weight)  # type: ignore[union-attr]
    assert list(run.module.state_dict()) == list(plain.module.state_dict())
    told = notes_of(run)
    assert any("in fp32 instead of bf16 and on whole batches instead of parts of 4" in note for note in told)
    assert any(note.endswith("what the body drops at random in training: inner") for note in told)
    assert not any("inner" in note or "fp32 instead" in note for note in notes_of(plain))
    checks = verify(run.folder, retrain=True)
    assert all(check["ok"] for check in checks), checks
    result = check_script(run.folder, eject(run.folder), timeout_seconds=100)
    assert result.equal, result


def test_with_changes_that_a_person_asked_for_features_are_not_kept(photos: Path, tmp_path: Path) -> None:
    run = fb.train(
        photos, out=tmp_path / "run", freeze=["body"], image={"augment": {"shift": 0.1}}, **own_net(photos)
    )
    assert any("features are not computed once" in note and "shift" in note for note in notes_of(run))
    start = torch.load(tmp_path / "weights.pth", weights_only=True)["state_dict"]
    end = run.module.state_dict()
    assert all(torch.equal(start[name], end[name]) for name in start if not name.startswith("fc."))


def test_features_of_a_frozen_body_give_what_the_whole_model_gives(photos: Path, tmp_path: Path) -> None:
    """The head trained on features is the head of the whole model: judged alone, it had the same validation loss."""
    run = fb.train(photos, out=tmp_path / "run", freeze=["body"], **own_net(photos))
    best = max(record["epoch"] for record in run.folder.read_log(["epoch"]) if record["best"])
    told = next(record for record in run.folder.read_log(["epoch"]) if record["epoch"] == best)
    plan = run.folder.read_json("split.json")
    ids = run.folder.read_json("data.json")["ids"]
    targets = run.folder.read_json("data.json")["targets"]
    rows = plan["valid"]
    pixels = np.stack([np.asarray(Image.open(photos / ids[row])) for row in rows])
    inputs = run.bundle.preparation.prepare(torch.from_numpy(pixels))
    with torch.inference_mode():
        predictions = run.module(inputs).softmax(1).double().numpy()
    judged = validate_predictions(
        "classification", "log_loss", np.array([targets[row] for row in rows]), predictions
    )
    assert abs(judged.loss - told["valid_loss"]) < 1e-4


def test_going_on_from_a_run_with_a_frozen_body(photos: Path, tmp_path: Path) -> None:
    first = fb.train(photos, out=tmp_path / "first", **own_net(photos))
    more = make_photos(photos.parent / "more", seed=1, each=40)
    model = f"{photos.parent}/net.py:Net"
    run = fb.train(
        more, model=model, from_run=tmp_path / "first", out=tmp_path / "run", freeze=["body"], **QUICK
    )
    before, after = first.module.state_dict(), run.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("fc."))
    assert not torch.equal(before["fc.weight"], after["fc.weight"])
    (photos.parent / "net.py").write_text(NET.replace("hidden: int = 6", "hidden: int = 5"))
    with pytest.raises(fb.FlambeauError, match=r"changed since the training|another model"):
        fb.train(more, model=model, from_run=tmp_path / "first", out=tmp_path / "other", **QUICK)


def test_weights_beside_an_earlier_run_are_refused_unless_they_were_its_own(
    photos: Path, tmp_path: Path
) -> None:
    fb.train(photos, out=tmp_path / "first", **own_net(photos))
    more = make_photos(photos.parent / "more", seed=1, each=40)
    going_on: dict[str, Any] = {"from_run": tmp_path / "first", "out": tmp_path / "run", **QUICK}
    model = f"{photos.parent}/net.py:Net"
    with pytest.raises(fb.FlambeauError, match=r"model\.init: a run that goes on from an earlier one"):
        fb.train(more, model=model, **going_on, **{"model.init": "orthogonal"})
    torch.save(nn.Linear(3, 3).state_dict(), tmp_path / "other.pth")
    with pytest.raises(fb.FlambeauError, match=r"model\.pretrained: a run that goes on from an earlier one"):
        fb.train(more, model=model, pretrained=str(tmp_path / "other.pth"), **going_on)
    run = fb.train(more, **{**own_net(photos), **going_on})
    assert any("replace those of model.pretrained" in note for note in notes_of(run))


@pytest.mark.parametrize(
    ("key", "value"), [("model.init", "orthogonal"), ("model.whiten", True), ("model.width", 8)]
)
def test_weights_on_the_disk_are_not_forced_on_a_model_that_was_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object
) -> None:
    found = tmp_path / "hub" / "checkpoints" / "resnet18-5c106cde.pth"
    found.parent.mkdir(parents=True)
    torch.save({"layer.weight": torch.ones(2)}, found)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    facts = PictureFacts(channels=3, bits=8, height=48, width=48)
    schema = Schema(
        source="pictures", task="classification", target="y", classes=("a", "b"), columns=(), picture=facts
    )
    records: list[dict[str, Any]] = []
    tried: list[str] = []
    weights = StartingWeights("torchvision", "resnet18", {}, "", "")
    monkeypatch.setattr(
        starting_weights, "load_weights", lambda name, *rest, **more: tried.append(name) or weights
    )
    given = Choices(with_settings(Recipe(), {key: value}))
    assert find_starting_weights(given, schema, Journal(records.append)) is None
    assert not tried and given.recipe.model.pretrained is None
    assert records[-1]["text"].startswith(f"{found} is on the disk and is not used: {key} is given")
    assert find_starting_weights(Choices(Recipe()), schema, Journal(records.append)) is weights


def test_a_pretrained_backbone_thaws_from_the_head(shared_data: Path, photos: Path, tmp_path: Path) -> None:
    weights = shared_data / "weights" / "mobilenet_v2_imagenet1k.safetensors"
    options = {**QUICK, "pretrained": str(weights), "image": {"size": [32, 32]}, "training.unfreeze_every": 1}
    run = fb.train(photos, out=tmp_path / "run", **{**options, "epochs": 2})
    recipe = fb.load_recipe(run.folder.recipe)
    assert recipe.training.freeze_early is False
    assert any("features.18 from epoch 2" in note for note in notes_of(run))
    assert any("312 of 312 tensors loaded; the head 'classifier.1' is new" in note for note in notes_of(run))
    again = fb.train(photos, out=tmp_path / "again", **{**options, "epochs": 2})
    assert same_weights(run, again)
