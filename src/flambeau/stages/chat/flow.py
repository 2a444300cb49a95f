"""The flow of a chatbot: read → divide → choose → train both nets → test → learn all → bundle → report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flambeau.data.split import Split
from flambeau.data.tables.spelling import number_of
from flambeau.evaluation.answers import likeness_blocks
from flambeau.evaluation.chat import Compared, Settled, compare_answers, evenly_chosen, settle
from flambeau.models.build import build_model
from flambeau.models.chat import ChatModel
from flambeau.planning.chat import plan_chat, plan_chat_parts
from flambeau.planning.machine import describe_machine, resolve_device
from flambeau.recipe import Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder
from flambeau.stages.chat.keeping import keep_chat_plan, keep_chat_result, score_chat
from flambeau.stages.chat.parts import (
    FINDER,
    WRITER,
    ChatParts,
    chat_spec,
    finder_parts,
    seed_model,
    writer_parts,
)
from flambeau.stages.chat.training import ChatFeed, ChatMaterial, feed_chat, rarity_of, read_chat
from flambeau.stages.engine.stopping import StopSwitch
from flambeau.stages.engine.technique import Stage
from flambeau.stages.explaining import explained
from flambeau.stages.journal import Journal, Listener, go_on
from flambeau.stages.keeping import FINAL_NUMBER
from flambeau.stages.members import asks_again
from flambeau.stages.other_flows import begin_texts, check_same_texts, idle_findings
from flambeau.stages.setting import set_up_torch
from flambeau.stages.trackers import followed
from flambeau.training.session import run_session
from flambeau.transforms.dialogue import ChatPreparation


@dataclass
class ChatFitted:
    """Both nets after a training, how they were fed, and what a repeat must know."""

    model: ChatModel
    feed: ChatFeed
    told: list[dict[str, Any]]


def train_chat(
    source: str, recipe: Recipe, *, out: Path | None, listener: Listener, command: str
) -> RunFolder:
    """From questions and answers to a finished run.

    Raises:
        FlambeauError: with what, where, got, expected and the next command.
        KeyboardInterrupt: the person stopped it; what was done is saved.
    """
    journal, choices = begin_texts(source, recipe, "chat", listener)
    machine = describe_machine(resolve_device(choices.recipe.device))
    with choices.told_later():
        plan_chat_parts(choices)
        material = read_chat(choices.recipe, journal)
    for finding in (*material.dialogues.findings, *idle_findings(choices, "chat")):
        journal.finding(finding)
    plan_chat(choices, questions=len(material.dialogues.questions), machine=machine)
    set_up_torch(choices.recipe)
    run = RunFolder.create(out, Path(source).stem)
    journal.attach(run)
    keep_chat_plan(run, material, choices, command)
    with followed(run, journal, choices.recipe):
        return carry_out_chat(run, material, choices.recipe, journal)


def resume_chat(run: RunFolder, *, listener: Listener) -> RunFolder:
    """Go on with a run that was stopped or killed. Raises RunError where the questions or answers have changed."""
    recipe = load_recipe(run.recipe)
    journal = go_on(run, listener)
    material = read_chat(recipe, journal)
    now = f"{len(material.dialogues.questions):,} questions"
    check_same_texts(run, material.fingerprint, "the questions or answers have", now, "chat")
    set_up_torch(recipe)
    with followed(run, journal, recipe):
        return carry_out_chat(run, material, recipe, journal)


def carry_out_chat(run: RunFolder, material: ChatMaterial, recipe: Recipe, journal: Journal) -> RunFolder:
    """Train, choose when it knows nothing, test, learn all questions, and keep the result."""
    stop = StopSwitch()
    split = material.split
    tested = fit_chat(run, material, split, recipe, journal, stop, number=0, name="")
    settled = settle_doubt(tested, material, recipe)
    if not settled.fitted:
        few = number_of(len(split.valid), "question held out is", "questions held out are")
        journal.note(
            f"{few} too few to tell when it does not know: that is settled by how well it knows the questions that it "
            "has learnt"
        )
    journal.note(
        f"it answers where it is at least {settled.threshold:.0%} sure, and says '{recipe.chat.unknown}' elsewhere"
    )
    journal.stage("test", f"testing on {number_of(len(split.test), 'question')} that it was not trained on")
    preparation = prepare_chat(tested.feed, material, recipe, settled)
    scores, samples = score_chat(tested.model, tested.feed, material, preparation, recipe)
    kept = tested
    if recipe.split.refit:
        journal.stage("final", "training the bot that is kept on all questions")
        rows = np.arange(len(material.dialogues.questions))
        whole = Split(rows, rows[:0], rows[:0], split.method, split.reason)
        kept = fit_chat(
            run,
            material,
            whole,
            recipe,
            journal,
            stop,
            number=FINAL_NUMBER,
            name="all questions",
            # no part is left that could choose, and a writer that learns by heart gets worse at new answers
            writer_epochs=best_epoch_of(tested.told, WRITER),
        )
        preparation = prepare_chat(kept.feed, material, recipe, settled)
        scores["kept"] = "a bot trained on all questions, after the test"
    scores["seconds"] = round(journal.seconds, 2)
    keep_chat_result(
        run, (chat_spec(kept.feed, recipe), kept.model, preparation), scores, samples, kept.told, journal
    )
    return run


def fit_chat(
    run: RunFolder,
    material: ChatMaterial,
    split: Split,
    recipe: Recipe,
    journal: Journal,
    stop: StopSwitch,
    *,
    number: int,
    name: str,
    writer_epochs: int | None = None,
) -> ChatFitted:
    """Train both nets on the training rows of a split, the best epoch chosen on its validation rows.

    `writer_epochs`: instead of the recipe's.
    """
    device = torch.device(recipe.device or "cpu")
    feed = feed_chat(material, split.train, recipe, device)
    seed_model(recipe, number)
    model = build_model(chat_spec(feed, recipe))
    assert isinstance(model, ChatModel)
    learnt = torch.zeros(len(feed.answers), dtype=torch.bool)
    learnt[feed.right[torch.from_numpy(split.train)].cpu()] = True
    model.finder.set_answers(feed.answers.cpu(), learnt, torch.from_numpy(rarity_of(feed, split.train)))
    model.to(device)
    told = []

    def stage(net: int, words: str) -> Stage:
        title = f"{name}, {words}".removeprefix(", ")
        return Stage(number + net, title, run.checkpoints / f"training-{number + net:05d}", journal, stop)

    finding = finder_parts(model.finder, material, feed, split, recipe, stage(FINDER, "finding answers"))
    told.append(train_net(finding, stop, number + FINDER))
    if model.writer is not None:
        writes = replace(stage(WRITER, "writing answers"), epochs=writer_epochs)
        writing = writer_parts(model.writer, material, feed, split, recipe, writes)
        told.append(train_net(writing, stop, number + WRITER))
    return ChatFitted(model.eval(), feed, told)


def best_epoch_of(told: list[dict[str, Any]], number: int) -> int | None:
    """The epoch that validation chose in the training of this number; None where there was none."""
    return next((one["best_epoch"] or None for one in told if one["number"] == number), None)


def train_net(parts: ChatParts, stop: StopSwitch, number: int) -> dict[str, Any]:
    """Train one of the nets in place; returns what a repeat must know."""
    with stop.catching(), explained(parts):
        state = run_session(
            parts.model, parts.batches, parts.optimizer, parts.loss, parts.technique, parts.session
        )
    if state.evaluated is not parts.model:
        parts.model.load_state_dict(state.evaluated.state_dict())
    return {
        "number": number,
        "valid": [],
        "epochs": parts.technique.epochs,
        "best_epoch": state.best.epoch,
        "changes": state.changes,
        "head_changes": [],
        "asks_again": asks_again(parts.technique),
        "batch_size": parts.batches.batch_size,
    }


def settle_doubt(fitted: ChatFitted, material: ChatMaterial, recipe: Recipe) -> Settled:
    """When it knows no answer, from the validation questions; a threshold that a person gave stays."""

    def compared(part: np.ndarray) -> Compared:
        rows = evenly_chosen(part)
        if not len(rows):
            return compare_answers([], [])
        blocks = likeness_blocks(fitted.model.finder, fitted.feed.questions[torch.from_numpy(rows)])
        return compare_answers(blocks, material.right(rows))

    split = material.split
    return settle(compared(split.valid), lambda: compared(split.train), recipe.chat.threshold)


def prepare_chat(feed: ChatFeed, material: ChatMaterial, recipe: Recipe, settled: Settled) -> ChatPreparation:
    """All that the bot must know beside its weights."""
    dialogues = material.dialogues
    return ChatPreparation(
        feed.pieces,
        feed.tokens,
        dialogues.answers,
        dialogues.tags,
        settled.temperature,
        settled.doubt,
        settled.threshold,
        recipe.chat.unknown,
        recipe.chat.length,
    )
