"""A ladder: a narrow side network that reads what every frozen block makes, and adds to what the last one makes.

No gradient enters the blocks: the side network reads their outputs, detached. It works token by token, so it runs on
packed tokens as on padded ones, and in generation.

**Format.** `adapter_config.json` has `peft_type: FATHOM_LADDER`, `format: 1`, the base model's name, `blocks` (paths of
the blocks it reads, in order), `width_read` (of what they make), `width` and `inner` (of the side network) and
`modules_to_save` (paths saved whole, the head). `adapter_model.safetensors` holds the parameters of the module `ladder`
and those of `modules_to_save` under their own names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fathom.model.adapter_files import read_config, read_tensors, write_adapter

KIND = "FATHOM_LADDER"
FORMAT = 1
MODULE = "ladder"
TEMPERATURE = 0.1
"""Of the gates, as in the paper."""


@dataclass(frozen=True)
class LadderSpec:
    """What a ladder is made of."""

    blocks: tuple[str, ...]
    width_read: int
    width: int
    inner: int
    modules_to_save: tuple[str, ...]


class Rung(nn.Module):
    """One step of the side network: mix in what a block made, then a small feed-forward network."""

    def __init__(self, spec: LadderSpec, *, lowest: bool) -> None:
        super().__init__()
        self.down = nn.Linear(spec.width_read, spec.width)
        self.gate = None if lowest else nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(spec.width)
        self.wide = nn.Linear(spec.width, spec.inner)
        self.narrow = nn.Linear(spec.inner, spec.width)

    def forward(self, read: Tensor, side: Tensor | None) -> Tensor:
        """Return the side network's state behind a block, `[..., width]`.

        Args:
            read: What the block made, `[..., D]`.
            side: State behind the block before; None at the first.
        """
        here: Tensor = self.down(nn.functional.layer_norm(read, read.shape[-1:]))
        if side is not None and self.gate is not None:
            share = torch.sigmoid(self.gate / TEMPERATURE)
            here = share * side + (1 - share) * here
        found: Tensor = here + self.narrow(nn.functional.relu(self.wide(self.norm(here))))
        return found


class Ladder(nn.Module):
    """The side network of one model; hooks behind its blocks feed it."""

    def __init__(self, spec: LadderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.rungs = nn.ModuleList(Rung(spec, lowest=number == 0) for number in range(len(spec.blocks)))
        self.norm = nn.LayerNorm(spec.width)
        self.up = nn.Linear(spec.width, spec.width_read)
        nn.init.zeros_(self.up.weight)  # what it adds begins at zero: the model answers as before
        nn.init.zeros_(self.up.bias)
        self._side: Tensor | None = None

    def climb(self, number: int, _: nn.Module, __: Any, output: Any) -> Any:
        """Hook behind a block; behind the last one, changes what it made."""
        made: Tensor = output if isinstance(output, Tensor) else output[0]
        read = made.detach().to(self.up.weight.dtype)
        self._side = self.rungs[number](read, self._side if number else None)
        if number < len(self.rungs) - 1:
            return None
        added: Tensor = self.up(self.norm(self._side))
        self._side = None
        changed = made + added.to(made.dtype)
        return changed if isinstance(output, Tensor) else (changed, *output[1:])


def attach(model: nn.Module, spec: LadderSpec) -> nn.Module:
    """Put a ladder beside a model's blocks; returns the model."""
    ladder = Ladder(spec).to(next(model.parameters()).device)
    model.add_module(MODULE, ladder)
    for number, path in enumerate(spec.blocks):
        model.get_submodule(path).register_forward_hook(partial(ladder.climb, number))
    return model


def attached(model: nn.Module) -> Ladder | None:
    """Return the ladder of a model; None where there is none."""
    found = dict(model.named_children()).get(MODULE)
    return found if isinstance(found, Ladder) else None


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the ladder's and the saved modules' parameters and buffers by name."""
    ladder = attached(model)
    assert ladder is not None
    kept = (MODULE, *ladder.spec.modules_to_save)
    return {n: t for n, t in model.state_dict().items() if any(n.startswith(f"{path}.") for path in kept)}


def save_adapter(model: nn.Module, folder: Path, base_model: str) -> None:
    """Write the two files of a model's ladder."""
    ladder = attached(model)
    assert ladder is not None
    config = {"peft_type": KIND, "format": FORMAT, **asdict(ladder.spec)}
    write_adapter(folder, config, adapter_tensors(model), base_model)


def load_adapter(model: nn.Module, folder: Path) -> nn.Module:
    """Put a saved ladder into a freshly loaded base model; returns it.

    Raises:
        ArtifactError: The files are of a newer version or do not fit the model.
    """
    values = read_config(folder, KIND, FORMAT)
    sizes = (values["width_read"], values["width"], values["inner"])
    attach(model, LadderSpec(tuple(values["blocks"]), *sizes, tuple(values["modules_to_save"])))
    read_tensors(folder, adapter_tensors(model))
    return model
