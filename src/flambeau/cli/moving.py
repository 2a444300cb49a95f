"""A line of the terminal that moves: it is drawn over itself, and taken away at the end."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.text import Text

BAR_WIDTH = 12


class MovingLine:
    """The last line of the terminal, drawn over itself."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    @property
    def width(self) -> int:
        """How many cells the line may fill."""
        return self._console.width - 1

    def draw(self, text: Text) -> None:
        """Show this text in the place of the one before."""
        if self._live is None:
            self._live = Live(text, console=self._console, auto_refresh=False, transient=True)
            self._live.start(refresh=True)
        else:
            self._live.update(text, refresh=True)

    def print_above(self, text: str) -> None:
        """Print an indented line that stays."""
        self._console.print(Text("  " + text), soft_wrap=True)

    def clear(self) -> None:
        """Take the line away and give the cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def bar(share: float) -> Text:
    """How much is done, as a bar and a gap behind it."""
    filled = round(min(share, 1.0) * BAR_WIDTH)
    return Text.assemble(("━" * filled, "cyan"), ("━" * (BAR_WIDTH - filled), "dim"), "  ")
