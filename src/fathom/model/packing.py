"""The packing boundary: blocks run on packed tokens, everything else runs as Hugging Face wrote it.

Embeddings and heads see ordinary padded tensors. A hook at the entry of the first block turns `[B, L, D]` (and every
per-token keyword such as rotary tables) into `[1, T, D]`; an attention function registered with transformers'
`AttentionInterface` keeps the sequences apart; a hook at the exit of the last block puts the tokens back. Nothing of a
model's code is forked.

Whether a family can be packed is tried, not believed: `pack_model` runs a small batch both ways and compares. A family
that disagrees, or that brings its own attention, runs as padded batches, and the reason is kept to be shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from fathom.model.anatomy import Anatomy, find_anatomy
from fathom.model.attention import AttentionOptions
from fathom.model.attention_form import attend_packed
from fathom.model.dropout import DropoutSource
from fathom.model.families import image_patches, most_positions
from fathom.model.layout import Layout, make_layout

ATTENTION_NAME = "fathom_packed"
TRIAL_LENGTHS = (17, 6, 1)
TRIAL_TOLERANCE = 1e-4


@dataclass
class PackedModel:
    """A model whose blocks run packed, or the reason why they cannot."""

    model: PreTrainedModel
    reason: str | None = None
    """Why the model runs padded; None when it runs packed."""
    dropout: DropoutSource | None = None
    """Where attention draws its dropout masks; None takes torch's own generator."""
    layout: Layout | None = None
    given: Tensor | None = None
    """Packed hidden states `[1, T, D]` that the first block gets instead of the embeddings'; see `model.prefix`."""
    positions: int | None = None
    """Positions the blocks run on, of every image alike; None for a model that reads words."""
    stream_dtype: torch.dtype | None = None
    """Type of the hidden states between blocks; None keeps the embeddings' type."""
    outside_dtype: torch.dtype = torch.float32
    """Type of the hidden states outside the blocks, given back at the last block's exit."""
    attention_name: str = ATTENTION_NAME
    _packed: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    _handles: list[Any] = field(default_factory=list)
    _implementation: str = "sdpa"

    @property
    def packed(self) -> bool:
        """Whether the blocks run packed."""
        return self.reason is None

    def prepare(
        self, attention_mask_BL: Tensor, segment_BL: Tensor | None = None, hidden_TD: Tensor | None = None
    ) -> Layout | None:
        """Lay out the next batch; call before every forward pass. See `make_layout`.

        Args:
            attention_mask_BL: 1 for tokens, 0 for padding on the right.
            segment_BL: Number of the document of each token, where rows hold several.
            hidden_TD: What enters the first computed block, the tokens of the rows one after another.
        """
        self.lay_out(make_layout(attention_mask_BL, segment_BL) if self.packed else None)
        if hidden_TD is not None:
            assert self.layout is not None
            self.given = hidden_TD.index_select(0, self.layout.natural_order(attention_mask_BL))[None]
        return self.layout

    def lay_out(self, layout: Layout | None) -> None:
        """Take the layout of the next batch."""
        self._packed.clear()
        self.layout, self.given = layout, None

    def prepare_target(self, mask_BM: Tensor) -> None:
        """Lay out what the decoder of an encoder-decoder reads, after `prepare`; other models read nothing twice.

        Args:
            mask_BM: True for the tokens whose successor counts, False for padding on the right.
        """

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Let the model run its own attention, on padded batches, within a block of code."""
        self.layout, self.given = None, None
        if not self.packed:
            yield
            return
        self.model.set_attn_implementation(self._implementation)
        try:
            yield
        finally:
            self.model.set_attn_implementation(self.attention_name)

    def install(self, anatomy: Anatomy) -> None:
        """Let the blocks run packed."""
        _install(self, anatomy)

    def prepare_batch(self, batch: Mapping[str, Tensor]) -> None:
        """Lay out the next batch by its mask; images, which are all of one length, by their number."""
        if "pixel_values" in batch:
            pixels = batch["pixel_values"]
            self.prepare(torch.ones(len(pixels), self.positions or 1, dtype=torch.long, device=pixels.device))
        elif "attention_mask" in batch:
            self.prepare(batch["attention_mask"], batch.get("segment"))

    def remove(self) -> None:
        """Give the model back as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self.packed:
            self.model.set_attn_implementation(self._implementation)


_OWNERS: WeakKeyDictionary[nn.Module, ref[PackedModel]] = WeakKeyDictionary()
"""Which packed model an attention module belongs to. Its hooks keep it; a model that nobody needs is freed."""


def owner_of(module: nn.Module) -> PackedModel | None:
    """Return the packed model a module of a block belongs to; None where there is none."""
    return _OWNERS[module]() if module in _OWNERS else None


def pack_model(model: nn.Module, *, trial: bool = True) -> PackedModel:
    """Make the blocks of a model run on packed tokens, where its family allows it.

    Args:
        model: Any transformers model, or a PEFT model around one.
        trial: Compare packed and padded outputs on a small batch first.

    Returns:
        The handle. Its `reason` says why a model stays padded.
    """
    inner = inner_model(model)
    anatomy = find_anatomy(inner)
    packed = _open(inner, anatomy)
    if not packed.packed:
        return packed
    if image_patches(inner.config) is not None:
        packed.positions = _count_positions(inner, anatomy)
    reference = _trial_outputs(packed) if trial else None
    try:
        packed.install(anatomy)
        if reference is not None:
            packed.reason = _compare(reference, packed)
    except (ValueError, TypeError, RuntimeError, NotImplementedError, IndexError, KeyError, AttributeError) as error:
        # a family we have never seen may fail in any of these ways; it then runs padded, and says why
        packed.reason = (
            f"the packed trial failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
    if packed.reason is not None:
        for handle in packed._handles:
            handle.remove()
        packed._handles.clear()
        inner.set_attn_implementation(packed._implementation)
    return packed


def inner_model(model: nn.Module) -> PreTrainedModel:
    """Return the transformers model inside a PEFT wrapper, or the model itself."""
    if isinstance(model, PreTrainedModel):
        return model
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            return module
    raise ValueError(f"{type(model).__name__} holds no transformers model")


@contextmanager
def packed(model: nn.Module) -> Iterator[PackedModel]:
    """Run a model packed within a block of code; as it was afterwards."""
    handle = pack_model(model)
    try:
        yield handle
    finally:
        handle.remove()


def _open(model: PreTrainedModel, anatomy: Anatomy) -> PackedModel:
    """Return the handle of a model, not installed yet."""
    if model.config.is_encoder_decoder and len(anatomy.stacks) == 2:
        from fathom.model.two_stacks import PackedTwoStacks, refusal

        return PackedTwoStacks(model, reason=refusal(model, anatomy))
    return PackedModel(model, reason=_refusal(model, anatomy))


def _refusal(model: PreTrainedModel, anatomy: Anatomy) -> str | None:
    if len(anatomy.stacks) != 1 or model.config.is_encoder_decoder:
        return "this kind of encoder-decoder runs as padded batches"
    if not model._supports_attention_backend and not model._supports_sdpa:
        return f"{type(model).__name__} does not take attention functions from outside"
    if model.main_input_name in {"input_values", "input_features"}:
        return f"{type(model).__name__} reads sound, whose samples are not the positions of its blocks"
    return None


def _sees(model: PreTrainedModel) -> bool:
    return model.main_input_name == "pixel_values" and image_patches(model.config) is not None


def _count_positions(model: PreTrainedModel, anatomy: Anatomy) -> int:
    """Return how long a sequence the first block gets of an image: patches, and what the family adds to them."""
    seen: list[int] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((args[0] if args else kwargs["hidden_states"]).shape[1])

    first = model.get_submodule(anatomy.stacks[0].blocks[0].path)
    handle = first.register_forward_pre_hook(note, with_kwargs=True)
    try:
        with torch.no_grad():
            model.base_model(**trial_batch(model))
    finally:
        handle.remove()
    return seen[0]


def _install(packed: PackedModel, anatomy: Anatomy) -> None:
    AttentionInterface.register(ATTENTION_NAME, packed_attention)
    model = packed.model
    packed._implementation = model.config._attn_implementation or "sdpa"
    model.set_attn_implementation(ATTENTION_NAME)
    blocks = [model.get_submodule(block.path) for block in anatomy.stacks[0].blocks]
    for number, block in enumerate(blocks):
        _OWNERS.update((module, ref(packed)) for module in block.modules())
        first, last = number == 0, number == len(blocks) - 1

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], first: bool = first) -> Any:
            return _enter(packed, args, kwargs, first)

        packed._handles.append(block.register_forward_pre_hook(enter, with_kwargs=True, prepend=True))
        if last:

            def leave(_: nn.Module, __: Any, output: Any) -> Any:
                return _leave(packed, output)

            packed._handles.append(block.register_forward_hook(leave))


def _enter(packed: PackedModel, args: tuple[Any, ...], kwargs: dict[str, Any], first: bool) -> Any:
    """Pack a block's inputs: the hidden states at the first block, per-token keywords at every one."""
    layout = packed.layout
    if layout is None:
        return None
    if first:
        packed._packed.clear()
    hidden = args[0] if args else kwargs["hidden_states"]
    if first:
        packed.outside_dtype = hidden.dtype
        hidden = pack_tokens(hidden, layout) if packed.given is None else packed.given
        hidden = hidden.to(packed.stream_dtype or packed.outside_dtype)
    rest = tuple(_pack_value(packed, value) for value in args[1:])
    words = {name: _pack_value(packed, value) for name, value in kwargs.items() if name != "hidden_states"}
    if args:
        return (hidden, *rest), words
    return rest, {"hidden_states": hidden, **words}


def _pack_value(packed: PackedModel, value: Any) -> Any:
    """Pack a tensor (or a tuple of tensors) that runs along the sequence; leave anything else alone."""
    layout = packed.layout
    assert layout is not None
    if isinstance(value, tuple):
        return tuple(_pack_value(packed, item) for item in value)
    if not isinstance(value, Tensor) or value.dim() < 2:
        return value
    known = packed._packed.get(id(value))
    if known is not None:
        return known[1]
    if value.dim() == 4 and value.shape[-1] == layout.padded_length:
        return None  # a mask of query and key positions: the attention function keeps sequences apart by itself
    if value.shape[1] != layout.padded_length or value.shape[0] not in (1, layout.batch):
        return value
    result = pack_tokens(value.expand(layout.batch, *value.shape[1:]), layout)
    if packed.stream_dtype is not None and result.is_floating_point():
        result = result.to(packed.stream_dtype)  # rotary tables in float32 would lift all of attention to it
    packed._packed[id(value)] = (value, result)  # the value is kept so that its id stays its own
    return result


def _leave(packed: PackedModel, output: Any) -> Any:
    layout = packed.layout
    if layout is None:
        return None
    if isinstance(output, Tensor):
        return unpack_tokens(output, layout).to(packed.outside_dtype)
    return (unpack_tokens(output[0], layout).to(packed.outside_dtype), *output[1:])


def pack_tokens(values_BLx: Tensor, layout: Layout) -> Tensor:
    """`[B, L, ...]` to `[1, T, ...]`."""
    return values_BLx.flatten(0, 1).index_select(0, layout.rows_T)[None]


def unpack_tokens(values_1Tx: Tensor, layout: Layout) -> Tensor:
    """`[1, T, ...]` to `[B, L, ...]`; padded positions hold zeros or the slack slots' values, never read again."""
    rest = values_1Tx.shape[2:]
    flat = values_1Tx.new_zeros(layout.batch * layout.padded_length, *rest)
    flat = flat.index_copy(0, layout.rows_T[: layout.filled], values_1Tx[0, : layout.filled])
    padded: Tensor = flat.unflatten(0, (layout.batch, layout.padded_length))
    return padded


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
        NotImplementedError: The family asks for something packing does not do (relative biases, attention sinks).
    """
    owner = owner_of(module)
    assert owner is not None
    for name in ("position_bias", "s_aux"):
        if options.get(name) is not None:
            raise NotImplementedError(f"attention with '{name}'")
    causal = options.get("is_causal")
    if causal is None:
        causal = bool(module.is_causal)
    scaling = options.get("scaling")
    wanted = AttentionOptions(
        scaling=float(scaling) if scaling is not None else 1.0 / math.sqrt(query.shape[-1]),
        causal=causal,
        window=options.get("sliding_window"),
        softcap=options.get("softcap"),
        dropout=float(options.get("dropout") or 0.0),
    )
    layout = owner.layout
    heads = [tensor.transpose(1, 2).flatten(0, 1) for tensor in (query, key, value)]
    if layout is None:  # no batch was laid out: one sequence in each row, none of them padded, and no slack yet
        layout = make_layout(torch.ones(query.shape[0], query.shape[2], dtype=torch.long, device=query.device))
        heads = [tensor.index_select(0, layout.rows_T) for tensor in heads]
    output = attend_packed(heads, layout, wanted, owner.dropout)
    tokens = query.shape[0] * query.shape[2]  # all slots of a batch that was laid out
    return output[:tokens].view(query.shape[0], query.shape[2], *output.shape[1:]), None


def trial_batch(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return a small padded batch of the model's own token ids, or images, on its device."""
    if _sees(model):
        side = model.config.image_size
        pixels = torch.linspace(-1, 1, 2 * 3 * side * side, device=model.device).view(2, 3, side, side)
        return {"pixel_values": torch.sin(pixels * 1e4)}
    lengths = [min(length, most_positions(model.config) or length) for length in TRIAL_LENGTHS]
    mask = torch.tensor([[1] * n + [0] * (lengths[0] - n) for n in lengths], device=model.device)
    vocabulary = model.get_input_embeddings().num_embeddings
    ids = torch.arange(mask.numel(), device=model.device).view_as(mask) * 7919 % max(vocabulary - 1, 1)
    pad = model.config.get_text_config().pad_token_id or 0
    ids = torch.where(ids == pad, (ids + 1) % vocabulary, ids)
    batch = {"input_ids": torch.where(mask.bool(), ids, pad), "attention_mask": mask}
    if model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = batch["input_ids"].flip(0)[:, : max(lengths[0] - 4, 1)]
    return batch


def _trial_outputs(packed: PackedModel) -> Tensor:
    """Last hidden states of the base model at real tokens."""
    model = packed.model
    batch = trial_batch(model)
    read = batch.get("attention_mask", torch.zeros(0)).bool()
    if "decoder_input_ids" in batch:
        read = read.flip(0)[:, : batch["decoder_input_ids"].shape[1]]
    if packed._handles:
        packed.prepare_batch(batch)
        packed.prepare_target(read)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            hidden: Tensor = model.base_model(**batch, return_dict=True)[0]
    finally:  # a family that fails must not be left in the mode of a trial
        model.train(training)
        packed.layout = None
    return (hidden[read] if "attention_mask" in batch else hidden).float()


def _compare(reference: Tensor, packed: PackedModel) -> str | None:
    difference = (_trial_outputs(packed) - reference).abs().max().item()
    scale = max(1.0, reference.abs().max().item())
    if difference <= TRIAL_TOLERANCE * scale:
        return None
    return f"packed and padded outputs differ by {difference:.1e} on a trial batch"
