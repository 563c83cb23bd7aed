"""A range test as a page: Markdown for a repository, HTML with the plot for a browser."""

from __future__ import annotations

import html

from fathom.runs.comparison_report import STYLE
from fathom.runs.plot import BLUE, GREY, Axis, Series, plot
from fathom.runs.rate_curve import RateCurve

EXPLAINED = (
    "The learning rate rises by the same factor at every step, on the recipe's own model, data, batch and optimizer, "
    "and the loss of each batch is noted. A good rate is where the loss falls fastest, and a tenth of where it is "
    "lowest, for there it is about to leave; the smaller of the two is suggested. A search around it decides. No "
    "weights were kept."
)


def findings(found: RateCurve) -> list[str]:
    """Return what the curve says, in sentences."""
    first, last = f"{found.rates[0]:.2g}", f"{found.rates[-1]:.2g}"
    if found.suggested is None:
        lines = [f"No rate is suggested: the loss did not fall between {first} and {last}."]
    else:
        lines = [f"Suggested: training.learning_rate={found.suggested:g}."]
        lines.append(f"The loss falls fastest at {found.steepest:.2g} and is lowest at {found.lowest:.2g}.")
    if found.diverged_at is None:
        lines.append(f"It did not leave up to {last}.")
    else:
        lines.append(f"It left at {found.diverged_at:.2g}, after {len(found.rates)} steps.")
    if found.own is not None:
        times = "" if found.suggested is None else f"; the suggestion is {found.suggested / found.own:.2g} times that"
        lines.append(f"The recipe's own rate is {found.own:g}{times}.")
    return lines


def markdown_report(found: RateCurve, source: str) -> str:
    """Return the page as Markdown, a tenth of the steps as a table."""
    rows = list(zip(found.rates, found.losses, found.smooth, strict=True))[:: max(1, len(found.rates) // 20)]
    lines = [f"# Learning rates for {source}", "", *(f"- {line}" for line in findings(found)), ""]
    lines += ["| rate | loss | smoothed |", "|---:|---:|---:|"]
    lines += [f"| {rate:.2g} | {loss:.4f} | {smooth:.4f} |" for rate, loss, smooth in rows]
    return "\n".join([*lines, "", EXPLAINED]) + "\n"


def html_report(found: RateCurve, source: str) -> str:
    """Return the page as one HTML file with the curve."""
    said = "".join(f"<li>{html.escape(line)}</li>" for line in findings(found))
    title = html.escape(f"Learning rates for {source}")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><ul>{said}</ul>{_figure(found)}<p>{html.escape(EXPLAINED)}</p></html>\n"
    )


def _figure(found: RateCurve) -> str:
    """The loss against the rate, a line of the smoothed loss through the batches' own."""
    decades = [10.0**power for power in range(-12, 4) if found.rates[0] <= 10.0**power <= found.rates[-1]]
    ends = (found.rates[0], found.rates[-1])
    ticks = tuple((rate, f"{rate:g}") for rate in (decades or ends))
    across = Axis("learning rate", *ends, ticks, logarithmic=True)
    low, high = min(found.smooth), max(found.smooth[0], min(max(found.smooth), 1.5 * found.smooth[0]))
    up = Axis("loss", low, high, ((low, f"{low:.3g}"), (high, f"{high:.3g}")))
    named = {"suggested": found.suggested, "lowest loss": found.lowest, "left": found.diverged_at}
    marks = [(min(rate, ends[1]), word) for word, rate in named.items() if rate is not None]
    raw = list(zip(found.rates, found.losses, strict=True))
    smooth = list(zip(found.rates, found.smooth, strict=True))
    return plot([Series(raw, GREY, line=True), Series(smooth, BLUE, line=True)], across, up, marks)
