"""Many LoRA adapters over one frozen base: the batches of all of them run through its blocks in one pass.

A frozen matrix is read once, by one product over the tokens of all batches; every adapter adds its own low-rank update
to its own contiguous rows. Each adapter is a model of its own, whose frozen weights are the base's tensors: everything
but the blocks of a training pass (evaluation, the head, saving) is that model, as if it were alone.

Rows never meet: no product, norm or attention sums over two batches, so what one adapter's numbers do (a loss that is
NaN) reaches no other, and the gradients are those of each alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy, find_anatomy
from fathom.model.compute import Compute
from fathom.model.dropout import DropoutSource
from fathom.model.frozen import before_stack
from fathom.model.joined import JoinedDropout, join_inputs, join_layouts, natural_states
from fathom.model.layout import Part, make_layout
from fathom.model.low_rank import ManyUpdates, Update, plain_update, updated_linear
from fathom.model.packing import PackedModel, pack_model
from fathom.model.parameters import FlatParameters
from fathom.model.prefix import Prefix, PrefixError
from fathom.model.sharing import inside, plain_name

UPDATES = (".lora_A.", ".lora_B.")


@dataclass(frozen=True)
class Adapter:
    """A model under LoRA, ready to be trained alone."""

    model: nn.Module
    anatomy: Anatomy
    packed: PackedModel
    compute: Compute
    dropout: DropoutSource | None
    """Where its masks come from; None for torch's generator."""


@dataclass(frozen=True)
class AdapterBatch:
    """One adapter's part of a pass.

    Attributes:
        inputs: Of its model, `[B, L]` each, padded on the right, with their `attention_mask`.
        segment_BL: Number of the document of each token, where rows hold several.
    """

    inputs: Mapping[str, Tensor]
    segment_BL: Tensor | None = None


class SharedBase:
    """The blocks of a frozen base, run for several adapters at once.

    Args:
        base: Without adapters, on the device of the adapters' models; it is frozen here.
        dtype: Of the products in its blocks.
        joined_dropout: Whether the adapters draw their masks from `DropoutSource`s of their own.

    Raises:
        ModelError: The family's blocks cannot run for several adapters; says why.
    """

    def __init__(self, base: PreTrainedModel, dtype: torch.dtype, *, joined_dropout: bool) -> None:
        self.base = base.requires_grad_(False)
        anatomy = find_anatomy(base)
        if len(anatomy.stacks) != 1 or anatomy.stacks[0].repeats > 1:
            raise ModelError("its blocks are in two stacks, or share their weights")
        self.packed = pack_model(base)
        if self.packed.reason is not None:
            raise ModelError(f"it runs padded: {self.packed.reason}")
        self.depth = len(anatomy.blocks)
        self.dropout = JoinedDropout() if joined_dropout else None
        blocks = [block.path for block in anatomy.blocks]
        base.train()
        self.compute = Compute(base, FlatParameters({}, {}), blocks, dropout=self.dropout, dtype=dtype)
        self.packed.dropout = self.dropout
        self.packed.stream_dtype = dtype if dtype != torch.float32 else None
        self.adapters: list[Adapter] = []
        self._prefixes: dict[int, Prefix] = {}
        self._projections: dict[str, ManyUpdates] = {}
        self._taken: Tensor | None = None
        # before the hook that unpacks: of what is taken here, nothing is left to unpack
        base.get_submodule(blocks[-1]).register_forward_hook(self._take, prepend=True)

    def add(self, adapter: Adapter) -> int:
        """Take in another adapter; returns its number.

        Raises:
            ModelError: Something beside updates and head learns, its frozen weights are not the base's tensors, or the
                head cannot start from the blocks' output.
        """
        self._check(adapter)
        number = len(self.adapters)
        adapter.compute.share_copies(self.compute)
        try:
            self._prefixes[number] = Prefix(adapter.packed, adapter.anatomy, self.depth)
        except PrefixError as error:
            raise ModelError(f"its head cannot start from the blocks' output: {error}") from None
        for path, update in _updates(adapter):
            if path not in self._projections:
                module = self.base.get_submodule(path)
                self._projections[path] = ManyUpdates(self.compute.leaf_of(module))
                module.forward = partial(updated_linear, self._projections[path])
            self._projections[path].updates[number] = update
        self.adapters.append(adapter)
        return number

    def release(self, number: int) -> None:
        """Give an adapter's model back: it is done."""
        self._prefixes.pop(number).remove()
        for projection in self._projections.values():
            projection.updates.pop(number, None)

    def run(self, batches: Mapping[int, AdapterBatch]) -> dict[int, Tensor]:
        """Run the blocks on the batches of some adapters.

        Args:
            batches: By the adapter's number. Every `DropoutSource` stands at the beginning of its pass.

        Returns:
            What leaves the last block, with its graph: `[tokens, D]` for each, its rows' tokens one after
            another.
        """
        masks = {number: batch.inputs["attention_mask"] for number, batch in batches.items()}
        layouts = [make_layout(masks[number], batch.segment_BL) for number, batch in batches.items()]
        parts = [Part(own, self.adapters[number].dropout) for number, own in zip(batches, layouts, strict=True)]
        joined = join_layouts(parts)
        pad = self.base.config.get_text_config().pad_token_id or 0
        inputs = join_inputs([batch.inputs for batch in batches.values()], joined, {"input_ids": pad})
        if self.dropout is not None:
            self.dropout.layout = joined
        rows, start = [], 0
        for number, own in zip(batches, layouts, strict=True):
            rows.append((number, slice(start, start + own.slots)))
            start += own.slots
        for projection in self._projections.values():
            projection.rows = tuple(rows)
        self.packed.lay_out(joined)
        try:
            self.base.base_model(**inputs)
        finally:
            self.packed.lay_out(None)
        assert self._taken is not None
        hidden_TD, self._taken = self._taken[0], None
        states = hidden_TD.split([*(own.slots for own in layouts), joined.slots - start])
        return {
            number: natural_states(part_TD, own, masks[number])
            for number, part_TD, own in zip(batches, states, layouts, strict=False)
        }

    @contextmanager
    def head_of(self, number: int) -> Iterator[None]:
        """Let an adapter's model run above its blocks only: what stands before them draws no dropout."""
        adapter = self.adapters[number]
        below = list(before_stack(adapter.model, adapter.anatomy.stacks[0].path))
        for module in below:
            module.eval()
        try:
            yield
        finally:
            for module in below:
                module.train(adapter.model.training)

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """Compute without low-precision arithmetic, here and in the adapters' own models, within a block of code."""
        computes = [self.compute, *(adapter.compute for adapter in self.adapters)]
        packed = [self.packed, *(adapter.packed for adapter in self.adapters)]
        kept = [compute.dtype for compute in computes], [handle.stream_dtype for handle in packed]
        for compute, handle in zip(computes, packed, strict=True):
            compute.dtype, handle.stream_dtype = torch.float32, None
        try:
            yield
        finally:
            for compute, handle, dtype, stream in zip(computes, packed, *kept, strict=True):
                compute.dtype, handle.stream_dtype = dtype, stream

    def _take(self, _: nn.Module, __: Any, output: Any) -> Any:
        """Keep what leaves the last block of a joined pass, and let nothing of it go on."""
        if self.packed.layout is None or not self.packed.layout.parts:
            return None
        self._taken = output if isinstance(output, Tensor) else output[0]
        nothing = self._taken.new_zeros(()).expand(self._taken.shape)
        return nothing if isinstance(output, Tensor) else (nothing, *output[1:])

    def _check(self, adapter: Adapter) -> None:
        own = dict(self.base.named_parameters())
        for name, parameter in inside(adapter.model):
            block, component = adapter.anatomy.component_of(name)
            above = block is None and component in ("head", "final")
            if above or any(mark in name for mark in UPDATES):
                continue
            if parameter.requires_grad:
                raise ModelError(f"'{name}' learns, which is neither a low-rank update nor in the head")
            twin = own.get(plain_name(name))
            if twin is None or twin.data_ptr() != parameter.data_ptr():
                raise ModelError(f"the frozen weight '{name}' is not the base's")


def _updates(adapter: Adapter) -> Iterator[tuple[str, Update]]:
    """Yield the updates of an adapter by the path of the projection they stand beside, as it is in the base."""
    from peft.tuners.lora import LoraLayer

    for path, module in adapter.packed.model.named_modules():
        if not isinstance(module, LoraLayer):
            continue
        update = plain_update(module, adapter.compute, adapter.dropout)
        if update is None:
            raise ModelError(
                f"'{path}' has several adapters or a variant of LoRA such as DoRA, or, on a GPU, its own dropout "
                "(tuning.dropout), which torch would draw for all adapters at once"
            )
        yield path, update
