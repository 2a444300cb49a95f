"""A run of a chatbot as one plain script: read, make pieces of words, train both nets on what the kept bot learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flambeau.deploy.eject.chat_reading import chat_reading
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.language_script import hidden_matrices
from flambeau.deploy.eject.loop_facts import LoopFacts, one_process, whole_epochs
from flambeau.deploy.eject.text import Code, call, literal, script_template
from flambeau.deploy.eject.training_texts import own_constants, technique_text
from flambeau.deploy.eject.words import in_docstring, source_name, story_of
from flambeau.deploy.specialise import Facts, Instead
from flambeau.errors import RunError

IMPORTS = ("import csv", "import yaml")


def write_chat_glue(facts: RunFacts, imports: str) -> str:
    """The text made for this run; core names in it stand alone.

    Raises RunError where no plain text reads the same questions, or the run did what has no plain form.
    """
    check_plain_chat(facts)
    recipe, training, finding = facts.recipe, facts.recipe.training, facts.trainings[0]
    constants = [
        f"RUN = Path({literal(str(facts.folder.path))})",
        f"DATA = Path({literal(str(Path(str(recipe.source)).resolve()))})",
        f"SEED = {recipe.seed}",
        f"DEVICE = torch.device({literal(recipe.device or 'cpu')})",
        *own_constants(facts),
    ]
    tests = not facts.on_all_samples
    parts = facts.folder.read_json("split.json")
    title = f"{source_name(facts)}: a chatbot, as in the run {facts.folder.name}."
    return script_template("chat").render(
        title=in_docstring(title),
        story=in_docstring(story_of(facts)),
        imports="\n".join([imports, *IMPORTS]),
        constants="\n".join(constants),
        reading=chat_reading(facts),
        threads=recipe.threads or 1,
        matmul=literal(training.matmul or "highest"),
        deterministic=recipe.deterministic,
        tests=tests,
        validates=tests and bool(parts["valid"]),
        number=finding["number"],
        pieces=call("chat_pieces", recipe.chat.buckets),
        ema=bool(training.ema),
        kept="average" if training.ema else "net",
        patience=training.patience or 0,
        tolerance=training.tolerance or 0.0,
        plateau=training.schedule.name == "plateau",
        scales=scales(facts),
        **_finder_texts(facts),
        **_writer_texts(facts),
    )


def _finder_texts(facts: RunFacts) -> dict[str, Any]:
    recipe, finding = facts.recipe, facts.trainings[0]
    finder = call(
        "AnswerFinder",
        recipe.chat.buckets,
        answers=Code("len(answers)"),
        longest=Code("answers.shape[1]"),
        width=recipe.chat.width,
        reasons={"width": facts.reasons.get("chat.width", "")},
    )
    return {
        "buckets": recipe.chat.buckets,
        "finder": finder,
        "finder_batch": finding["batch_size"],
        "finder_lr": recipe.chat.lr,
        "finder_technique": technique_text(
            facts,
            epochs=finding["epochs"],
            exact=True,
            told={"epochs": facts.reasons.get("chat.epochs", "")},
        ),
    }


def _writer_texts(facts: RunFacts) -> dict[str, Any]:
    """Texts of the net that writes; empty ones where the run has none."""
    recipe, arguments = facts.recipe, facts.spec.arguments["writer"]
    if arguments is None:
        return {"writer": ""}
    writing = facts.trainings[1]
    length = recipe.chat.length
    learnt = Code("[text for pair in pairs for text in pair]")
    sizes = {key: value for key, value in arguments.items() if key != "vocabulary"}
    told = {key: facts.reasons.get(f"model.{key}", "") for key in ("width", "depth", "dropout")}
    planned = recipe.training.epochs == writing["epochs"]
    technique = technique_text(
        facts,
        epochs=writing["epochs"],
        weight_of="count_tokens",
        told={} if planned else {"epochs": "that validation chose before the bot learnt all"},
    )
    return {
        "writer": call("LanguageTransformer", Code("tokens.cardinality + 2"), reasons=told, **sizes),
        "tokens": call("fit_chat_tokens", learnt, recipe.chat.vocabulary, length),
        "length": length,
        "batch_size": writing["batch_size"],
        "optimizer": hidden_matrices(facts, "writer"),
        "technique": technique,
    }


def check_plain_chat(facts: RunFacts) -> None:
    """Raises RunError where the script could not end in the weights of the run."""
    changed = [one.get("changes") for one in facts.trainings]
    if any(changed):
        raise RunError(
            "this training went back or took smaller parts on its way, which has no plain form for chatbots yet",
            where=facts.folder.path,
            command=f"flambeau train {facts.recipe.source} --task chat {'--set chat.lr=' if changed[0] else '--lr '}…",
        )
    if any("batch_size" not in one for one in facts.trainings):
        raise RunError(
            "this run was made by a flambeau that did not yet write down what a script needs",
            where=facts.folder.path,
            command=f"flambeau train … --recipe {facts.folder.recipe}",
        )


def scales(facts: RunFacts) -> bool:
    """Whether the loss of one of the nets is scaled, as in fp16."""
    return facts.recipe.training.precision == "fp16" and facts.recipe.chat.writes


def known_of_chat(facts: RunFacts) -> Facts:
    """What is known of the run beside what its text says."""
    recipe = facts.recipe
    in_parts = bool(recipe.training.micro_batch) and recipe.chat.writes
    loop = LoopFacts(
        in_parts=in_parts,
        freezes=False,
        closes=facts.asks_again,
        clips=bool(recipe.training.clip_norm or recipe.training.clip_value),
        device=(recipe.device or "cpu").partition(":")[0],
        changes=False,
    )
    known: dict[str, dict[str, object]] = {
        **whole_epochs(changes=False),
        **one_process(loop),
        "parameter_groups": {"is_body": False},
    }
    if in_parts:
        # one net counts samples, the other one tokens
        del known["part_gradients"]["technique.weight_of"]
        del known["accumulate_gradients"]["technique.weight_of is not len"]
        known["terms_of_step"] = {"technique.total(own)": Instead("own")}
    if scales(facts):
        del known["step_once"]
    else:
        known["step_once"] = {"scaler is None": True}
    return known
