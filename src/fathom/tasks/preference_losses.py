"""Losses of preference learning as plain functions of log-probabilities.

A *ratio* is how much likelier the model finds an answer than the reference does: log pi(y|x) - log pi_ref(y|x), summed
over the answer's tokens, or their mean. A *mean* is the mean log-probability of an answer's tokens. B pairs, N answers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

LARGEST_MEAN = -1e-6
"""Log-probabilities nearer to 0 count as it: the odds of what is certain are infinite."""


def dpo(chosen_B: Tensor, rejected_B: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Direct preference optimization, from ratios; `[B]`.

    Args:
        chosen_B: Ratios of the preferred answers.
        rejected_B: Ratios of the others.
        beta: How dearly leaving the reference is paid for.
        label_smoothing: Share of the pairs that are taken to be the wrong way round (conservative DPO).

    Source: Rafailov et al., "Direct Preference Optimization", 2023, arXiv 2305.18290, equation 7; label smoothing:
    Mitchell, "A note on DPO with noisy preferences", 2023.
    """
    margin_B = beta * (chosen_B - rejected_B)
    return -(1 - label_smoothing) * logsigmoid(margin_B) - label_smoothing * logsigmoid(-margin_B)


def ipo(chosen_B: Tensor, rejected_B: Tensor, beta: float) -> Tensor:
    """Identity preference optimization, from ratios; `[B]`.

    Source: Azar et al., "A General Theoretical Paradigm to Understand Learning from Human Preferences", 2023, arXiv
    2310.12036, equation 17.
    """
    return (chosen_B - rejected_B - 1 / (2 * beta)).square()


def simpo(chosen_B: Tensor, rejected_B: Tensor, beta: float, gamma: float, label_smoothing: float = 0.0) -> Tensor:
    """Simple preference optimization, from means; `[B]`.

    Source: Meng et al., "SimPO", 2024, arXiv 2405.14734, equation 6.
    """
    margin_B = beta * (chosen_B - rejected_B) - gamma
    return -(1 - label_smoothing) * logsigmoid(margin_B) - label_smoothing * logsigmoid(-margin_B)


def orpo(chosen_B: Tensor, rejected_B: Tensor, beta: float) -> Tensor:
    """Odds ratio preference optimization, from means; `[B]`: likelihood of the chosen answer and weighted odds.

    Source: Hong et al., "ORPO", 2024, arXiv 2403.07691, equations 6 and 7.
    """
    return -chosen_B - beta * logsigmoid(log_odds(chosen_B) - log_odds(rejected_B))


def log_odds(mean_N: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of p = exp(mean)."""
    mean_N = mean_N.clamp(max=LARGEST_MEAN)
    return mean_N - torch.log(-torch.expm1(mean_N))


def kto(
    ratio_N: Tensor, desirable_N: Tensor, zero: Tensor, beta: float, weights: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Kahneman-Tversky optimization, from ratios of single answers; `[N]`.

    Args:
        ratio_N: Of the answers.
        desirable_N: Whether each is wanted, bool.
        zero: What an answer is measured by, a scalar without a gradient; see `reference_point`.
        beta: How steep the value is, and how dearly leaving the reference is paid for.
        weights: Of desirable and of undesirable answers.

    Source: Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", 2024, arXiv 2402.01306,
    equation 8.
    """
    gain_N = torch.where(desirable_N, ratio_N - zero, zero - ratio_N)
    weight_N = torch.where(desirable_N, weights[0], weights[1])
    return weight_N * (1 - torch.sigmoid(beta * gain_N))


def reference_point(ratio_M: Tensor) -> Tensor:
    """Return the estimate of KL(pi || pi_ref) of a batch, from the ratios of answers to other prompts; at least 0."""
    return ratio_M.detach().mean().clamp(min=0)
