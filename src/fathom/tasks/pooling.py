"""What a model says of an entity, from what it says of sub-words: weights over the places of a sequence."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["entity-start", "marker", "span"]


def entity_weights(places_BP: Tensor, length: int, pooling: Pooling) -> Tensor:
    """Return how much each place counts for head and tail, float32 [B, 2, L]; each row sums to 1.

    Args:
        places_BP: [B, 12]: (first, last) place of the head's opening mark, the head, its closing mark, and the tail's.
        length: L.
        pooling: `entity-start` (the first place of the opening mark; Baldini Soares et al. 2019, arXiv 1906.03158),
            `marker` (the mean of the first places of both marks) or `span` (the mean over the entity's own places).
    """
    places_B232 = places_BP.reshape(-1, 2, 3, 2)
    position_L = torch.arange(length, device=places_BP.device)
    if pooling == "span":
        first_B2, last_B2 = places_B232[:, :, 1, 0, None], places_B232[:, :, 1, 1, None]
        inside_B2L = ((position_L >= first_B2) & (position_L <= last_B2)).float()
        return inside_B2L / inside_B2L.sum(-1, keepdim=True)
    opening_B2L = (position_L == places_B232[:, :, 0, 0, None]).float()
    if pooling == "entity-start":
        return opening_B2L
    return (opening_B2L + (position_L == places_B232[:, :, 2, 0, None]).float()) / 2
