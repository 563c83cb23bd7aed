"""The mathematics of sentence embeddings: pooling, and losses that compare the texts of a batch with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Pooling = Literal["mean", "cls", "last"]

ANCHOR, POSITIVE = 0, 1
"""Places of a text in its example; from 2 on stand negatives."""


def pool(hidden_NLD: Tensor, attention_mask_NL: Tensor, pooling: Pooling) -> Tensor:
    """Return one vector for each text, float32 `[N, D]`.

    Args:
        hidden_NLD: Of the last block.
        attention_mask_NL: 1 where a token is; padding stands on the right.
        pooling: The mean over all tokens, the first token, or the last.
    """
    hidden_NLD = hidden_NLD.float()
    if pooling == "cls":
        return hidden_NLD[:, 0]
    if pooling == "last":
        last_N = attention_mask_NL.sum(1) - 1
        return hidden_NLD[torch.arange(len(hidden_NLD), device=hidden_NLD.device), last_N]
    mask_NL1 = attention_mask_NL[:, :, None].to(hidden_NLD.dtype)
    # padded positions may hold anything, NaN included, and zero times that is not always zero
    summed_ND = hidden_NLD.masked_fill(mask_NL1 == 0, 0.0).sum(1)
    return summed_ND / mask_NL1.sum(1).clamp(min=1e-9)


def over_sizes(loss: Callable[[Tensor], Tensor], vectors_ND: Tensor, sizes: Sequence[int]) -> Tensor:
    """Add up a loss over the first numbers of each vector, and over the whole vector.

    Args:
        loss: Takes vectors of length one, `[N, d]`.
        vectors_ND: As they were pooled.
        sizes: Numbers that shorter vectors keep.

    Source: Kusupati et al., "Matryoshka Representation Learning", 2022 (arXiv 2205.13147).
    """
    cuts = [*sizes, vectors_ND.shape[1]]
    return torch.stack([loss(functional.normalize(vectors_ND[:, :size], dim=-1)) for size in cuts]).sum()


def in_batch_negatives(
    vectors_ND: Tensor, place_N: Tensor, allowed_QC: Tensor, temperature: float, *, symmetric: bool = False
) -> Tensor:
    """Return the summed cross-entropy of finding each anchor's positive among the batch's positives and negatives.

    Args:
        vectors_ND: Of length one; the texts of each example one after another, the anchor first.
        place_N: Place of each text in its example.
        allowed_QC: Which candidates (positives and negatives, in the order of the batch) each anchor that has a
            positive is compared with; see `allowed_candidates`.
        temperature: Cosines are divided by it.
        symmetric: Also find each positive's anchor among the anchors; the sum of both is halved.

    Source: Henderson et al., 2017 (arXiv 1705.00652); van den Oord et al., "InfoNCE", 2018 (arXiv 1807.03748).
    """
    anchor_QD, candidate_CD = vectors_ND[paired_anchors(place_N)], vectors_ND[place_N >= POSITIVE]
    is_positive_C = place_N[place_N >= POSITIVE] == POSITIVE
    target_Q = is_positive_C.nonzero()[:, 0]
    cosine_QC = anchor_QD @ candidate_CD.t() / temperature
    loss = functional.cross_entropy(cosine_QC.masked_fill(~allowed_QC, -torch.inf), target_Q, reduction="sum")
    if not symmetric:
        return loss
    back_QQ = cosine_QC[:, is_positive_C].masked_fill(~allowed_QC[:, is_positive_C], -torch.inf).t()
    own_Q = torch.arange(len(target_Q), device=target_Q.device)
    return (loss + functional.cross_entropy(back_QQ, own_Q, reduction="sum")) / 2


def paired_anchors(place_N: Tensor) -> Tensor:
    """Return where the anchors stand that have a positive, int64 `[Q]`: a positive stands right behind its anchor."""
    return (place_N == POSITIVE).nonzero()[:, 0] - 1


def allowed_candidates(place_N: Tensor, row_N: Tensor, identity_N: Tensor, group_B: Tensor) -> Tensor:
    """Return which candidates an anchor may be told apart from, bool `[Q, C]`; its own positive always.

    A candidate is left out where it is no negative of the anchor: the same text as the anchor or its positive, another
    positive of the same anchor, or the positive of an example of the same group.

    Args:
        place_N: Place of each text in its example.
        row_N: Example of each text.
        identity_N: Equal for equal texts.
        group_B: Label of each example, -1 where it has none.
    """
    anchor_Q = paired_anchors(place_N)
    candidate_C = (place_N >= POSITIVE).nonzero()[:, 0]
    answers_C, row_C = place_N[candidate_C] == POSITIVE, row_N[candidate_C]
    group_C = torch.where(answers_C, group_B[row_C], -1)
    group_Q = group_B[row_N[anchor_Q]]
    same_QC = (group_Q[:, None] == group_C) & (group_C >= 0)
    same_QC |= (identity_N[anchor_Q][:, None] == identity_N[place_N == ANCHOR][row_C]) & answers_C
    for known_Q in (identity_N[anchor_Q], identity_N[anchor_Q + 1]):
        same_QC |= known_Q[:, None] == identity_N[candidate_C]
    own_QC = (anchor_Q + 1)[:, None] == candidate_C
    return ~same_QC | own_QC


def cosine_error(vectors_ND: Tensor, place_N: Tensor, score_B: Tensor) -> Tensor:
    """Return the summed squared difference of each pair's cosine from its score."""
    return (pair_cosines(vectors_ND, place_N) - score_B).square().sum()


def rank_pairs(vectors_ND: Tensor, place_N: Tensor, score_B: Tensor, temperature: float) -> Tensor:
    """Return the CoSENT loss: pairs with a higher score shall have a higher cosine.

    Source: Su, "CoSENT", 2022 (https://kexue.fm/archives/8847).
    """
    cosine_B = pair_cosines(vectors_ND, place_N) / temperature
    wrong_BB = cosine_B[:, None] - cosine_B
    counted_BB = score_B[:, None] < score_B
    return torch.cat([cosine_B.new_zeros(1), wrong_BB[counted_BB]]).logsumexp(0)


def pair_cosines(vectors_ND: Tensor, place_N: Tensor) -> Tensor:
    """Return the cosine of each pair, `[B]`."""
    return (vectors_ND[place_N == ANCHOR] * vectors_ND[place_N == POSITIVE]).sum(-1)
