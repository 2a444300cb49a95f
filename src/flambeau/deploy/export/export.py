"""One model on its way into a file: what writing, opening and comparing it have in common."""

from __future__ import annotations

from pathlib import Path

from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.export.agreement import Artefact, Compared, compare
from flambeau.deploy.export.describe import describe_artefact
from flambeau.deploy.export.formats import Request, exporting
from flambeau.deploy.export.graph import RawToAnswer, build_graph
from flambeau.deploy.export.inputs import RawInput, raw_inputs
from flambeau.deploy.export.onnx_file import open_onnx, write_onnx
from flambeau.deploy.export.pt2_file import example_inputs, open_pt2, write_pt2
from flambeau.deploy.export.rows import RunData, TrialRows, made_up_rows
from flambeau.deploy.export.series_inputs import series_raw_inputs
from flambeau.deploy.export.torchscript_file import open_torchscript, write_torchscript
from flambeau.deploy.export.vocabulary import vocabulary_file
from flambeau.deploy.files import is_bundle
from flambeau.errors import FlambeauError, RunError
from flambeau.recipe import load_recipe
from flambeau.records import RunFolder
from flambeau.transforms.image import PicturePreparation

WRITERS = {"onnx": write_onnx, "pt2": write_pt2, "torchscript": write_torchscript}
OPENERS = {"onnx": open_onnx, "pt2": open_pt2, "torchscript": open_torchscript}


def inputs_of(bundle: Bundle, target: Path) -> list[RawInput]:
    """The inputs in the order of the graph: pixels, columns, or windows; `target` is the file that takes them."""
    if bundle.schema.series is not None:
        return series_raw_inputs(bundle)
    beside = vocabulary_file(target, bundle)
    return raw_inputs(bundle, beside.name if beside is not None else "")


class Export:
    """One model on its way into a file.

    Args:
        run: finished.
        request: format and precision.
        target: the file that it will be in the end.

    Raises:
        RunError: the run is not finished, or its bundle is damaged.
    """

    def __init__(self, run: RunFolder, request: Request, target: Path) -> None:
        if not (run.finished or is_bundle(run.model)):
            raise RunError("this run is not finished", where=run.path, command=f"flambeau resume {run.path}")
        self.run, self.request = run, request
        self.bundle: Bundle = load_bundle(run.model)
        self.inputs: list[RawInput] = inputs_of(self.bundle, target)
        self.max_pixels = load_recipe(run.recipe).data.max_pixels
        self.metadata = describe_artefact(run, self.bundle, self.inputs, request.to, request.quantize)
        self.data: RunData | None = None
        self.why_no_data = ""
        try:
            self.data = RunData(run)
        except FlambeauError as error:
            self.why_no_data = f"the data of the run cannot be read: {error.what}"

    def graph(self) -> RawToAnswer:
        """A fresh module of the whole way."""
        return build_graph(self.bundle)

    def write(self, path: Path, graph: RawToAnswer | None = None) -> None:
        """Write the fp32 file, or that of another graph. Raises ModelError where the exporter cannot."""
        preparation = self.bundle.preparation
        channels = preparation.channels if isinstance(preparation, PicturePreparation) else 0
        example = example_inputs(self.inputs, channels)
        writer = WRITERS[self.request.to]
        exporting(
            self.request, lambda: writer(graph or self.graph(), self.inputs, example, path, self.metadata)
        )

    def open(self, path: Path) -> Artefact:
        """The file as a function."""
        return OPENERS[self.request.to](path, self.inputs)

    def trial_rows(self, most: int) -> TrialRows:
        """Rows of the test part, or made-up ones where the data are not there."""
        if self.data is None:
            return made_up_rows(self.bundle, self.why_no_data)
        return self.data.rows("test", most)

    def compare(self, artefact: Artefact, rows: TrialRows) -> Compared:
        """Both on the same rows. Raises ModelError where the artefact cannot answer some batch."""
        compared: list[Compared] = []
        exporting(
            self.request,
            lambda: compared.append(compare(self.bundle, artefact, rows, self.max_pixels)),
        )
        return compared[0]
