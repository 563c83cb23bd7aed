"""The ledger as aligned plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fathom.model.memory import MEBIBYTE, Memory

if TYPE_CHECKING:
    from fathom.model.ledger import Ledger, Row

COLUMNS = ("part", "parameters", "trainable", "share", "forward", "backward", "weights", "copies", "gradients")
HEADINGS = (*COLUMNS, "optimizer", "activations")
KINDS = (
    ("process", "interpreter and libraries"),
    ("weights", "weights"),
    ("copies", "low-precision copies"),
    ("gradients", "gradients"),
    ("optimizer", "optimizer"),
    ("activations", "activations of the blocks"),
    ("attention", "attention probabilities"),
    ("outside", "embeddings, head, loss"),
    ("working", "working space"),
    ("prepared", "prepared products"),
    ("slack", "allocator"),
    ("elsewhere", "loading or scoring, above training"),
)


def ledger_text(ledger: Ledger) -> str:
    """Write the ledger: what is equal in every block is said once, with the number of blocks."""
    lines = [_shape_text(ledger), ""]
    lines += align([HEADINGS, *_body(ledger), _cells("total", ledger.rows, ledger)])
    lines += ["", "forward, backward: million operations per token; weights to activations: MiB", ""]
    lines += memory_lines(ledger.memory)
    return "\n".join(lines)


def memory_lines(memory: Memory) -> list[str]:
    """Write the memory forecast, one kind in a line."""
    values = memory.to_json()
    rows = [(name, mebibytes(values[kind])) for kind, name in KINDS]
    return align([("peak memory of a training run", "MiB"), *rows, ("total", mebibytes(memory.total))])


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def mebibytes(count: int) -> str:
    """Write bytes as MiB."""
    return f"{count / MEBIBYTE:,.1f}"


def percent(part: int, whole: int) -> str:
    """Write a share; small ones keep two digits that say something."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.2f}%" if share == 0 or share >= 0.01 else f"{share:.1g}%"


def block_sizes_text(sizes: Sequence[int]) -> str:
    """Write the parameters of every block, neighbours of one size together."""
    runs: list[tuple[int, int]] = []
    for depth, size in enumerate(sizes):
        if runs and sizes[runs[-1][0]] == size:
            runs[-1] = (runs[-1][0], depth)
        else:
            runs.append((depth, depth))
    return "; ".join(
        f"block {first}: {sizes[first]:,}" if first == last else f"blocks {first}-{last}: {sizes[first]:,} each"
        for first, last in runs
    )


def _shape_text(ledger: Ledger) -> str:
    shared = f", run {ledger.depth} times in all" if ledger.depth != ledger.num_blocks else ""
    sizes = [sum(row.parameters for row in ledger.block_rows(depth)) for depth in range(ledger.num_blocks)]
    return (
        f"{ledger.num_blocks} blocks of width {ledger.width}{shared}; "
        f"{ledger.parameters:,} parameters, {ledger.trainable:,} learn\n{block_sizes_text(sizes)}"
    )


def _body(ledger: Ledger) -> list[tuple[str, ...]]:
    lines = [_cells(row.component, (row,), ledger) for row in ledger.rows if row.component == "embeddings"]
    for first, last in ledger.block_groups():
        rows = ledger.block_rows(first)
        name = f"block {first}" if first == last else f"blocks {first}-{last}, each"
        lines.append(_cells(name, rows, ledger))
        lines += [_cells(f"  {row.component}", (row,), ledger) for row in rows]
    rest = [row for row in ledger.rows if row.depth is None and row.component != "embeddings"]
    return lines + [_cells(row.component, (row,), ledger) for row in rest]


def _cells(name: str, rows: Sequence[Row], ledger: Ledger) -> tuple[str, ...]:
    trainable = sum(row.trainable for row in rows)
    parameters = sum(row.parameters for row in rows)
    per_token = 1e6 * ledger.length
    return (
        name,
        f"{parameters:,}",
        f"{trainable:,}",
        percent(trainable, parameters),
        f"{sum(row.forward_flops for row in rows) / per_token:,.3f}",
        f"{sum(row.backward_flops for row in rows) / per_token:,.3f}",
        mebibytes(sum(row.weight_bytes for row in rows)),
        mebibytes(sum(row.copy_bytes for row in rows)),
        mebibytes(sum(row.gradient_bytes for row in rows)),
        mebibytes(sum(row.optimizer_bytes for row in rows)),
        mebibytes(sum(row.activation_bytes for row in rows)),
    )
