"""Damaged texts: what was hidden comes back in the target, as much as was asked for, drawn by sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fathom.data.draw import Draw
from fathom.tasks.denoising import hide_behind_sentinels, infill, noise_spans
from languages_for_tests import make_store, open_task

SENTINELS = np.arange(1000, 900, -1)


def restore(source: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> list[int]:
    """Put the spans of a target back into the places of their sentinels."""
    spans: dict[int, list[int]] = {}
    for token in target.tolist():
        if token > 900:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    return [piece for token in source.tolist() for piece in (spans[token] if token > 900 else [token])]


@pytest.mark.parametrize("length", [2, 3, 5, 17, 100, 511])
def test_source_and_target_together_are_the_text(length: int) -> None:
    for seed in range(20):
        ids = np.random.default_rng(seed).integers(0, 900, length)
        noise = noise_spans(length, 0.15, 3.0, np.random.default_rng(seed))
        source, target = hide_behind_sentinels(ids, noise, SENTINELS)
        assert restore(source, target) == ids.tolist()
        assert noise.sum() == min(max(round(length * 0.15), 1), length - 1)


def test_spans_have_the_mean_length() -> None:
    noise = noise_spans(500, 0.15, 3.0, np.random.default_rng(0))
    runs = int((np.diff(noise.astype(int), prepend=0) == 1).sum())
    assert (int(noise.sum()), runs) == (75, 25)


def test_texts_too_short_to_hide_anything() -> None:
    assert noise_spans(1, 0.15, 3.0, np.random.default_rng(0)).tolist() == [False]
    assert noise_spans(0, 0.15, 3.0, np.random.default_rng(0)).tolist() == []


def test_more_spans_than_sentinels_is_an_error_of_the_caller() -> None:
    noise = np.tile([False, True], 10)
    with pytest.raises(ValueError, match="sentinels"):
        hide_behind_sentinels(np.arange(20), noise, SENTINELS[:3])


def test_the_task_makes_spans_longer_where_sentinels_run_out() -> None:
    task: Any = open_task("span-denoising", noise_density=0.5, mean_span=1.0)
    store = make_store(task, (45, 30))
    batch = task.make_batch([store[0], store[1]], Draw(0, 0, np.arange(2)))
    assert len(task.sentinels) == 6
    assert int((batch["labels"] >= 6).sum()) > 20


def test_infilling_covers_about_the_share() -> None:
    ids = np.arange(10, 1010)
    kept = [(infill(ids, 4, (0.3, 3.0), np.random.default_rng(seed)) != 4).sum() / 1000 for seed in range(20)]
    assert np.mean(kept) == pytest.approx(0.7, abs=0.06)
    damaged = infill(ids, 4, (0.3, 3.0), np.random.default_rng(0))
    rest = damaged[damaged != 4]
    assert (np.diff(rest) > 0).all()


@pytest.mark.parametrize("kind", ["span-denoising", "text-infilling", "prefix-lm"])
def test_a_text_is_damaged_alike_in_any_batch(kind: str) -> None:
    task: Any = open_task(kind)
    store = make_store(task, (20, 7, 31))
    rows = np.arange(3)
    whole = task.make_batch([store[row] for row in rows], Draw(1, 9, rows))
    alone = task.make_batch([store[1]], Draw(1, 9, np.array([1])))
    for name in ("input_ids", "labels"):
        size = alone[name].shape[1]
        assert (whole[name][1, :size] == alone[name][0]).all()


def test_prefix_and_rest_are_the_text() -> None:
    task: Any = open_task("prefix-lm")
    store = make_store(task, (20,))
    batch = task.make_batch([store[0]], Draw(1, 2, np.array([0])))
    inner = [row[1:-1].tolist() for row in (batch["input_ids"][0], batch["labels"][0])]
    assert inner[0] + inner[1] == store[0]["input_ids"][1:-1].tolist()
    assert inner[0] and inner[1]
