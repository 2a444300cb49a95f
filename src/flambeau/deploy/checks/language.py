"""Whether the parts of a bundle of a language model are what they claim to be and fit each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flambeau.deploy.checks.subwords import tokenizer_fault
from flambeau.models.spec import ModelSpec
from flambeau.schema import Schema
from flambeau.transforms.corpus import CorpusPreparation
from flambeau.transforms.dialogue import ChatPreparation
from flambeau.transforms.subwords import CHARACTERS_A_BLOCK

MOST_CONTEXT = 2**17
MOST_TOKENS_KNOWN = 2**21


def corpus_faults(preparation: CorpusPreparation, schema: Schema) -> dict[str, bool]:
    """What is wrong with a preparation of a text → whether it is so."""
    known = preparation.vocabulary
    fault = (
        tokenizer_fault(preparation.tokenizer, CHARACTERS_A_BLOCK) if preparation.tokens == "subwords" else ""
    )
    return {
        "a preparation of a text, for other data": schema.source != "corpus",
        "tokens of an unknown kind": preparation.tokens not in ("characters", "bytes", "subwords"),
        "a context beyond all limits": not 2 <= preparation.context <= MOST_CONTEXT,
        "a vocabulary beyond all limits": len(known) > MOST_TOKENS_KNOWN,
        "characters that are none": any(len(character) != 1 for character in known),
        "characters of one name": len(set(known)) != len(known),
        "no characters": preparation.tokens == "characters" and not known,
        "subwords beyond all limits": not fault and not 1 < preparation.cardinality <= MOST_TOKENS_KNOWN,
        **({fault: True} if fault else {}),
    }


def language_model_arguments(preparation: CorpusPreparation) -> dict[str, Any]:
    """What the arguments of a language model must be for this preparation."""
    return {"vocabulary": preparation.cardinality, "context": preparation.context}


def chat_faults(preparation: ChatPreparation, schema: Schema) -> dict[str, bool]:
    """What is wrong with a preparation of questions and answers → whether it is so."""
    answers = preparation.answers
    own = {
        "a preparation of questions, for other data": schema.task != "chat",
        "no answers": not answers or not all(answers),
        "an answer without a text": not all(text for texts in answers for text in texts),
        "pieces of several columns": len(preparation.pieces.columns) != 1,
        "tags of other answers": len(preparation.tags) != len(answers),
        "a temperature that cannot be": not 0.001 <= preparation.temperature <= 1000,
        "a threshold that cannot be": not 0 <= preparation.threshold <= 1,
        "a length beyond all limits": not 2 <= preparation.length <= MOST_CONTEXT,
        "pieces beyond all limits": not 1 <= preparation.pieces.buckets <= 2**24
        or not 1 <= preparation.pieces.length <= MOST_CONTEXT
        or preparation.pieces.tokens != "ngrams",
        "n-grams beyond all limits": not (
            1 <= preparation.pieces.ngrams[0] <= 8 and 0 <= preparation.pieces.ngrams[1] <= 16
        ),
        "a doubt that is no number": not math.isfinite(preparation.doubt),
    }
    return {**own, **corpus_faults(preparation.tokens, schema)}


def chat_model_arguments(preparation: ChatPreparation) -> dict[str, Any]:
    """What the arguments of a chatbot's model must be for this preparation."""
    return {"buckets": preparation.pieces.buckets, "answers": len(preparation.answers)}


def writer_faults(spec: ModelSpec, preparation: ChatPreparation) -> dict[str, bool]:
    """Sentence → whether it is true, of the net that writes answers, where there is one."""
    writer = spec.arguments.get("writer")
    if writer is None:
        return {}
    if not isinstance(writer, Mapping):
        return {"a net that writes without arguments": True}
    context = writer.get("context")
    return {
        # behind the tokens come one for the end of a question and one for the end
        "a net that writes other tokens": writer.get("vocabulary") != preparation.tokens.cardinality + 2,
        "a net that looks back on other lengths": type(context) is not int
        or not preparation.length <= context <= MOST_CONTEXT,
    }
