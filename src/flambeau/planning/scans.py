"""Choices for medical scans: grey values, slices or volumes, and what is left alone because a body has sides."""

from __future__ import annotations

from dataclasses import replace

from flambeau.errors import RecipeError
from flambeau.planning.rules import came_from_person
from flambeau.recipe import Choices, Recipe
from flambeau.schema import Finding, PictureFacts
from flambeau.transforms.scan import ScanReading, WindowKind

# Slices of a volume that a 3-D net sees, and the volume's values beyond which a CPU works too long.
DEPTHS = {"cpu": 16, "cuda": 32, "mps": 24}
VOLUME_SIDES = {"cpu": 48, "cuda": 112, "mps": 80}
FEWEST_SLICES = 8
SCAN_OPTIONS = ("window", "low", "high", "frame", "axis", "position", "volume", "depth")


def plan_scans(choices: Choices, facts: PictureFacts, *, pretrained: bool, device: str) -> None:
    """Fill in how scans are read. Does nothing for data without scans.

    Raises:
        RecipeError: values that contradict each other, or a volume of what has none.
    """
    if not facts.scans:
        return
    scan = choices.recipe.scan
    if (scan.low is None) != (scan.high is None) or (
        scan.low is not None and scan.high is not None and scan.low >= scan.high
    ):
        raise RecipeError(
            "scan.low and scan.high belong together, the lower one first",
            got=f"low {scan.low}, high {scan.high}",
            expected="such as --set scan.low=-1000 --set scan.high=400 (Hounsfield units)",
        )
    _plan_volume(choices, facts, pretrained=pretrained, device=device)
    if scan.low is not None:
        return
    if facts.scans == "nifti":
        window, why = (
            "percentile",
            "NIfTI files seldom say what is to be seen; half a percent is cut at each end",
        )
    else:
        window, why = "file", "what each file says is to be seen; where it says nothing, its percentiles"
    choices.choose("scan.window", window, why)


def choose_scan(choices: Choices, reading: ScanReading | None) -> None:
    """Read scans as an earlier run did, whose weights are the start; None where it saw none.

    Raises RecipeError where the recipe asks for another reading.
    """
    if reading is None:
        return
    ranged = reading.window == "range"
    wanted: dict[str, bool | int | float | str | None] = {
        "volume": reading.depth > 0,
        "depth": reading.depth or None,
        "window": None if ranged or reading.window == "auto" else reading.window,
        "low": reading.low if ranged else None,
        "high": reading.high if ranged else None,
        "frame": None if reading.frame < 0 else reading.frame,
    }
    for name, value in wanted.items():
        if value is not None:
            choices.choose(f"scan.{name}", value, "as in the earlier run")
    for name, value in {"axis": reading.axis, "position": reading.position, **wanted}.items():
        if getattr(choices.recipe.scan, name) not in (None, value):
            raise RecipeError(
                f"scan.{name}: the earlier run saw scans in another way, so its weights would mean something else",
                got=getattr(choices.recipe.scan, name),
                expected=str(value),
            )


def _plan_volume(choices: Choices, facts: PictureFacts, *, pretrained: bool, device: str) -> None:
    deep = facts.depth >= FEWEST_SLICES
    if pretrained:
        volume, why = False, "the pretrained net was made for pictures"
    elif facts.scans == "nifti" and deep and facts.channels == 1:
        volume, why = True, f"NIfTI volumes of {facts.depth} slices: a 3-D net sees them whole"
    elif facts.scans == "nifti":
        volume, why = False, f"{facts.depth} slices are too few for a 3-D net; one slice of each is a picture"
    else:
        volume, why = False, "one frame of each file is a picture"
    volume = choices.choose("scan.volume", volume, why)
    if not volume:
        return
    if facts.channels != 1 or facts.depth < 2:
        raise RecipeError(
            "scan.volume is for grey scans with several slices or frames in each file",
            got=f"{facts.channels} channels and {facts.depth} slices in the median file",
            expected="--set scan.volume=false; a series of files with one slice each is not joined",
        )
    if device == "cpu":
        choices.choose(
            "training.precision", "fp32", "3-D convolutions in bf16 do not repeat bit for bit on CPUs"
        )
    layout = choices.choose(
        "training.memory_format", "contiguous", "slices are not channels that lie innermost"
    )
    if layout != "contiguous":
        raise RecipeError(
            "training.memory_format=channels_last is for pictures, and these are volumes",
            expected="contiguous, or --set scan.volume=false",
        )
    depth = max(FEWEST_SLICES, min(DEPTHS[device], facts.depth - facts.depth % 4))
    choices.choose(
        "scan.depth", depth, f"of {facts.depth} slices in the median file, in steps that halve well"
    )


def facts_as_read(facts: PictureFacts, recipe: Recipe) -> PictureFacts:
    """The facts of the pictures that scans are read as: the size of the slices that are seen, channels as slices."""
    if facts.scans != "nifti" and not recipe.scan.volume:
        return facts
    height, width, depth = facts.height, facts.width, facts.depth
    if facts.scans == "nifti":
        sides = {
            "axial": (height, width, depth),
            "coronal": (depth, width, height),
            "sagittal": (depth, height, width),
        }
        height, width, depth = sides[recipe.scan.axis]
    channels = recipe.scan.depth or depth if recipe.scan.volume else facts.channels
    return replace(facts, height=height, width=width, depth=depth, channels=channels)


def scan_reading(recipe: Recipe, facts: PictureFacts | None) -> ScanReading | None:
    """How the scans of a run are read; None where there are none."""
    if facts is None or not facts.scans:
        return None
    scan = recipe.scan
    window: WindowKind = scan.window or "auto"
    if scan.low is not None:
        window = "range"
    return ScanReading(
        window=window,
        low=scan.low or 0.0,
        high=scan.high or 0.0,
        frame=-1 if scan.frame is None else scan.frame,
        axis=scan.axis,
        position=scan.position,
        depth=(scan.depth or 0) if scan.volume else 0,
    )


def scan_findings(choices: Choices, facts: PictureFacts) -> list[Finding]:
    """A finding for each given option of scans that changes nothing in these data."""
    volume = bool(choices.recipe.scan.volume)
    idle = {
        "window": "where scan.low and scan.high say it" if choices.recipe.scan.low is not None else "",
        "frame": "on NIfTI files" if facts.scans == "nifti" else "with whole volumes" if volume else "",
        "axis": "on DICOM files" if facts.scans == "dicom" else "",
        "position": "on DICOM files" if facts.scans == "dicom" else "with whole volumes" if volume else "",
        "depth": "" if volume else "without scan.volume",
    }
    findings = []
    for name in SCAN_OPTIONS:
        value = getattr(choices.recipe.scan, name)
        given = came_from_person(choices, f"scan.{name}") and value not in (None, False)
        why = idle.get(name, "") if facts.scans else "on data without scans"
        if given and why and value != type(choices.recipe.scan)().model_dump()[name]:
            shown = str(value).lower() if isinstance(value, bool) else value
            findings.append(Finding("warning", "no-effect", f"scan.{name}={shown} has no effect {why}"))
    return findings
