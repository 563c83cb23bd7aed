"""The model and its cache, one batch at a time: read prompts, then one token of every sequence after another.

Some ways, one contract. `PackedSteps` is the fast one; the others serve families it does not fit, and sounds.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from fathom.model.layout import make_layout
from fathom.model.packing import inner_model
from fathom.serving.generate.attention import View
from fathom.serving.generate.cache import AlignedCache

Prompts = Sequence[Sequence[int]]


class Steps(ABC):
    """A batch of sequences on their way."""

    @abstractmethod
    def prefill(self, prompts: Prompts) -> Tensor:
        """Read the prompts; return the scores of each one's next token, `[B, V]` in float32."""

    @abstractmethod
    def step(self, token_B: Tensor) -> Tensor:
        """Read one more token of every sequence; return the scores of the next, `[B, V]` in float32."""

    @abstractmethod
    def keep(self, row_R: Tensor) -> None:
        """Go on with some rows, in the order given, some perhaps several times."""


def accepted(model: Any) -> frozenset[str]:
    """Return the names of the arguments a model's forward pass takes."""
    return frozenset(inspect.signature(model.forward).parameters)


def last_only(names: frozenset[str]) -> dict[str, int]:
    """Return the argument that makes a model score the last position only, where it has one."""
    return {"logits_to_keep": 1} if "logits_to_keep" in names else {}


def pad_left(prompts: Prompts, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return prompts as `[B, L]` ids and their mask, padded on the left (with zeros, which nothing reads)."""
    length = max(len(prompt) for prompt in prompts)
    ids = [[0] * (length - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


class PackedSteps(Steps):
    """Prompts packed, without padding; then one token a row on an aligned cache.

    Args:
        model: A decoder whose attention is `fathom_cached`.
        view: Of that attention.
    """

    def __init__(self, model: Any, view: View) -> None:
        self._model, self._view = model, view
        self._names = accepted(model)
        self._cache = AlignedCache()

    def prefill(self, prompts: Prompts) -> Tensor:
        """See `Steps.prefill`."""
        ids_BL, mask_BL = pad_left(prompts, self._model.device)
        self._count_B = mask_BL.sum(1)
        self._set_padding(ids_BL.shape[1] - self._count_B)
        layout = make_layout(mask_BL.flip(1))
        filled = layout.rows_T[: layout.filled]
        shift = self._pad_B[torch.div(filled, layout.padded_length, rounding_mode="floor")]
        rows = torch.cat([filled + shift, layout.rows_T[layout.filled :]])
        layout = replace(layout, rows_T=rows)
        packed, arrival = self._view.packed, self._cache.arrival
        packed.layout = arrival.layout = layout
        try:
            position_BL = (mask_BL.cumsum(1) - 1).clamp(min=0)
            output = self._call(ids_BL, mask_BL, position_BL)
        finally:
            packed.layout = arrival.layout = None
        return output

    def step(self, token_B: Tensor) -> Tensor:
        """See `Steps.step`."""
        columns = self._cache.get_seq_length() + 1
        self._view.hidden_BL = self._hidden(columns)
        token_B1, position_B1 = token_B[:, None], self._count_B[:, None]
        self._count_B = self._count_B + 1
        return self._call(token_B1, None, position_B1)

    def keep(self, row_R: Tensor) -> None:
        """See `Steps.keep`; columns no row uses any more go."""
        self._count_B, pad_B = self._count_B[row_R], self._pad_B[row_R]
        first = int(pad_B.min())
        self._set_padding(pad_B - first)
        self._cache.keep(row_R, first)

    def _set_padding(self, pad_B: Tensor) -> None:
        self._pad_B = pad_B
        self._padded = bool(pad_B.any())

    def _hidden(self, columns: int) -> Tensor | None:
        if not self._padded:
            return None
        return torch.arange(columns, device=self._pad_B.device) < self._pad_B[:, None]

    def _call(self, ids: Tensor, mask: Tensor | None, positions: Tensor) -> Tensor:
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True,
            **last_only(self._names),
        )
        scores: Tensor = output.logits[:, -1].float()
        return scores


class PaddedSteps(Steps):
    """Prompts padded on the left, the model's own attention, transformers' dynamic cache."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._names = accepted(model)
        self._cache = DynamicCache(config=model.config.get_text_config(decoder=True))

    def prefill(self, prompts: Prompts) -> Tensor:
        """See `Steps.prefill`."""
        ids_BL, self._mask_BL = pad_left(prompts, self._model.device)
        return self._call(ids_BL)

    def step(self, token_B: Tensor) -> Tensor:
        """See `Steps.step`."""
        self._mask_BL = torch.cat([self._mask_BL, self._mask_BL.new_ones(len(token_B), 1)], dim=1)
        return self._call(token_B[:, None])

    def keep(self, row_R: Tensor) -> None:
        """See `Steps.keep`."""
        self._mask_BL = self._mask_BL[row_R]
        self._cache.reorder_cache(row_R)

    def _call(self, ids_BL: Tensor) -> Tensor:
        options: dict[str, Any] = last_only(self._names)
        if "position_ids" in self._names:
            position_BL = (self._mask_BL.cumsum(1) - 1).clamp(min=0)
            options["position_ids"] = position_BL[:, -ids_BL.shape[1] :]
        output = self._model(
            input_ids=ids_BL,
            attention_mask=self._mask_BL,
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True,
            **options,
        )
        scores: Tensor = output.logits[:, -1].float()
        return scores


class RecomputeSteps(Steps):
    """Every sequence by itself, read anew for every token: any decoder at all, slowly."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._options = last_only(accepted(model))

    def prefill(self, prompts: Prompts) -> Tensor:
        """See `Steps.prefill`."""
        self._sequences = [list(prompt) for prompt in prompts]
        return self._read()

    def step(self, token_B: Tensor) -> Tensor:
        """See `Steps.step`."""
        for sequence, token in zip(self._sequences, token_B.tolist(), strict=True):
            sequence.append(token)
        return self._read()

    def keep(self, row_R: Tensor) -> None:
        """See `Steps.keep`."""
        self._sequences = [list(self._sequences[row]) for row in row_R.tolist()]

    def _read(self) -> Tensor:
        scores = []
        for sequence in self._sequences:
            ids_1L = torch.tensor([sequence], device=self._model.device)
            output = self._model(input_ids=ids_1L, use_cache=False, return_dict=True, **self._options)
            scores.append(output.logits[:, -1].float())
        return torch.cat(scores)


class EncoderDecoderSteps(Steps):
    """Prompts through the encoder, padded on the right; the decoder writes from its start token.

    Args:
        model: An encoder-decoder.
        start: The decoder's start token.
    """

    def __init__(self, model: Any, start: int) -> None:
        self._model, self._start = model, start
        self._plain: Any = inner_model(model)  # reads the encoder's output, in which virtual tokens stand already
        self._own = AlignedCache()
        self._cache = EncoderDecoderCache(self._own, DynamicCache())

    def prefill(self, prompts: Prompts) -> Tensor:
        """See `Steps.prefill`."""
        flipped_BL, mask_BL = pad_left([list(reversed(prompt)) for prompt in prompts], self._model.device)
        ids_BL, mask_BL = flipped_BL.flip(1), mask_BL.flip(1)
        self._prompt_B = torch.arange(len(prompts), device=ids_BL.device)
        output = self._model(
            input_ids=ids_BL,
            attention_mask=mask_BL,
            decoder_input_ids=torch.full_like(ids_BL[:, :1], self._start),
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True,
        )
        self._take(output.past_key_values)
        self._source_BLD: Tensor = output.encoder_last_hidden_state
        virtual = self._source_BLD.shape[1] - ids_BL.shape[1]
        self._mask_BL = torch.cat([mask_BL.new_ones(len(prompts), virtual), mask_BL], dim=1)
        scores: Tensor = output.logits[:, -1].float()
        return scores

    def step(self, token_B: Tensor) -> Tensor:
        """See `Steps.step`."""
        return self._say(token_B[:, None])

    def _take(self, read: EncoderDecoderCache) -> None:
        """Go on with what has been read; a prefix brings a cache of its own, whose keys it stands before."""
        if read is self._cache:
            return
        crossing = read.cross_attention_cache
        for number, layer in enumerate(read.self_attention_cache.layers[: len(crossing.layers)]):
            self._own.update(layer.keys, layer.values, number)
        self._cache = EncoderDecoderCache(self._own, crossing)

    def _say(self, ids_BL: Tensor) -> Tensor:
        output = self._plain(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._source_BLD),
            attention_mask=self._mask_BL,
            decoder_input_ids=ids_BL,
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True,
        )
        scores: Tensor = output.logits[:, -1].float()
        return scores

    def keep(self, row_R: Tensor) -> None:
        """See `Steps.keep`; what the encoder read is left alone while the rows of a prompt only change places."""
        self._own.keep(row_R)
        prompt_R = self._prompt_B[row_R]
        if torch.equal(prompt_R, self._prompt_B):
            return
        self._prompt_B = prompt_R
        self._mask_BL, self._source_BLD = self._mask_BL[row_R], self._source_BLD[row_R]
        self._cache.cross_attention_cache.reorder_cache(row_R)


class SpokenSteps(EncoderDecoderSteps):
    """Spectra through the encoder, all of one length; the decoder writes after a prompt of its own.

    Args:
        model: A Whisper.
        spectra_BMT: As its extractor makes them, on its device.
    """

    def __init__(self, model: Any, spectra_BMT: Tensor) -> None:
        super().__init__(model, start=0)
        self._spectra_BMT = spectra_BMT

    def prefill(self, prompts: Prompts) -> Tensor:
        """Hear the sounds and read the decoder's prompts, all of one length; see `Steps.prefill`."""
        ids_BL = torch.tensor([list(prompt) for prompt in prompts], device=self._model.device)
        read = self._model.get_encoder()(self._spectra_BMT, return_dict=True)
        self._source_BLD = read.last_hidden_state
        self._mask_BL = torch.ones(self._source_BLD.shape[:2], dtype=torch.long, device=ids_BL.device)
        self._prompt_B = torch.arange(len(prompts), device=ids_BL.device)
        return self._say(ids_BL)
