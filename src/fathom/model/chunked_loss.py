"""Cross-entropy over a vocabulary with all of its gradients at once, a chunk of positions at a time.

A chunk's logits live in one buffer that becomes their gradient in place; the softmax works on rows few enough to stay
in the processor's cache. Buffers are kept from step to step: memory that is given back and asked for again costs more
in page faults than the arithmetic done in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fathom.model.parameters import FlatParameters, Slot

CHUNK_BYTES = 64 << 20
"""Memory that the logits of one chunk of positions take, at most, in the type of the products."""
SOFTMAX_BYTES = 4 << 20
"""Memory of the float32 rows whose softmax is taken at once."""
ROW_STEP = 64
"""Rows of a chunk are rounded up to it, so that matrix products meet few distinct shapes."""


@dataclass
class Buffers:
    """Memory kept from one call to the next."""

    _kept: dict[str, Tensor] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return uninitialised memory of a shape, with the type and the device of `like`."""
        size = 1
        for length in shape:
            size *= length
        kept = self._kept.get(name)
        if kept is None or kept.numel() < size or kept.dtype != like.dtype or kept.device != like.device:
            with torch.inference_mode(mode=False):  # what is made while scoring serves training too
                kept = self._kept[name] = like.new_empty(size)
        return kept[:size].view(shape)

    def release(self) -> None:
        """Give the memory back."""
        self._kept.clear()


class Head(Protocol):
    """What the loss needs of a vocabulary head."""

    parameters: FlatParameters | None
    buffers: Buffers
    cap: float | None

    @property
    def slot(self) -> Slot | None:
        """Where the gradient of the word table goes."""

    def weight(self) -> Tensor:
        """The word table in the type of the products, `[V, D]`."""


class ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of cross-entropies times a scale; gradients are computed with the loss, where the logits are."""

    @staticmethod
    def forward(  # noqa: PLR0917 (torch calls it by position)
        ctx: Any,
        hidden_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        labels_S: Tensor,
        head: Head,
        options: tuple[float, float],
    ) -> Tensor:
        """Return the loss, a float32 scalar; `options` are its scale and the label smoothing."""
        # weight and bias are arguments only so that autograd knows the loss depends on them
        scale, smoothing = options
        weight = head.weight()
        grad_hidden_SD = torch.empty_like(hidden_SD)
        bias_grad_V = None if bias_V is None else torch.zeros_like(bias_V, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float64, device=hidden_SD.device)
        for part, hidden_RD, logits_RV in logits_by_chunk(hidden_SD, weight, bias_V, head.buffers):
            labels = labels_S[part]
            logits_RV[len(labels) :] = 0
            total += softmax_gradient(logits_RV[: len(labels)], labels, smoothing, bias_grad_V, head.cap)
            grad_hidden_SD[part] = (logits_RV @ weight)[: len(labels)].mul_(scale)
            add_to_table(head, logits_RV, hidden_RD, scale)
        ctx.save_for_backward(grad_hidden_SD)
        ctx.bias_grad = None if bias_grad_V is None else bias_grad_V * scale
        return (total * scale).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Hand out what `forward` computed.

        Raises:
            RuntimeError: The loss was multiplied; its gradient is written already.
        """
        if grad.item() != 1.0:
            raise RuntimeError("the loss of a vocabulary head is scaled by its `scale`, not by what follows it")
        (grad_hidden_SD,) = ctx.saved_tensors
        return grad_hidden_SD, None, ctx.bias_grad, None, None, None


def logits_by_chunk(
    hidden_SD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, buffers: Buffers
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield which positions a chunk has, its hidden states `[R, D]` and its logits `[R, V]`, before any cap.

    R is the positions rounded up; rows beyond them are of no position. All logits are made in one buffer: use them
    before the next chunk.
    """
    for part in chunks(len(hidden_SD), CHUNK_BYTES // (weight_VD.element_size() * len(weight_VD))):
        hidden_RD = _padded_rows(hidden_SD[part], weight_VD)
        logits_RV = buffers.take("logits", (len(hidden_RD), len(weight_VD)), weight_VD)
        torch.mm(hidden_RD, weight_VD.t(), out=logits_RV)
        if bias_V is not None:
            logits_RV += bias_V.to(logits_RV.dtype)
        yield part, hidden_RD, logits_RV


@torch.no_grad()
def judge_logits(logits_SV: Tensor, labels_S: Tensor, cap: float | None = None) -> tuple[Tensor, Tensor]:
    """Return each label's negative log-likelihood (float32 `[S]`) and whether it ranks first (bool `[S]`).

    The softmax is taken of few rows at once, as in `softmax_gradient`.
    """
    losses_S = torch.empty(len(labels_S), device=logits_SV.device)
    hits_S = torch.empty(len(labels_S), dtype=torch.bool, device=logits_SV.device)
    for part in chunks(len(labels_S), SOFTMAX_BYTES // (4 * logits_SV.shape[1]), step=1):
        logits_rV, labels_r = logits_SV[part].float(), labels_S[part]
        if cap is not None:
            logits_rV = torch.tanh(logits_rV / cap) * cap
        losses_S[part] = nn.functional.cross_entropy(logits_rV, labels_r, reduction="none")
        hits_S[part] = logits_rV.argmax(-1) == labels_r
    return losses_S, hits_S


def softmax_gradient(
    logits_SV: Tensor, labels_S: Tensor, smoothing: float, bias_grad_V: Tensor | None, cap: float | None = None
) -> Tensor:
    """Replace logits by the gradient of their summed cross-entropy, and return that sum.

    Args:
        logits_SV: Overwritten.
        labels_S: Of each position.
        smoothing: Share of the probability spread evenly over the vocabulary.
        bias_grad_V: Takes the sum of the gradients, if given.
        cap: The softmax is taken of `cap * tanh(logits / cap)`, if given (Gemma 2).
    """
    vocabulary = logits_SV.shape[1]
    total = torch.zeros((), dtype=torch.float64, device=logits_SV.device)
    for part in chunks(len(labels_S), SOFTMAX_BYTES // (4 * vocabulary), step=1):
        logits_rV = logits_SV[part].float()
        if cap is not None:
            logits_rV = torch.tanh(logits_rV / cap)
            slope_rV = 1 - logits_rV.square()
            logits_rV *= cap
        log_p_rV = torch.log_softmax(logits_rV, -1)
        labels_r1 = labels_S[part, None]
        loss = -log_p_rV.gather(1, labels_r1).sum()
        if smoothing:
            loss = (1 - smoothing) * loss - smoothing * log_p_rV.mean(-1).sum()
        total += loss
        grad_rV = log_p_rV.exp_()
        if smoothing:
            grad_rV -= smoothing / vocabulary
        grad_rV.scatter_add_(1, labels_r1, grad_rV.new_full(labels_r1.shape, smoothing - 1.0))
        if cap is not None:
            grad_rV *= slope_rV
        if bias_grad_V is not None:
            bias_grad_V += grad_rV.sum(0)
        logits_SV[part] = grad_rV
    return total


def chunks(positions: int, rows: int, step: int = ROW_STEP) -> Iterator[slice]:
    """Cut positions into chunks of about `rows`, a multiple of `step` and at least one step."""
    rows = max(step, rows // step * step)
    return (slice(start, min(start + rows, positions)) for start in range(0, positions, rows))


def _padded_rows(hidden_SD: Tensor, weight_VD: Tensor) -> Tensor:
    """Hidden states in the type of the products, with rows of zeros up to a multiple of `ROW_STEP`."""
    rows = -(-len(hidden_SD) // ROW_STEP) * ROW_STEP
    padded_RD = weight_VD.new_zeros(rows, hidden_SD.shape[1])
    padded_RD[: len(hidden_SD)] = hidden_SD
    return padded_RD


def add_to_table(head: Head, grad_RV: Tensor, hidden_RD: Tensor, scale: float) -> None:
    """Add a chunk's share to the gradient of the word table, in its flat buffer."""
    slot = head.slot
    if slot is None or head.parameters is None or not slot.learns:
        return
    target_VD = head.parameters.gradient(slot)
    product_VD = head.buffers.take("product", (grad_RV.shape[1], hidden_RD.shape[1]), grad_RV)
    torch.mm(grad_RV.t(), hidden_RD, out=product_VD)
    if slot.fresh:
        torch.mul(product_VD, scale, out=target_VD)
        slot.fresh = False
    else:
        target_VD.add_(product_VD, alpha=scale)
