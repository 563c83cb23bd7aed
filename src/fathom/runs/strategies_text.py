"""Several tuning strategies on one model, side by side: what each costs, and where its parameters are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from fathom.model.ledger_text import align, mebibytes, percent

if TYPE_CHECKING:
    from fathom.model.ledger import Ledger


class Learns(Protocol):
    """How many parameters learn at one place: a row of a ledger."""

    @property
    def depth(self) -> int | None:
        """Of the block; None beside the blocks."""

    @property
    def component(self) -> str:
        """Of the block, or of the model."""

    @property
    def trainable(self) -> int:
        """Parameters that learn."""


class Learned(Protocol):
    """Where the parameters of a model learn: a ledger, or what is kept of it."""

    @property
    def num_blocks(self) -> int:
        """Blocks of all stacks."""

    @property
    def rows(self) -> Sequence[Learns]:
        """Of every place where something learns."""


Place = tuple[str, Callable[[Learns], bool]]
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
    learning = [depth for depth in range(ledger.num_blocks) if trainable_at(ledger, ("", _in_block(depth)))]
    return f"{len(learning)} of {ledger.num_blocks}"


def place_table(ledgers: Mapping[str, Learned], places: list[Place]) -> list[str]:
    """Return a line for each strategy: how many parameters learn in each place, a point for none."""
    header = ("trainable in", *(heading for heading, _ in places))
    return align([header, *([name, *place_cells(ledger, places)] for name, ledger in ledgers.items())])


def place_cells(ledger: Learned, places: list[Place]) -> list[str]:
    """Return how many parameters learn in each place, a point for none."""
    counts = [trainable_at(ledger, place) for place in places]
    return [f"{count:,}" if count else "." for count in counts]


def trainable_at(ledger: Learned, place: Place) -> int:
    """Return how many parameters of a place learn."""
    return sum(row.trainable for row in ledger.rows if place[1](row))


def depth_places(ledgers: Mapping[str, Learned]) -> list[Place]:
    """Return the model from bottom to top; neighbours in which every strategy trains as much are one column."""
    each = list(ledgers.values())
    runs: list[tuple[int, int]] = []
    for depth in range(max(ledger.num_blocks for ledger in each)):
        if runs and _counts(each, depth) == _counts(each, runs[-1][0]):
            runs[-1] = (runs[-1][0], depth)
        else:
            runs.append((depth, depth))
    blocks = [(f"block {a}" if a == b else f"blocks {a}-{b}, each", _in_block(a)) for a, b in runs]
    return [("embeddings", _beside("embeddings")), *blocks, ("above", _above)]


def component_places(ledgers: Mapping[str, Learned]) -> list[Place]:
    """Return the components, those of all blocks added up; what no strategy trains is left out."""
    found = dict.fromkeys(row.component for ledger in ledgers.values() for row in ledger.rows if row.trainable)
    return [(component, _of_component(component)) for component in found]


def _counts(ledgers: list[Learned], depth: int) -> list[int]:
    return [trainable_at(ledger, ("", _in_block(depth))) for ledger in ledgers]


def _in_block(depth: int) -> Callable[[Learns], bool]:
    return lambda row: row.depth == depth


def _beside(component: str) -> Callable[[Learns], bool]:
    return lambda row: row.depth is None and row.component == component


def _of_component(component: str) -> Callable[[Learns], bool]:
    return lambda row: row.component == component


def _above(row: Learns) -> bool:
    return row.depth is None and row.component != "embeddings"
