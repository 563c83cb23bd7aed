"""The depth dial: published sizes come out of it, and sizes that do not go together are refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from fathom.model.architectures import ARCHITECTURES
from fathom.model.sizes import MOST_DEPTH, Sizes, derive, learning_rate_at


def sizes(architecture: str, depth: int, **wanted: int) -> Sizes:
    return derive(ARCHITECTURES[architecture].dial, depth, wanted)


PUBLISHED = [
    # BERT's miniatures (arXiv 1908.08962), BERT-base and BERT-large
    ("bert", 2, (128, 2, 512)),
    ("bert", 4, (256, 4, 1024)),
    ("bert", 8, (512, 8, 2048)),
    ("bert", 12, (768, 12, 3072)),
    ("bert", 24, (1024, 16, 4096)),
    ("roberta", 12, (768, 12, 3072)),
    ("roberta", 24, (1024, 16, 4096)),
    ("gpt2", 12, (768, 12, 3072)),
    ("gpt2", 24, (1024, 16, 4096)),
    ("gpt2", 36, (1280, 20, 5120)),
    ("modernbert", 22, (768, 12, 1152)),
    ("t5", 12, (768, 12, 3072)),
    ("t5", 24, (1024, 16, 4096)),
    ("vit", 12, (768, 12, 3072)),
    ("vit", 24, (1024, 16, 4096)),
]


@pytest.mark.parametrize(("architecture", "depth", "expected"), PUBLISHED)
def test_published_models_come_out_of_the_dial(architecture: str, depth: int, expected: tuple[int, int, int]) -> None:
    found = sizes(architecture, depth)
    assert (found.width, found.heads, found.feed_forward) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_depth_has_sizes_that_go_together(architecture: str) -> None:
    dial = ARCHITECTURES[architecture].dial
    before = 0
    for depth in range(1, MOST_DEPTH + 1):
        found = sizes(architecture, depth)
        assert found.heads * found.head_width == found.width >= before
        assert found.head_width == 64
        assert found.heads % found.key_value_heads == 0
        assert found.feed_forward % 64 == 0
        assert found.positions == dial.positions
        before = found.width


def test_every_size_can_be_given() -> None:
    assert sizes("bert", 3, width=96) == Sizes(3, 96, 2, 2, 48, 384, 512)
    assert sizes("bert", 3, width=384, heads=12).head_width == 32
    assert sizes("bert", 3, head_width=32).heads == 6
    found = sizes("llama", 4, heads=8, key_value_heads=2, feed_forward=100, positions=32)
    assert found == Sizes(4, 256, 8, 2, 32, 100, 32)


def test_families_with_heads_of_their_own_width_take_any_number_of_heads() -> None:
    found = sizes("qwen3", 2, heads=3)
    assert (found.width, found.heads, found.head_width) == (128, 3, 64)
    assert sizes("t5", 2, heads=3, head_width=16).head_width == 16


@pytest.mark.parametrize(
    ("architecture", "wanted", "words"),
    [
        ("bert", {"width": 100, "heads": 12}, "width 100 is not divisible by 12 heads: write width: 96"),
        ("bert", {"width": 128, "head_width": 48}, "not divisible by heads of 48: write width: 144"),
        ("bert", {"width": 128, "heads": 2, "head_width": 32}, "2 heads of 32 make 64, not the width 128"),
        ("bert", {"key_value_heads": 1}, "a key and a value for every head"),
        ("llama", {"heads": 6, "width": 384, "key_value_heads": 4}, "key_value_heads can be 1, 2, 3, 6"),
        ("llama", {"width": 90, "heads": 10}, "rotary positions turn pairs of numbers and a head has 9"),
        ("modernbert", {"width": 63}, "rotary positions turn pairs"),
        ("t5", {"positions": 512}, "no table of positions"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused_in_words(
    architecture: str, wanted: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError) as caught:
        sizes(architecture, 6, **wanted)
    assert words in str(caught.value)


def test_the_learning_rate_follows_published_tables() -> None:
    # GPT-3 (arXiv 2005.14165, table 2.1): width to rate; ours within a third of each
    for width, published in [(768, 6e-4), (1024, 3e-4), (1536, 2.5e-4), (2048, 2e-4), (2560, 1.6e-4), (4096, 1.2e-4)]:
        assert 2 / 3 <= learning_rate_at(6e-4, width) / published <= 3 / 2
    assert learning_rate_at(6e-4, 192) == 1.2e-3  # half the root of the width: twice the rate
    rates = [learning_rate_at(6e-4, width) for width in range(64, 4097, 64)]
    assert rates == sorted(rates, reverse=True)
