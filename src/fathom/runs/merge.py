"""Turning a saved adapter into a whole model."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from fathom import catalog
from fathom.log import get_console
from fathom.model.folder import open_folder
from fathom.model.merge import merge as merge_folder
from fathom.tasks.base import Task
from fathom.tokenization.load import load_tokenizer


def merge(model: str | Path, output: str | Path) -> Path:
    """Merge a LoRA model folder into a whole model, verified by its logits in a fresh process.

    Args:
        model: A model folder, or the folder of a run, that holds an adapter.
        output: Where the whole model appears; refused where something is.

    Returns:
        The new folder.

    Raises:
        ModelError: The folder holds no adapter, or the base model is missing.
        ArtifactError: A file is damaged, or the merged model answers differently.
    """
    opened = open_folder(model)
    state = opened.info["task"]
    part = cast(Task, catalog.load("task", state["kind"])())
    auto_class = part.reopen(state, load_tokenizer(opened.path)).auto_class
    difference = merge_folder(opened.path, output, auto_class)
    get_console().info(f"{output}: merged; logits are within {difference:.0e} of the adapter's")
    return Path(output)
