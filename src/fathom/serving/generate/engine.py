"""Which way a model generates: tried on a small batch, not believed; the reason of a slower way is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fathom.serving.generate.attention import install
from fathom.serving.generate.steps import (
    EncoderDecoderSteps,
    PackedSteps,
    PaddedSteps,
    RecomputeSteps,
    Steps,
    accepted,
)

Mode = Literal["packed", "padded", "alone", "recomputed", "encoder-decoder"]

TRIAL_LENGTHS = (11, 3, 1)
TRIAL_STEPS = 2
TRIAL_TOLERANCE = 1e-4
TRIAL_ERRORS = (ValueError, TypeError, RuntimeError, NotImplementedError, IndexError, KeyError, AttributeError)
"""How a family may fail that does not fit a way of generating."""


@dataclass(frozen=True)
class Engine:
    """A model and the way it generates."""

    model: Any
    mode: Mode
    start: Callable[[], Steps]
    """Begins a batch."""
    reason: str | None = None
    """Why it does not run packed; None where it does."""

    @property
    def most_prompts(self) -> int | None:
        """Prompts that may share a batch; None for any number."""
        return 1 if self.mode == "alone" else None


def make_engine(model: Any, *, packing: bool = True) -> Engine:
    """Find the fastest way of generating that gives the model's own scores.

    Args:
        model: A decoder or encoder-decoder in evaluation mode, in float32.
        packing: Try to read prompts packed.
    """
    if model.config.is_encoder_decoder:
        start = decoder_start(model)
        return Engine(model, "encoder-decoder", lambda: EncoderDecoderSteps(model, start), "an encoder-decoder")
    names = accepted(model)
    if "past_key_values" not in names:
        return Engine(model, "recomputed", lambda: RecomputeSteps(model), f"{type(model).__name__} takes no cache")
    with torch.inference_mode():
        wanted = _references(model)
        reason: str | None = "packing is off"
        if packing:
            engine, reason = _packed(model, names, wanted)
            if engine is not None:
                return engine
        trial = _try(lambda: PaddedSteps(model), wanted)
        if trial is None:
            return Engine(model, "padded", lambda: PaddedSteps(model), reason)
        if _try(lambda: PaddedSteps(model), wanted[:1]) is None:
            return Engine(model, "alone", lambda: PaddedSteps(model), f"{reason}; padded: {trial}")
    return Engine(model, "recomputed", lambda: RecomputeSteps(model), f"{reason}; with a cache: {trial}")


def decoder_start(model: Any) -> int:
    """Return the token an encoder-decoder's decoder begins with."""
    fixed = model.generation_config
    start = fixed.decoder_start_token_id if fixed.decoder_start_token_id is not None else fixed.bos_token_id
    return int(start[0] if isinstance(start, list) else start or 0)


@dataclass(frozen=True)
class _Reference:
    """A sequence and the scores the plain model gives at its end and after each of its last tokens."""

    prompt: list[int]
    more: list[int]
    scores_SV: Tensor


def _references(model: Any) -> list[_Reference]:
    size = model.get_input_embeddings().num_embeddings
    found = []
    for number, length in enumerate(TRIAL_LENGTHS):
        ids = [(7919 * place + 31 * number + 5) % size for place in range(length + TRIAL_STEPS)]
        output = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False, return_dict=True)
        found.append(_Reference(ids[:length], ids[length:], output.logits[0, length - 1 :].float()))
    return found


def _packed(model: Any, names: frozenset[str], wanted: Sequence[_Reference]) -> tuple[Engine | None, str]:
    if "position_ids" not in names:
        return None, f"{type(model).__name__} takes no positions"
    before = model.config._attn_implementation
    view = install(model)
    if view.packed.reason is not None:
        return None, view.packed.reason
    reason = _try(lambda: PackedSteps(model, view), wanted)
    if reason is None:
        return Engine(model, "packed", lambda: PackedSteps(model, view)), ""
    view.packed.remove()
    model.set_attn_implementation(before)
    return None, f"packed: {reason}"


def _try(start: Callable[[], Steps], wanted: Sequence[_Reference]) -> str | None:
    """Return what goes wrong when a small batch is generated this way, one row leaving in between; None if nothing."""
    scale = max(1.0, *(float(reference.scores_SV.abs().max()) for reference in wanted))
    try:
        steps = start()
        rows = list(wanted)
        found = steps.prefill([reference.prompt for reference in rows])
        for number in range(TRIAL_STEPS + 1):
            expected = torch.stack([reference.scores_SV[number] for reference in rows])
            apart = float((found - expected).abs().max())
            if not apart <= TRIAL_TOLERANCE * scale:
                return f"scores differ by {apart:.1e} on a trial batch"
            if number == TRIAL_STEPS:
                return None
            if number == 1 and len(rows) > 1:
                steps.keep(torch.tensor([2, 1], device=found.device))
                rows = [rows[2], rows[1]]
            found = steps.step(torch.tensor([reference.more[number] for reference in rows], device=found.device))
    except TRIAL_ERRORS as error:
        first = str(error).splitlines()[0] if str(error) else ""
        return f"{type(error).__name__}: {first}"
    return None
