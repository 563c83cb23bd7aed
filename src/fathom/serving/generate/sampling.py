"""Drawing tokens so that a seed gives prompt number i the same text in any batch.

Every sequence has its own numbers, made from (seed, prompt, sample) by a counter-based generator; a token is where its
number falls in the cumulative distribution. Nothing is shared between sequences, so nothing depends on who is beside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BELOW_ONE = 1.0 - 2.0**-40
"""Keeps a number times the total strictly below the total, whatever is rounded."""


def draw_numbers(seed: int, prompt: int, sample: int, count: int) -> NDArray[np.float64]:
    """Return the numbers in [0, 1) of one sequence, one for each of its tokens.

    Args:
        seed: Of the call.
        prompt: Which prompt, counted over the whole call.
        sample: Which of the prompt's samples.
        count: How many; fewer are the beginning of more.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, prompt, sample))))
    return generator.random(count) * BELOW_ONE


def sample_tokens(scores_BV: Tensor, numbers_B: Sequence[float]) -> Tensor:
    """Return the token of each row at its number's place in the distribution of its scores.

    A token whose score is -inf is never drawn.
    """
    cumulative_BV = torch.softmax(scores_BV, dim=-1, dtype=torch.float32).double().cumsum(-1)
    numbers = torch.tensor(numbers_B, dtype=torch.float64, device=scores_BV.device)
    point_B1 = (numbers * cumulative_BV[:, -1])[:, None]
    return torch.searchsorted(cumulative_BV, point_B1, right=True)[:, 0]
