"""Made texts: reviews with a class, intents with answers, and plain text of a small grammar."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

TOPICS: Mapping[str, Sequence[str]] = {
    "cooking": ("oven", "salt", "dough", "butter", "pan", "recipe", "onion", "spoon", "flour", "broth"),
    "gardening": ("seed", "soil", "rake", "roots", "bloom", "hedge", "compost", "spade", "lawn", "petal"),
    "sailing": ("mast", "anchor", "tide", "deck", "rudder", "harbour", "crew", "keel", "sail", "wave"),
    "music": ("chord", "violin", "tempo", "choir", "drum", "melody", "stage", "tune", "flute", "bass"),
}
_FRAMES = (
    "I think the NOUN and the NOUN were MOOD",
    "nobody told us that the NOUN needs a NOUN, which was MOOD",
    "my friend bought a NOUN next to the NOUN; it looked MOOD",
    "after a week the NOUN was MOOD and the NOUN too",
    "what a MOOD day with the NOUN and a NOUN",
    "the NOUN, the NOUN and something MOOD at last",
)
_MOODS = ("fine", "poor", "lovely", "odd", "great", "broken", "new", "old")
_ALL = tuple(word for words in TOPICS.values() for word in words)

INTENTS: Mapping[str, tuple[Sequence[str], Sequence[str], Sequence[str]]] = {
    "greeting": (
        ("hello {}", "hi {}", "good morning {}", "hey {}", "greetings {}"),
        ("there", "friend", "everyone", "again"),
        ("Hello! What can I do for you?", "Good to see you."),
    ),
    "opening_hours": (
        ("when do you open {}", "are you open {}", "until when can I come {}", "opening times {}"),
        ("today", "on Sunday", "tomorrow", "this evening", "on holidays"),
        ("We are open from nine to six, Monday to Saturday.",),
    ),
    "order_status": (
        ("where is my {}", "has my {} been sent", "track the {}", "I still wait for my {}"),
        ("order", "parcel", "package", "delivery"),
        ("Please tell me the number of your order, and I shall look.",),
    ),
    "refund": (
        (
            "I want my money back for the {}",
            "refund the {} please",
            "how do I return a {}",
            "the {} is broken",
        ),
        ("lamp", "chair", "book", "kettle", "shirt"),
        ("You can return it within thirty days; the money comes back within a week.",),
    ),
    "prices": (
        ("how much is the {}", "what does a {} cost", "price of the {}", "is the {} expensive"),
        ("lamp", "chair", "book", "kettle", "shirt"),
        ("All prices stand on the page of the product.",),
    ),
    "goodbye": (
        ("bye {}", "see you {}", "thank you and goodbye {}", "that is all {}"),
        ("now", "then", "for today", "later"),
        ("Goodbye!", "Until next time."),
    ),
}


def make_text(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """Sentences about four topics in `text` and `label`; a word is of another topic with a chance of 35 %."""
    stray = min(0.95, 0.35 * noise)
    names = list(TOPICS)
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        for number in range(count):
            topic = names[number % len(names)]
            frames = [str(frame) for frame in random.choice(_FRAMES, int(random.integers(1, 3)))]
            sentence = ". ".join(_filled(frame, topic, stray, random) for frame in frames)
            writer.writerow([sentence, topic])


def _filled(frame: str, topic: str, stray: float, random: np.random.Generator) -> str:
    def word(place: re.Match[str]) -> str:
        if place[0] == "MOOD":
            return str(random.choice(_MOODS))
        return str(random.choice(_ALL if random.uniform() < stray else TOPICS[topic]))

    return re.sub("NOUN|MOOD", word, frame)


def make_dialogue(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """Six intents with patterns and answers, as JSON; some patterns have a slip of the pen."""
    names = list(INTENTS)
    said: dict[str, list[str]] = {name: [] for name in names}
    seen: set[str] = set()
    for number in range(count):
        name = names[number % len(names)]
        frames, words, _ = INTENTS[name]
        polite = str(random.choice(["", "please ", "well, ", "so "]))
        text = polite + str(random.choice(frames)).format(random.choice(words))
        if random.uniform() < 0.3 * noise:
            place = int(random.integers(len(text) - 1))
            text = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        if text not in seen:
            seen.add(text)
            said[name].append(text)
    intents = [
        {"tag": name, "patterns": said[name], "responses": list(INTENTS[name][2])}
        for name in names
        if said[name]
    ]
    text = json.dumps({"intents": intents}, indent=1) + "\n"
    (folder / "dialogue.json").write_text(text, encoding="utf-8")


def make_language(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """So many sentences of a small grammar in one file; verbs follow their subject, places follow the thing."""
    subjects = ("sailor", "gardener", "cook", "singer", "fisher", "baker")
    verbs = (("see", "sees"), ("carry", "carries"), ("sell", "sells"), ("paint", "paints"), ("lose", "loses"))
    lines, line = [], ""
    for _ in range(count):
        plural = int(random.integers(2))
        who = str(random.choice(subjects)) + ("s" if plural else "")
        verb = verbs[int(random.integers(len(verbs)))][1 - plural]
        topic = TOPICS[str(random.choice(list(TOPICS)))]
        what, where = (str(word) for word in random.choice(topic, 2))
        sentence = f"The {who} {verb} the {what}"
        if random.uniform() < 0.5 * min(noise, 1):
            sentence += f" {random.choice(['beside', 'under', 'behind'])} the {where}"
        line = f"{line} {sentence}.".strip()
        if random.uniform() < 0.25:
            lines.append(line)
            line = ""
    (folder / "language.txt").write_text("\n".join([*lines, line]).strip() + "\n", encoding="utf-8")
