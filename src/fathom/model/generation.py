"""What a saved model tells transformers' own `generate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def tell_generation(model: PreTrainedModel, told: Mapping[str, Any]) -> None:
    """Put entries into a model's `generation_config`, which is saved with it; nothing where there are none."""
    if told:
        # of one that came from the model's config, transformers drops further entries when it loads it
        model.generation_config.update(allow_custom_entries=True, **{**told, "_from_model_config": False})
