"""Losses of preferences against the formulas of their papers in float64, and against TRL where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fathom.tasks import preference_losses as losses

CASES = 200


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def draw(seed: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    chosen, rejected = random.uniform(low, high, (2, CASES))
    return chosen, rejected, torch.from_numpy(chosen), torch.from_numpy(rejected)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_dpo(beta: float, label_smoothing: float) -> None:
    chosen, rejected, *given = draw(1, -20, 20)
    found = losses.dpo(*given, beta, label_smoothing)
    for one, other, loss in zip(chosen, rejected, found.tolist(), strict=True):
        right = math.log(sigmoid(beta * one - beta * other))
        wrong = math.log(sigmoid(beta * other - beta * one))
        assert loss == pytest.approx(-(1 - label_smoothing) * right - label_smoothing * wrong, rel=1e-12)


def test_ipo() -> None:
    chosen, rejected, *given = draw(2, -3, 3)
    for one, other, loss in zip(chosen, rejected, losses.ipo(*given, 0.2).tolist(), strict=True):
        assert loss == pytest.approx((one - other - 0.5 / 0.2) ** 2, rel=1e-12)


def test_simpo() -> None:
    chosen, rejected, *given = draw(3, -5, 0)
    for one, other, loss in zip(chosen, rejected, losses.simpo(*given, 2.5, 0.6).tolist(), strict=True):
        assert loss == pytest.approx(-math.log(sigmoid(2.5 * one - 2.5 * other - 0.6)), rel=1e-12)


def test_orpo() -> None:
    chosen, rejected, *given = draw(4, -5, -0.01)
    for one, other, loss in zip(chosen, rejected, losses.orpo(*given, 0.3).tolist(), strict=True):
        odds = [math.exp(value) / (1 - math.exp(value)) for value in (one, other)]
        assert loss == pytest.approx(-one - 0.3 * math.log(sigmoid(math.log(odds[0] / odds[1]))), rel=1e-10)


def test_what_is_certain_has_finite_odds() -> None:
    given = torch.zeros(2, requires_grad=True)
    loss = losses.orpo(given, torch.full((2,), -3.0), 0.1).sum()
    loss.backward()
    assert math.isfinite(loss.item()) and bool(torch.isfinite(given.grad).all())


def test_kto() -> None:
    ratios, others, given, _ = draw(5, -6, 6)
    wanted = others > 0
    zero = losses.reference_point(torch.from_numpy(others))
    assert zero.item() == pytest.approx(max(0.0, float(np.mean(others))))
    found = losses.kto(given, torch.from_numpy(wanted), torch.tensor(0.7, dtype=torch.float64), 0.3, (1.5, 0.5))
    for ratio, label, loss in zip(ratios, wanted, found.tolist(), strict=True):
        value = 1.5 * sigmoid(0.3 * (ratio - 0.7)) if label else 0.5 * sigmoid(0.3 * (0.7 - ratio))
        assert loss == pytest.approx((1.5 if label else 0.5) - value, rel=1e-12)


def test_the_reference_point_has_no_gradient_and_is_never_below_zero() -> None:
    given = torch.tensor([-3.0, 1.0], requires_grad=True)
    zero = losses.reference_point(given)
    assert zero.item() == 0.0 and not zero.requires_grad
