"""A run of forecasts as one plain script: read, scale, cut windows, train or solve, judge the newest rows."""

from __future__ import annotations

from pathlib import Path

from flambeau.data.batches import evaluation_batch
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.modelling import model_text
from flambeau.deploy.eject.series_reading import needs_times, series_facts_of, series_reading
from flambeau.deploy.eject.text import Code, call, literal, name_of, one_line, script_template
from flambeau.deploy.eject.training_texts import loss_text, optimizer_text, own_constants, technique_text
from flambeau.deploy.eject.usual_facts import loop_facts, usual_facts
from flambeau.deploy.eject.words import in_docstring, source_name, story_of
from flambeau.deploy.specialise import Facts
from flambeau.errors import RunError
from flambeau.evaluation.metrics import higher_is_better
from flambeau.training.names import FINANCE_LOSSES
from flambeau.transforms.series import SeriesPreparation

CLASSES = {
    "ridge": "RidgeForecast",
    "linear": "LinearForecast",
    "nlinear": "LinearForecast",
    "dlinear": "DLinearForecast",
    "tcn": "TCNForecast",
    "lstm_forecast": "LSTMForecast",
    "patchtst": "PatchTransformerForecast",
}


def write_series_glue(facts: RunFacts, imports: str) -> str:
    """The text made for this run; core names in it stand alone.

    Raises RunError where no plain text reads the same series, or the run did what has no plain form.
    """
    check_plain_series(facts)
    recipe, training, series = facts.recipe, facts.recipe.training, series_facts_of(facts)
    preparation, first = facts.bundle.preparation, facts.trainings[0]
    assert isinstance(preparation, SeriesPreparation)
    metric, trains = recipe.evaluation.metric or "mae", first["epochs"] > 0
    title = f"{source_name(facts)}: {facts.spec.name} for forecasts, as in the run {facts.folder.name}."
    return script_template("forecast").render(
        title=in_docstring(title),
        story=in_docstring(story_of(facts)),
        imports=imports,
        constants="\n".join(_constants(facts)),
        reading=series_reading(facts),
        threads=recipe.threads or 1,
        matmul=literal(training.matmul or "highest"),
        deterministic=recipe.deterministic,
        times=needs_times(facts),
        known=preparation.known,
        future=preparation.future,
        one_split=facts.one_split,
        tests=not facts.on_all_samples,
        number=first["number"],
        preparation=_fit_text(facts, preparation),
        season=series.season,
        quantiles=literal(preparation.quantiles),
        finance=training.loss.name in FINANCE_LOSSES,
        model=_model_text(facts),
        init=literal(recipe.model.init) if recipe.model.init else "",
        ridge=facts.spec.name == "ridge",
        penalty=recipe.forecast.penalty or 0.0,
        trains=trains,
        validates=bool(first["valid"]),
        batch_size=training.batch_size or 64,
        optimizer=optimizer_text(facts, "model", body=False) if trains else "",
        technique=technique_text(facts, epochs=first["epochs"]) if trains else "",
        loss=loss_text(facts) if trains else "",
        ema=bool(training.ema),
        patience=training.patience or 0,
        tolerance=training.tolerance or 0.0,
        plateau=training.schedule.name == "plateau",
        scales=training.precision == "fp16",
        recomputes=bool(training.recompute),
        metric=literal(metric),
        higher_is_better=higher_is_better(metric),
        evaluation_batch=evaluation_batch(0),
    )


def _constants(facts: RunFacts) -> list[str]:
    """The lines at the top of the script that say which run this is, on what data."""
    recipe, series = facts.recipe, series_facts_of(facts)
    return [
        f"RUN = Path({literal(str(facts.folder.path))})",
        f"DATA = Path({literal(str(Path(str(recipe.source)).resolve()))})",
        f"SEED = {recipe.seed}",
        f"DEVICE = torch.device({literal(recipe.device or 'cpu')})",
        f"CHANNELS = {literal(series.channels)}",
        f"LOOKBACK, HORIZON, TARGETS = {series.lookback}, {series.horizon}, {len(series.targets)}",
        *_own_model(facts),
        *own_constants(facts),
    ]


def _own_model(facts: RunFacts) -> list[str]:
    if facts.spec.name != "own":
        return []
    file = Path(facts.spec.arguments["file"])
    name = name_of(facts.spec.arguments["class"])
    return [
        f"sys.path.insert(0, {literal(str(file.parent))})",
        f"OwnModel = importlib.import_module({literal(file.stem)}).{name}",
    ]


def _model_text(facts: RunFacts) -> Code:
    if facts.spec.name == "own":
        return Code(model_text(facts.spec))
    named = {key: facts.reasons.get(f"model.{key}", "") for key in ("width", "depth", "dropout")}
    named |= {key: facts.reasons.get(f"forecast.{key}", "") for key in ("cross", "shared")}
    return call(CLASSES[facts.spec.name], reasons=named, **facts.spec.arguments)


def _fit_text(facts: RunFacts, preparation: SeriesPreparation) -> Code:
    told = {"logs": "differences", "waves": "waves", "lookback": "lookback", "quantiles": "quantiles"}
    reasons = {key: one_line(facts.reasons.get(f"forecast.{name}", "")) for key, name in told.items()}
    return call(
        "fit_series",
        Code("values[seen]"),
        Code("CHANNELS"),
        reasons=reasons,
        targets=Code("TARGETS"),
        known=preparation.known,
        logs=tuple(channel.log for channel in preparation.channels),
        waves=tuple((wave.period, wave.orders) for wave in preparation.waves),
        lookback=Code("LOOKBACK"),
        horizon=Code("HORIZON"),
        quantiles=preparation.quantiles,
    )


def check_plain_series(facts: RunFacts) -> None:
    """Raises RunError where the script could not end in the weights of the run."""
    source = facts.recipe.source
    if len(facts.trainings) > 1:
        raise RunError(
            "several models side by side have no plain script for forecasts yet",
            where=facts.folder.path,
            command=f"flambeau train {source} --task forecast --set training.bags=1",
        )
    if facts.started:
        raise RunError(
            "a run that began with the weights of another has no plain script for forecasts yet",
            where=facts.folder.path,
            command=f"flambeau train {source} --task forecast",
        )
    if facts.trainings[0].get("changes"):
        raise RunError(
            "this training went back or took smaller parts on its way, which has no plain form for forecasts yet",
            where=facts.folder.path,
            command=f"flambeau train {source} --task forecast --lr …",
        )
    if facts.recipe.training.freeze or facts.recipe.training.unfreeze_every:
        raise RunError("frozen parameters have no plain script for forecasts yet", where=facts.folder.path)
    if facts.recipe.data.test is not None:
        raise RunError(
            "a test source of its own has no plain script for forecasts yet",
            where=facts.recipe.data.test,
            expected="one table, the newest rows of which are the test part",
        )


def known_of_series(facts: RunFacts) -> Facts:
    """What is known of the run beside what its text says."""
    recipe = facts.recipe
    own = facts.spec.name == "own"
    return usual_facts(
        task="forecast",
        members=None if own else False,
        judged_members=None if own else False,
        pretrained=False,
        plain_cpu=recipe.device in (None, "cpu") and recipe.training.matmul in (None, "highest"),
        loop=loop_facts(facts),
    )
