"""Only the norms and the head learn, through `peft`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.tuning.adapted import Adapted, task_type, trained_heads, wrap


class Norms(Adapted):
    """Train a copy of every norm of the blocks and after them, and the head.

    Works on families without biases too, where BitFit has nothing to train.

    Source: Zhao et al., "Tuning LayerNorm in Attention", 2023 (arXiv 2312.11420).
    """

    kind: Literal["norms"] = "norms"
    head_scale: float = Field(3.0, gt=0)
    """The head's learning rate is this many times that of the added parameters; a new head wants about 0.01."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 3e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Wrap the norms; returns a `peft.PeftModel`.

        Raises:
            ModelError: Its blocks have no norm with weights.
        """
        from peft import LNTuningConfig

        paths = [path for block in anatomy.blocks for path in block.norms] + list(anatomy.final)
        paths = [path for path in paths if next(model.get_submodule(path).parameters(), None) is not None]
        if not paths:
            message = f"tuning 'norms' trains norms, and the blocks of {type(model).__name__} have none"
            raise ModelError(message, mend="use tuning 'lora'")
        config = LNTuningConfig(
            task_type=task_type(model), target_modules=paths, modules_to_save=trained_heads(model, anatomy)
        )
        return wrap(model, config)
