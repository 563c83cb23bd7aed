"""Low-rank updates beside frozen weights, through `peft`."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from fathom.errors import ConfigError, ModelError
from fathom.model.anatomy import Anatomy
from fathom.tuning.adapted import on_meta, wrap
from fathom.tuning.low_rank import LowRank


class Lora(LowRank):
    """Train a product of two thin matrices beside each weight matrix, and the head whole.

    The update of a `[out, in]` matrix is `alpha / rank * B[out, rank] @ A[rank, in]`, and B starts at zero. PEFT's own
    'all-linear' refuses encoder classifiers, because it would wrap the head that must be saved whole; here the targets
    are the attention and feed-forward projections of the blocks, and the head is saved beside the adapter.

    Source: Hu et al., "LoRA", 2021 (arXiv 2106.09685); rank-stabilized: Kalajdzievski 2023 (arXiv 2312.03732);
    PiSSA: Meng et al. 2024 (arXiv 2404.02948); OLoRA: Büyükakyüz 2024 (arXiv 2406.01775).
    """

    kind: Literal["lora"] = "lora"
    initialization: Literal["kaiming", "gaussian", "orthogonal", "pissa", "olora"] = "kaiming"
    """How the thin matrices begin. `kaiming` and `gaussian` leave the model as it was (B is zero); `orthogonal` gives
    both orthogonal rows, a small change; `pissa` and `olora` take the strongest directions out of the weights (by SVD
    and QR) and train those: the model answers as before, and a reload repeats the decomposition."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for the scores it was chosen by."""
        return 1e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Wrap the target projections; returns a `peft.PeftModel`.

        Raises:
            ModelError: A named target is none of its projections, the rank is above a matrix's
                smaller side, or the initialization cannot take the family's transposed projections.
            ConfigError: An odd rank with orthogonal initialization.
        """
        from peft import LoraConfig

        options = self.lora_options(model, anatomy)
        if self.initialization == "orthogonal" and self.rank % 2:
            message = f"orthogonal initialization takes an even rank, not {self.rank}"
            raise ConfigError(message, where="tuning.rank", mend=f"tuning.rank={self.rank + 1}")
        if self.initialization == "olora" and options["fan_in_fan_out"]:
            raise ModelError(
                f"OLoRA decomposes Linear weights, and {type(model).__name__} has transposed ones (Conv1D)",
                where="tuning.initialization",
                mend="use pissa or kaiming",
            )
        begins: Any = True if self.initialization == "kaiming" or on_meta(model) else self.initialization
        return read_as_it_comes(wrap(model, LoraConfig(**options, init_lora_weights=begins)))


def read_as_it_comes(model: nn.Module) -> nn.Module:
    """Let every update read what its projection reads, instead of a float32 copy of its own.

    The thin matrices cast for themselves where the blocks compute in low precision, so the numbers are the same; the
    copies were as large as the activations of the blocks.
    """
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            vars(module)["cast_input_dtype_enabled"] = False
    return model
