"""The packing boundary of encoder-decoders: both stacks run packed, each in its own layout.

The encoder's blocks see packed sources, the decoder's packed targets; cross-attention is kept to an example's own
source. T5's relative bias is a table of distances, made once for each stack by the model's own function.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from fathom.model.anatomy import Anatomy, Stack
from fathom.model.attention import AttentionOptions, FusedAttention
from fathom.model.cross_attention import CrossAttention, Crossing
from fathom.model.families import image_patches, reads_sound
from fathom.model.layout import LOWEST, Layout, make_layout
from fathom.model.packing import PackedModel, pack_tokens, unpack_tokens

ATTENTION_NAME = "fathom_packed_two_stacks"
BIASES = ("position_bias", "encoder_decoder_position_bias")
SOURCES = ("encoder_hidden_states",)
MASKS = ("attention_mask", "encoder_attention_mask")
DROPPED_LAYERS = ("encoder_layerdrop", "decoder_layerdrop", "layerdrop")


@dataclass
class PackedTwoStacks(PackedModel):
    """An encoder-decoder whose stacks run packed, or the reason why they cannot."""

    attention_name: str = ATTENTION_NAME
    target: Layout | None = None
    crossings: dict[str, Crossing] = field(default_factory=dict)
    sources: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def prepare(
        self, attention_mask_BL: Tensor, segment_BL: Tensor | None = None, hidden_TD: Tensor | None = None
    ) -> Layout | None:
        """Lay out the next batch: the decoder is taken to read as many tokens as the encoder; see `prepare_target`."""
        assert segment_BL is None and hidden_TD is None, "encoder-decoders take neither joined documents nor a prefix"
        self.layout = make_layout(attention_mask_BL) if self.packed else None
        self.target = self.layout
        self.crossings.clear()
        self.sources.clear()
        return self.layout

    def prepare_source(self, mask_BL: Tensor) -> None:
        """Lay out anew what the encoder reads, by a mask of other length; what the decoder reads stays."""
        target = self.target
        self.prepare(mask_BL)
        self.target = target

    def prepare_target(self, mask_BM: Tensor) -> None:
        """Lay out what the decoder reads; a row without any token counts as one of one token."""
        if self.layout is not None:
            mask_BM = mask_BM.clone()
            mask_BM[:, 0] = True
            self.target = make_layout(mask_BM)
            self.crossings.clear()

    def install(self, anatomy: Anatomy) -> None:
        """Let the blocks of both stacks run packed."""
        AttentionInterface.register(ATTENTION_NAME, packed_attention)
        self._implementation = self.model.config._attn_implementation or "sdpa"
        self.model.set_attn_implementation(ATTENTION_NAME)
        for stack in anatomy.stacks:
            _install_stack(self, stack)

    def crossing(self, name: str) -> Crossing:
        """Return which keys are seen in the attention called `encoder`, `decoder` or `cross`."""
        assert self.layout is not None and self.target is not None
        if name not in self.crossings:
            queries = self.layout if name == "encoder" else self.target
            self.crossings[name] = Crossing.of(queries, self.target if name == "decoder" else self.layout)
        return self.crossings[name]


@dataclass
class _StackView:
    """One stack of a packed model."""

    packed: PackedTwoStacks
    name: str
    names: tuple[str, ...]
    """Parameters of a block's forward pass, in order."""
    table_module: nn.Module | None
    """The attention that holds the stack's relative bias."""
    table: Tensor | None = None
    outside_dtype: torch.dtype = torch.float32

    @property
    def layout(self) -> Layout | None:
        return self.packed.layout if self.name == "encoder" else self.packed.target


_VIEWS: WeakKeyDictionary[nn.Module, ref[_StackView]] = WeakKeyDictionary()
"""Which stack an attention module belongs to. Its hooks keep it; a model that nobody needs is freed."""


def two_stacks_of(module: nn.Module) -> PackedTwoStacks | None:
    """Return the packed encoder-decoder a module of a block belongs to; None where there is none."""
    view = _VIEWS[module]() if module in _VIEWS else None
    return None if view is None else view.packed


def refusal(model: PreTrainedModel, anatomy: Anatomy) -> str | None:
    """Return why an encoder-decoder cannot run packed; None where it may."""
    if [stack.name for stack in anatomy.stacks] != ["encoder", "decoder"]:
        return "its stacks are not an encoder and a decoder"
    if reads_sound(model.config) or image_patches(model.config) is not None:
        return "it reads no text, so that its tokens are not counted here"
    if not model._supports_attention_backend and not model._supports_sdpa:
        return f"{type(model).__name__} does not take attention functions from outside"
    config: Mapping[str, Any] = model.config.to_dict()
    if any(config.get(name) for name in DROPPED_LAYERS):
        return "whole layers are dropped at random in training (layerdrop)"
    return None


def _install_stack(packed: PackedTwoStacks, stack: Stack) -> None:
    blocks = [packed.model.get_submodule(block.path) for block in stack.blocks]
    names = tuple(inspect.signature(type(blocks[0]).forward).parameters)[1:]
    biased = [module for module in blocks[0].modules() if vars(module).get("has_relative_attention_bias")]
    view = _StackView(packed, stack.name, names, biased[0] if biased else None)
    for number, block in enumerate(blocks):
        for module in block.modules():
            _VIEWS[module] = ref(view)

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], first: bool = number == 0) -> Any:
            return _enter(view, args, kwargs, first)

        packed._handles.append(block.register_forward_pre_hook(enter, with_kwargs=True, prepend=True))

    def leave(_: nn.Module, __: Any, output: Any) -> Any:
        layout = view.layout
        if packed.layout is None or layout is None:
            return None
        if isinstance(output, Tensor):
            return unpack_tokens(output, layout).to(view.outside_dtype)
        return (unpack_tokens(output[0], layout).to(view.outside_dtype), *output[1:])

    packed._handles.append(blocks[-1].register_forward_hook(leave))


def _enter(view: _StackView, args: tuple[Any, ...], kwargs: dict[str, Any], first: bool) -> Any:
    """Pack what a block is given: its own tokens, its source, and T5's biases; masks and caches are not needed."""
    packed, layout = view.packed, view.layout
    if packed.layout is None or layout is None:
        return None
    given = {**dict(zip(view.names, args, strict=False)), **kwargs}
    if first:
        hidden = given["hidden_states"]
        view.outside_dtype = hidden.dtype
        given["hidden_states"] = _as_stream(packed, pack_tokens(hidden, layout))
        view.table = _make_table(view, layout)
    for name in SOURCES:
        if isinstance(given.get(name), Tensor):
            given[name] = _packed_source(packed, given[name])
    given |= {name: None for name in (*MASKS, "past_key_values") if name in given}
    if view.table is not None:
        # a block makes no bias of its own where it is given one; that of cross-attention says nothing
        given |= {"position_bias": view.table}
        if "encoder_decoder_position_bias" in view.names and view.name == "decoder":
            given["encoder_decoder_position_bias"] = view.table.new_zeros(1, 1, 1, 1)
    positional = view.names[: len(args)]
    return tuple(given.pop(name) for name in positional), given


def _as_stream(packed: PackedTwoStacks, hidden: Tensor) -> Tensor:
    return hidden.to(packed.stream_dtype or hidden.dtype)


def _packed_source(packed: PackedTwoStacks, source_BLD: Tensor) -> Tensor:
    """Pack what the decoder reads of the encoder, once for all of its blocks."""
    assert packed.layout is not None
    known = packed.sources.get(id(source_BLD))
    if known is None:
        known = (source_BLD, _as_stream(packed, pack_tokens(source_BLD, packed.layout)))
        packed.sources[id(source_BLD)] = known  # the value is kept so that its id stays its own
    return known[1]


def _make_table(view: _StackView, layout: Layout) -> Tensor | None:
    """Return the stack's bias for every distance, by the model's own function: `[1, H, 1, 2 * reach - 1]`."""
    if view.table_module is None:
        return None
    reach = max(bucket.length for bucket in layout.buckets)
    module: Any = view.table_module
    table: Tensor = module.compute_bias(1, 2 * reach - 1, past_seen_tokens=reach - 1)
    return table


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention function for transformers' `AttentionInterface`: `[1, H, T, K]` in, `[1, T, H, K]` out.

    Raises:
        NotImplementedError: The family asks for something packing does not do here.
    """
    view = _VIEWS[module]()
    assert view is not None
    packed = view.packed
    if query.shape[1] != key.shape[1]:
        raise NotImplementedError("grouped heads in an encoder-decoder")
    for name in ("s_aux", "softcap", "sliding_window"):
        if options.get(name) is not None:
            raise NotImplementedError(f"attention with '{name}' in an encoder-decoder")
    causal = bool(module.is_causal) if options.get("is_causal") is None else bool(options["is_causal"])
    scaling = options.get("scaling")
    scaling = 1.0 / math.sqrt(query.shape[-1]) if scaling is None else float(scaling)
    wanted = AttentionOptions(scaling, causal, dropout=float(options.get("dropout") or 0.0))
    bias = options.get("position_bias")
    if packed.layout is None or view.layout is None:
        return _unpacked(query, key, value, (attention_mask, bias), wanted), None
    heads = [tensor.transpose(1, 2).flatten(0, 1) for tensor in (query, key, value)]
    crosses = view.name == "decoder" and not causal
    table = None if bias is None or crosses else bias[0, :, 0]
    if table is None and not crosses and (wanted.dropout == 0 or packed.dropout is not None):
        output = FusedAttention.apply(*heads, view.layout, wanted, packed.dropout)  # type: ignore[no-untyped-call]
    else:
        crossing = packed.crossing("cross" if crosses else view.name)
        output = CrossAttention.apply(*heads, table, crossing, (wanted, packed.dropout))  # type: ignore[no-untyped-call]
    return output[None], None


def _unpacked(
    query: Tensor, key: Tensor, value: Tensor, added: tuple[Tensor | None, Tensor | None], wanted: AttentionOptions
) -> Tensor:
    """Attention of a batch that was not laid out, by plain operations."""
    scores = query @ key.transpose(2, 3) * wanted.scaling
    for bias in added:
        if bias is not None and bias.dim() == 4:
            scores = scores.masked_fill(~bias, LOWEST) if bias.dtype == torch.bool else scores + bias
    if wanted.causal and scores.shape[2] > 1:
        unseen = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(unseen, LOWEST)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    weights = nn.functional.dropout(weights, wanted.dropout)
    return (weights @ value).transpose(1, 2).contiguous()
