"""How likely chosen tokens are at chosen positions, with a gradient; the logits over the vocabulary are never whole.

A prompt is answered by a few words at a few positions. A chunk of positions has its logits made, the log probabilities
of the chosen tokens are kept, and the backward pass makes the chunk again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fathom.model.chunked_loss import SOFTMAX_BYTES, Head, add_to_table, chunks, logits_by_chunk


class TokenScores(torch.autograd.Function):
    """Log probabilities of tokens at positions.

    With z the logits of position r, p their softmax and s = log p[t] the score of token t, a gradient g of s is one of
    g * (e_t - p) by z.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 (torch calls it by position)
        ctx: Any,
        hidden_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        row_K: Tensor,
        token_K: Tensor,
        head: Head,
    ) -> Tensor:
        """Return the score of each token, float32 [K].

        Args:
            ctx: Of autograd.
            hidden_SD: What the head reads.
            weight_VD: The word table; an argument only so that autograd knows the result depends on it.
            bias_V: Of the logits.
            row_K: Which position of S each token is asked at.
            token_K: Its id.
            head: Gives the table in the type of the products, and takes its gradient.
        """
        ctx.head = head
        ctx.save_for_backward(hidden_SD, bias_V, row_K, token_K)
        score_K = torch.empty(len(row_K), dtype=torch.float32, device=hidden_SD.device)
        for part, _, logits_RV in logits_by_chunk(hidden_SD, head.weight(), bias_V, head.buffers):
            for rows in _few(part, logits_RV):
                place_k = _inside(row_K, part.start + rows.start, part.start + rows.stop)
                log_p_rV, _ = _log_softmax(logits_RV[rows], head.cap)
                score_K[place_k] = log_p_rV[row_K[place_k] - part.start - rows.start, token_K[place_k]]
        return score_K

    @staticmethod
    def backward(ctx: Any, grad_K: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of hidden states and bias; that of the table is written where it goes."""
        head: Head = ctx.head
        hidden_SD, bias_V, row_K, token_K = ctx.saved_tensors
        weight = head.weight()
        grad_hidden_SD = torch.empty_like(hidden_SD)
        bias_grad_V = None if bias_V is None else torch.zeros_like(bias_V, dtype=torch.float32)
        for part, hidden_RD, logits_RV in logits_by_chunk(hidden_SD, weight, bias_V, head.buffers):
            for rows in _few(part, logits_RV):
                begin = part.start + rows.start
                place_k = _inside(row_K, begin, part.start + rows.stop)
                row_k, token_k, grad_k = row_K[place_k] - begin, token_K[place_k], grad_K[place_k]
                log_p_rV, slope_rV = _log_softmax(logits_RV[rows], head.cap)
                total_r = log_p_rV.new_zeros(len(log_p_rV)).index_add_(0, row_k, grad_k)
                grad_rV = log_p_rV.exp_().mul_(-total_r[:, None])
                grad_rV.index_put_((row_k, token_k), grad_k, accumulate=True)
                if slope_rV is not None:
                    grad_rV *= slope_rV
                if bias_grad_V is not None:
                    bias_grad_V += grad_rV.sum(0)
                logits_RV[rows] = grad_rV
            logits_RV[part.stop - part.start :] = 0
            grad_hidden_SD[part] = (logits_RV @ weight)[: part.stop - part.start]
            add_to_table(head, logits_RV, hidden_RD, 1.0)
        return grad_hidden_SD, None, bias_grad_V, None, None, None


def _few(part: slice, logits_RV: Tensor) -> Iterator[slice]:
    """Cut the rows of a chunk into as many as stay in the processor's cache."""
    return chunks(part.stop - part.start, SOFTMAX_BYTES // (4 * logits_RV.shape[1]), step=1)


def _inside(row_K: Tensor, begin: int, end: int) -> Tensor:
    """Return which tokens are asked at the positions from `begin` to before `end`."""
    inside_K: Tensor = (row_K >= begin) & (row_K < end)
    return inside_K.nonzero()[:, 0]


def _log_softmax(logits_rV: Tensor, cap: float | None) -> tuple[Tensor, Tensor | None]:
    """Return log probabilities over the vocabulary, and the slope of the cap where logits are capped."""
    logits_rV = logits_rV.float()
    slope_rV = None
    if cap is not None:
        logits_rV = torch.tanh(logits_rV / cap)
        slope_rV = 1 - logits_rV.square()
        logits_rV *= cap
    return torch.log_softmax(logits_rV, -1), slope_rV
