"""A person's own files: what is named in them, which may be run, and what is said where they do not run."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from flambeau.errors import ModelError, UsageError
from flambeau.models.own import build_own, load_own, load_own_class, own_arguments
from flambeau.records.own_code import check_trust, digest_of, refuse_while_a_file_runs, split_own, trust_file

NET = """
from torch import nn
COUNT = []
COUNT.append(1)

class Net(nn.Module):
    def __init__(self, channels: int, num_classes: int, extra: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, num_classes)

def make(in_channels, outputs):
    return Net(in_channels, outputs)

def nothing(channels):
    return channels

def my_loss(outputs, targets):
    return ((outputs - targets) ** 2).mean()
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def test_any_object_is_found_and_a_file_is_run_once_for_one_content(net: Path) -> None:
    loss = load_own(f"{net}:my_loss", "loss")
    assert loss(3.0, nn.Parameter()) is not None
    assert load_own(f"{net}:my_loss") is loss
    assert load_own(f"{net}:COUNT") == [1]
    net.write_text(NET.replace("COUNT.append(1)", "COUNT.append(2)"))
    assert load_own(f"{net}:COUNT") == [2]
    assert load_own(f"{net}:my_loss") is not loss


def test_two_files_of_one_name_are_two_modules(net: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "net.py").write_text(NET)
    assert load_own(f"{net}:Net") is not load_own(f"{tmp_path / 'other' / 'net.py'}:Net")


def test_a_file_may_import_its_neighbours(net: Path, tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_a_net.py").write_text("SIZE = 17\n")
    (tmp_path / "user.py").write_text("from neighbour_of_a_net import SIZE\n")
    assert load_own(f"{tmp_path / 'user.py'}:SIZE") == 17


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("x = 1\ny = 1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("import no_such_module_anywhere\n", 1, "ModuleNotFoundError"),
        ("def broken(:\n", 1, "SyntaxError"),
        ("import sys\n\nsys.exit(3)\n", 3, "__name__ == '__main__'"),
    ],
)
def test_a_file_that_does_not_run_names_the_line(tmp_path: Path, content: str, line: int, words: str) -> None:
    path = tmp_path / "faulty.py"
    path.write_text(content)
    for _ in range(2):
        with pytest.raises(ModelError, match="the file of the loss does not run") as caught:
            load_own(f"{path}:my_loss", "loss")
        assert f"faulty.py:{line}" in str(caught.value)
        assert words in str(caught.value)


def test_names_that_are_not_there(net: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no 'my_los' in this file") as caught:
        load_own(f"{net}:my_los", "loss")
    assert "did you mean 'my_loss'?" in str(caught.value)
    with pytest.raises(ModelError, match="the file of the loss cannot be read") as caught:
        load_own(f"{net.with_name('nett.py')}:my_loss", "loss")
    assert "did you mean 'net.py'?" in str(caught.value)
    with pytest.raises(ModelError, match="does not name a part of a Python file"):
        split_own("net.py")


def test_a_model_is_a_class_or_a_function_that_returns_a_module(net: Path) -> None:
    digest = digest_of(net)
    made = build_own(net, "make", digest=digest, arguments={"in_channels": 3, "outputs": 2})
    assert type(made).__name__ == "Net"
    assert own_arguments(load_own_class(net, "make", digest=digest), {"channels": 3, "outputs": 2}) == {
        "in_channels": 3,
        "outputs": 2,
    }
    with pytest.raises(ModelError, match="'nothing' returns no module"):
        build_own(net, "nothing", digest=digest, arguments={"channels": 3})
    with pytest.raises(ModelError, match=r"there is no nn\.Module 'COUNT'"):
        load_own_class(net, "COUNT", digest=digest)
    with pytest.raises(ModelError, match="changed since the training"):
        load_own_class(net, "Net", digest="0" * 32)


def test_a_file_is_run_only_with_consent_to_its_very_content(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, digest = tmp_path / "state" / "trusted.json", digest_of(net)
    with pytest.raises(
        ModelError, match="this optimizer is code in a file that was never trained with"
    ) as caught:
        check_trust(net, digest, store, "optimizer")
    assert digest in str(caught.value)
    monkeypatch.setenv("FLAMBEAU_TRUST", f"{'1' * 32},{digest}")
    check_trust(net, digest, store)
    monkeypatch.delenv("FLAMBEAU_TRUST")
    trust_file(net, store)
    check_trust(net, digest, store)
    net.write_text(NET + "# changed\n")
    with pytest.raises(ModelError, match="changed since the training"):
        check_trust(net, digest, store)
    with pytest.raises(ModelError, match="never trained with"):
        check_trust(net, digest_of(net), store)


def test_a_file_that_trains_while_it_is_read_is_told_where_to_put_the_call(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("import flambeau as fb\n\nclass Net: ...\n\nfb.train('digits', model=Net)\n")
    with pytest.raises(ModelError) as caught:
        load_own(f"{path}:Net")
    assert "script.py calls flambeau.train while it is being read" in str(caught.value)
    assert "script.py:5" in str(caught.value)
    assert "if __name__ == '__main__':" in str(caught.value)
    refuse_while_a_file_runs("train")


def test_refusing_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(
        "from flambeau.records.own_code import refuse_while_a_file_runs\n"
        "try:\n    refuse_while_a_file_runs('fit')\nexcept Exception as error:\n    CAUGHT = error\n"
    )
    assert isinstance(load_own(f"{path}:CAUGHT"), UsageError)
