"""The depth dial: from a depth, the other sizes of a new model, as its family was published.

Widths follow the published models of each family instead of one formula for all:

- `classic` (BERT, RoBERTa, GPT-2, T5, BART, ViT): 64 per block up to 12 blocks, which gives BERT's miniatures (2 x 128
  to 12 x 768, arXiv 1908.08962), then 256 for every 12 blocks more, which gives BERT-large, ViT-L, GPT-2 medium (24 x
  1024) and GPT-2 large (36 x 1280).
- `constant` (Llama, Qwen3): 64 per block at every depth, the aspect ratio of nanochat and of GPT-3 1.3B and 6.7B.
- `slender` (ModernBERT): 36 per block, in steps of 64, which gives both published models (22 x 768, 28 x 1024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

HEAD_WIDTH = 64
"""Of every family at its smaller sizes."""
WIDTH_STEP = 64
REFERENCE_WIDTH = 768
"""Width at which a family's learning rate is stated."""
MOST_DEPTH = 96
"""Blocks of the deepest dense model published (GPT-3)."""


@dataclass(frozen=True)
class Dial:
    """How one family's sizes follow from its depth."""

    ladder: Literal["classic", "constant", "slender"]
    """How the width grows; see the module."""
    feed_forward: float
    """Inner width of the feed-forward, in widths."""
    positions: int | None
    """Tokens of the longest sequence; None where the family has no such limit."""
    query_heads: int | None = None
    """Heads that read one key and value; None where the family gives each its own."""
    rotary: bool = False
    """Whether positions turn pairs of a head's numbers, so that its width must be even."""
    free_head_width: bool = False
    """Whether the heads together may be wider or narrower than the hidden states."""


@dataclass(frozen=True)
class Sizes:
    """Every size of one model."""

    depth: int
    width: int
    heads: int
    key_value_heads: int
    head_width: int
    feed_forward: int
    positions: int | None


def derive(dial: Dial, depth: int, wanted: Mapping[str, int | None]) -> Sizes:
    """Return the sizes of a depth, those that are wanted as they are.

    Args:
        dial: Of the family.
        depth: Blocks of each stack.
        wanted: `width`, `heads`, `key_value_heads`, `head_width`, `feed_forward`, `positions`; None: derived.

    Raises:
        ValueError: The sizes do not go together; the message says which and what would.
    """
    width = wanted.get("width") or width_at(dial, depth)
    heads, head_width = _heads(dial, width, wanted.get("heads"), wanted.get("head_width"))
    if dial.rotary and head_width % 2:
        raise ValueError(
            f"rotary positions turn pairs of numbers and a head has {head_width}: choose an even number, or fewer heads"
        )
    key_value_heads = _key_value_heads(dial, heads, wanted.get("key_value_heads"))
    feed_forward = wanted.get("feed_forward") or _inner_width(dial.feed_forward, width)
    positions = wanted.get("positions")
    if positions is not None and dial.positions is None:
        raise ValueError("this family has no table of positions: leave positions out, and set data.max_length")
    return Sizes(depth, width, heads, key_value_heads, head_width, feed_forward, positions or dial.positions)


def width_at(dial: Dial, depth: int) -> int:
    """Return the width of a family at a depth."""
    if dial.ladder == "slender":
        return WIDTH_STEP * max(1, round(36 * depth / WIDTH_STEP))
    if dial.ladder == "constant" or depth <= 12:
        return WIDTH_STEP * depth
    return REFERENCE_WIDTH + WIDTH_STEP * round((depth - 12) / 3)


def learning_rate_at(reference: float, width: int) -> float:
    """Return the peak learning rate of a width, from the one at the reference width; two digits.

    Below the reference it grows with the root of the width's inverse (nanochat); above, with the inverse itself, which
    is GPT-3's table from 125M to 6.7B (arXiv 2005.14165, table 2.1) and the rule for Adam of arXiv 2203.03466.
    """
    ratio = REFERENCE_WIDTH / width
    return float(f"{reference * (ratio**0.5 if ratio > 1 else ratio):.1e}")


def _heads(dial: Dial, width: int, heads: int | None, head_width: int | None) -> tuple[int, int]:
    if heads is not None and head_width is not None:
        if heads * head_width != width and not dial.free_head_width:
            raise ValueError(
                f"{heads} heads of {head_width} make {heads * head_width}, not the width {width}: leave one of them out"
            )
        return heads, head_width
    if heads is None:
        head_width = head_width or _head_width(width)
        if width % head_width == 0:
            return width // head_width, head_width
        raise _indivisible(width, f"heads of {head_width}", head_width)
    if width % heads == 0:
        return heads, width // heads
    if dial.free_head_width:
        return heads, HEAD_WIDTH
    raise _indivisible(width, f"{heads} heads", heads)


def _indivisible(width: int, part: str, size: int) -> ValueError:
    near = max(1, round(width / size)) * size
    return ValueError(f"width {width} is not divisible by {part}: write width: {near}, or leave the heads out")


def _head_width(width: int) -> int:
    """The widest even head of at most 64 that the width is made of; an odd width has one head."""
    return next((size for size in range(HEAD_WIDTH, 1, -2) if width % size == 0), width)


def _key_value_heads(dial: Dial, heads: int, wanted: int | None) -> int:
    if dial.query_heads is None:
        if wanted not in (None, heads):
            raise ValueError("this family has a key and a value for every head: leave key_value_heads out")
        return heads
    if wanted is None:
        return max(count for count in range(1, max(1, heads // dial.query_heads) + 1) if heads % count == 0)
    if heads % wanted:
        fitting = [str(count) for count in range(1, heads + 1) if heads % count == 0]
        raise ValueError(f"{heads} heads cannot share {wanted} keys: key_value_heads can be {', '.join(fitting)}")
    return wanted


def _inner_width(ratio: float, width: int) -> int:
    """Whole ratios exactly; others up to a multiple of 64, as the published sizes are."""
    return int(ratio) * width if ratio == int(ratio) else WIDTH_STEP * math.ceil(round(ratio * width, 3) / WIDTH_STEP)
