"""From encoded sequences to padded tensors, and how a batch is cut where memory demands it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.data.example import PER_TOKEN_PADDING, Features
from fathom.data.sequences import Sequences

INPUTS = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "position_ids",
    "decoder_input_ids",
    "decoder_attention_mask",
    "pixel_values",
    "input_values",
    "input_features",
)


def collate(features: Sequence[Features], pad_token_id: int) -> dict[str, Tensor]:
    """Pad per-token fields on the right to the longest sequence, stack per-sequence fields, add `attention_mask`.

    Args:
        features: Encoded sequences, all with the same fields.
        pad_token_id: Fills `input_ids`.

    Returns:
        int64 tensors (float32 for float fields) `[B, L]` or `[B, ...]`.
    """
    lengths = np.fromiter((len(item["input_ids"]) for item in features), dtype=np.int64, count=len(features))
    inside_BL = np.arange(lengths.max()) < lengths[:, None]
    batch: dict[str, Tensor] = {"attention_mask": torch.from_numpy(inside_BL.astype(np.int64))}
    for name in features[0]:
        values = [item[name] for item in features]
        if name in PER_TOKEN_PADDING:
            padding = pad_token_id if name == "input_ids" else PER_TOKEN_PADDING[name]
            kind = np.float32 if values[0].dtype.kind == "f" else np.int64
            padded_BL = np.full(inside_BL.shape, padding, dtype=kind)
            padded_BL[inside_BL] = np.concatenate(values)
            batch[name] = torch.from_numpy(padded_BL)
        else:
            stacked = np.stack(values)
            batch[name] = torch.from_numpy(stacked.astype(np.float32 if stacked.dtype.kind == "f" else np.int64))
    return batch


def collate_rows(store: Sequences, rows: Sequence[int] | np.ndarray[Any, Any], pad_token_id: int) -> dict[str, Tensor]:
    """Collate sequences of a store."""
    return collate([store[int(row)] for row in rows], pad_token_id)


def cut(lengths: np.ndarray[Any, Any], most_tokens: int | None) -> list[slice]:
    """Cut a batch, in its order, into runs of at most `most_tokens` tokens; a longer sequence stands alone.

    Args:
        lengths: Tokens of each sequence.
        most_tokens: None for no limit.
    """
    if most_tokens is None or int(lengths.sum()) <= most_tokens:
        return [slice(0, len(lengths))]
    cuts = [0]
    tokens = 0
    for index, length in enumerate(lengths.tolist()):
        if tokens + length > most_tokens and index > cuts[-1]:
            cuts.append(index)
            tokens = 0
        tokens += length
    return [slice(begin, end) for begin, end in zip(cuts, [*cuts[1:], len(lengths)], strict=True)]


PADDED_GROUP = 8
"""Sequences of one padded pass."""


def padded_groups(lengths: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Return the sequences of a batch in groups of about `PADDED_GROUP` of nearly equal length, longest first.

    Where a model cannot run packed, each group is padded to its own longest; equal lengths need no groups.
    """
    if lengths.min() == lengths.max():
        return [np.arange(len(lengths))]
    order = np.argsort(-lengths, kind="stable")
    return np.array_split(order, -(-len(lengths) // PADDED_GROUP))


def model_inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what goes into a model's `forward`: no labels, no bookkeeping."""
    return {name: batch[name] for name in INPUTS if name in batch}


def segment_positions(segment_BL: Tensor) -> Tensor:
    """Return the position of each token within its document, for rows that hold several; int64 `[B, L]`."""
    position_L = torch.arange(segment_BL.shape[1], device=segment_BL.device)
    begins_BL = torch.ones_like(segment_BL, dtype=torch.bool)
    begins_BL[:, 1:] = segment_BL[:, 1:] != segment_BL[:, :-1]
    starts_BL = torch.where(begins_BL, position_L, 0).cummax(1).values
    return position_L - starts_BL


def split_segments(batch: dict[str, Tensor], pad_token_id: int) -> dict[str, Tensor]:
    """Give every document of a batch a row of its own, for models that cannot keep the documents of a row apart."""
    mask_BL = batch["attention_mask"].bool()
    segment_BL = batch["segment"]
    key_N = (segment_BL + torch.arange(len(segment_BL))[:, None] * (int(segment_BL.max()) + 1))[mask_BL]
    lengths = torch.unique_consecutive(key_N, return_counts=True)[1].tolist()
    fields = [name for name in batch if name in PER_TOKEN_PADDING and name != "segment"]
    pieces = [dict[str, np.ndarray[Any, Any]]() for _ in lengths]
    for name in fields:
        for piece, values in zip(pieces, batch[name][mask_BL].split(lengths), strict=True):
            piece[name] = values.numpy()
    owner_BL = torch.arange(len(segment_BL))[:, None].expand_as(segment_BL)
    firsts = np.cumsum([0, *lengths[:-1]])
    return {**collate(pieces, pad_token_id), "row": owner_BL[mask_BL][torch.from_numpy(firsts)]}
