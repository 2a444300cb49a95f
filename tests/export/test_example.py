"""The example reads values as flambeau does, from the texts of a CSV file and from JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_bundles import KINDS, table_bundle

from flambeau.data.tables.rows import rows_as_columns
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.example import example_text
from flambeau.deploy.export.inputs import column_as_raw, raw_inputs

CSV = """area,ties,new,sold,value,"zone, code"
12.5,3,1.0,2019-05-04, red ,1.0
"1,234",+2,maybe,2019-05-04 10:00,Red,01
NA,x,NA,soon,n/a,TRUE
1e3,1_000,Yes,2019-05-04T10:00:00Z,never seen,1.50
inf,1e999,off,2019-05-04 10:00:07.5+02:00,?,1e0
"""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 1, 1.0, 0, 2.5, -3, "", " ", "-", "true", "False", "y", "t", "01.50", "1e999", "٣"),
    *("2019-02-28", " 2019-02-28  03:04 ", "12345678901234567890", "1.0e2", "1,23", " blue"),
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return table_bundle("regression", "mlp", "standard")


def rows() -> list[dict[str, Any]]:
    written = list(csv.DictReader(io.StringIO(CSV)))
    return [*written, *(dict.fromkeys(KINDS, value) for value in VALUES)]


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_values_are_read_as_flambeau_reads_them(to: str, bundle: Bundle) -> None:
    inputs = raw_inputs(bundle)
    script = example_text(Path("m"), to, bundle.preparation, inputs)
    # what stands between loading the file and the command line: the functions alone
    start, stop = script.index("MISSING ="), script.index("row = json.loads")
    room: dict[str, Any] = {}
    exec("import json, math, re\nimport numpy as np\nfrom datetime import datetime, timezone\n", room)
    exec(script[start:stop], room)
    given = rows()
    columns = rows_as_columns(given, bundle.schema)
    for one in inputs:
        told = one.to_json(strings=to == "onnx")
        expected = column_as_raw(columns[one.name], one.kind)
        if one.kind == "category" and to == "pt2":
            expected = one.tensor(expected).numpy()
        for row, wanted in zip(given, expected, strict=True):
            read = room["read"](told, json.loads(json.dumps(row))[one.name])
            same = read == wanted or (wanted != wanted and np.isnan(read))
            assert same, (one.name, row[one.name], read, wanted)


def test_categories_tell_their_exact_contract(bundle: Bundle) -> None:
    told = {one.name: one.meaning for one in raw_inputs(bundle)}
    assert "letter by letter" in told["value"] and "without spaces" in told["value"]
