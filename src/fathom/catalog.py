"""Every part by name: the table of contents. Nothing is imported until it is asked for."""

from __future__ import annotations

import difflib
import importlib
from importlib import metadata
from typing import Any

from fathom.errors import ConfigError

CATALOG: dict[str, dict[str, str]] = {
    "model": {
        "pretrained": "fathom.model.section:Pretrained",
        "new": "fathom.model.new:NewModel",
    },
    "task": {
        "text-classification": "fathom.tasks.text_classification:TextClassification",
        "token-classification": "fathom.tasks.token_classification:TokenClassification",
    },
    "tuning": {
        "full": "fathom.tuning.full:Full",
        "head": "fathom.tuning.head:Head",
        "top-layers": "fathom.tuning.top_layers:TopLayers",
        "bitfit": "fathom.tuning.bitfit:BitFit",
        "lora": "fathom.tuning.lora:Lora",
    },
    "reader": {
        "csv": "fathom.data.readers.delimited:CsvReader",
        "tsv": "fathom.data.readers.delimited:TsvReader",
        "json": "fathom.data.readers.json_lines:JsonReader",
        "jsonl": "fathom.data.readers.json_lines:JsonLinesReader",
        "parquet": "fathom.data.readers.parquet:ParquetReader",
        "conll": "fathom.data.readers.conll:ConllReader",
        "hub": "fathom.data.readers.hub:HubReader",
        "helpdesk": "fathom.data.readers.helpdesk:HelpdeskReader",
    },
    "metric": {
        "accuracy": "fathom.evaluation.classification:Accuracy",
        "f1": "fathom.evaluation.classification:F1",
        "matthews": "fathom.evaluation.classification:Matthews",
        "auc": "fathom.evaluation.classification:Auc",
        "per-class": "fathom.evaluation.classification:PerClass",
        "pearson": "fathom.evaluation.regression:Pearson",
        "spearman": "fathom.evaluation.regression:Spearman",
        "mse": "fathom.evaluation.regression:MeanSquaredError",
        "entity-f1": "fathom.evaluation.entities:EntityF1",
    },
    "optimizer": {"adamw": "fathom.training.optimizer:AdamW"},
    "lr_scheduler": {
        "linear": "fathom.training.schedule:Linear",
        "cosine": "fathom.training.schedule:Cosine",
        "constant": "fathom.training.schedule:Constant",
    },
    "tracker": {
        "jsonl": "fathom.tracking.jsonl:JsonLinesTracker",
        "tensorboard": "fathom.tracking.tensorboard:TensorBoardTracker",
    },
}

ENTRY_POINT_GROUP = "fathom.parts"
"""Outside packages add parts: an entry point named `family.name` with the value `module:Class`."""


def families() -> list[str]:
    """Return the names of all families of parts."""
    return list(CATALOG)


def names(family: str) -> list[str]:
    """Return the names of the parts of one family, those of outside packages included."""
    return [*CATALOG[family], *_outside(family)]


def contents() -> dict[str, list[str]]:
    """Return `{family: [names]}` of the whole catalog."""
    return {family: names(family) for family in families()}


def load(family: str, name: str) -> Any:
    """Import and return the class of one part.

    Raises:
        ConfigError: No part of that name; the nearest one is suggested.
    """
    target = CATALOG[family].get(name) or _outside(family).get(name)
    if target is None:
        near = difflib.get_close_matches(name, names(family), n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"no {family} is called '{name}'", mend=f"{hint}known: {', '.join(names(family))}")
    module, _, attribute = target.partition(":")
    return vars(importlib.import_module(module))[attribute]


def _outside(family: str) -> dict[str, str]:
    found = {}
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        point_family, _, name = point.name.partition(".")
        if point_family == family:
            found[name] = point.value
    return found
