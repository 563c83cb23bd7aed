"""Low-rank updates beside frozen weights, through `peft`."""

from __future__ import annotations

import warnings
from typing import Literal

from pydantic import Field, field_validator
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.tuning.base import Tuning
from fathom.tuning.select import require_head

TASK_TYPES = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForCausalLM": "CAUSAL_LM",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
}
"""PEFT's name of a task, by the end of a transformers class name; `AutoPeftModelFor...` goes by it."""


class Lora(Tuning):
    """Train a product of two thin matrices beside each weight matrix, and the head whole.

    The update of a `[out, in]` matrix is `alpha / rank * B[out, rank] @ A[rank, in]`, and B starts at zero. PEFT's own
    'all-linear' refuses encoder classifiers, because it would wrap the head that must be saved whole; here the targets
    are the attention and feed-forward projections of the blocks, and the head is saved beside the adapter.

    Source: Hu et al., "LoRA", 2021 (arXiv 2106.09685); rank-stabilized: Kalajdzievski 2023 (arXiv 2312.03732).
    """

    kind: Literal["lora"] = "lora"
    rank: int = Field(8, ge=1)
    """Columns of the two thin matrices."""
    alpha: float = Field(16.0, gt=0)
    """The update is multiplied by alpha / rank (alpha / sqrt(rank) with `rslora`)."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on what enters the thin matrices."""
    targets: Literal["all-linear", "attention", "feed-forward"] | tuple[str, ...] = "all-linear"
    """Projections of the blocks that get an update: a group, or names such as [query, value]."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Which biases learn too: none, all, or those of the target projections."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank), which keeps large ranks learning."""
    head_scale: float = Field(10.0, gt=0)
    """The head's learning rate is this many times that of the thin matrices. At 1 a new head learns the class shares
    slower than the thin matrices do: they push every token towards the commonest class and stay there."""

    @field_validator("targets")
    @classmethod
    def _some_targets(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("name at least one projection, or write all-linear")
        return value

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for the scores it was chosen by."""
        return 1e-3

    @property
    def saves_adapter(self) -> bool:
        """Adapter and head are saved in PEFT's format."""
        return True

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Wrap the target projections; returns a `peft.PeftModel`.

        Raises:
            ModelError: The model has no head, or a named target is none of its projections.
        """
        from peft import LoraConfig, get_peft_model
        from transformers.pytorch_utils import Conv1D

        require_head(anatomy, self.kind)
        paths = self.target_paths(anatomy)
        is_conv1d = [isinstance(model.get_submodule(path), Conv1D) for path in paths]
        if any(is_conv1d) != all(is_conv1d):
            raise ModelError(
                f"{type(model).__name__} mixes Conv1D and Linear projections", mend="name `targets` of one"
            )
        config = LoraConfig(
            task_type=next((kind for end, kind in TASK_TYPES.items() if type(model).__name__.endswith(end)), None),
            r=self.rank,
            # PEFT's field is an integer by type only; a whole number is written as one.
            lora_alpha=int(self.alpha) if float(self.alpha).is_integer() else self.alpha,
            lora_dropout=self.dropout,
            bias=self.bias,
            use_rslora=self.rslora,
            target_modules=list(paths),
            modules_to_save=list(outermost(anatomy.head)),
            fan_in_fan_out=all(is_conv1d),
        )
        with warnings.catch_warnings():
            # PEFT still asks transformers for an attribute that transformers has renamed.
            warnings.simplefilter("ignore", FutureWarning)
            wrapped: nn.Module = get_peft_model(model, config)
        return wrapped

    def learning_rate_scales(self, model: nn.Module, anatomy: Anatomy) -> dict[str, float]:
        """Return `head_scale` for the parameters of the head."""
        names = [name for name, tensor in model.named_parameters() if tensor.requires_grad]
        return {name: self.head_scale for name in names if anatomy.component_of(name)[1] == "head"}

    def target_paths(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Return the module paths that get an update, in the order of the blocks.

        Raises:
            ModelError: A named target is no projection of the blocks.
        """
        blocks = [block for stack in anatomy.stacks for block in stack.blocks]
        attention = [path for block in blocks for path in block.attention]
        feed_forward = [path for block in blocks for path in block.feed_forward]
        everything = attention + feed_forward
        match self.targets:
            case "all-linear":
                return tuple(everything)
            case "attention":
                return tuple(attention)
            case "feed-forward":
                return tuple(feed_forward)
        for target in self.targets:
            if not any(_names(path, target) for path in everything):
                known = sorted({_within_block(path, anatomy) for path in everything})
                raise ModelError(
                    f"no projection of the blocks is called '{target}'",
                    where="tuning.targets",
                    mend=f"known: {', '.join(known)}",
                )
        return tuple(path for path in everything if any(_names(path, target) for target in self.targets))


def outermost(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths that lie below no other of them."""
    return tuple(path for path in paths if not any(path.startswith(f"{other}.") for other in paths))


def _names(path: str, target: str) -> bool:
    return path == target or path.endswith(f".{target}")


def _within_block(path: str, anatomy: Anatomy) -> str:
    for stack in anatomy.stacks:
        for block in stack.blocks:
            if path.startswith(f"{block.path}."):
                return path[len(block.path) + 1 :]
    return path
