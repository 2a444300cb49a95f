"""`flambeau export`: a run's model as one file that other programs run."""

from __future__ import annotations

from typing import Any

import click

from flambeau.cli.options import complete_run, debug_option, path_or_none
from flambeau.cli.words import number, size, table
from flambeau.evaluation.wording import metric_name
from flambeau.records import to_json


@click.command("export", short_help="Write the model as ONNX, an exported program, or TorchScript.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--to", default="onnx", show_default=True, metavar="FORMAT", help="onnx, pt2 or torchscript.")
@click.option("--out", metavar="FILE", help="The file to write; exports/ in the run's folder without it.")
@click.option("--quantize", metavar="NUMBERS", help="int8 (onnx) or bf16 (pt2, torchscript).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(run_name: str | None, to: str, out: str | None, quantize: str | None, as_json: bool) -> None:
    """Write the model of RUN (without it, of the newest run) as one file that takes raw input.

    Its answers are compared with those of the trained model, and a short example that loads it without flambeau is
    written beside it.
    """
    from flambeau.deploy.versions.resolve import find_model

    run = find_model(run_name)
    from flambeau.deploy.export.write import export_run  # torch takes seconds

    def note(text: str) -> None:
        click.echo(f"note      {text}", err=True)

    report = export_run(run, to, out=path_or_none(out), quantize=quantize, on_note=note)
    if as_json:
        click.echo(to_json(report))
        return
    click.echo(f"wrote     {report['file']}  {size(report['bytes'])}")
    click.echo(f"example   {report['example']}")
    click.echo(f"rows      {report['rows']:,}: {report['origin']}")
    if "agreement" in report:
        limit = f"(at most {report['tolerance']:.0e})"
        click.echo(
            f"agrees    max|a-b| / max|a| = {report['agreement']:.1e} {limit} with {report['compared_with']}"
        )
    else:
        for line in _quantized_lines(report["precision"], report["quantized"]):
            click.echo(line)


def _quantized_lines(precision: str, measured: dict[str, Any]) -> list[str]:
    """The table of size, scores and times before and after."""
    rows = [["", "trained", "fp32 file", precision]]
    rows.append(["size", "", *(size(measured["bytes"][name]) for name in ("full", "quantized"))])
    scores = measured.get("score", {"full": {}})
    for metric in scores["full"]:
        values = (scores[name].get(metric) for name in ("full", "quantized"))
        rows.append([metric_name(metric), "", *(number(value) for value in values)])
    for batch, times in measured["milliseconds"].items():
        told = [number(times[name]) for name in ("eager", "full", "quantized")]
        rows.append([f"ms for {batch}", *told])
    if measured["same_answers"] is not None:
        rows.append(["same label", "", "", f"{measured['same_answers']:.1%}"])
    rows.append(["max|a-b| / max|a|", "", "", f"{measured['largest_difference']:.1e}"])
    return [line.rstrip() for line in table(rows, gap="  ")]
