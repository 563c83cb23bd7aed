"""A few parameters in flat groups, gradients for them, and every optimizer with its options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fathom import catalog
from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters, GroupKey
from fathom.training.optimizers.base import LiveOptimizer, Optimizer
from fathom.training.settings import Training

SHAPES: dict[str, tuple[int, ...]] = {
    "embeddings.weight": (12, 8),
    "blocks.0.attention.weight": (8, 8),
    "blocks.0.attention.bias": (8,),
    "blocks.0.forward.weight": (24, 8),
    "blocks.1.attention.weight": (8, 8),
    "blocks.1.forward.weight": (8, 24),
    "blocks.1.norm.weight": (8,),
    "head.weight": (3, 8),
    "head.bias": (3,),
}
PLACES: dict[str, Place] = {
    "embeddings.weight": (None, "embeddings"),
    "blocks.0.attention.weight": (0, "attention"),
    "blocks.0.attention.bias": (0, "attention"),
    "blocks.0.forward.weight": (0, "feed-forward"),
    "blocks.1.attention.weight": (1, "attention"),
    "blocks.1.forward.weight": (1, "feed-forward"),
    "blocks.1.norm.weight": (1, "norm"),
    "head.weight": (None, "head"),
    "head.bias": (None, "head"),
}
SCALES = {"embeddings.weight": 0.5, "blocks.0.forward.weight": 0.5, "head.weight": 3.0, "head.bias": 3.0}
ROWS = [1, 2, 5, 6, 7, 11]
"""Rows of the embeddings that ever have a gradient."""

OPTIONS: list[dict[str, Any]] = [
    {"kind": "adamw"},
    {"kind": "adam"},
    {"kind": "sgd"},
    {"kind": "sgd", "momentum": 0.9},
    {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    {"kind": "adagrad"},
    {"kind": "rmsprop"},
    {"kind": "rmsprop", "momentum": 0.5, "centered": True},
    {"kind": "adafactor"},
    {"kind": "adafactor", "scale_parameter": False},
    {"kind": "lion"},
    {"kind": "muon"},
    {"kind": "muon", "nesterov": False, "learning_rate_adjustment": "original", "matrix_scale": 2.0},
]
NAMES = ["-".join(str(value) for value in options.values()) for options in OPTIONS]


@dataclass
class Bed:
    """An optimizer at work on the parameters."""

    named: dict[str, nn.Parameter]
    flat: FlatParameters
    live: LiveOptimizer
    optimizer: Optimizer

    def step(self, gradients: dict[str, Tensor], rate: float, scale: float) -> None:
        for name, slot in self.flat.slots.items():
            gradient = gradients[name]
            self.flat.gradient(slot).copy_(gradient if slot.rows is None else gradient[slot.rows])
        self.live.step(rate, scale)

    def values(self) -> dict[str, Tensor]:
        self.flat.synchronize()
        return {name: parameter.data.clone() for name, parameter in self.named.items()}


def make_optimizer(options: dict[str, Any]) -> Optimizer:
    made: Optimizer = catalog.load("optimizer", options["kind"])(**options)
    return made


def make_bed(options: dict[str, Any], *, compact: bool = False, shadow: bool = False, **settings: Any) -> Bed:
    generator = torch.Generator().manual_seed(4)
    named = {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in SHAPES.items()}
    return bed_of(named, options, compact=compact, shadow=shadow, **settings)


def bed_of(
    named: dict[str, nn.Parameter], options: dict[str, Any], *, compact: bool, shadow: bool = False, **settings: Any
) -> Bed:
    keys = {name: GroupKey(parameter.dim() > 1, SCALES.get(name, 1.0)) for name, parameter in named.items()}
    rows = {"embeddings.weight": torch.tensor(ROWS)} if compact else None
    flat = FlatParameters(named, keys, compact_rows=rows, shadow_dtype=torch.bfloat16 if shadow else None)
    optimizer = make_optimizer(options)
    training = Training(optimizer=optimizer, precision="fp32", **{"weight_decay": 0.1, **settings})
    return Bed(named, flat, optimizer.open(flat, training, PLACES), optimizer)


def make_gradients(step: int) -> dict[str, Tensor]:
    """Gradients of a step; those of embeddings only in some rows, and of a parameter that took no part zero."""
    generator = torch.Generator().manual_seed(1000 + step)
    found = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    outside = [row for row in range(12) if row not in ROWS[: 3 + step % 4]]
    found["embeddings.weight"][outside] = 0.0
    if step == 2:
        found["blocks.1.attention.weight"].zero_()
    return found


def schedule(steps: Iterable[int]) -> list[tuple[int, float, float]]:
    """Step, rate and clipping scale of each step."""
    return [(step, 0.01 * (1.0 - step / 12), 1.0 if step % 3 else 0.37) for step in steps]
