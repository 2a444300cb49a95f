"""The Python side: the same verbs and option names as the command line.

import flambeau as fb
run = fb.train("houses.csv", target="price", epochs=20)
run.scores["test"]["rmse"]
run.predict({"area": 93, "rooms": 4})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from flambeau.data.series.series import series_of_rows
from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.forecasts import forecast_samples, forecast_to_json
from flambeau.deploy.predict import predict, predict_rows
from flambeau.deploy.versions.resolve import find_model
from flambeau.errors import UsageError
from flambeau.recipe import Recipe, load_recipe, with_settings
from flambeau.recipe.short_names import long_setting
from flambeau.records import RunFolder, find_run
from flambeau.records.own_code import refuse_while_a_file_runs

if TYPE_CHECKING:
    from flambeau.using import CheckReport

Listener = Callable[[dict[str, Any]], None]


def _silent(record: dict[str, Any]) -> None:
    """A listener that does not listen."""


class Run:
    """A finished run, or a bundle: its scores, its model, its answers.

    Args:
        folder: of the run; of a bundle, `RunFolder.of_bundle`.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The content of scores.json: "test" holds each metric's value and interval."""
        scores: dict[str, Any] = self.folder.read_json("scores.json")
        return scores

    @cached_property
    def bundle(self) -> Bundle:
        """The model with all that it needs to answer raw input."""
        return load_bundle(self.folder.model)

    @property
    def module(self) -> nn.Module:
        """The trained module, plain PyTorch, in evaluation mode."""
        return self.bundle.module

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.folder.report

    def predict(self, inputs: Any, *, batch: int = 64) -> list[dict[str, Any]]:
        """Answers for raw input.

        Args:
            inputs: a path or several (pictures, folders, tables), or a row of a table as a dictionary, or several;
                of a model that forecasts, the past rows, the oldest first.

        Returns:
            One dictionary an input: "input", and "label" or "value" with "probabilities", or "error". Of a forecast
            one a series: "last", "times", "values", "quantiles" and "strange".

        Raises:
            DataError: no such file, or columns that the model needs are missing.
        """
        if isinstance(inputs, str | Path):
            inputs = [inputs]
        rows = [inputs] if isinstance(inputs, Mapping) else list(inputs)
        if rows and all(isinstance(row, Mapping) for row in rows):
            return self._predict_rows(rows, batch)
        return list(predict(self.folder, [str(path) for path in rows], batch))

    def sample(self, count: int = 64, *, seed: int = 0) -> np.ndarray:
        """Pixels (count, height, width, channels) of new pictures; see `flambeau sample`.

        Raises:
            UsageError: the model makes no pictures, or the count is out of range.
        """
        from flambeau.deploy.making.sampling import sample_array

        return sample_array(self.bundle, count, seed, self.folder.path)

    def eject(self, out: str | Path | None = None) -> str:
        """The run as one script of plain PyTorch, written to `out` where it is named; see `flambeau eject`."""
        from flambeau.deploy.eject import eject
        from flambeau.records import write_text

        script = eject(self.folder)
        if out is not None:
            write_text(Path(out), script)
        return script

    def export(
        self, path: str | Path | None = None, *, to: str = "onnx", quantize: str | None = None
    ) -> dict[str, Any]:
        """Write the model as one file that takes raw input, with an example beside it; see `flambeau export`.

        Args:
            path: the file; exports/NAME in the run's folder if None.
            to: onnx, pt2 or torchscript.
            quantize: int8 (onnx) or bf16 (pt2, torchscript).

        Returns:
            "file", "example", "agreement" with the trained model, and more; see `export_run`.

        Raises:
            ModelError: the model cannot be exported, or the file does not agree with it.
        """
        from flambeau.deploy.export.write import export_run

        return export_run(self.folder, to, out=None if path is None else Path(path), quantize=quantize)

    def _predict_rows(self, rows: Sequence[Mapping[str, Any]], batch: int) -> list[dict[str, Any]]:
        facts = self.bundle.schema.series
        if facts is not None:
            past = series_of_rows(rows, self.bundle.schema)
            return [forecast_to_json(facts, one) for one in forecast_samples(self.bundle, past)]
        if self.bundle.schema.source != "table":
            raise UsageError("this model answers pictures, and rows were given", expected="paths of pictures")
        most = load_recipe(self.folder.model / "recipe.yaml").data.max_pixels
        return predict_rows(self.bundle, rows, batch, max_pixels=most)


def make_recipe(recipe: Recipe | str | Path | None, options: Mapping[str, Any]) -> Recipe:
    """A recipe from a base and keyword options.

    Args:
        recipe: the base: a recipe, a YAML file, or None for defaults.
        options: short names such as `epochs`, sections as nested dictionaries, or dotted keys such as
            {"training.optimizer.lr": 1e-3}.

    Raises:
        RecipeError: an unknown option, a wrong type, a value out of range.
    """
    base = Recipe() if recipe is None else recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    return with_settings(base, dict(_flatten("", options)), where="")


def _flatten(prefix: str, options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    from flambeau.using.objects import name_of_part  # here, because predicting needs none of that room

    settings: list[tuple[str, Any]] = []
    for name, value in options.items():
        if prefix:
            key = f"{prefix}.{name}"
        else:
            # a mapping is a section: model={"width": 32}, beside model="mlp"
            key, value = (name, value) if isinstance(value, Mapping) else long_setting(name, value)
        value = name_of_part(value, key)
        if isinstance(value, Mapping) and key != "data.columns":
            settings += _flatten(key, value)
        else:
            settings.append((key, value))
    return settings


def train(
    source: Any,
    *,
    recipe: Recipe | str | Path | None = None,
    out: str | Path | None = None,
    from_run: str | Path | None = None,
    on_record: Listener = _silent,
    **options: Any,
) -> Run:
    """Train a model on data and test it honestly.

    Args:
        source: a folder, a file, or the name of built-in data; a Dataset of your own, or arrays (inputs, targets).
        recipe: a base for the options.
        out: the run's folder; the next free name under runs/ if None.
        from_run: a run, or a bundle, whose weights are the start.
        on_record: receives a dictionary for every choice, finding, epoch and score.
        options: any option of the recipe, see `make_recipe`; for model, optimizer, schedule and loss also a class or
            function of your own that is in a file.

    Raises:
        FlambeauError: with what, where, got, expected and the next command.
    """
    refuse_while_a_file_runs("train")
    from flambeau.pipeline import train as train_source
    from flambeau.using.objects import name_of_data

    source, needed = name_of_data(source, on_record)
    wanted = make_recipe(recipe, {**needed, **options})
    place = None if out is None else Path(out)
    start = None if from_run is None else find_model(from_run).path
    if wanted.devices > 1:
        from flambeau.using.several import train_together

        return Run(RunFolder(train_together(source, wanted, out=place, from_run=start, listener=on_record)))
    command = f"flambeau.train({source!r})"
    return Run(train_source(source, wanted, out=place, from_run=start, listener=on_record, command=command))


def resume(
    run: str | Path | None = None, *, devices: int | None = None, on_record: Listener = _silent
) -> Run:
    """Go on with a run that was stopped; the newest if None. `devices` is another number of processes."""
    from flambeau.pipeline import resume as resume_run

    folder = find_run(None if run is None else str(run))
    known = folder.recipe.is_file() and not folder.finished
    count = devices or (load_recipe(folder.recipe).devices if known else 1)
    if count > 1:
        from flambeau.using.several import run_command

        return Run(RunFolder(run_command(["resume", str(folder.path), "--devices", str(count)], on_record)))
    return Run(resume_run(folder, listener=on_record))


def load(run: str | Path | None = None) -> Run:
    """A finished run, a bundle (a folder, or a zip that `flambeau bundle` wrote), or NAME@VERSION of the store of
    models; the newest run if None. Raises RunError where there is none.
    """
    return Run(find_model(run))


def check(source: str | Path, *, recipe: Recipe | str | Path | None = None, **options: Any) -> CheckReport:
    """Look for faults in data, without training."""
    from flambeau.using import check as check_source

    return check_source(str(source), make_recipe(recipe, options))
