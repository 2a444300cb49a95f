"""The few lines that load an artefact without flambeau, written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flambeau.data.tables.spelling import FALSE_WORDS, MISSING_SPELLINGS, NUMBER_PATTERN, TRUE_WORDS
from flambeau.data.tables.table import ISO_FORMATS, THOUSANDS_PATTERN, ZONE_PATTERN
from flambeau.deploy.export.example_texts import text_lines
from flambeau.deploy.export.inputs import RawInput
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TablePreparation

MARK = "Written by flambeau export."
# `spell_category` without its limits of length
_SPELLING = """\
def spell(text):  # 1, 1.0 and 01 are one category, and so are true and True
    if not re.match(NUMBER, text) or len(text) > 300 or not math.isfinite(float(text)):
        return text.lower() if text.lower() in ("true", "false") else text
    if text.lstrip("+-").isdigit():
        return str(int(text))
    number = float(text)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


""".splitlines()
# `parse_dates`
_DATES = f"""\
    if one["kind"] == "date":
        text = re.sub(r"{ZONE_PATTERN}", r"\\1", text)
        if not one["date_format"]:
            text = re.sub(r"^(\\d{{4}}-\\d\\d-\\d\\d) +", r"\\1T", text)
        for written in [one["date_format"]] if one["date_format"] else {list(ISO_FORMATS)}:
            try:
                return datetime.strptime(text, written).replace(tzinfo=timezone.utc).timestamp()
            except ValueError:
                pass  # perhaps the next one
        return np.nan
""".splitlines()
TURNED = "image.getexif().get(0x0112) in (5, 6, 7, 8)"


def example_text(
    artefact: Path,
    to: str,
    preparation: PicturePreparation | TablePreparation,
    inputs: Sequence[RawInput],
    vocabulary: str = "",
) -> str:
    """A Python script that answers one picture, or one row as JSON, given on its command line.

    Args:
        artefact: the file beside which the script stands.
        to: onnx, pt2 or torchscript.
        preparation: of the bundle.
        inputs: of the artefact.
        vocabulary: the name of the file beside it with the words or the tokenizer; empty for none.
    """
    pictures = isinstance(preparation, PicturePreparation)
    asked = "PICTURE" if pictures else "'{\"COLUMN\": VALUE, ...}'"
    if isinstance(preparation, PicturePreparation):
        imports, reading = _picture_lines(preparation)
    else:
        imports, reading = _row_lines(inputs, to, vocabulary)
        if preparation.pictures:
            more, defined = _picture_function(preparation.pictures[0].pictures)
            imports, reading = [*imports, *more], [*defined, *reading]
    name = artefact.name
    usage = f"usage: python {artefact.stem}_{to}.py {asked}"
    lines = [f'"""{MARK} Answers one input: python THIS_SCRIPT {asked}"""', ""]
    own = {"import json", "import sys", "from pathlib import Path"}
    own |= {line for line in imports if line.split()[1] in ("math", "re", "datetime")}
    others = {"import numpy as np", "import onnxruntime" if to == "onnx" else "import torch", *imports} - own
    lines += [*sorted(own, key=_import_order), "", *sorted(others, key=_import_order)]
    lines += [
        "",
        "if len(sys.argv) != 2:",
        f"    sys.exit({usage!r})",
        f"file = str(Path(__file__).with_name({name!r}))",
        *loading_lines(to),
        *reading,
        *_asking(to, pictures),
    ]
    lines += [
        'if about["labels"]:',
        '    print(json.dumps(dict(zip(about["labels"], answer[0].tolist()))))',
        "else:",
        "    print(json.dumps(float(answer[0])))",
    ]
    return "\n".join(lines) + "\n"


def _import_order(line: str) -> tuple[bool, str]:
    return not line.startswith("import "), line


def loading_lines(to: str) -> list[str]:
    """Lines that make `model` and `about`, the metadata."""
    if to == "onnx":
        return [
            "model = onnxruntime.InferenceSession(file)",
            'about = json.loads(model.get_modelmeta().custom_metadata_map["flambeau"])',
        ]
    load = "torch.export.load(file, extra_files=extra).module()"
    if to == "torchscript":
        load = "torch.jit.load(file, _extra_files=extra)"
    return ['extra = {"flambeau.json": ""}', f"model = {load}", 'about = json.loads(extra["flambeau.json"])']


def _picture_lines(preparation: PicturePreparation) -> tuple[list[str], list[str]]:
    """Imports, and lines that make `pixels`: (1, height, width, channels), as flambeau decodes files."""
    if preparation.scan is not None:
        line = "pixels = np.load(sys.argv[1])[None]  # (1, height, width, channels): a scan after its window"
        return [], [line]
    if preparation.channels not in (1, 3):
        return [], ["pixels = np.load(sys.argv[1])[None]  # (1, height, width, channels)"]
    height, width = preparation.size
    size = f"({width}, {height})"
    if height != width:
        size = f"({height}, {width}) if {TURNED} else {size}"
    lines = [
        "image = Image.open(sys.argv[1])",
        "# a JPEG of more than twice the model's size is decoded at a half, a quarter or an eighth",
        f"image.draft(None, {size})",
        "image = ImageOps.exif_transpose(image)",
    ]
    deep = 'image.mode.startswith("I")'
    mode = "L" if preparation.channels == 1 else "RGB"
    if preparation.bits == 16:
        lines += [
            f"if {deep}:",
            "    pixels = np.clip(np.asarray(image), 0, 65_535).astype(np.int32)",
            "else:",
            f'    pixels = np.array(image.convert("{mode}")).astype(np.int32) * 257',
        ]
        if preparation.channels == 3:
            lines.append("pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)")
    else:
        lines += [
            f"if {deep}:  # of 16 bits the upper 8 are taken",
            "    image = Image.fromarray((np.clip(np.asarray(image), 0, 65_535) >> 8).astype(np.uint8))",
            "if image.has_transparency_data:  # laid on white",
            '    white = Image.new("RGBA", image.size, "white")',
            '    image = Image.alpha_composite(white, image.convert("RGBA"))',
            f'pixels = np.array(image.convert("{mode}"))',
        ]
    shape = f"(1, *pixels.shape[:2], {preparation.channels})"
    return ["from PIL import Image, ImageOps"], [*lines, f"pixels = pixels.reshape{shape}"]


def _picture_function(preparation: PicturePreparation) -> tuple[list[str], list[str]]:
    """Imports, and lines that define `picture`: the pixels of a file, or blank ones where none is named."""
    imports, lines = _picture_lines(preparation)
    blank = f"np.zeros((1, 2, 2, {preparation.channels}), dtype=np.uint8)"
    body = [line.replace("sys.argv[1]", "path") for line in lines]
    head = ["", "", "def picture(path):", "    if not path:", f"        return {blank}"]
    return imports, [*head, *(f"    {line}" for line in body), "    return pixels", ""]


def _row_lines(inputs: Sequence[RawInput], to: str, vocabulary: str) -> tuple[list[str], list[str]]:
    """Imports, and lines that make `values`: input name → array of one value, as `column_values` reads it."""
    imports, defined = text_lines(inputs, vocabulary)
    words = " ".join(word for word in MISSING_SPELLINGS if word)
    kinds = {one.kind for one in inputs} - {"text", "pictures", "presence"}
    pictures = any(one.kind == "pictures" for one in inputs)
    lines = [f'MISSING = {{"", *"{words}".split()}}']
    if kinds:
        more, cells = _cell_lines(kinds, to)
        imports, lines = [*imports, *more], [*lines, f'NUMBER = r"{NUMBER_PATTERN}"', "", "", *cells, "", ""]
    else:
        lines += ["", ""]
    lines += [*defined, *_row_reading(kinds, bool(defined), pictures)]
    return imports, ["", *lines]


def _row_reading(kinds: set[str], texts: bool, pictures: bool = False) -> list[str]:
    """Lines that read the row and make `values` of it."""
    cell, text = 'np.array([read(one, row.get(one["name"]))])', "read_text(one, row)"
    array = cell if not texts else f'{text} if one["kind"] == "text" else {cell}' if kinds else text
    if pictures:
        array = (
            'picture(row.get(one["name"])) if one["kind"] == "pictures" else np.array([float(bool('
            f'row.get(one["of"])))]) if one["kind"] == "presence" else {array}'
        )
    names = 'names = [one["name"] for one in about["inputs"]]'
    if texts:
        names = 'names = [name for one in about["inputs"] for name in one.get("columns", [one["name"]])]'
    return [
        "row = json.loads(sys.argv[1])",
        names.replace('"]]', '"] if one["kind"] != "presence"]') if pictures and not texts else names,
        "if not isinstance(row, dict) or set(row) - set(names):",
        '    sys.exit(f"a row is an object with some of these columns: {names}")',
        f'values = {{one["name"]: {array} for one in about["inputs"]}}',
    ]


def _cell_lines(kinds: set[str], to: str) -> tuple[list[str], list[str]]:
    """Imports, and lines that define `read`: a value of one column as a number, or as a category's text or code."""
    imports, lines = ["import math", "import re"], []
    if kinds & {"category", "boolean"}:
        lines += _SPELLING
    lines += [
        "def read(one, value):",
        '    text = str(value).lower() if isinstance(value, bool) else str(value).strip()',
        '    missing = value is None or text in MISSING',
    ]  # fmt: skip
    if "category" in kinds:
        code = "text" if to == "onnx" else 'one["codes"].get(text, one["unknown"])'
        lines += [
            '    if one["kind"] == "category":',
            '        text = "" if missing else spell(text)',
            f"        return {code}",
        ]
    lines += ["    if missing:", "        return np.nan"]
    if "boolean" in kinds:
        lines += [
            '    if one["kind"] == "boolean":',
            "        word = spell(text).lower()",
            f"        return 1.0 if word in {TRUE_WORDS} else 0.0 if word in {FALSE_WORDS} else np.nan",
        ]
    if "date" in kinds:
        imports.append("from datetime import datetime, timezone")
        lines += _DATES
    lines += [
        rf'    if re.match(r"{THOUSANDS_PATTERN}", text):',
        '        text = text.replace(",", "")',
        "    number = float(text) if re.match(NUMBER, text) else np.nan",
        "    return number if math.isfinite(number) else np.nan",
    ]
    return imports, lines


def _asking(to: str, pictures: bool) -> list[str]:
    """Lines that make `answer`."""
    if to == "onnx":
        given = '{"pixels": pixels}' if pictures else "values"
        return [f"(answer,) = model.run(None, {given})"]
    given = "torch.from_numpy(pixels)" if pictures else "*(torch.from_numpy(one) for one in values.values())"
    return ["with torch.no_grad():", f"    answer = model({given})"]


def about_example(artefact: Path, to: str) -> Path:
    """Where the example of an artefact stands."""
    return artefact.with_name(f"{artefact.stem}_{to}.py")


def describe_output(task: str, taken: set[str]) -> dict[str, Any]:
    """Name and meaning of the one output; the name is none of the inputs'."""
    name = {"regression": "value", "forecast": "forecast"}.get(task, "probabilities")
    while name in taken:
        name = f"predicted_{name}"
    meaning = {
        "regression": "the value in the target's own units, float64",
        "multilabel": "a calibrated probability for each label, float32",
        "forecast": "in own units, float64: of each row to come and each target the forecast and its quantiles",
    }.get(task, "a calibrated probability for each class, float32")
    shapes = {"regression": ["batch"], "forecast": ["batch", "horizon", "targets", "1 + quantiles"]}
    shape = shapes.get(task, ["batch", "labels"])
    return {"name": name, "meaning": meaning, "shape": shape}
