"""The vocabulary head of a language model, on the positions that carry a label only, its logits never held whole.

A head of 30,000 words on every position costs more than a small model's blocks. Here a hook behind the body picks the
hidden states of the labelled positions, the family's own head transforms those, and the last product (hidden state
times word table), the cross-entropy and all of their gradients are computed together, a few hundred positions at a
time. The gradient of the word table goes straight into its flat buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fathom.errors import ModelError
from fathom.model.packing import inner_model
from fathom.model.parameters import FlatParameters, Slot

IGNORED_LABEL = -100
CHUNK_BYTES = 32 << 20
"""Memory that the float32 logits of one chunk of positions take, at most."""


class VocabularyHead:
    """Takes over the last product of a language model while `select` is active; otherwise the model runs as it is.

    Args:
        model: A language model, or a PEFT model around one.
        parameters: Where gradients of the word table go; None where nothing is trained.
        dtype: Type of the products; the softmax is float32.

    Raises:
        ModelError: The model has no output embeddings, or not a linear map.
    """

    def __init__(
        self, model: nn.Module, parameters: FlatParameters | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        inner = inner_model(model)
        found = inner.get_output_embeddings()
        if not isinstance(found, nn.Linear):
            raise ModelError(f"{type(inner).__name__} has no vocabulary head", mend="take a language model")
        self.module = found
        self.parameters = parameters
        self.dtype = dtype
        self._bias = _ConstantBias.of(inner)
        self._rows_S: Tensor | None = None
        self._handle = body_of(inner).register_forward_hook(self._leave_body)
        found.forward = self._forward  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        """Give the model back as it was."""
        self._handle.remove()
        del self.module.forward

    @property
    def slot(self) -> Slot | None:
        """Where the gradient of the word table goes; None when it is frozen."""
        return None if self.parameters is None else self.parameters.slot_of(self.module.weight)

    @contextmanager
    def select(self, labels_BL: Tensor) -> Iterator[Tensor]:
        """Within the block the model's logits are the head's hidden states at the labelled positions, `[1, S, D]`.

        Yields:
            Labels of those positions, `[S]`.
        """
        flat = labels_BL.reshape(-1)
        self._rows_S = (flat != IGNORED_LABEL).nonzero()[:, 0]
        try:
            with self._bias.left_out():
                yield flat[self._rows_S]
        finally:
            self._rows_S = None

    def loss(self, hidden_1SD: Tensor, labels_S: Tensor, scale: float, label_smoothing: float = 0.0) -> Tensor:
        """Return the summed cross-entropy times `scale`, a float32 scalar, with all gradients computed already.

        Args:
            hidden_1SD: What the model gave within `select`.
            labels_S: What `select` gave.
            scale: One over the labels of the whole batch. The gradient of the word table is written by this call, so
                `backward` must be called on the result itself, not on a multiple of it.
            label_smoothing: Share of the probability spread evenly over the vocabulary.
        """
        options = (scale, label_smoothing)
        loss: Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden_1SD.flatten(0, 1), self.module.weight, self.module.bias, labels_S, self, options
        )
        return loss

    @torch.no_grad()
    def judge(self, hidden_1SD: Tensor, labels_S: Tensor) -> tuple[Tensor, Tensor]:
        """Return the negative log-likelihood of each label (float32 `[S]`) and whether it ranks first (bool `[S]`)."""
        hidden_SD = hidden_1SD.flatten(0, 1)
        losses, hits = [hidden_SD.new_zeros(0, dtype=torch.float32)], [labels_S.new_zeros(0, dtype=torch.bool)]
        for part in chunks(len(labels_S), self.module.out_features):
            logits_SV = self.logits(hidden_SD[part]).float()
            losses.append(nn.functional.cross_entropy(logits_SV, labels_S[part], reduction="none"))
            hits.append(logits_SV.argmax(-1) == labels_S[part])
        return torch.cat(losses), torch.cat(hits)

    def logits(self, hidden_SD: Tensor) -> Tensor:
        """Return hidden states times the word table, `[S, V]` in the type of the products."""
        weight_VD, bias_V = self.weight(), self.module.bias
        product = hidden_SD.to(weight_VD.dtype) @ weight_VD.t()
        return product if bias_V is None else product.add_(bias_V.to(product.dtype))

    def weight(self) -> Tensor:
        """Return the word table in the type of the products, `[V, D]`."""
        slot = self.slot
        if self.parameters is not None and slot is not None:
            shadow = self.parameters.shadow(slot)
            if shadow.dtype == self.dtype:
                return shadow
        return self.module.weight.detach().to(self.dtype)

    def _forward(self, hidden: Tensor) -> Tensor:
        if self._rows_S is not None:
            return hidden
        return nn.functional.linear(hidden, self.module.weight, self.module.bias)

    def _leave_body(self, _: nn.Module, __: Any, output: Any) -> Any:
        if self._rows_S is None:
            return output
        hidden_BLD = output[0]
        chosen = hidden_BLD.flatten(0, 1).index_select(0, self._rows_S)[None]
        if isinstance(output, tuple):
            return (chosen, *output[1:])
        output["last_hidden_state"] = chosen
        return output


class _ConstantBias:
    """The buffer `final_logits_bias` that BART's family adds to its logits: always zero, and as wide as they are."""

    def __init__(self, model: PreTrainedModel, name: str | None) -> None:
        self.model, self.name = model, name

    @classmethod
    def of(cls, model: PreTrainedModel) -> _ConstantBias:
        name = next((name for name, _ in model.named_buffers() if name == "final_logits_bias"), None)
        if name is not None and bool(model.get_buffer(name).any()):
            raise ModelError("the model adds a bias of its own to its logits (final_logits_bias is not zero)")
        return cls(model, name)

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Let one zero stand for it within the block."""
        if self.name is None:
            yield
            return
        whole = self.model.get_buffer(self.name)
        self.model.register_buffer(self.name, whole.new_zeros(1, 1))
        try:
            yield
        finally:
            self.model.register_buffer(self.name, whole)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of cross-entropies over chunks of positions; gradients are computed with the loss, where the logits are."""

    @staticmethod
    def forward(  # noqa: PLR0917 (torch calls it by position)
        ctx: Any,
        hidden_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        labels_S: Tensor,
        head: VocabularyHead,
        options: tuple[float, float],
    ) -> Tensor:
        # weight and bias are arguments only so that autograd knows the loss depends on them
        scale, smoothing = options
        weight = head.weight()
        grad_hidden_SD = torch.empty_like(hidden_SD)
        bias_grad_V = None if bias_V is None else torch.zeros_like(bias_V, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float64, device=hidden_SD.device)
        for part in chunks(len(labels_S), len(weight)):
            hidden = hidden_SD[part].to(weight.dtype)
            log_p_SV = head.logits(hidden).float()
            log_p_SV = torch.log_softmax(log_p_SV, -1)
            labels = labels_S[part, None]
            nll = -log_p_SV.gather(1, labels).sum()
            if smoothing:
                nll = (1 - smoothing) * nll - smoothing * log_p_SV.mean(-1).sum()
            total += nll
            grad_SV = log_p_SV.exp_().sub_(smoothing / len(weight) if smoothing else 0.0)
            grad_SV.scatter_add_(1, labels, grad_SV.new_full(labels.shape, smoothing - 1.0))
            if bias_grad_V is not None:
                bias_grad_V += grad_SV.sum(0)
            grad = grad_SV.to(weight.dtype)
            grad_hidden_SD[part] = (grad @ weight).mul_(scale).to(hidden_SD.dtype)
            _accumulate(head, grad, hidden, scale)
        ctx.save_for_backward(grad_hidden_SD)
        ctx.bias_grad = None if bias_grad_V is None else bias_grad_V * scale
        return (total * scale).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if grad.item() != 1.0:
            raise RuntimeError("the loss of a vocabulary head is scaled by its `scale`, not by what follows it")
        (grad_hidden_SD,) = ctx.saved_tensors
        return grad_hidden_SD, None, ctx.bias_grad, None, None, None


def _accumulate(head: VocabularyHead, grad_SV: Tensor, hidden_SD: Tensor, scale: float) -> None:
    """Add a chunk's share to the gradient of the word table, in its flat buffer."""
    slot = head.slot
    if slot is None or head.parameters is None:
        return
    target_VD = head.parameters.gradient(slot)
    if slot.fresh:
        target_VD.zero_()
        slot.fresh = False
    target_VD.add_((grad_SV.t() @ hidden_SD).to(target_VD.dtype), alpha=scale)


def chunks(positions: int, vocabulary: int) -> Iterator[slice]:
    """Cut positions so that a chunk's float32 logits fit `CHUNK_BYTES`; at least 64 positions, few distinct sizes."""
    rows = max(64, CHUNK_BYTES // (4 * vocabulary) // 64 * 64)
    return (slice(start, min(start + rows, positions)) for start in range(0, positions, rows))


def body_of(model: PreTrainedModel) -> nn.Module:
    """Return the module whose first output the vocabulary head reads: the body, or the decoder where there is none."""
    body: nn.Module = model.base_model
    if body is not model:
        return body
    decoder: nn.Module = model.get_decoder()
    return decoder
