"""Predictions of any number of inputs into one file, in memory for a few batches, and gone on with after a stop."""

from __future__ import annotations

import contextlib
import errno
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import torch

from flambeau.data.read_inputs import missing_input
from flambeau.deploy.batch.answers import AnswerColumns
from flambeau.deploy.batch.forecast_file import write_forecasts
from flambeau.deploy.batch.join import join_parts
from flambeau.deploy.batch.parts import LISTING, Parts
from flambeau.deploy.batch.pictures import PictureRows
from flambeau.deploy.batch.plan import Plan, model_digest
from flambeau.deploy.batch.predictors import PicturePredictor, TablePredictor
from flambeau.deploy.batch.tables import TableRows, unread_findings
from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.familiar.files import load_familiar
from flambeau.deploy.making.generators import refuse_generator
from flambeau.errors import RunError, UsageError
from flambeau.recipe import load_recipe
from flambeau.records import RunFolder
from flambeau.records.environment import usable_cores
from flambeau.transforms.image import PicturePreparation

PART_ROWS = 32_768
PART_SECONDS = 20.0


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is predicted.

    Args:
        batch: inputs that the model sees at a time; None for a number that suits their size.
        keep: columns of the tables that are carried along; ("all",) for all.
        restart: throw away what was begun and begin anew.
        threads: for decoding and for the model; None for all cores.
        command: what goes on with it, for messages.
    """

    batch: int | None = None
    keep: tuple[str, ...] = ()
    restart: bool = False
    threads: int | None = None
    command: str = ""


@dataclass(frozen=True)
class Summary:
    """What came out.

    Args:
        rows, errors, strange: inputs; those that could not be read; those unlike the training data.
        resumed: how many inputs had been predicted before this call.
        seconds: of this call.
    """

    rows: int
    errors: int
    strange: int
    resumed: int
    seconds: float


Listener = Callable[[dict[str, Any]], None]


def predict_to_file(
    run: RunFolder,
    paths: Sequence[str],
    target: Path,
    options: BatchOptions | None = None,
    listener: Listener = lambda record: None,
) -> Summary:
    """Predict pictures or rows into a Parquet, CSV or JSON lines file.

    What is done is kept in parts beside the file. After a stop at any moment the same call goes on, and the file
    comes out as if it had never been stopped.

    Args:
        run: a finished run.
        paths: pictures, tables, folders or archives of them.
        target: the file; see `check_target`.
        options: how.
        listener: told records of kind "look" (name, count), "rows" (done, total), "join" (done, total), "finding".

    Raises:
        RunError: no finished model; the disk is full; parts of another batch are there; another process writes.
        DataError: an input is absent or damaged, or lacks a column.
        UsageError: an option that does not fit the model.
    """
    options = options or BatchOptions()
    began = time.monotonic()
    for given in paths:
        if not Path(given).expanduser().exists():
            raise missing_input(given, Path(given).expanduser())
    bundle = load_bundle(run.model)
    refuse_generator(bundle.schema, "predict", run.path)
    if bundle.schema.series is not None:
        with _telling(target, options.command), _threads(options.threads):
            recipe = load_recipe(run.model / "recipe.yaml")
            told, took = write_forecasts(bundle, recipe, paths, target, options.keep, listener)
        return Summary(told.rows, told.errors, told.strange, 0, took)
    parts = Parts(target)
    with _telling(target, options.command), parts.hold(), _threads(options.threads):
        predictor = _make_predictor(run, bundle, paths, parts.folder / LISTING, options, listener)
        columns = AnswerColumns(
            predictor.schema,
            predictor.kept,
            bundle.point,
            threshold=bundle.threshold,
            unknown=bundle.unknown,
        )
        plan = _make_plan(run, predictor, columns, options)
        parts.begin(plan, columns.schema, restart=options.restart, command=options.command)
        resumed = parts.next_row
        for finding in predictor.findings:
            listener({"kind": "finding", **finding.to_json()})
        _predict_parts(parts, predictor, columns, listener)
        total = predictor.total
        tally = join_parts(
            parts.tables(),
            target,
            columns.schema,
            lambda rows: listener({"kind": "join", "done": rows, "total": total}),
        )
        for finding in unread_findings(tally.unread, predictor.schema):
            listener({"kind": "finding", **finding.to_json()})
        parts.remove()
    return Summary(tally.rows, tally.errors, tally.strange, resumed, time.monotonic() - began)


def _make_predictor(
    run: RunFolder,
    bundle: Bundle,
    paths: Sequence[str],
    listing: Path,
    options: BatchOptions,
    listener: Listener,
) -> TablePredictor | PicturePredictor:
    """The model with its inputs, which are looked through once."""
    familiar = load_familiar(run.model, bundle)
    limits = load_recipe(run.model / "recipe.yaml").data

    def looking(name: str, count: int) -> None:
        listener({"kind": "look", "name": name, "count": count})

    threads = options.threads or usable_cores()
    if isinstance(bundle.preparation, PicturePreparation):
        if options.keep:
            raise UsageError(
                "pictures have no columns to keep", got="--keep " + ",".join(options.keep), expected="a table"
            )
        pictures = PictureRows(paths, bundle.preparation, limits.max_pixels, listing, looking)
        return PicturePredictor(bundle, familiar, pictures, options.batch, threads)
    _check_no_table_inside(paths, listing.parent)
    rows = TableRows(paths, bundle.schema, limits.max_rows, options.keep, looking)
    return TablePredictor(
        bundle, familiar, rows, options.batch, max_pixels=limits.max_pixels, threads=threads
    )


def _check_no_table_inside(paths: Sequence[str], parts: Path) -> None:
    """Raises UsageError where the predictions would lie in a folder that is read, and so be read next time."""
    for given in paths:
        source = Path(given).expanduser()
        if source.is_dir() and parts.resolve().is_relative_to(source.resolve()):
            raise UsageError(
                "the predictions would lie among their own inputs",
                where=given,
                got=f"--out {parts.with_suffix('')}",
                expected="a file outside this folder",
            )


def _make_plan(
    run: RunFolder,
    predictor: TablePredictor | PicturePredictor,
    columns: AnswerColumns,
    options: BatchOptions,
) -> Plan:
    fingerprint = predictor.fingerprint
    return Plan(
        model=model_digest(run.model),
        count=fingerprint.count,
        bytes=fingerprint.bytes,
        inputs=fingerprint.digest,
        options={
            "--batch": predictor.batch,
            "--keep": ",".join(options.keep),
            "--threads": torch.get_num_threads(),
        },
        columns=columns.schema.to_string(show_schema_metadata=False),
    )


def _predict_parts(
    parts: Parts, predictor: TablePredictor | PicturePredictor, columns: AnswerColumns, listener: Listener
) -> None:
    """Predict from the first input without predictions on; write a part now and then."""
    held: list[pyarrow.Table] = []
    unread: Counter[str] = Counter()
    done, written = parts.next_row, time.monotonic()
    listener({"kind": "rows", "done": done, "total": predictor.total})
    with contextlib.closing(predictor.pieces(done, columns)) as pieces:
        for piece in pieces:
            held.append(piece.table)
            unread.update(piece.unread)
            done += piece.table.num_rows
            listener({"kind": "rows", "done": done, "total": predictor.total})
            # Where a part ends changes nothing but how much is lost by a stop.
            if done - parts.next_row >= PART_ROWS or time.monotonic() - written >= PART_SECONDS:
                parts.add(pyarrow.concat_tables(held), unread)
                held, unread, written = [], Counter(), time.monotonic()
    if held:
        parts.add(pyarrow.concat_tables(held), unread)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads inside the block."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _telling(target: Path, command: str) -> Iterator[None]:
    """Add to the error of a full disk what is kept and how to go on."""
    kept = "the parts that were written are kept; with room on the disk, the same command goes on"
    try:
        yield
    except RunError as error:
        if isinstance(error.__cause__, OSError) and not error.command and not error.expected:
            error.hint, error.command = kept, command
        raise
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise RunError(
            "a file would be larger than this disk or account allows",
            where=target,
            hint=kept,
            command=command,
        ) from error
