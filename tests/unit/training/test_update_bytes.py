"""What an update moves, by optimizer, is told for the forecast of time."""

from __future__ import annotations

import pytest

from fathom import catalog


def moved(kind: str, shape: tuple[int, ...]) -> int:
    return int(catalog.load("optimizer", kind)().update_bytes(shape, (0, "attention")))


@pytest.mark.parametrize("kind", catalog.names("optimizer"))
def test_no_optimizer_is_cheaper_than_a_fused_one(kind: str) -> None:
    assert moved(kind, (384, 384)) >= moved("adamw", (384, 384)) == 9 * 4 * 384 * 384


def test_what_is_not_fused_takes_longer() -> None:
    assert moved("rmsprop", (64, 64)) == 3 * moved("adamw", (64, 64))
    assert moved("adafactor", (8,)) > 1_000_000, "its operations are started for every parameter"
    assert moved("adam-8bit", (8, 8)) == moved("adamw", (8, 8)) < moved("adam-8bit", (384, 384)) / 1000
