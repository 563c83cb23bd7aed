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
from transformers.modeling_outputs import BaseModelOutput

from fathom.errors import ModelError
from fathom.model.chunked_loss import Buffers, ChunkedCrossEntropy, judge_logits, logits_by_chunk
from fathom.model.families import logit_cap, reads_sound
from fathom.model.packing import inner_model
from fathom.model.parameters import FlatParameters, Slot
from fathom.model.token_scores import TokenScores

IGNORED_LABEL = -100
TRIAL_GAINS = (1.0, 1000.0)
"""Hidden states of a trial are multiplied by these in turn: a cap does nothing to the small logits of a new model."""
TRIAL_TOLERANCE = 1e-3
"""Of a position's largest logit; room for the rounding of TF32 products."""


class VocabularyHead:
    """Takes over the last product of a language model while `select` is active; otherwise the model runs as it is.

    Args:
        model: A language model, or a PEFT model around one.
        parameters: Where gradients of the word table go; None where nothing is trained.
        dtype: Type of the products; the softmax is float32.

    Raises:
        ModelError: The model has no output embeddings, or not a linear map; or it changes its logits afterwards in a
            way that is not known here (it is tried on a small batch, not believed).
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
        self._capping = _Capping(inner)
        self.cap = self._capping.cap
        """The logits are `cap * tanh(logits / cap)`; None for a model that leaves them as they are."""
        self.buffers = Buffers()
        self._cast: Tensor | None = None
        self._rows_S: Tensor | None = None
        self._width = 0
        """Tokens of a row whose labels were given."""
        self._handle = body_of(inner).register_forward_hook(self._leave_body)
        found.forward = self._forward  # type: ignore[method-assign, assignment]
        reason = disagreement(self, inner)
        if reason is not None:
            self.remove()
            raise ModelError(
                f"{type(inner).__name__} does more to its logits than a linear map: {reason}",
                mend="choose a model of another family for this task",
            )

    def release(self) -> None:
        """Training is done: read the model's own weights, in float32, and give the buffers back."""
        self.parameters, self.dtype, self._cast = None, torch.float32, None
        self.buffers.release()

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
        self._rows_S, self._width = (flat != IGNORED_LABEL).nonzero()[:, 0], labels_BL.shape[1]
        try:
            with self._bias.left_out(), self._capping.left_out():
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
        loss: Tensor = ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden_1SD.flatten(0, 1), self.module.weight, self.module.bias, labels_S, self, options
        )
        return loss

    @torch.no_grad()
    def judge(self, hidden_1SD: Tensor, labels_S: Tensor) -> tuple[Tensor, Tensor]:
        """Return the negative log-likelihood of each label (float32 `[S]`) and whether it ranks first (bool `[S]`)."""
        losses_S = torch.empty(len(labels_S), device=labels_S.device)
        hits_S = torch.empty(len(labels_S), dtype=torch.bool, device=labels_S.device)
        hidden_SD = hidden_1SD.flatten(0, 1)
        for part, _, logits_RV in logits_by_chunk(hidden_SD, self.weight(), self.module.bias, self.buffers):
            labels = labels_S[part]
            losses_S[part], hits_S[part] = judge_logits(logits_RV[: len(labels)], labels, self.cap)
        return losses_S, hits_S

    def logits(self, hidden_SD: Tensor) -> Tensor:
        """Return the model's logits from the head's hidden states, `[S, V]` in the type of the products."""
        return self._product(hidden_SD, self.weight())

    def score_tokens(self, hidden_1SD: Tensor, row_K: Tensor, token_K: Tensor) -> Tensor:
        """Return the log probabilities of some tokens at some positions, float32 `[K]`, with their gradient.

        Args:
            hidden_1SD: What the model gave within `select`.
            row_K: Which of its positions each token is asked at.
            token_K: Its id.
        """
        device = hidden_1SD.device
        scores: Tensor = TokenScores.apply(  # type: ignore[no-untyped-call]
            hidden_1SD.flatten(0, 1), self.module.weight, self.module.bias, row_K.to(device), token_K.to(device), self
        )
        return scores

    def weight(self) -> Tensor:
        """Return the word table in the type of the products, `[V, D]`."""
        slot = self.slot
        if self.parameters is not None and slot is not None:
            shadow = self.parameters.shadow(slot)
            return shadow if shadow.dtype == self.dtype else self.module.weight.detach().to(self.dtype)
        if self.parameters is None or self.module.weight.dtype == self.dtype:
            return self.module.weight.detach().to(self.dtype)
        if self._cast is None or self._cast.dtype != self.dtype:  # frozen: cast once, not in every pass
            self._cast = self.module.weight.detach().to(self.dtype)
        return self._cast

    def _product(self, hidden_SD: Tensor, weight_VD: Tensor) -> Tensor:
        product, bias_V = hidden_SD.to(weight_VD.dtype) @ weight_VD.t(), self.module.bias
        if bias_V is not None:
            product.add_(bias_V.to(product.dtype))
        return product if self.cap is None else product.div_(self.cap).tanh_().mul_(self.cap)

    def _forward(self, hidden: Tensor) -> Tensor:
        if self._rows_S is not None:
            return hidden
        return nn.functional.linear(hidden, self.module.weight, self.module.bias)

    def _leave_body(self, _: nn.Module, __: Any, output: Any) -> Any:
        if self._rows_S is None:
            return output
        hidden_BLD = output[0]
        virtual = hidden_BLD.shape[1] - self._width  # learned vectors that stand before every row's own tokens
        rows_S = self._rows_S + (self._rows_S // self._width + 1) * virtual if virtual else self._rows_S
        chosen = hidden_BLD.flatten(0, 1).index_select(0, rows_S)[None]
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
            raise ModelError(
                "the model adds a bias of its own to its logits (final_logits_bias is not zero)",
                mend="choose another model",
            )
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


class _Capping:
    """The cap that Gemma 2's family puts on its logits: within `select` the model hands out no logits to be capped."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.found = logit_cap(model.config)

    @property
    def cap(self) -> float | None:
        """The cap; None where there is none."""
        return None if self.found is None else self.found[2]

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Let the model read that there is none within the block."""
        if self.found is None:
            yield
            return
        config, key, cap = self.found
        config.update({key: None})
        try:
            yield
        finally:
            config.update({key: cap})


def body_of(model: PreTrainedModel) -> nn.Module:
    """Return the module whose first output the vocabulary head reads: the body, or the decoder where there is none."""
    body: nn.Module = model.base_model
    if body is not model:
        return body
    decoder: Any = model
    found: nn.Module = decoder.get_decoder()
    return found


@torch.no_grad()
def disagreement(head: VocabularyHead, model: PreTrainedModel) -> str | None:
    """Return how a model's own logits and those of its head differ on a small batch; None where they are the same.

    Args:
        head: As it will be used.
        model: The transformers model it is in, without wrappers.
    """
    ids_BL = (torch.arange(10, device=model.device).view(2, 5) * 7919 + 11) % head.module.out_features
    batch = _trial_batch(model, ids_BL)
    rows_N = torch.arange(10, device=model.device)
    labels_BL = torch.where(rows_N % 3 == 1, IGNORED_LABEL, 0).view_as(ids_BL)
    gains_N1 = torch.tensor(TRIAL_GAINS, device=model.device).repeat(5)[:, None]

    def amplify(_: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
        rows_S = rows_N if head._rows_S is None else head._rows_S
        return (args[0].flatten(0, -2) * gains_N1[rows_S]).view_as(args[0])

    training, dtype = model.training, head.dtype
    handle = head.module.register_forward_pre_hook(amplify)
    model.eval()
    head.dtype = torch.float32  # the question is what is computed, not how exactly
    try:
        whole_SV = vocabulary_states(model(**batch)).float().flatten(0, -2)[labels_BL.flatten() != IGNORED_LABEL]
        with head.select(labels_BL):
            states_SD = vocabulary_states(model(**batch)).float().flatten(0, -2)
            found_SV = head.logits(states_SD)
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        # a family we have never seen may use its logits in a way that hidden states do not bear
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    finally:
        handle.remove()
        model.train(training)
        head.dtype = dtype
    if found_SV.shape != whole_SV.shape:
        return f"{list(whole_SV.shape)} logits where the head has {list(found_SV.shape)}"
    scale_S = whole_SV.abs().amax(-1).clamp(min=1.0)
    difference = ((found_SV - whole_SV).abs().amax(-1) / scale_S).max().item()
    tolerance = max(TRIAL_TOLERANCE, 8 * torch.finfo(head.module.weight.dtype).eps)
    return None if difference <= tolerance else f"they differ by {difference:.1e} on a trial batch"


def _trial_batch(model: PreTrainedModel, ids_BL: Tensor) -> dict[str, Any]:
    """Return few tokens of what a model reads; of one that hears, the decoder's, with numbers for what was heard."""
    if not model.config.is_encoder_decoder or not reads_sound(model.config):
        said = {"decoder_input_ids": ids_BL.flip(0)} if model.config.is_encoder_decoder else {}
        return {"input_ids": ids_BL, "attention_mask": torch.ones_like(ids_BL), **said}
    width = int(model.config.hidden_size)
    heard_BLD = torch.sin(torch.arange(ids_BL.numel() * width, device=model.device)).view(*ids_BL.shape, width)
    return {"encoder_outputs": BaseModelOutput(last_hidden_state=heard_BLD), "decoder_input_ids": ids_BL}


def vocabulary_states(output: Any) -> Tensor:
    """Return the head's hidden states from an output made within `VocabularyHead.select`; else the logits."""
    found: Tensor = output.logits if "logits" in output else output.prediction_logits
    return found
