"""What strategies that put modules beside frozen weights have in common: targets, head, PEFT's wrapper."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.tuning.base import Tuning

TASK_TYPES = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "MTModel": "SEQ_2_SEQ_LM",
}
"""PEFT's name of a task, by the end of a transformers class name; `AutoPeftModelFor...` goes by it."""


class Adapted(Tuning):
    """A strategy whose trained part is small and saved beside the base model's name."""

    saves_adapter: ClassVar[bool] = True

    head_scale: float = Field(10.0, gt=0)
    """The head's learning rate is this many times that of the added parameters: a new head wants about 0.01, whatever
    they want. Where it learns slower than they do, they push every token towards the commonest class and stay there."""

    def learning_rate_scales(self, model: nn.Module, anatomy: Anatomy) -> dict[str, float]:
        """Return `head_scale` for the parameters of the head."""
        names = [name for name, tensor in model.named_parameters() if tensor.requires_grad]
        return {name: self.head_scale for name in names if anatomy.component_of(name)[1] == "head"}


class Targeted(Adapted):
    """A strategy that stands beside chosen projections of the blocks."""

    targets: Literal["all-linear", "attention", "feed-forward"] | tuple[str, ...] = "all-linear"
    """Projections of the blocks that get an update: a group, or names such as [query, value]."""

    @field_validator("targets")
    @classmethod
    def _some_targets(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("name at least one projection, or write all-linear")
        return value

    def target_paths(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Return the module paths that get an update, in the order of the blocks.

        Raises:
            ModelError: A named target is no projection of the blocks.
        """
        attention = [path for block in anatomy.blocks for path in block.attention]
        feed_forward = [path for block in anatomy.blocks for path in block.feed_forward]
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


def wrap(model: nn.Module, config: Any) -> nn.Module:
    """Return the model under a PEFT config, a `peft.PeftModel`."""
    from peft import get_peft_model

    with warnings.catch_warnings():
        # PEFT still asks transformers for an attribute that transformers has renamed.
        warnings.simplefilter("ignore", FutureWarning)
        # Of norms it would know the widths, which it does not need.
        warnings.filterwarnings("ignore", message="Unsupported layer type")
        wrapped: nn.Module = get_peft_model(model, config)
    return wrapped


def task_type(model: nn.Module) -> str | None:
    """Return PEFT's name of what a model does; None for what PEFT has no name for, and for models that read no words.

    PEFT hands the model of a named task `input_ids`, which one that sees or hears does not take.
    """
    from transformers import PreTrainedModel

    if isinstance(model, PreTrainedModel) and model.main_input_name != "input_ids":
        return None
    return next((kind for end, kind in TASK_TYPES.items() if type(model).__name__.endswith(end)), None)


def are_conv1d(model: nn.Module, paths: Sequence[str]) -> bool:
    """Whether the projections are GPT-2's transposed Conv1D, all of them.

    Raises:
        ModelError: Some are and some are not, which PEFT cannot say.
    """
    from transformers.pytorch_utils import Conv1D

    found = [isinstance(model.get_submodule(path), Conv1D) for path in paths]
    if any(found) != all(found):
        raise ModelError(f"{type(model).__name__} mixes Conv1D and Linear projections", mend="name `targets` of one")
    return all(found)


def check_rank(model: nn.Module, paths: Sequence[str], rank: int, where: str = "tuning.rank") -> None:
    """Refuse a rank that no update of the target matrices can have.

    Raises:
        ModelError: The rank is above the smaller side of a target.
    """
    sides = {path: min(model.get_submodule(path).get_parameter("weight").shape) for path in paths}
    smallest = min(sides, key=lambda path: sides[path])
    if rank > sides[smallest]:
        raise ModelError(
            f"rank {rank} is above the smaller side of '{smallest}', {sides[smallest]}: its update cannot have it",
            where=where,
            mend=f"choose at most {sides[smallest]}, or `targets` of larger projections",
        )


def on_meta(model: nn.Module) -> bool:
    """Whether a model has shapes only and no numbers."""
    return next(model.parameters()).is_meta


def trained_heads(model: nn.Module, anatomy: Anatomy) -> list[str]:
    """Return the modules of the head that learn whole and are saved with an adapter.

    A classifier is new and must learn. The map onto the vocabulary is not: it came with the weights, is as large as the
    embeddings it is often tied to, and stays as it is; only what stands before it learns (BERT's transform).
    """
    from transformers import PreTrainedModel

    vocabulary = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    if vocabulary is None:
        return list(outermost(anatomy.head))
    return list(outermost(tuple(part for path in anatomy.head for part in _beside(model, path, vocabulary))))


def _beside(model: nn.Module, path: str, part: nn.Module) -> list[str]:
    """Return what a module is made of without one of its parts, in modules as large as may be."""
    module = model.get_submodule(path)
    if all(inner is not part for inner in module.modules()):
        return [path] if any(True for _ in module.parameters()) else []
    if module is part:
        return []
    return [found for name, _ in module.named_children() for found in _beside(model, f"{path}.{name}", part)]


def outermost(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths that lie below no other of them."""
    return tuple(path for path in paths if not any(path.startswith(f"{other}.") for other in paths))


def _names(path: str, target: str) -> bool:
    return path == target or path.endswith(f".{target}")


def _within_block(path: str, anatomy: Anatomy) -> str:
    for block in anatomy.blocks:
        if path.startswith(f"{block.path}."):
            return path[len(block.path) + 1 :]
    return path
