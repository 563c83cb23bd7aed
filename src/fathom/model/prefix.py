"""Starting at block k: a pass may be given the hidden states that enter it, and computes nothing below.

Modules stay where they are. While a batch comes with hidden states (`PackedModel.prepare(..., hidden_TD)`), the
embeddings give a tensor without content, the blocks below k hand on what they get, and the entry of the first block
puts the given states in place; a batch that comes without them runs through every block as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fathom.model.anatomy import Anatomy
from fathom.model.packing import PackedModel, trial_batch

Reads = Literal["all", "first", "last"]
"""Which tokens of a sequence are read above the prefix: the head of a classifier may want only one."""

Form = torch.Size | int
"""What a module gives: a tensor of this shape, or so many things of which the first is the hidden states."""

TOLERANCE = 1e-5

TRIAL_ERRORS = (ValueError, TypeError, RuntimeError, NotImplementedError, IndexError, KeyError, AttributeError)
"""The ways in which the code of a family that was never seen may fail when it is tried in parts."""


class PrefixError(Exception):
    """Why a model cannot start at block k."""


class Prefix:
    """Lets a packed model start at block `first_block`.

    Args:
        packed: The model, its blocks packed, in evaluation mode while it is tried here.
        anatomy: Of this model.
        first_block: The lowest block that is computed from given states.

    Raises:
        PrefixError: The model answers differently from given states, on a small batch.
    """

    def __init__(self, packed: PackedModel, anatomy: Anatomy, first_block: int) -> None:
        self.packed = packed
        self.first_block = first_block
        self._capturing = False
        self._captured: Tensor | None = None
        self._changed: list[nn.Module] = []
        self._blocks = [packed.model.get_submodule(_inside(anatomy, block.path)) for block in anatomy.blocks]
        self._outside = [packed.model.get_submodule(_inside(anatomy, path)) for path in anatomy.embeddings]
        training = packed.model.training
        packed.model.eval()
        try:
            self.reads = self._try()
        except PrefixError:
            self.remove()
            raise
        except TRIAL_ERRORS as error:  # it then computes every block, and says why
            self.remove()
            raise PrefixError(f"the trial failed: {type(error).__name__}: {error}") from error
        finally:
            packed.model.train(training)

    def remove(self) -> None:
        """Let every module run as before."""
        for module in self._changed:
            del module.forward
        self._changed.clear()

    def compute(self, batch: Mapping[str, Tensor], segment_BL: Tensor | None = None) -> Tensor:
        """Compute what enters block `first_block`.

        Args:
            batch: Model inputs, padded; placed on the model's device.
            segment_BL: Where rows hold several documents.

        Returns:
            `[tokens, D]`, the tokens of the rows one after another, in the type that runs between blocks.
        """
        layout = self.packed.prepare(batch["attention_mask"], segment_BL)
        assert layout is not None
        self._capturing = True
        try:
            with torch.no_grad():
                self.packed.model.base_model(**batch)
        finally:
            self._capturing = False
        assert self._captured is not None
        hidden_1TD, self._captured = self._captured, None
        order_T = layout.natural_order(batch["attention_mask"])[: layout.filled]
        found_TD = torch.empty_like(hidden_1TD[0, : layout.filled])
        found_TD[order_T] = hidden_1TD[0, : layout.filled]
        return found_TD

    def _try(self) -> Reads:
        """Learn the forms of the modules' outputs, change them, and compare."""
        batch = trial_batch(self.packed.model)
        forms: dict[nn.Module, Form] = {}
        watched = [*self._blocks, *self._outside]
        handles = [module.register_forward_hook(partial(_note, forms)) for module in watched]
        try:
            full = self._run(batch, None)
        finally:
            for handle in handles:
                handle.remove()
        self._change_blocks(forms)
        hidden_TD = self.compute(batch)
        self._change_outside(forms, batch["attention_mask"].shape)
        given = self._run(batch, hidden_TD)
        if given.shape != full.shape or not torch.allclose(given, full, atol=TOLERANCE, rtol=TOLERANCE):
            raise PrefixError("from given hidden states the model answers differently on a trial batch")
        if self.first_block < len(self._blocks) or full.dim() != 2:
            return "all"
        return self._find_reads(batch, hidden_TD, full)

    def _find_reads(self, batch: dict[str, Tensor], hidden_TD: Tensor, full: Tensor) -> Reads:
        """Find out whether a classifier's head reads only the first or the last token: change all others."""
        lengths = batch["attention_mask"].sum(1)
        ends = lengths.cumsum(0)
        places: dict[Reads, Tensor] = {"first": ends - lengths, "last": ends - 1}
        for reads, rows in places.items():
            changed_TD = torch.ones_like(hidden_TD)
            changed_TD[rows] = hidden_TD[rows]
            if torch.equal(self._run(batch, changed_TD), full):
                return reads
        return "all"

    def _run(self, batch: dict[str, Tensor], hidden_TD: Tensor | None) -> Tensor:
        self.packed.prepare(batch["attention_mask"], hidden_TD=hidden_TD)
        with torch.no_grad():
            output = self.packed.model(**batch, return_dict=True)
        self.packed.prepare(batch["attention_mask"])
        found: Tensor = output[0]
        return found.float() if found.dim() != 3 else found[batch["attention_mask"].bool()].float()

    def _change_blocks(self, forms: Mapping[nn.Module, Form]) -> None:
        for index, block in enumerate(self._blocks):
            form = forms[block]
            items = form if isinstance(form, int) else None
            self._override(block, partial(self._block_forward, index, items, block.forward))

    def _change_outside(self, forms: Mapping[nn.Module, Form], shape: torch.Size) -> None:
        order = list(forms)  # in which they ended: what came after the first block has its work to do
        for module in order[: order.index(self._blocks[0])]:
            form = forms[module]
            if isinstance(form, torch.Size) and form[:-1] in (shape, shape[1:], (1, shape[1])):
                lead = len(form) - 1
                rows = form[0] if lead == 2 and form[0] == 1 else None
                self._override(module, partial(self._outside_forward, (lead, rows, form[-1]), module.forward))

    def _override(self, module: nn.Module, forward: Callable[..., Any]) -> None:
        module.forward = forward
        self._changed.append(module)

    def _block_forward(self, index: int, items: int | None, original: Any, *args: Any, **kwargs: Any) -> Any:
        given = self.packed.given is not None
        if (given and index < self.first_block) or (self._capturing and index >= self.first_block):
            hidden = args[0] if args else kwargs["hidden_states"]
            return hidden if items is None else (hidden, *[None] * (items - 1))
        output = original(*args, **kwargs)
        if self._capturing and index == self.first_block - 1:
            self._captured = output[0] if isinstance(output, tuple) else output
        return output

    def _outside_forward(self, form: tuple[int, int | None, int], original: Any, *args: Any, **kwargs: Any) -> Any:
        """Give a tensor of the right shape that holds nothing: it is replaced at the entry of the first block."""
        layout = self.packed.layout
        if self.packed.given is None or layout is None:
            return original(*args, **kwargs)
        lead, rows, width = form
        shape = (rows or layout.batch, layout.padded_length, width)[2 - lead :]
        return torch.zeros((), device=layout.device).expand(shape)


def _note(forms: dict[nn.Module, Form], module: nn.Module, _: Any, output: Any) -> None:
    if isinstance(output, Tensor):
        forms[module] = output.shape
    elif isinstance(output, tuple):
        forms[module] = len(output)


def _inside(anatomy: Anatomy, path: str) -> str:
    return path.removeprefix(anatomy.prefix)
