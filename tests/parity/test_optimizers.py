"""Every optimizer against its reference, one step and ten: clipped, decayed, with a rate for each group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from fathom.training.optimizers.muon import COEFFICIENTS, is_block_matrix, orthogonalize
from optimizers_for_tests import NAMES, OPTIONS, PLACES, SCALES, bed_of, make_bed, make_gradients, schedule

DECAY = 0.1
Named = dict[str, nn.Parameter]
Update = Callable[[float], None]


def groups_of(named: Named, decay: float) -> list[dict[str, Any]]:
    return [
        {
            "params": [parameter],
            "weight_decay": decay if parameter.dim() > 1 else 0.0,
            "scale": SCALES.get(name, 1.0),
            "decoupled": DECAY if parameter.dim() > 1 else 0.0,
        }
        for name, parameter in named.items()
    ]


def by_torch(optimizer: torch.optim.Optimizer, *, decoupled: bool) -> Update:
    """An update by torch; `decoupled` decays here, for optimizers that have no decoupled decay of their own."""

    def update(rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
            if decoupled:
                for parameter in group["params"]:
                    parameter.data.mul_(1 - group["lr"] * group["decoupled"])
        optimizer.step()

    return update


def lion(named: Named) -> Update:
    moments = {name: torch.zeros_like(parameter) for name, parameter in named.items()}

    def update(rate: float) -> None:
        for name, parameter in named.items():
            gradient, moment, own = parameter.grad, moments[name], rate * SCALES.get(name, 1.0)
            assert gradient is not None
            direction = (0.9 * moment + 0.1 * gradient).sign()
            decay = DECAY * parameter.data if parameter.dim() > 1 else 0.0
            parameter.data -= own * (direction + decay)
            moments[name] = 0.99 * moment + 0.01 * gradient

    return update


def newton_schulz(matrix: Tensor) -> Tensor:
    a, b, c = COEFFICIENTS
    x = matrix / matrix.norm().clamp(min=1e-7)
    x = x.T if len(matrix) > len(matrix.T) else x
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if len(matrix) > len(matrix.T) else x


def muon(named: Named, options: dict[str, Any]) -> Update:
    """Jordan's formula in float64 for matrices of blocks, torch's AdamW for the rest."""
    matrices = {name: p for name, p in named.items() if is_block_matrix(p.dim(), PLACES[name])}
    rest = {name: parameter for name, parameter in named.items() if name not in matrices}
    update_rest = by_torch(torch.optim.AdamW(groups_of(rest, DECAY)), decoupled=False)
    moments = {name: torch.zeros_like(parameter) for name, parameter in matrices.items()}

    def update(rate: float) -> None:
        update_rest(rate)
        for name, parameter in matrices.items():
            own = rate * SCALES.get(name, 1.0) * options.get("matrix_scale", 1.0)
            assert parameter.grad is not None
            moments[name] = 0.95 * moments[name] + 0.05 * parameter.grad
            ahead = 0.05 * parameter.grad + 0.95 * moments[name] if options.get("nesterov", True) else moments[name]
            rows, columns = parameter.shape
            original = "learning_rate_adjustment" in options
            factor = max(1, rows / columns) ** 0.5 if original else 0.2 * max(rows, columns) ** 0.5
            parameter.data.mul_(1 - own * DECAY)
            parameter.data -= own * factor * newton_schulz(ahead)

    return update


def reference(options: dict[str, Any], named: Named) -> Update:
    kind = options["kind"]
    rest = {name: value for name, value in options.items() if name != "kind"}
    if kind == "adamw":
        return by_torch(torch.optim.AdamW(groups_of(named, DECAY)), decoupled=False)
    if kind == "adam":
        return by_torch(torch.optim.Adam(groups_of(named, DECAY)), decoupled=False)
    if kind == "adafactor" and options.get("scale_parameter", True):
        eps = (torch.finfo(torch.float32).eps, 1e-3)
        return by_torch(torch.optim.Adafactor(groups_of(named, DECAY), eps=eps), decoupled=False)
    if kind == "adafactor":
        given = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
        return by_torch(transformers.Adafactor(groups_of(named, DECAY), lr=1.0, **given), decoupled=False)
    if kind == "lion":
        return lion(named)
    if kind == "muon":
        return muon(named, rest)
    cls: Any = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "rmsprop": torch.optim.RMSprop}[kind]
    return by_torch(cls(groups_of(named, 0.0), lr=1.0, **rest), decoupled=True)


@pytest.mark.parametrize("compact", [False, True], ids=["whole", "compact"])
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_updates_equal_the_reference(options: dict[str, Any], compact: bool) -> None:
    if options["kind"] == "adam" and compact:
        pytest.skip("refused: L2 reaches every row")
    bed = make_bed(options, compact=compact)
    named = {name: nn.Parameter(parameter.data.double()) for name, parameter in bed.named.items()}
    update = reference(options, named)
    for step, rate, scale in schedule(range(10)):
        gradients = make_gradients(step)
        for name, parameter in named.items():
            parameter.grad = gradients[name].double() * scale
        update(rate)
        bed.step(gradients, rate, scale)
        if step in (0, 9):
            for name, value in bed.values().items():
                assert (value - named[name].data).abs().max().item() <= 1e-6, (name, step)


@pytest.mark.parametrize("adjustment", ["original", "match_rms_adamw"])
def test_muon_in_bf16_is_torch_s(adjustment: str) -> None:
    """torch iterates in bfloat16; so does this where the run does, matrix by matrix or in batches."""
    options = {"kind": "muon", "arithmetic": "bf16", "learning_rate_adjustment": adjustment}
    bed = make_bed(options)
    names = [name for name in PLACES if is_block_matrix(bed.named[name].dim(), PLACES[name])]
    assert len(names) == 4
    named = {name: nn.Parameter(bed.named[name].data.clone()) for name in names}
    theirs = torch.optim.Muon(groups_of(named, DECAY), adjust_lr_fn=adjustment)
    update = by_torch(theirs, decoupled=False)
    for step, rate, scale in schedule(range(10)):
        gradients = make_gradients(step)
        for name, parameter in named.items():
            parameter.grad = gradients[name] * scale
        update(rate)
        bed.step(gradients, rate, scale)
    for name, parameter in named.items():
        moved = (parameter.data - bed.named[name].data).abs().max().item()
        assert moved <= 1e-3, name  # of updates that add up to about 0.1: bfloat16 rounds at 2 ** -8


def test_orthogonal_means_singular_values_near_one() -> None:
    matrices = torch.randn(3, 20, 48, generator=torch.Generator().manual_seed(1))
    for turned in (matrices, matrices.mT):
        values = torch.linalg.svdvals(orthogonalize(turned, 5))
        assert values.min().item() > 0.5 and values.max().item() < 1.3


def test_eight_bit_is_that_of_bitsandbytes() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    generator = torch.Generator().manual_seed(4)
    start = {"head.weight": torch.randn(80, 64, generator=generator), "head.bias": torch.randn(80, generator=generator)}
    bed = bed_of(
        {name: nn.Parameter(value.clone()) for name, value in start.items()}, {"kind": "adam-8bit"}, compact=False
    )
    named = {name: nn.Parameter(value.clone()) for name, value in start.items()}
    theirs = bitsandbytes.optim.AdamW8bit(groups_of(named, DECAY))
    update = by_torch(theirs, decoupled=False)
    for _, rate, scale in schedule(range(10)):
        gradients = {name: torch.randn(value.shape, generator=generator) for name, value in start.items()}
        for name, parameter in named.items():
            parameter.grad = gradients[name] * scale
        update(rate)
        bed.step(gradients, rate, scale)
    for name, parameter in named.items():
        assert (parameter.data - bed.named[name].data).abs().max().item() <= 1e-6, name
