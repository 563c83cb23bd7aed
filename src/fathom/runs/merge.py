"""Turning saved adapters into a whole model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fathom.errors import ArtifactError
from fathom.locks import require_writable
from fathom.log import get_console
from fathom.model.combine import combine
from fathom.model.folder import open_folder
from fathom.model.merge import merge as merge_folder
from fathom.serving.predictor import open_task


def merge(model: str | Path | Sequence[str | Path], output: str | Path, weights: Sequence[float] | None = None) -> Path:
    """Merge an adapter, or several LoRA adapters added up, into a whole model, verified by its logits.

    Args:
        model: A model folder, or the folder of a run, that holds an adapter; or several of one task and base model.
        output: Where the whole model appears; refused where something is.
        weights: Of several adapters, one for each; left out, their average.

    Returns:
        The new folder.

    Raises:
        ModelError: A folder holds no adapter that fits into weights, the base model is missing, or the adapters do not
            belong together.
        InputError: Nothing can be written to `output`.
        ArtifactError: `output` is there, a file is damaged, or the merged model answers differently.
    """
    if Path(output).exists():
        raise ArtifactError("already there", where=str(output), mend="choose another folder, or remove it")
    require_writable(output)
    folders = [model] if isinstance(model, str | Path) else list(model)
    task = open_task(open_folder(folders[0]))
    told = task.generation_config
    if len(folders) == 1 and weights is None:
        difference = merge_folder(folders[0], output, task.auto_class, generation=told)
    else:
        shares = [1.0 / len(folders)] * len(folders) if weights is None else list(weights)
        difference = combine(folders, shares, output, task.auto_class, generation=told)
    get_console().info(f"{output}: merged; logits are within {difference:.0e} of the adapter's")
    return Path(output)
