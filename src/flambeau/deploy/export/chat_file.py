"""A chatbot as one file: the bytes of a question in, a probability for each answer out."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from flambeau.data.dialogue.joining import SIGNS_AT_ENDS, plain_question
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.example import MARK, loading_lines
from flambeau.deploy.export.formats import Request
from flambeau.deploy.export.normal import float64
from flambeau.deploy.export.plain import PlainFile, describe_plain, refuse_smaller, write_plain
from flambeau.deploy.export.prepare_text import text_module
from flambeau.deploy.writing.chatting import LONGEST_QUESTION, ChatBot, bare_question
from flambeau.errors import ModelError
from flambeau.transforms.dialogue import wide_pieces

QUESTION, CHANCES = "question", "probabilities"
EXAMPLE_SHAPE = (3, 41)
MOST_TRIED = 64
LETTERS = "etaoin shrdlucm éß中😀?"
MEANING = (
    "the bytes of the question in UTF-8, in small letters, with single spaces and no signs at its ends; zeros behind "
    "it; at least two bytes wide"
)
ANSWERED = "of each answer; what is left to 1 is the probability that none of them is right"
_EXAMPLE = """\
SIGNS_AT_ENDS = {signs}


{rule}

if len(sys.argv) != 2:
    sys.exit("usage: python {script} QUESTION")
file = str(Path(__file__).with_name({name!r}))
{loading}
text = plain_question(sys.argv[1])[:{longest}]
numbers = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
question = np.pad(numbers, (0, max(0, 2 - len(numbers))))[None]  # at least two wide
{asking}
chances = np.asarray(answer)[0]
best = int(chances.argmax())
sure = float(chances[best]) if text else 0.0
knows = bool(text) and sure >= about["answered_below"]
answer = about["answers"][best][0] if knows else about["unknown"]
print(json.dumps({{"answer": answer, "confidence": sure, "knows": knows}}, ensure_ascii=False))
"""


class QuestionToChances(nn.Module):
    """Bytes of questions (batch, bytes) uint8 → probabilities of the answers (batch, answers) float32.

    The vectors of the answers, which depend on no question, are computed here once.

    Args:
        bot: whose net that finds answers this is.
    """

    vectors: Tensor
    rarity: Tensor
    known: Tensor
    scale: Tensor

    def __init__(self, bot: ChatBot) -> None:
        super().__init__()
        finder = copy.deepcopy(bot.module.finder).to("cpu").eval()
        self.pieces = text_module(bot.preparation.pieces)
        self.temperature, self.doubt = bot.preparation.temperature, bot.preparation.doubt
        with torch.no_grad():
            self.register_buffer("known", finder.known_answers().mT.contiguous())
        self.register_buffer("vectors", finder.pieces.weight.detach())
        self.register_buffer("rarity", finder.rarity)
        self.register_buffer("scale", finder.scale.detach())

    def forward(self, question: Tensor) -> Tensor:
        pieces = self.pieces(question).to(torch.int64)
        # 0 is padding
        weights = functional.embedding(pieces, self.rarity.unsqueeze(1)).squeeze(2) * (pieces > 0)
        asked = (weights.unsqueeze(1) @ functional.embedding(pieces, self.vectors)).squeeze(1)
        likeness = self.scale * (functional.normalize(asked, dim=-1) @ self.known)
        logits = likeness.to(torch.float64) / float64(self.temperature)
        none = torch.zeros_like(logits[:, :1]) + float64(self.doubt)
        return torch.cat([logits, none], dim=1).softmax(dim=1)[:, :-1].to(torch.float32)


def write_chat(bundle: Bundle, run_name: str, request: Request, path: Path) -> dict[str, Any]:
    """Write the file and compare it with the module, and that with the bot itself.

    Raises:
        UsageError: smaller numbers are asked for.
        ModelError: it cannot be exported, or the file does not agree.
    """
    refuse_smaller(request, "chatbots are exported in fp32")
    bot = ChatBot(bundle)
    module = QuestionToChances(bot)
    known = bot.preparation
    taken = {"name": QUESTION, "kind": "text", "meaning": MEANING, "dtype": "uint8"}
    metadata = describe_plain(bundle, run_name, request.to) | {
        "inputs": [{**taken, "shape": ["batch", "bytes"]}],
        "outputs": [{"name": CHANCES, "meaning": ANSWERED, "shape": ["batch", "answers"]}],
        "answers": [list(texts) for texts in known.answers],
        "tags": list(known.tags),
        "answered_below": known.threshold,
        "unknown": known.unknown,
    }
    texts = _trial_texts(bot)
    _check_module(bot, module, texts)
    example = torch.full(EXAMPLE_SHAPE, ord("a"), dtype=torch.uint8)
    file = PlainFile(module, example, QUESTION, ("batch", "bytes"), (CHANCES,), 0, metadata)
    trials = [_as_bytes(texts), *(_as_bytes([text]) for text in texts[:4])]
    return write_plain(file, request, path, trials, "its own answers and drawn letters as questions")


def _check_module(bot: ChatBot, module: QuestionToChances, texts: list[str]) -> None:
    """Raises ModelError unless the module finds for these questions what the bot finds."""
    with torch.no_grad():
        chances = module(_as_bytes(texts)).numpy()
    expected = bot.chances(wide_pieces(bot.preparation.pieces, texts))
    error = float(np.abs(chances - expected).max())
    if not error <= 1e-5:
        raise ModelError("this chatbot cannot be written as one graph", got=f"a difference of {error:.1e}")


def _trial_texts(bot: ChatBot) -> list[str]:
    """Answers as questions, as texts that share pieces with what it knows, and drawn letters of several scripts."""
    own = [bare_question(texts[0]) for texts in bot.preparation.answers[:MOST_TRIED]]
    draw = np.random.default_rng(0)
    sizes = [1, 2, 40, 400, *draw.integers(1, 60, 8).tolist()]
    drawn = ["".join(LETTERS[place] for place in draw.integers(0, len(LETTERS), size)) for size in sizes]
    return ["", *own, *map(bare_question, drawn)]


def _as_bytes(texts: list[str]) -> Tensor:
    """(texts, longest) uint8, zeros behind each; at least two wide, as torch takes a width of 1 for a constant."""
    rows = [text.encode("utf-8", "replace") for text in texts]
    found = np.zeros((len(rows), max(2, *map(len, rows), 0)), np.uint8)
    for row, data in zip(found, rows, strict=True):
        row[: len(data)] = np.frombuffer(data, np.uint8)
    return torch.from_numpy(found)


def chat_example(bundle: Bundle, artefact: Path, to: str) -> str:
    """A script beside the file that answers a question without flambeau."""
    asking = f'(answer,) = model.run(None, {{"{QUESTION}": question}})'
    if to != "onnx":
        asking = "answer = model(torch.from_numpy(question.copy())).detach()"
    head = [
        f'"""{MARK} Answers a question: python THIS_SCRIPT QUESTION"""',
        *("", "import json", "import sys", "from pathlib import Path", ""),
        *("import numpy as np", "import onnxruntime" if to == "onnx" else "import torch", "", ""),
    ]
    body = _EXAMPLE.format(
        script=f"{artefact.stem}_{to}.py",
        name=artefact.name,
        loading="\n".join(loading_lines(to)),
        longest=LONGEST_QUESTION,
        signs=ascii(SIGNS_AT_ENDS),
        rule=inspect.getsource(plain_question),
        asking=asking,
    )
    return "\n".join(head) + body
