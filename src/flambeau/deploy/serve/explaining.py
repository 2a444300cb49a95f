"""A server's explanations: the usual answer to one input, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flambeau.deploy.serve.models import Loaded
from flambeau.deploy.serve.rows import quick_columns


@dataclass(eq=False)
class Explaining:
    """Explanations of one model: each input is (picture or row, label or None). They are long, so one at a time."""

    model: Loaded
    most: int = 1
    alone: Callable[[Any], bool] | None = None

    def answer(self, inputs: list[Any]) -> list[dict[str, Any]]:
        """The usual answer of each, with "why"."""
        from flambeau.deploy.why.mixed import explain_mixed
        from flambeau.deploy.why.text import explain_texts, has_texts
        from flambeau.deploy.why.why import explain_picture, explain_row  # captum takes a second

        bundle = self.model.bundle
        answers = self.model.answer([one for one, _ in inputs])
        for answer, (one, label) in zip(answers, inputs, strict=True):
            if self.model.takes_pictures:
                answer["why"] = explain_picture(bundle, one, label)
            else:
                explain = explain_texts if has_texts(bundle) else explain_row
                if bundle.schema.picture_columns:
                    explain = explain_mixed
                answer["why"] = explain(bundle, quick_columns([one], bundle.schema), label)
        return answers
