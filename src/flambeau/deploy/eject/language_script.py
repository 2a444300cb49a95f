"""A run of a language model as one plain script: read, divide by place, make tokens, train, judge the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flambeau.data.corpus.corpus import read_corpus
from flambeau.data.corpus.source import open_corpus
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.loop_facts import LoopFacts, one_process
from flambeau.deploy.eject.text import Code, call, literal, script_template
from flambeau.deploy.eject.training_texts import loss_text, optimizer_text, own_constants, technique_text
from flambeau.deploy.eject.words import in_docstring, source_name, story_of
from flambeau.deploy.specialise import Facts, Instead
from flambeau.errors import DataError, RunError
from flambeau.transforms.corpus import CorpusPreparation

CLASSES = {"language_transformer": "LanguageTransformer", "language_lstm": "LanguageLSTM"}


def write_language_glue(facts: RunFacts, imports: str) -> str:
    """The text made for this run; core names in it stand alone.

    Raises RunError where no plain text reads the same text, or the run did what has no plain form.
    """
    check_plain(facts)
    recipe, training, split = facts.recipe, facts.recipe.training, facts.recipe.split
    preparation = facts.bundle.preparation
    assert isinstance(preparation, CorpusPreparation)
    fitted: dict[str, Any] = {"tokens": preparation.tokens, "context": preparation.context}
    if preparation.tokens == "subwords":
        fitted["vocabulary"] = recipe.language.vocabulary
    told = {"tokens": "language.tokens", "context": "language.context", "vocabulary": "language.vocabulary"}
    reasons = {key: facts.reasons.get(name, "") for key, name in told.items()}
    named = {key: facts.reasons.get(f"model.{key}", "") for key in ("width", "depth", "dropout")}
    constants = [
        f"DATA = Path({literal(str(Path(str(recipe.source)).resolve()))})",
        f"SEED = {recipe.seed}",
        f"DEVICE = torch.device({literal(recipe.device or 'cpu')})",
        *own_constants(facts),
    ]
    title = f"{source_name(facts)}: {facts.spec.name} for language, as in the run {facts.folder.name}."
    return script_template("language").render(
        title=in_docstring(title),
        story=in_docstring(story_of(facts)),
        imports=imports,
        constants="\n".join(constants),
        threads=recipe.threads or 1,
        matmul=literal(training.matmul or "highest"),
        deterministic=recipe.deterministic,
        borders=f"{split.train!r}, {split.valid!r}",
        preparation=call("fit_corpus", Code('"".join(pieces[0])'), reasons=reasons, **fitted),
        context=preparation.context,
        stride=max(1, preparation.context // 2),
        model=call(CLASSES[facts.spec.name], reasons=named, **facts.spec.arguments),
        init=literal(recipe.model.init) if recipe.model.init else "",
        batch_size=training.batch_size or 32,
        optimizer=hidden_matrices(facts, "model"),
        technique=technique_text(facts, epochs=facts.trainings[0]["epochs"]),
        loss=loss_text(facts),
        ema=bool(training.ema),
        patience=training.patience or 0,
        tolerance=training.tolerance or 0.0,
        plateau=training.schedule.name == "plateau",
        scales=training.precision == "fp16",
        recomputes=bool(training.recompute),
    )


def hidden_matrices(facts: RunFacts, model: str) -> Code:
    """The optimizer of a variable; a transformer says itself which of its matrices are hidden."""
    text = optimizer_text(facts, model, body=False)
    if facts.spec.name == "language_lstm":
        return text
    return Code(text.replace(f"hidden_weights({model})", f"{model}.hidden_names()"))


def check_plain(facts: RunFacts) -> None:
    """Raises RunError where the script could not end in the weights of the run."""
    recipe = facts.recipe
    if facts.trainings[0].get("changes"):
        raise RunError(
            "this training went back or took smaller parts on its way, which has no plain form for language models yet",
            where=facts.folder.path,
            command=f"flambeau train {recipe.source} --task language --lr …",
        )
    if recipe.data.target is not None:
        raise RunError(
            "the text of this run is a column of a table, which has no plain script yet",
            where=recipe.source,
            expected="the same texts in a .txt file, or in a folder of .txt files",
        )
    try:
        text, _ = open_corpus(recipe)
    except DataError as error:
        raise RunError("the text of this run cannot be read", where=recipe.source, got=error.what) from error
    if text != read_corpus(Path(str(recipe.source))):
        raise RunError("no short plain script reads this text as flambeau does", where=recipe.source)


def known_of_language(facts: RunFacts) -> Facts:
    """What is known of the run beside what its text says."""
    recipe = facts.recipe
    loop = LoopFacts(
        in_parts=bool(recipe.training.micro_batch),
        freezes=False,
        closes=facts.asks_again,
        clips=bool(recipe.training.clip_norm or recipe.training.clip_value),
        scales=recipe.training.precision == "fp16",
        device=(recipe.device or "cpu").partition(":")[0],
        changes=False,
    )
    known: dict[str, dict[str, object]] = {
        **one_process(loop),
        "parameter_groups": {"is_body": False},
        "WindowBatches.epoch": {"range(start, len(self))": Instead("range(len(self))")},
    }
    return known
