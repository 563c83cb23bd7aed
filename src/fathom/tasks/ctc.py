"""Connectionist temporal classification: a token or a blank for every frame (Graves et al., 2006)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from fathom.data.example import IGNORED_LABEL

Array = np.ndarray[Any, Any]


def frames_needed(ids: Iterable[int]) -> int:
    """Return the frames that tokens need: one each, and a blank between two that are alike."""
    count, before = 0, None
    for token in ids:
        count += 1 + (token == before)
        before = token
    return count


def real_frames(logits_BTV: Tensor, frames_B: Tensor) -> Tensor:
    """Return the logits of the frames of all sounds, one sound after another, [S, V]; those of padding are left out."""
    frames_B = frames_B.to(logits_BTV.device)
    inside_BT = torch.arange(logits_BTV.shape[1], device=logits_BTV.device) < frames_B[:, None]
    return logits_BTV[inside_BT]


def ctc_losses(logits_SV: Tensor, frames_B: Tensor, label_BM: Tensor, blank: int) -> Tensor:
    """Return the negative log-likelihood of each transcript, of each of its tokens on average: float32 [B].

    Their mean is torch's and transformers' loss with the reduction `mean`.

    Args:
        logits_SV: See `real_frames`.
        frames_B: Frames of each sound.
        label_BM: Tokens, filled with -100.
        blank: The token that stands for none.
    """
    frames_B, label_BM = frames_B.cpu(), label_BM.to(logits_SV.device)
    log_TBV = pad_sequence(list(logits_SV.float().log_softmax(-1).split(frames_B.tolist())))
    tokens_B = label_BM.ne(IGNORED_LABEL).sum(1)
    with torch.backends.cudnn.flags(enabled=False):  # as transformers has it: cuDNN's loss takes other types
        losses_B = functional.ctc_loss(
            log_TBV, label_BM.clamp(min=0), frames_B, tokens_B.cpu(), blank=blank, reduction="none"
        )
    return losses_B / tokens_B.clamp(min=1)


def likeliest(logits_SV: Tensor, frames_B: Tensor) -> list[tuple[Array, Array]]:
    """Return (likeliest token int32 [T], its probability float32 [T]) of every frame, for each sound."""
    best = logits_SV.detach().float().softmax(-1).max(-1)
    frames = frames_B.tolist()
    ids, probabilities = best.indices.int().cpu().split(frames), best.values.cpu().split(frames)
    return [(own.numpy(), sure.numpy()) for own, sure in zip(ids, probabilities, strict=True)]


def cut_windows(samples_N: Array, most: int, step: int) -> list[Array]:
    """Cut a sound into windows of at most so many samples, each beginning a step after the one before."""
    last = max(-(-(len(samples_N) - most) // step), 0)
    return [samples_N[begin * step : begin * step + most] for begin in range(last + 1)]


def join_windows(parts: Sequence[Array], overlap: int) -> Array:
    """Join what was made of the frames of windows; of those that two share, each gives the half it knows best."""
    before, last = overlap // 2, len(parts) - 1
    kept = [
        part[before if row else 0 : len(part) - (overlap - before if row < last else 0)]
        for row, part in enumerate(parts)
    ]
    return np.concatenate(kept)
