"""What tuning strategies put beside a projection, and what autograd keeps for it, token by token.

The forms are those of `peft` (and of `fathom.model.bottleneck`), read from their forward passes: which tensor each
operation keeps depends on which of its two sides learns, and on the casts between float32 vectors and low-precision
blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

Kind = Literal["lora", "dora", "dora-dropout", "adalora", "vera", "ia3", "ia3-input", "bottleneck", "chosen", "gated"]
FLOAT_BYTES = 4
"""Of a number in the type the strategies' own parameters have."""

_PASSING: dict[Kind, int] = {"dora-dropout": 4, "adalora": 3, "vera": 3, "ia3": 1, "ia3-input": 1}
"""Float32 vectors as wide as the projection that are there at once while its output is made: two scaled terms, their
sum and the result; what is added, scaled, and the result. None of kinds left out."""

_OPERATIONS: dict[Kind, int] = {
    **{
        "ia3": 1,
        "ia3-input": 1,
        "chosen": 2,
        "lora": 3,
        "vera": 4,
        "bottleneck": 4,
        "adalora": 6,
        "dora-dropout": 8,
        "gated": 8,
        "dora": 14,
    }
}
"""Operations started in a forward pass; `lora`'s are two products and an in-place sum, `dora`'s those of its norm,
which are small, and two scaled weights too."""

_MARKS: tuple[tuple[str, Kind], ...] = (
    ("lora_magnitude_vector.", "dora"),
    ("lora_E.", "adalora"),
    ("vera_lambda_d.", "vera"),
    ("adapter_down.", "bottleneck"),
    ("lora_A.", "lora"),
    ("sparse_values", "chosen"),
    ("diff_values", "gated"),
)
"""Beginnings of parameter names that tell a kind, the most telling first."""


@dataclass(frozen=True)
class Added:
    """What stands beside one projection."""

    kind: Kind
    rank: int = 0
    """Width of its inner vector, where it has one."""

    @property
    def operations(self) -> int:
        """Operations that a forward pass starts for it."""
        return _OPERATIONS[self.kind]

    @property
    def casts_input(self) -> bool:
        """Whether it makes a copy of its own of what it reads where that is of low precision."""
        return self.kind in {"dora-dropout", "adalora"}

    def input_bytes(self, product_bytes: int) -> int:
        """Bytes of one number of that copy: AdaLoRA multiplies in float32."""
        return FLOAT_BYTES if self.kind == "adalora" else product_bytes

    @property
    def keeps_output(self) -> bool:
        """Whether it keeps what the projection makes, as an activation behind it may do too."""
        return self.kind == "dora"

    def kept_bytes(self, inputs: int, outputs: int, product_bytes: int) -> int:
        """Return the bytes kept for one token beside the projection's input, which all trained parts read.

        Args:
            inputs: Width the projection reads.
            outputs: Width it makes.
            product_bytes: Bytes of one number in the blocks' products.
        """
        match self.kind:
            case "lora":  # what the second matrix reads
                return self.rank * product_bytes
            case "dora":  # and what the projection makes, for the gradient of its lengths
                return (self.rank + outputs) * product_bytes
            case "dora-dropout":  # and both sides of the two products with the trained magnitude
                return self.rank * product_bytes + outputs * (FLOAT_BYTES + product_bytes)
            case "adalora":
                return self.rank * FLOAT_BYTES
            case "vera":  # what each of the two trained vectors is multiplied by
                return (self.rank + outputs) * FLOAT_BYTES
            case "ia3":
                return outputs * product_bytes
            case "ia3-input":
                return inputs * FLOAT_BYTES
            case "bottleneck":  # what its activation and its second matrix read
                return 2 * self.rank * product_bytes
            case "chosen" | "gated":
                return 0

    def kept_weight_bytes(self, inputs: int, outputs: int) -> int:
        """Return the bytes kept whatever the number of tokens.

        Of every gate: its sigmoid, stretched, cut to 0 and 1, and its product with the value behind it; of DoRA, each
        output's length over its norm.
        """
        match self.kind:
            case "gated":
                return 4 * inputs * outputs * FLOAT_BYTES
            case "dora":
                return outputs * FLOAT_BYTES
            case _:
                return 0

    def passing_bytes(self, inputs: int, outputs: int) -> int:
        """Return the bytes that come and go for one token."""
        width = inputs if self.kind == "ia3-input" else outputs
        return _PASSING.get(self.kind, 0) * width * FLOAT_BYTES

    def working_bytes(self, inputs: int, outputs: int, product_bytes: int) -> int:
        """Return the bytes that come and go whatever the number of tokens."""
        entries = inputs * outputs
        match self.kind:
            case "dora-dropout" | "gated":
                # the update, scaled, and added to the frozen weight, in float32; the gradients of a product and of both
                # its sides
                return 3 * entries * FLOAT_BYTES
            case "chosen" | "dora":  # the changed weight in float32, and its copy for the product
                return entries * (FLOAT_BYTES + (product_bytes if product_bytes < FLOAT_BYTES else 0))
            case _:
                return 0


def find_added(projection: nn.Module, inputs: int) -> Added | None:
    """Return what the parameters of a wrapped projection say stands beside it; None for a bare one.

    Args:
        projection: The wrapper.
        inputs: Width the projection reads.
    """
    named: dict[str, Tensor] = dict(projection.named_parameters())
    for name, tensor in named.items():
        if name.startswith("ia3_l."):  # a column for what comes out, a row for what goes in
            return Added("ia3-input" if tensor.shape[-1] == inputs and tensor.shape[0] == 1 else "ia3")
    for mark, kind in _MARKS:
        if any(name.startswith(mark) for name in named):
            drops = kind == "dora" and any(isinstance(module, nn.Dropout) for module in projection.modules())
            return Added("dora-dropout" if drops else kind, _rank(named))
    return None


def _rank(named: dict[str, Tensor]) -> int:
    thin = ("lora_A.", "vera_lambda_d.", "adapter_down.weight")
    return next((int(tensor.shape[0]) for name, tensor in named.items() if name.startswith(thin)), 0)
