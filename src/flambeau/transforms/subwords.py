"""Subwords by the library `tokenizers`: byte-pair encoding (Sennrich et al. 2016), learned from training texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers

UNKNOWN_SUBWORD = "[UNK]"
FEWEST_TIMES = 2
LONGEST_SUBWORD = 1_000
CHARACTERS_A_BLOCK = 200_000
# Between a sign and the blank or line end behind it no subword reaches across.
CUT_BEFORE = re.compile(r"(?<=\S)[ \n]")


def train_subwords(texts: Sequence[str], size: int, *, exact: bool = False) -> str:
    """The JSON of a tokenizer with at most so many subwords; equal texts give equal bytes.

    Whatever a character is, its bytes are subwords. Pairs that occur once are not joined.

    Args:
        texts: to learn from.
        size: the most subwords; the 256 bytes are always among them.
        exact: keep texts as they are, so that each comes back from its numbers; otherwise they are put into lower
            case and compatible forms (NFKC).
    """
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=None if exact else UNKNOWN_SUBWORD))
    if not exact:
        tokenizer.normalizer = tokenizers.normalizers.Sequence(
            [tokenizers.normalizers.NFKC(), tokenizers.normalizers.Lowercase()]
        )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=not exact)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    special = [] if exact else [UNKNOWN_SUBWORD]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=max(size, 256 + len(special)),
        min_frequency=FEWEST_TIMES,
        max_token_length=LONGEST_SUBWORD,
        special_tokens=special,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    blocks = (block for text in texts for block in text_blocks(writable(text)))
    tokenizer.train_from_iterator(blocks, trainer=trainer)
    return str(tokenizer.to_str())


def load_subwords(text: str, length: int | None = None) -> tokenizers.Tokenizer:
    """A tokenizer from its JSON, which gives at most `length` numbers a text; None for all of them.

    Raises:
        ValueError: this is not a tokenizer.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises plain exceptions
        raise ValueError(f"this is not a tokenizer of the library tokenizers: {str(error)[:200]}") from error
    tokenizer.no_padding()
    if length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(length)
    return tokenizer


def subword_count(tokenizer: tokenizers.Tokenizer) -> int:
    """One more than the largest number that a tokenizer gives."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def subword_tokens(tokenizer: tokenizers.Tokenizer, texts: Sequence[str], most: int) -> np.ndarray:
    """The tokenizer's numbers of the first `most` characters, moved by one; (rows, longest) int32, 0 is padding."""
    rows = [encoded.ids for encoded in tokenizer.encode_batch([writable(text[:most]) for text in texts])]
    longest = max((len(row) for row in rows), default=0)
    tokens = np.zeros((len(rows), max(1, longest)), dtype=np.int32)
    for number, row in enumerate(rows):
        tokens[number, : len(row)] = np.asarray(row, dtype=np.int32) + 1
    return tokens


def subword_ids(tokenizer: tokenizers.Tokenizer, text: str) -> np.ndarray:
    """The tokenizer's numbers of one text of any length; (tokens,) int32."""
    blocks = (tokenizer.encode(block).ids for block in text_blocks(writable(text)))
    found = [np.asarray(ids, dtype=np.int32) for ids in blocks]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int32)


def subword_text(tokenizer: tokenizers.Tokenizer, ids: Iterable[int]) -> str:
    """The text of a tokenizer's numbers; bytes that are no UTF-8 become replacement characters."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False))


def writable(text: str) -> str:
    """The text with question marks for what no encoding can write: halves of a pair of surrogates."""
    return text.encode("utf-8", "replace").decode()


def text_blocks(text: str) -> Iterable[str]:
    """A text in parts of about 200,000 characters, cut where subwords end in any case: the library takes much memory
    for long ones."""
    begin = 0
    while begin < len(text):
        cut = CUT_BEFORE.search(text, begin + CHARACTERS_A_BLOCK)
        end = cut.start() if cut else len(text)
        yield text[begin:end]
        begin = end
