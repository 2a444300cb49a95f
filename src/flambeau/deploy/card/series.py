"""What the model card says of a model that forecasts: what it looks back on, how far ahead, and what it cannot know."""

from __future__ import annotations

from flambeau.deploy.card.markdown import number, plain, table
from flambeau.schema import SeriesFacts

MOST_NAMED = 20


def series_lines(facts: SeriesFacts) -> list[str]:
    """Lines for the section "Limits"."""
    shares = ", ".join(f"{100 * quantile:g} %" for quantile in facts.quantiles)
    named = ", ".join(plain(name) for name in facts.targets[:MOST_NAMED])
    more = f" and {len(facts.targets) - MOST_NAMED:,} more" if len(facts.targets) > MOST_NAMED else ""
    several = (
        f"{len(facts.names):,} series, told apart by {plain(facts.series)}" if facts.series else "one series"
    )
    rows = [
        ("targets", named + more),
        ("rows ahead", number(facts.horizon)),
        ("rows that it looks back on", number(facts.lookback)),
        ("time between rows", plain(facts.frequency)),
        ("other columns up to now", ", ".join(plain(name) for name in facts.past[:MOST_NAMED]) or "none"),
        ("columns known ahead", ", ".join(plain(name) for name in facts.known) or "none"),
        ("quantiles", shares or "none"),
        ("trained on", several),
    ]
    lines = [
        "- it goes on with what the training rows did: it knows nothing of events that these had none of, and the "
        "further ahead, the less it knows",
        *(
            ["- prices: whether there is an edge, and how sure that is, stands in the scores"]
            if facts.prices
            else []
        ),
    ]
    return [*lines, "", *table(("forecast", ""), rows)]
