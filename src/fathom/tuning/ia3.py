"""One factor for every key, value and inner activation, through `peft`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy, Block
from fathom.tuning.adapted import Adapted, are_conv1d, task_type, trained_heads, wrap

KEY_OR_VALUE = re.compile(r"(key|value|[kv]_(proj|lin|proj_)|[kvKV])$")
FUSED = re.compile(r"(c_attn|qkv|Wqkv|query_key_value|qkv_proj|in_proj|c_attn_proj)$")


class Ia3(Adapted):
    """Train a factor for every component of the keys, the values and the feed-forward's inner activations.

    Where a family computes queries, keys and values in one projection (GPT-2, ModernBERT), all three get factors, as
    in PEFT.

    Source: Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
    2022 (arXiv 2205.05638).
    """

    kind: Literal["ia3"] = "ia3"
    head_scale: float = Field(1.0, gt=0)
    """The head's learning rate is this many times that of the added parameters; a new head wants about 0.01."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 1e-2

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Wrap the projections of keys and values and the feed-forward's last; returns a `peft.PeftModel`.

        Raises:
            ModelError: Its keys and values cannot be told from its other projections.
        """
        from peft import IA3Config

        scaled = [path for block in anatomy.blocks for path in keys_and_values(block)]
        inner = [block.feed_forward[-1] for block in anatomy.blocks if block.feed_forward]
        config = IA3Config(
            task_type=task_type(model),
            target_modules=[*scaled, *inner],
            feedforward_modules=inner,
            modules_to_save=trained_heads(model, anatomy),
            fan_in_fan_out=are_conv1d(model, [*scaled, *inner]),
        )
        return wrap(model, config)


def keys_and_values(block: Block) -> list[str]:
    """Return the projections of a block that make keys or values.

    Raises:
        ModelError: None of their names says so.
    """
    leaves = {path: path.rpartition(".")[2] for path in block.attention}
    found = [path for path, leaf in leaves.items() if KEY_OR_VALUE.search(leaf)]
    found = found or [path for path, leaf in leaves.items() if FUSED.search(leaf)]
    if not found:
        raise ModelError(
            f"tuning 'ia3' scales keys and values, and none of {', '.join(leaves.values()) or 'no projections'} says "
            "it makes them",
            where=block.path,
            mend="use tuning 'lora'",
        )
    return found
