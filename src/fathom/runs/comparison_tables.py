"""The tables of a comparison: score and cost side by side, what the costs are made of, and where parameters learn."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.log import format_bytes, format_duration
from fathom.runs.comparison import Comparison, Group, WhereItLearns
from fathom.runs.halving import label
from fathom.runs.strategies_text import Place, component_places, depth_places, place_cells

SHARED = "*"
"""Marks the memory of a process that trained several trials, where it cannot be told whose it was."""
FORECAST = "~"
"""Marks the memory that a trial would have taken by forecast, had it been trained alone."""


@dataclass(frozen=True)
class Table:
    """Rows under a header; the first cell of each names the trials.

    Attributes:
        title: Empty for the first table of a page.
        header: Without the first cell.
        rows: With it.
        explained: What the columns mean.
    """

    title: str
    header: tuple[str, ...]
    rows: list[list[str]]
    explained: str


def tables_of(found: Comparison) -> list[Table]:
    """Return the tables of a comparison, each with a line for each group, from best to worst."""
    return [scores_table(found), *forgetting_tables(found), costs_table(found), *places_tables(found)]


def label_of(group: Group) -> str:
    """Return what a group has that others have not."""
    return label(group.settings)


def scores_table(found: Comparison) -> Table:
    """Return the score and what it is paid with."""
    return Table(
        "",
        ("score", "seeds", "p", "trained", "share", "training", "peak memory", "saved"),
        [[label_of(group), *_scores(group)] for group in found.groups],
        f"Score: {found.metric} on {found.split}, mean over seeds and standard deviation. p: chance of as large a "
        "difference from the best by luck, from the same examples (approximate randomization; not corrected for the "
        "number of rows). Costs are medians over seeds.",
    )


def forgetting_tables(found: Comparison) -> list[Table]:
    """Return what is left of what the base could do, at most a table; none where it was not measured."""
    if found.texts is None:
        return []
    table = Table(
        "What the base could do",
        ("loss before", "loss after", "change", "cosine"),
        [[label_of(group), *_forgetting(group)] for group in found.groups],
        f"On {found.texts}. Loss: of the base's own language-model head in nats per token, over the base's body and "
        "over the tuned one, with the same masks for all. cosine: where the base has no such head, of the mean of each "
        "text's last states with the base's, in the mean over texts; 1 is unmoved. Neither of virtual tokens, which "
        "leave the body as it is.",
    )
    return [table]


def costs_table(found: Comparison) -> Table:
    """Return time and memory in more detail."""
    return Table(
        "Time and memory",
        ("time per epoch", "tokens/s", "peak memory", "forecast", "error"),
        [[label_of(group), *_costs(group)] for group in found.groups],
        "Time per epoch: of the loop, without evaluation, saving and what is computed once before the first step. "
        "Peak memory: measured. forecast: of it, made before the first step; error: share of the measured peak.",
    )


def places_tables(found: Comparison) -> list[Table]:
    """Return how many parameters learn at each depth, and in each component; none where no run tells."""
    learned = {label_of(group): group.learned for group in found.groups if group.learned is not None}
    if not learned:
        return []
    depths = "From the input to the output; neighbours in which every trial trains as much are one column."
    return [
        _places_table("Trained parameters by depth", learned, depth_places(learned), depths),
        _places_table("Trained parameters by component", learned, component_places(learned), "Of all blocks together."),
    ]


def _places_table(title: str, learned: dict[str, WhereItLearns], places: list[Place], explained: str) -> Table:
    rows = [[name, *place_cells(where, places)] for name, where in learned.items()]
    return Table(title, tuple(heading for heading, _ in places), rows, explained)


def _scores(group: Group) -> list[str]:
    figures = group.figures
    spread = "" if group.deviation is None else f" ± {group.deviation:.4f}"
    return [
        f"{group.score:.4f}{spread}",
        str(len(group.scores)),
        "" if group.p_value is None else "<0.001" if group.p_value < 0.001 else f"{group.p_value:.3f}",
        f"{figures['trainable']:,.0f}",
        f"{figures['trainable'] / figures['total']:.2%}",
        format_duration(figures["train_seconds"]),
        _own_memory(group),
        format_bytes(int(figures["artifact_bytes"])),
    ]


def _costs(group: Group) -> list[str]:
    figures = group.figures
    shared = SHARED if is_shared(group) else ""
    return [
        format_duration(figures["epoch_seconds"]) if "epoch_seconds" in figures else "",
        f"{figures['real_tokens_per_s']:,.0f}",
        format_bytes(int(figures["peak_memory_bytes"])) + shared,
        format_bytes(int(figures["forecast_memory_bytes"])) + shared if "forecast_memory_bytes" in figures else "",
        f"{figures['memory_error']:+.1%}" if "memory_error" in figures else "",
    ]


def _forgetting(group: Group) -> list[str]:
    figures = group.figures
    cosine = f"{figures['base_cosine']:.4f}" if "base_cosine" in figures else ""
    if "base_loss" not in figures:
        return ["", "", "", cosine]
    before, after = figures["base_loss"], figures["base_loss_after"]
    return [f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}", cosine]


def _own_memory(group: Group) -> str:
    """The memory a trial takes, or would take alone; nothing where it is not known."""
    if "own_memory_bytes" not in group.figures:
        return ""
    return (FORECAST if is_shared(group) else "") + format_bytes(int(group.figures["own_memory_bytes"]))


def is_shared(group: Group) -> bool:
    """Whether the measured memory of a trial is that of several."""
    return group.figures.get("together", 1) > 1
