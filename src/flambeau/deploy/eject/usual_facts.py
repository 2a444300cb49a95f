"""What holds in every run of a kind, but stands in no call: shapes, types and devices of what the core works on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from flambeau.data.tables.table import DELIMITED_SUFFIXES
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.loop_facts import LoopFacts, changes_parts, one_process, whole_epochs
from flambeau.deploy.eject.mixed_texts import has_cells, pictures_beside
from flambeau.deploy.eject.modelling import head_is_trained_first
from flambeau.deploy.eject.text_models import text_of
from flambeau.deploy.eject.training_texts import freezes
from flambeau.deploy.specialise.given import Facts, Instead
from flambeau.evaluation.validation import MOST_CALIBRATED
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TablePreparation

# The default of CategoryEmbedding, which every model has.
ONE_HOT_LIMIT = 64
ANY_LOOP = LoopFacts()


def usual_facts(
    *,
    task: str,
    members: bool | None,
    judged_members: bool | None,
    pretrained: bool,
    bits: int | None = None,
    at_size: bool = False,
    decoded: bool = False,
    plain_cpu: bool = False,
    loop: LoopFacts = ANY_LOOP,
    calibrated: bool = True,
    kinds: Collection[str] = ("number", "boolean", "category", "date"),
    scaling: str = "",
    largest_cardinality: int | None = None,
) -> Facts:
    """Facts for `eject_text`. A fact about a function that the script does not use does nothing.

    Args:
        task: "classification", "multilabel" or "regression".
        members: whether the outputs of the model that is trained have a dimension of ensemble members; None if that
            is not known.
        judged_members: the same of whatever is predicted with, which may be several models side by side.
        pretrained: whether body and head learn at different rates.
        bits: of the pictures; None for tables.
        at_size: whether the pixels in memory have the size and channels that the model sees.
        decoded: whether `fit_pixels` only sees what `decode_picture` gave for the same channels and bits.
        plain_cpu: whether everything is computed on a CPU, with matrix products of the "highest" precision.
        loop: see `LoopFacts`.
        calibrated: whether the validation part is small enough to be calibrated.
        kinds: of the columns of a table.
        scaling: of its numbers; empty where the preparation is not fitted by the script.
        largest_cardinality: of its category columns, missing and unknown counted; 0 without such columns; None if
            that is not known.
    """
    two = task == "multilabel"
    facts: dict[str, dict[str, object]] = {
        "fit_temperature.loss": {"targets.ndim == 2": two},
        **whole_epochs(changes=loop.changes, arranges=loop.arranges),
        **one_process(loop),
        # inputs are made in fp32
        "predict_batches": {
            "tuple((part.float() if part.is_floating_point() else part for part in inputs))": Instead(
                "inputs"
            ),
        },
    }
    if members is not None:
        facts["members_as_rows"] = {"outputs.ndim != 3": not members}
    if judged_members is not None:
        facts["outputs_to_predictions"] = {"predictions.ndim == 3": judged_members}
    if task != "regression":
        facts["validate_predictions"] = {"predictions.size <= MOST_CALIBRATED": calibrated}
    if plain_cpu:
        facts["predict_batches"] |= {
            "_full_precision()": Instead("nullcontext()"),
            "torch.autocast(exact[0].device.type, enabled=False)": Instead("nullcontext()"),
        }
    if not pretrained:
        facts["parameter_groups"] = {"is_body": False}
    if bits is not None:
        facts["gather_pixels.gather"] = {"block.dtype == np.uint16": bits == 16}
    if at_size:
        resized = "resize_pictures(pictures, self.size, fit=self.fit, interpolation=self.interpolation)"
        permuted = "pixels.permute(0, 3, 1, 2)"
        facts["PicturePreparation.scale"] = {
            f"match_channels({permuted}, self.channels)": Instead(permuted),
            resized: Instead("pictures"),
        }
    if decoded:
        facts["fit_pixels"] = {
            "match_channels(picture, channels)": Instead("picture"),
            "bits == 8 and pixels.dtype == np.uint16": False,
            "bits == 16 and pixels.dtype == np.uint8": False,
        }
    return {**facts, **_table_facts(kinds, scaling, largest_cardinality)}


def _table_facts(kinds: Collection[str], scaling: str, largest_cardinality: int | None) -> Facts:
    facts: dict[str, dict[str, object]] = {"number_part": {}, "CategoryEmbedding.forward": {}}
    if "date" not in kinds:
        facts["number_part"] = {"values.dtype.kind != 'M'": True}
    if scaling:
        facts["fit_number_column"] = {f"kind == '{kind}'": False for kind in {"date", "boolean"} - set(kinds)}
        if "boolean" not in kinds:
            # what is not passed on as it is has the scaling of the numbers
            facts["NumberFeature.scale"] = {
                "self.scaling == 'quantile'": scaling == "quantile",
                "self.scaling == 'robust'": scaling == "robust",
            }
    if "category" not in kinds and scaling:
        facts["fit_table"] = {"kind == 'category'": False}
    if largest_cardinality is not None:
        facts["CategoryEmbedding.forward"]["not blocks"] = largest_cardinality == 0
        if largest_cardinality <= ONE_HOT_LIMIT:
            facts["CategoryEmbedding.__init__"] = {
                "size <= one_hot_limit": True,
                "width != size - 1": False,
            }
            facts["CategoryEmbedding.forward"]["str(position) in self.tables"] = False
    return facts


def _changes_samples(facts: RunFacts) -> bool | None:
    """Whether batches change their samples; a head that is trained first sees features, which are not changed."""
    if pictures_beside(facts) is not None:
        return not facts.body_apart
    if not isinstance(facts.bundle.preparation, PicturePreparation) or facts.on_features:
        return False
    return None if head_is_trained_first(facts) else True


def loop_facts(facts: RunFacts) -> LoopFacts:
    """What is known of the loop of a run."""
    recipe = facts.recipe
    return LoopFacts(
        in_parts=bool(recipe.training.micro_batch) or changes_parts(facts),
        freezes=freezes(facts),
        closes=facts.asks_again,
        clips=bool(recipe.training.clip_norm or recipe.training.clip_value),
        scales=recipe.training.precision == "fp16",
        device=(recipe.device or "cpu").partition(":")[0],
        changes=_changes_samples(facts),
        arranges=text_of(facts) is not None,
    )


def known_facts(facts: RunFacts) -> Facts:
    """What is known of the run beside what its text says, so that nothing stands in it which cannot happen."""
    recipe, preparation = facts.recipe, facts.bundle.preparation
    plain = recipe.device in (None, "cpu") and recipe.training.matmul in (None, "highest")
    # what a person's own model gives is theirs to decide
    members = None if facts.spec.name == "own" else facts.spec.name == "tabm"
    if facts.spec.name == "fusion":
        members = bool(facts.spec.arguments.get("members", 16))
    several_judged = len(facts.trainings) > 1 and not facts.on_all_samples
    common: dict[str, Any] = {
        "task": facts.task,
        "members": members,
        "judged_members": None if several_judged and not members else members,
        "pretrained": facts.pretrained and not facts.body_apart,
        "plain_cpu": plain,
        "loop": loop_facts(facts),
        "calibrated": _is_calibrated(facts),
    }
    whitened: Facts = {"hidden_weights": {"isinstance(model, WhitenFirst)": "whiten" in facts.spec.arguments}}
    if isinstance(preparation, PicturePreparation):
        known = usual_facts(
            **common,
            bits=preparation.bits,
            at_size=True,
            # channels of scans are matched to those of the model after they are decoded
            decoded=not facts.from_arrays and preparation.scan is None,
            kinds=(),
        )
        if preparation.channels == 1 or recipe.training.memory_format != "channels_last":
            planes = (
                "pictures.is_contiguous() or not pictures.is_contiguous(memory_format=torch.channels_last)"
            )
            known = {**known, "normalise_pictures": {planes: Instead("True")}}
        return {**known, **whitened}
    assert isinstance(preparation, TablePreparation)
    source = Path(str(recipe.source))
    table = _reader_facts(source.suffix.lower()) if recipe.data.test is None else {}
    known = usual_facts(
        **common,
        kinds={str(column.kind) for column in facts.bundle.schema.used_columns},
        scaling="" if facts.started else recipe.table.scaling or "quantile",
        # a fused model has two embeddings of categories, one of which has no columns
        largest_cardinality=None if facts.spec.name == "fusion" else max((*preparation.cardinalities, 0)),
    )
    known = {**known, "TablePreparation.transform_values": {"self.has_cells": has_cells(facts)}}
    return {**known, **table, **whitened}


def _reader_facts(suffix: str) -> dict[str, dict[str, object]]:
    """Which branch of `read_table` a file of that suffix takes."""
    delimited, packed = suffix in DELIMITED_SUFFIXES, suffix in (".parquet", ".pq")
    listed = suffix in (".jsonl", ".ndjson", ".json")
    return {
        "read_table": {
            "suffix in DELIMITED_SUFFIXES": delimited,
            "suffix in ('.parquet', '.pq')": packed,
            "suffix in ('.jsonl', '.ndjson', '.json')": listed,
            "suffix in TABLE_SUFFIXES": True,
        }
    }


def _is_calibrated(facts: RunFacts) -> bool:
    rows = max(len(one["valid"]) for one in facts.trainings)
    return rows * facts.bundle.schema.outputs <= MOST_CALIBRATED
