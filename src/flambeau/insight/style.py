"""The look of every plot: one type scale, a colour-blind-safe palette, and SVG that follows the page's theme.

Plots are drawn in fixed colours for PNG files on white. In the SVG each of these colours becomes a CSS
variable of the page (text becomes `currentColor`), so one drawing reads in the light and in the dark.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flambeau.records.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Grid = Literal["x", "y", "both", ""]

INK = "#1b1f24"
MUTED = "#69707a"
LINE = "#d9dbde"
PAPER = "#fefefe"
# Vermilion, blue and green of Okabe and Ito (2008), told apart with any colour vision; darkened for lines.
FLAME = "#c8500a"
BLUE = "#0b6bab"
GREEN = "#0a8a66"

_CSS = {
    INK: "currentColor",
    MUTED: f"var(--muted, {MUTED})",
    LINE: f"var(--line, {LINE})",
    PAPER: f"var(--paper, {PAPER})",
    FLAME: f"var(--flame, {FLAME})",
    BLUE: f"var(--blue, {BLUE})",
    GREEN: f"var(--green, {GREEN})",
}
PNG_DOTS_PER_INCH = 180
# One scale for all plots of a page, so that their letters have one size.
SCREEN_PIXELS_PER_INCH = 96


def new_figure(width: float = 5.2, height: float = 3.1) -> Figure:
    """An empty figure of this size in inches that lays itself out."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def style_axes(axes: Axes, title: str, x_label: str = "", y_label: str = "", grid: Grid = "y") -> None:
    """Quiet axes: the title at the left, no frame but the base line, hairlines along `grid`."""
    axes.set_title(plain(title, 90), loc="left", fontsize=10, fontweight="bold", color=INK, pad=9)
    axes.set_xlabel(plain(x_label, 60), fontsize=8.5, color=MUTED)
    axes.set_ylabel(plain(y_label, 60), fontsize=8.5, color=MUTED)
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=INK, pad=5)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.7)


def add_legend(axes: Axes, columns: int = 3) -> None:
    """A legend without a frame, above the plot at its right, where no data is."""
    legend = axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        handlelength=1.2,
        columnspacing=1.2,
        borderaxespad=0.1,
        borderpad=0.3,
    )
    for text in legend.get_texts():
        text.set_color(INK)


def plain(text: object, limit: int = 24) -> str:
    """Text as matplotlib may draw it: no formulas, no control characters, shortened in the middle."""
    words = "".join(
        character if unicodedata.category(character)[0] != "C" else " " for character in str(text)
    )
    if len(words) > limit:
        head = (limit - 1) * 2 // 3
        words = f"{words[:head]}…{words[len(words) - (limit - 1 - head) :]}"
    return words.replace("$", r"\$")


def save_plot(figure: Figure, folder: Path, name: str) -> str:
    """Write `folder/name.png` on white, and return the same plot as SVG for inline use in the report.

    Args:
        figure: drawn in the colours of this module.
        folder: made if absent.
        name: file name without its ending; also the prefix of the SVG's ids, so unique on the page.

    Returns:
        An `<svg>` element that shrinks with the page, transparent, whose colours are CSS variables.

    Raises:
        RunError: the folder cannot be written to.
    """
    with warnings.catch_warnings():
        # The PNG's font lacks the letters of some scripts; in the SVG the reader's own fonts have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=PNG_DOTS_PER_INCH, facecolor="white")
        write_bytes(folder / f"{name}.png", buffer.getvalue())
        return figure_to_svg(figure, name)


def figure_to_svg(figure: Figure, name: str) -> str:
    """The figure as an inline `<svg>` whose text stays text; `name` makes its ids unique on a page."""
    import matplotlib

    buffer = io.StringIO()
    # Text as text is sharp, small and searchable; the salt makes equal figures equal files.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "flambeau"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style type.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for colour, variable in _CSS.items():
        svg = svg.replace(colour, variable)
    width = round(figure.get_figwidth() * SCREEN_PIXELS_PER_INCH)
    sized = rf'\1 role="img" class="plot" style="max-width: {width}px"'
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', sized, svg, count=1)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()
