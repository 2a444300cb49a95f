"""Words in the names of data, of their target and classes, that tell what pictures show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flambeau.schema import PictureFacts

# Where left and right, or up and down, carry the meaning.
DIRECTED_WORDS = """
    digit digits letter letters character characters char chars alphabet mnist emnist kmnist svhn number
    numbers numeral numerals words ocr sign signs signals gesture gestures
    arrow arrows left right
    handwritten handwriting
"""
MEDICAL_WORDS = """
    xray xrays x-ray x-rays radiograph radiographs radiography radiology chest lung lungs scan scans mri ct dicom
    dcm medical pneumonia tumor tumors tumour tumours brain retina retinal fundus oct ultrasound mammogram
"""
# Seen from above or through a microscope, where no side is up.
UNDIRECTED_WORDS = """
    cell cells blood microscope microscopy histology pathology satellite aerial galaxy
    galaxies plankton pollen
"""

# Of two classes, the one in which nothing is found; the other is what is looked for.
HEALTHY_WORDS = """
    normal healthy negative neg benign control controls uninfected unaffected absent clear clean none nothing
    false harmless ham ok legitimate
"""
NEGATIONS = "no non not without"


def find_words(hints: Mapping[str, Any], classes: tuple[str, ...]) -> set[str]:
    """The words, in lower case, in the source's last two parts, the target and the classes."""
    source = "/".join(re.split(r"[/\\]", str(hints.get("source") or ""))[-2:])
    text = " ".join([source, str(hints.get("target") or ""), *classes])
    parts = [part.lower() for part in re.split(r"[^0-9a-zA-Z-]+", text) if part]
    return {word for part in parts for word in (part, *part.split("-"))}


def has_word(words: set[str], known: str) -> bool:
    """Whether any of the words is among the known ones, which are separated by blanks."""
    return not words.isdisjoint(known.split())


def are_symbols(classes: tuple[str, ...]) -> bool:
    """Whether the classes look like digits or letters: each name is one character, or a number."""
    return len(classes) > 1 and all(len(name.strip()) == 1 or name.strip().isdigit() for name in classes)


def is_medical(facts: PictureFacts | None, words: set[str]) -> bool:
    """Whether the data are pictures of bodies: scans by their format, or words that say so."""
    return facts is not None and (bool(facts.scans) or has_word(words, MEDICAL_WORDS))


def is_healthy(name: str) -> bool:
    """Whether the name of a class says that nothing was found.

    >>> is_healthy("normal"), is_healthy("no_tumor"), is_healthy("abnormal"), is_healthy("not normal")
    (True, True, False, False)
    """
    parts = [part.lower() for part in re.split(r"[^0-9a-zA-Z]+", name) if part]
    negated = bool(parts) and parts[0] in NEGATIONS.split()
    return negated != has_word(set(parts), HEALTHY_WORDS)


def positive_class(classes: tuple[str, ...]) -> tuple[str, str]:
    """Of two classes the one that is looked for, of which sensitivity is the share that is found, and why."""
    first, second = classes
    if is_healthy(second) and not is_healthy(first):
        return first, f"'{second}' is the class in which nothing is found"
    if is_healthy(first) and not is_healthy(second):
        return second, f"'{first}' is the class in which nothing is found"
    return second, "it is the second of the two by name; evaluation.positive names the other"
