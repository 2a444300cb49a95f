"""A text that is written a few tokens at a time, so that others who share the model's thread have their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from flambeau.models.language import LanguageLSTM, LanguageTransformer
from flambeau.models.writing import draw_tokens


class Draft:
    """What stands behind a prompt so far. Taken to its end it is what `write_tokens` writes: both are
    `draw_tokens`.

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
        self._prompt, self._seed = prompt, seed
        self._drawn: Iterator[Tensor] | None = None
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether nothing will be added to it."""
        return self._ended or len(self.written) >= self.length

    def go_on(self, most: int) -> int:
        """Read a block of the prompt, or write up to so many tokens more; returns how many were written."""
        before = len(self.written)
        if self._drawn is None:
            self._drawn = draw_tokens(
                self.model,
                self._prompt(),
                temperature=self.temperature,
                top_k=self.top_k,
                seed=self._seed,
            )
        while not self.done and len(self.written) < before + most:
            chosen = next(self._drawn)
            if not chosen.shape[1]:
                break
            if int(chosen) == self.end:
                self._ended = True
                break
            self.written.append(int(chosen))
        return len(self.written) - before
