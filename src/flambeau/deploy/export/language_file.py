"""A language model as one file: tokens in, the logarithms of the probabilities of each next token out.

A transformer's file takes texts of any length. Recurrent layers can be written only for a fixed number of steps, so
theirs takes windows as long as what the model looks back on; what is behind a place never changes its answer.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.example import MARK, loading_lines
from flambeau.deploy.export.formats import Request
from flambeau.deploy.export.plain import PlainFile, describe_plain, refuse_smaller, write_plain
from flambeau.deploy.writing.writing import writing_parts
from flambeau.models.language import LanguageLSTM
from flambeau.models.writing import write_tokens
from flambeau.transforms.corpus import CorpusPreparation

TOKENS, CHANCES = "tokens", "log_probabilities"
EXAMPLE_BATCH, EXAMPLE_LENGTH = 3, 41
MOST_TRIED = 256
TEXTS = 4
MEANINGS = {
    "characters": "1 + the place of each character among `characters`; 0 for any other",
    "bytes": "the bytes of the text in UTF-8",
    "subwords": "the numbers of the tokenizer that stands beside this file",
}
_READING = {
    "characters": """\
KNOWN = {character: number for number, character in enumerate(about["characters"], start=1)}
ids = [KNOWN.get(character, 0) for character in prompt]
""",
    "bytes": 'ids = list(prompt.encode("utf-8", "replace"))\n',
    "subwords": """\
TOKENIZER = Tokenizer.from_file(str(Path(__file__).with_name({tokenizer!r})))
ids = TOKENIZER.encode(prompt, add_special_tokens=False).ids
""",
}
_SAYING = {
    "characters": 'text = "".join("\\ufffd" if one == 0 else about["characters"][one - 1] for one in ids[begun:])',
    "bytes": 'text = bytes(ids[begun:]).decode("utf-8", "replace")',
    "subwords": "text = TOKENIZER.decode(ids[begun:], skip_special_tokens=False)",
}
_EXAMPLE = """\
usage = "usage: python {script} BEGINNING [TOKENS [TEMPERATURE [SEED]]]"
if not 2 <= len(sys.argv) <= 5:
    sys.exit(usage)
file = str(Path(__file__).with_name({name!r}))
{loading}
prompt = sys.argv[1] or "\\n"
words = [*sys.argv[2:], *["200", "0.8", "0"][len(sys.argv) - 2 :]]
length, temperature, seed = int(words[0]), float(words[1]), int(words[2])
{reading}begun = len(ids)
draw = np.random.default_rng(seed)
for _ in range(length):
    seen = ids[-about["context"] :]
    tokens = np.array([seen{padding}], np.int32)
    {asking}
    last = np.asarray(answer)[0, len(seen) - 1].astype(np.float64)
    if temperature == 0:  # the likeliest token
        ids.append(int(last.argmax()))
        continue
    chances = np.exp((last - last.max()) / temperature)
    ids.append(int(draw.choice(len(chances), p=chances / chances.sum())))
{saying}
print(sys.argv[1] + text)
"""


class TokensToChances(nn.Module):
    """Token ids (batch, tokens) int32 → (batch, tokens, vocabulary) float32; each place knows the tokens up to it.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(tokens.to(torch.int64)).log_softmax(dim=-1)


def write_language(bundle: Bundle, run_name: str, request: Request, path: Path) -> dict[str, Any]:
    """Write the file and compare it with the module, on tokens that were drawn and on texts that it wrote.

    Raises:
        UsageError: smaller numbers are asked for.
        ModelError: it cannot be exported, or the file does not agree.
    """
    refuse_smaller(request, "language models are exported in fp32")
    preparation, model = writing_parts(bundle)
    module = TokensToChances(copy.deepcopy(model).to("cpu").eval())
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    metadata = describe_plain(bundle, run_name, request.to) | _about(preparation, _window(bundle))
    example = torch.zeros(EXAMPLE_BATCH, _window(bundle) or EXAMPLE_LENGTH, dtype=torch.int32)
    free = ("batch",) if _window(bundle) else ("batch", TOKENS)
    file = PlainFile(module, example, TOKENS, free, (CHANCES,), 0, metadata)
    return write_plain(file, request, path, _trials(bundle), "texts that were drawn and written")


def _window(bundle: Bundle) -> int:
    """How many tokens the file takes, neither more nor fewer; 0 for any number."""
    preparation, model = writing_parts(bundle)
    return preparation.context if isinstance(model, LanguageLSTM) else 0


def _about(preparation: CorpusPreparation, window: int) -> dict[str, Any]:
    meaning = MEANINGS[preparation.tokens]
    taken = {"name": TOKENS, "kind": preparation.tokens, "meaning": meaning, "dtype": "int32"}
    told = {
        "inputs": [{**taken, "shape": ["batch", window or TOKENS]}],
        "outputs": [CHANCES],
        "context": preparation.context,
        "vocabulary": preparation.cardinality,
    }
    return told | ({"characters": "".join(preparation.vocabulary)} if preparation.vocabulary else {})


def _trials(bundle: Bundle) -> list[Tensor]:
    """Windows of several lengths: drawn ones alone, and several that the model wrote."""
    preparation, model = writing_parts(bundle)
    longest = min(preparation.context, MOST_TRIED)
    draw = torch.Generator().manual_seed(0)
    drawn = torch.randint(preparation.cardinality, (TEXTS, longest), generator=draw)
    written = write_tokens(model, drawn[:, :1], longest).cpu()
    lengths = sorted({1, max(1, longest // 3), longest})
    found = [part[:, :length].int() for length in lengths for part in (drawn[:1], written)]
    window = _window(bundle)
    return [functional.pad(one, (0, window - one.shape[1])) for one in found] if window else found


def tokenizer_file(bundle: Bundle, artefact: Path) -> tuple[Path, str] | None:
    """Where the tokenizer of subwords stands, and its JSON; None for other tokens."""
    preparation, _ = writing_parts(bundle)
    if preparation.tokens != "subwords":
        return None
    return artefact.with_name(f"{artefact.stem}_tokenizer.json"), preparation.tokenizer


def language_example(bundle: Bundle, artefact: Path, to: str) -> str:
    """A script beside the file that writes texts without flambeau."""
    preparation, _ = writing_parts(bundle)
    tokens = preparation.tokens
    beside = tokenizer_file(bundle, artefact)
    imports = ["import numpy as np", "import onnxruntime" if to == "onnx" else "import torch"]
    if beside is not None:
        imports.append("from tokenizers import Tokenizer")
    asking = f'(answer,) = model.run(None, {{"{TOKENS}": tokens}})'
    if to != "onnx":
        asking = "answer = model(torch.from_numpy(tokens)).detach()"
    reading = _READING[tokens]
    if beside is not None:
        reading = reading.format(tokenizer=beside[0].name)
    head = [
        f'"""{MARK} Writes on behind a beginning: python THIS_SCRIPT BEGINNING [TOKENS [TEMPERATURE [SEED]]]"""',
        *("", "import json", "import sys", "from pathlib import Path", ""),
        *(*imports, "", ""),
    ]
    body = _EXAMPLE.format(
        script=f"{artefact.stem}_{to}.py",
        name=artefact.name,
        loading="\n".join(loading_lines(to)),
        reading=reading,
        asking=asking,
        padding=' + [0] * (about["context"] - len(seen))' if _window(bundle) else "",
        saying=_SAYING[tokens],
    )
    return "\n".join(head) + body
