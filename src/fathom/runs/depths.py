"""One family at several depths, side by side: what the depth dial costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from fathom.config import validate
from fathom.errors import ConfigError
from fathom.model.new import NewModel
from fathom.model.sizes import Sizes
from fathom.runs.inspect import inspect


@dataclass(frozen=True)
class DepthRow:
    """One model."""

    sizes: Sizes
    learning_rate: float
    parameters: int
    embeddings: int
    """Of the parameters."""
    forward_flops_per_token: float
    backward_flops_per_token: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class DepthsReport:
    """What `inspect_depths` found."""

    architecture: str
    batch_size: int
    length: int
    precision: str
    rows: tuple[DepthRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return an aligned table, one depth in a line."""
        from fathom.model.ledger_text import align, mebibytes

        headings = ("depth", "width", "heads", "feed-forward", "parameters", "embeddings")
        rows: list[tuple[str, ...]] = [(*headings, "forward", "backward", "peak MiB", "learning rate")]
        for row in self.rows:
            sizes = row.sizes
            rows.append(
                (
                    str(sizes.depth),
                    str(sizes.width),
                    str(sizes.heads),
                    str(sizes.feed_forward),
                    f"{row.parameters:,}",
                    f"{row.embeddings / row.parameters:.0%}",
                    f"{row.forward_flops_per_token / 1e6:,.1f}",
                    f"{row.backward_flops_per_token / 1e6:,.1f}",
                    mebibytes(row.peak_memory_bytes),
                    f"{row.learning_rate:g}",
                )
            )
        title = f"new {self.architecture} by depth, batch {self.batch_size} x {self.length} tokens, {self.precision}"
        return "\n".join([title, "", *align(rows), "", "forward, backward: million operations per token"])


def inspect_depths(
    model: NewModel,
    depths: Iterable[int],
    *,
    length: int | None = None,
    **training: Any,
) -> DepthsReport:
    """Count what a new model would cost at several depths.

    Args:
        model: Its depth is replaced; sizes that are given stay.
        depths: In blocks.
        length: Tokens of each sequence.
        **training: Keys of a recipe's `training` section; see `inspect`.

    Raises:
        ConfigError: A depth the dial does not have, or none.
    """
    rows, seen = [], None
    for depth in depths:
        new = validate(NewModel, {**model.model_dump(), "depth": depth}, f"depth {depth}")
        seen = inspect(new, tuning="full", length=length, **training)
        ledger = seen.ledger
        rows.append(
            DepthRow(
                sizes=new.sizes(),
                learning_rate=new.default_learning_rate,
                parameters=ledger.parameters,
                embeddings=sum(row.parameters for row in ledger.rows if row.component == "embeddings"),
                forward_flops_per_token=ledger.forward_flops / ledger.length,
                backward_flops_per_token=ledger.backward_flops / ledger.length,
                peak_memory_bytes=ledger.memory.total,
            )
        )
    if seen is None:
        raise ConfigError("no depth is named", mend="write for example 2,4,8,12,24")
    micro_batch = seen.ledger.micro_batch
    return DepthsReport(model.architecture, micro_batch.sequences, micro_batch.length, seen.precision, tuple(rows))
