"""Low-rank updates beside a frozen base in 4 bits, through `peft` and `bitsandbytes`."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.model.four_bit import quantizable, quantize
from fathom.tuning.adapted import on_meta, wrap
from fathom.tuning.lora import read_as_it_comes
from fathom.tuning.low_rank import LowRank


class QLora(LowRank):
    """Train LoRA's thin matrices beside projections whose frozen weights are in 4 bits, and the head whole.

    The weights of all projections of the blocks, targets or not, become NF4: 16 levels with equal shares of a normal
    distribution, a scale for every 64 numbers, the scales in 8 bits (double quantization); 4.13 bits a number.
    Embeddings, norms, biases and head stay as they are. Needs the extra `bitsandbytes`, on processors and GPUs alike.

    Source: Dettmers et al., "QLoRA", 2023 (arXiv 2305.14314).
    """

    keeps_prefix: ClassVar[bool] = False
    """The cache of frozen blocks is of the base model's own weights."""

    kind: Literal["qlora"] = "qlora"

    @property
    def default_learning_rate(self) -> float:
        """LoRA's."""
        return 1e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Pack the blocks' weights and wrap the target projections; returns a `peft.PeftModel`.

        Raises:
            ModelError: A named target is none of its projections, the rank is above a matrix's smaller side, or the
                family's projections are layers of its own.
            MissingExtraError: bitsandbytes is not installed.
        """
        from peft import LoraConfig
        from transformers import PreTrainedModel

        if not isinstance(model, PreTrainedModel):
            raise ModelError("4 bits are for a plain transformers model", where="tuning", mend="use tuning 'lora'")
        options = self.lora_options(model, anatomy)
        options["fan_in_fan_out"] = options["fan_in_fan_out"] and on_meta(model)  # what is packed is [out, in]
        quantize(model, quantizable(model, anatomy))
        return read_as_it_comes(wrap(model, LoraConfig(**options)))
