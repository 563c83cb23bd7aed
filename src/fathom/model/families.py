"""What anatomy cannot find by looking: a few lines for each family that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Family:
    """The exceptions of one transformers family."""

    block_class: str | None = None
    """Class name of a block, where it is no GradientCheckpointingLayer."""
    repeats_key: str | None = None
    """Config key of how often one stored block runs, where blocks share their weights."""
    components: Mapping[str, str] = field(default_factory=dict)
    """Component of parameters whose name contains the key, where the general rule would be wrong."""


FAMILIES: Mapping[str, Family] = {
    "albert": Family(
        block_class="AlbertLayer",
        repeats_key="num_hidden_layers",
        components={"embedding_hidden_mapping_in": "embeddings"},
    ),
    # The relative position table and its norm live beside the blocks and are read by every one of them.
    "deberta": Family(components={"rel_embeddings": "embeddings", "encoder.LayerNorm": "embeddings"}),
    "deberta-v2": Family(
        components={"rel_embeddings": "embeddings", "encoder.LayerNorm": "embeddings", "encoder.conv": "other"}
    ),
    "xlnet": Family(block_class="XLNetLayer", components={"mask_emb": "embeddings"}),
    "electra": Family(components={"embeddings_project": "embeddings"}),
    "opt": Family(components={"project_in": "embeddings", "project_out": "final"}),
}


def family_of(config: Any) -> Family:
    """Return the exceptions of a model's family; most have none."""
    return FAMILIES.get(str(getattr(config, "model_type", "")), Family())
