"""Bottleneck adapters: small networks behind or beside a block's sub-layers, and the files they are kept in.

PEFT has none, and the library that has them does not follow transformers 5. A projection is replaced by `Bottleneck`,
which holds it as `base_layer` as PEFT's wrappers do, so that everything that looks through those looks through this.

**Format.** `adapter_config.json` has `peft_type: FATHOM_BOTTLENECK`, `format: 1`, the base model's name, `size`,
`activation`, `scale`, `modules_to_save` (paths saved whole, the head) and `adapters`: for each the path of the
projection it stands at (`at`) and, for a parallel one, of the layer whose input it reads (`reads`).
`adapter_model.safetensors` holds `<at>.adapter_down.weight` `[size, width]`, `.bias`, `<at>.adapter_up.weight`
`[width, size]`, `.bias`, and the parameters of `modules_to_save` under their own names. Adapters that stand above
others have `format: 2` and `under`, the same keys of those others without a head; of two at one projection the lower
one is called `<at>.base_layer.adapter_down.weight` and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fathom.model.adapter_files import read_config, read_tensors, write_adapter

KIND = "FATHOM_BOTTLENECK"
FORMAT = 1
FORMAT_ABOVE_OTHERS = 2
ATTRIBUTE = "_fathom_bottleneck"
"""Where a model carries the spec of the adapters in it."""

Activation = Literal["relu", "gelu", "silu", "tanh"]
ACTIVATIONS: dict[str, Any] = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class Place:
    """Where one adapter stands."""

    at: str
    """Path of the projection whose output it changes."""
    reads: str | None = None
    """Path of the layer whose input it reads; None reads the projection's output."""


@dataclass(frozen=True)
class BottleneckSpec:
    """All adapters of a model."""

    adapters: tuple[Place, ...]
    size: int
    activation: str
    scale: float
    modules_to_save: tuple[str, ...]
    under: BottleneckSpec | None = None
    """Adapters that these stand above, at the same projections or others; they stay as they are."""

    def to_json(self) -> dict[str, Any]:
        """Return what `adapter_config.json` holds, the base model's name aside."""
        said = asdict(self)
        if self.under is None:
            del said["under"]
        return {"peft_type": KIND, "format": FORMAT if self.under is None else FORMAT_ABOVE_OTHERS, **said}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BottleneckSpec:
        """Read a spec."""
        places = tuple(Place(item["at"], item["reads"]) for item in values["adapters"])
        under = cls.from_json(values["under"]) if "under" in values and values["under"] is not None else None
        heads = tuple(values["modules_to_save"])
        return cls(places, values["size"], values["activation"], values["scale"], heads, under)


class Bottleneck(nn.Module):
    """A projection and the adapter at it: `base(x) + scale * up(activation(down(read)))`.

    Args:
        base_layer: The projection, frozen or not.
        size: Width of the bottleneck.
        activation: Name of the function in it.
        scale: Of what the adapter adds.
        source: Module whose input the adapter reads; None reads the projection's own output.
    """

    def __init__(
        self, base_layer: nn.Module, size: int, activation: str, scale: float, source: nn.Module | None = None
    ) -> None:
        super().__init__()
        outputs = _sides(base_layer)[0]
        width = outputs if source is None else _sides(source)[1]
        weight = base_layer.get_parameter("weight")
        self.base_layer = base_layer
        self.adapter_down = nn.Linear(width, size, device=weight.device)
        self.adapter_up = nn.Linear(size, outputs, device=weight.device)
        nn.init.normal_(self.adapter_down.weight, std=0.02)
        for tensor in (self.adapter_down.bias, self.adapter_up.weight, self.adapter_up.bias):
            nn.init.zeros_(tensor)  # what it adds begins at zero: the model answers as before
        self.activation = activation
        self.scale = scale
        self._read: Tensor | None = None
        self._serial = source is None
        if source is not None:
            source.register_forward_pre_hook(self._remember)

    @property
    def weight(self) -> Tensor:
        """The projection's own weight, for models that look at it."""
        return self.base_layer.get_parameter("weight")

    def _remember(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._read = args[0]

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the projection of `[..., inputs]`, changed by the adapter."""
        output: Tensor = self.base_layer(hidden)
        read = output if self._serial else self._read
        self._read = None
        inner = ACTIVATIONS[self.activation](self.adapter_down(read))
        added: Tensor = self.adapter_up(inner)
        return output + self.scale * added.to(output.dtype)


def attach(model: nn.Module, spec: BottleneckSpec) -> nn.Module:
    """Put the adapters of a spec into a model, above those that are in it; returns it."""
    if spec.under is not None:
        attach(model, spec.under)
    for place in spec.adapters:
        parent, _, name = place.at.rpartition(".")
        source = None if place.reads is None else model.get_submodule(place.reads)
        changed = Bottleneck(model.get_submodule(place.at), spec.size, spec.activation, spec.scale, source)
        model.get_submodule(parent).add_module(name, changed)
    vars(model)[ATTRIBUTE] = replace(spec, under=attached(model))
    return model


def attached(model: nn.Module) -> BottleneckSpec | None:
    """Return the spec of the adapters in a model; None where there are none."""
    found: BottleneckSpec | None = vars(model).get(ATTRIBUTE)
    return found


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the adapters' and the saved modules' parameters and buffers by name."""
    spec = attached(model)
    assert spec is not None
    return {
        name: tensor
        for name, tensor in model.state_dict().items()
        if ".adapter_down." in name
        or ".adapter_up." in name
        or any(name.startswith(f"{path}.") for path in spec.modules_to_save)
    }


def save_adapter(model: nn.Module, folder: Path, base_model: str) -> None:
    """Write the two files of a model's adapters."""
    spec = attached(model)
    assert spec is not None
    write_adapter(folder, spec.to_json(), adapter_tensors(model), base_model)


def load_adapter(model: nn.Module, folder: Path) -> nn.Module:
    """Put saved adapters into a freshly loaded base model; returns it.

    Raises:
        ArtifactError: The files are of a newer version or do not fit the model.
    """
    attach(model, read_spec(folder))
    read_tensors(folder, adapter_tensors(model))
    return model


def read_spec(folder: Path) -> BottleneckSpec:
    """Read what adapters a folder holds.

    Raises:
        ArtifactError: Written by a newer version, or of another kind.
    """
    return BottleneckSpec.from_json(read_config(folder, KIND, FORMAT, FORMAT_ABOVE_OTHERS))


def _sides(module: nn.Module) -> tuple[int, int]:
    """Return (outputs, inputs) of a projection, under an adapter or not."""
    while isinstance(module, Bottleneck):
        module = module.base_layer
    first, second = module.get_parameter("weight").shape
    return (second, first) if type(module).__name__ == "Conv1D" else (first, second)
