"""A text that is written a few tokens at a time, so that others who share the model's thread have their turn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flambeau.models.language import LanguageLSTM, LanguageTransformer, Memory
from flambeau.models.writing import choose_tokens


class Draft:
    """What stands behind a prompt so far. Taken to its end it is what `write_tokens` writes.

    Args:
        model: in evaluation mode.
        prompt: gives token ids (1, at least 1) when the first token is written.
        length: tokens at most.
        temperature, top_k: see `choose_tokens`.
        seed: equal seeds give equal texts.
        end: the id that ends a text, which is left out; None where texts only end by their length.
    """

    def __init__(
        self,
        model: LanguageTransformer | LanguageLSTM,
        prompt: Callable[[], Tensor],
        length: int,
        *,
        temperature: float,
        top_k: int = 0,
        seed: int = 0,
        end: int | None = None,
    ) -> None:
        self.model, self.length = model, length
        self.temperature, self.top_k, self.end = temperature, top_k, end
        self.written: list[int] = []
        self._prompt = prompt
        self._draw = torch.Generator().manual_seed(seed)
        self._memory: list[Memory] | None = None
        self._next: Tensor | None = None
        self._place = 0
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether nothing will be added to it."""
        return self._ended or len(self.written) >= self.length

    @torch.inference_mode()
    def go_on(self, most: int) -> int:
        """Write up to so many tokens more; returns how many there were."""
        before = len(self.written)
        if self._next is None:
            self._next = self._prompt()[:, -self.model.context :].to(next(self.model.parameters()).device)
        while not self.done and len(self.written) < before + most:
            logits, self._memory = self.model.extend(self._next, self._memory, self._place)
            self._place += self._next.shape[1]
            chosen = choose_tokens(logits, self.temperature, self.top_k, self._draw)
            self._next = chosen.to(self._next.device)
            if int(chosen) == self.end:
                self._ended = True
                break
            self.written.append(int(chosen))
        return len(self.written) - before
