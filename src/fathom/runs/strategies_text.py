"""Several tuning strategies on one model, side by side: what each costs, and where its parameters are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fathom.model.ledger_text import align, mebibytes, percent

if TYPE_CHECKING:
    from fathom.model.ledger import Ledger, Row

Place = tuple[str, Callable[["Row"], bool]]
"""A column: its heading, and the rows of a ledger that belong to it."""


def cost_table(ledgers: Mapping[str, Ledger | None], length: int) -> list[str]:
    """Return a line for each strategy: what learns, the work and the memory.

    Args:
        ledgers: By strategy; None is one that is refused.
        length: Tokens of a sequence that the work is shared among; those a strategy adds are part of its work.
    """
    per_token = 1e6 * length
    rows = [("tuning", "trainable", "share", "blocks that learn", "forward", "backward", "peak MiB")]
    for name, ledger in ledgers.items():
        if ledger is None:
            rows.append((name, "refused", "", "", "", "", ""))
            continue
        rows.append(
            (
                name,
                f"{ledger.trainable:,}",
                percent(ledger.trainable, ledger.parameters),
                learning_blocks(ledger),
                f"{ledger.forward_flops / per_token:,.1f}",
                f"{ledger.backward_flops / per_token:,.1f}",
                mebibytes(ledger.memory.total),
            )
        )
    return align(rows)


def learning_blocks(ledger: Ledger) -> str:
    """Return how many blocks have a parameter that learns."""
    learning = [d for d in range(ledger.num_blocks) if any(row.trainable for row in ledger.block_rows(d))]
    return f"{len(learning)} of {ledger.num_blocks}"


def place_table(ledgers: Mapping[str, Ledger], places: list[Place]) -> list[str]:
    """Return a line for each strategy: how many parameters learn in each place, a point for none."""
    rows = [("trainable in", *(heading for heading, _ in places))]
    for name, ledger in ledgers.items():
        counts = [trainable_at(ledger, place) for place in places]
        rows.append((name, *(f"{count:,}" if count else "." for count in counts)))
    return align(rows)


def trainable_at(ledger: Ledger, place: Place) -> int:
    """Return how many parameters of a place learn."""
    return sum(row.trainable for row in ledger.rows if place[1](row))


def depth_places(ledgers: Mapping[str, Ledger]) -> list[Place]:
    """Return the model from bottom to top; neighbours in which every strategy trains as much are one column."""
    each = list(ledgers.values())
    runs: list[tuple[int, int]] = []
    for depth in range(each[0].num_blocks):
        if runs and _counts(each, depth) == _counts(each, runs[-1][0]):
            runs[-1] = (runs[-1][0], depth)
        else:
            runs.append((depth, depth))
    blocks = [(f"block {a}" if a == b else f"blocks {a}-{b}, each", _in_block(a)) for a, b in runs]
    return [("embeddings", _beside("embeddings")), *blocks, ("above", _above)]


def component_places(ledgers: Mapping[str, Ledger]) -> list[Place]:
    """Return the components, those of all blocks added up; what no strategy trains is left out."""
    found = dict.fromkeys(row.component for ledger in ledgers.values() for row in ledger.rows if row.trainable)
    return [(component, _of_component(component)) for component in found]


def _counts(ledgers: list[Ledger], depth: int) -> list[int]:
    return [sum(row.trainable for row in ledger.block_rows(depth)) for ledger in ledgers]


def _in_block(depth: int) -> Callable[[Row], bool]:
    return lambda row: row.depth == depth


def _beside(component: str) -> Callable[[Row], bool]:
    return lambda row: row.depth is None and row.component == component


def _of_component(component: str) -> Callable[[Row], bool]:
    return lambda row: row.component == component


def _above(row: Row) -> bool:
    return row.depth is None and row.component != "embeddings"
