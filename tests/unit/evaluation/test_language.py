"""Perplexity and bits per byte."""

from __future__ import annotations

import json
import math

import pytest

from fathom import catalog


def score(*pairs: tuple[tuple[float, int, int], int | None]) -> dict[str, float]:
    accumulator = catalog.load("metric", "perplexity")().open([])
    for prediction, reference in pairs:
        accumulator.update(prediction, reference)
    scores: dict[str, float] = accumulator.compute()
    return scores


def test_scores_of_all_tokens_together() -> None:
    scores = score(((6.0, 3, 1), 10), ((4.0, 7, 4), 25))
    assert scores["loss"] == pytest.approx(1.0)
    assert scores["perplexity"] == pytest.approx(math.e)
    assert scores["bits_per_token"] == pytest.approx(1 / math.log(2))
    assert scores["bits_per_byte"] == pytest.approx(10 / math.log(2) / 35)
    assert scores["token_accuracy"] == 0.5


def test_a_uniform_model_over_bytes_takes_eight_bits() -> None:
    scores = score(((100 * math.log(256), 100, 0), 100))
    assert scores["bits_per_byte"] == pytest.approx(8)
    assert scores["perplexity"] == pytest.approx(256)


def test_bits_per_byte_need_every_byte() -> None:
    assert "bits_per_byte" not in score(((6.0, 3, 1), 10), ((4.0, 7, 4), None))
    assert "bits_per_byte" in score(((6.0, 3, 1), 10), ((0.5, 1, 0), 0))  # only the end of a document


def test_it_stays_a_number() -> None:
    for scores in (score(((1e9, 1, 0), 1)), score()):
        json.dumps(scores, allow_nan=False)
