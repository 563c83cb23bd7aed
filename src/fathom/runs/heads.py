"""Whether a model has the head that a task wants, and a strategy a head that it can train."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from fathom.errors import ModelError
from fathom.model.families import JUDGES_PAIRS
from fathom.model.load import model_class
from fathom.tasks.base import Task
from fathom.tuning.base import Tuning

NO_HEAD = "AutoModel"
"""Auto class of a task that reads the last block itself."""


def require_head(config: PreTrainedConfig, task: Task, *, new: bool) -> None:
    """Refuse a model whose family has no head for a task, or one under which its weights would not be found.

    Args:
        config: The model's.
        task: Suited to it.
        new: Whether the weights are new.

    Raises:
        ModelError: It has none.
    """
    cls = model_class(config, task.auto_class)
    answers = task.auto_class == "AutoModelForQuestionAnswering"  # decoders' heads for questions differ, no others
    if answers and not new and cls.__name__ not in (config.architectures or ()):
        _require_same_names(config, cls, task)
    if task.auto_class == NO_HEAD and config.is_encoder_decoder:
        raise ModelError(
            f"the family '{config.model_type}' has an encoder and a decoder, and {task.kind} wants one of them",
            where="model",
            mend="choose an encoder, such as minilm",
        )
    if task.auto_class == "AutoModelForPreTraining" and config.model_type not in JUDGES_PAIRS:
        raise ModelError(
            f"transformers has no head for pairs of passages in the family '{config.model_type}'",
            where="task.sentence_objective",
            mend=f"leave it out, or choose one of {', '.join(sorted(JUDGES_PAIRS))}",
        )


def _require_same_names(config: PreTrainedConfig, cls: Any, task: Task) -> None:
    """Refuse a head under which transformers calls a family's blocks otherwise than in its other models."""
    try:
        bare = model_class(config, NO_HEAD)
    except ModelError:
        return
    own, usual = cls.base_model_prefix, bare.base_model_prefix
    if own != usual:
        raise ModelError(
            f"under its head for {task.kind} transformers calls the body of a {config.model_type} '{own}', elsewhere "
            f"'{usual}', and does not find its weights",
            where="model",
            mend="choose a model of another family, e.g. minilm",
        )


def require_trainable_head(task: Task, tuning: Tuning) -> None:
    """Refuse to train the head alone where a task has none.

    Raises:
        ModelError: It has none.
    """
    if task.auto_class == NO_HEAD and tuning.kind == "head":
        raise ModelError(
            f"{task.kind} reads the last block itself, and no head stands behind it",
            where="tuning",
            mend="choose top-layers, lora, full or another strategy that changes the blocks",
        )
