"""Turning saved adapters into a whole model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fathom.errors import ArtifactError, ConfigError
from fathom.locks import require_writable
from fathom.log import get_console
from fathom.model.combine import combine
from fathom.model.folder import open_folder
from fathom.model.merge import merge as merge_folder
from fathom.model.stacked import restack
from fathom.serving.predictor import open_task


def merge(
    model: str | Path | Sequence[str | Path],
    output: str | Path,
    weights: Sequence[float] | None = None,
    *,
    above: str | Path | None = None,
) -> Path:
    """Merge an adapter, or several LoRA adapters added up, into a whole model, verified by its logits.

    Bottleneck adapters fit into no weights; they can be put above those of another folder (a task's above a language's)
    in place of the ones they were trained above.

    Args:
        model: A model folder, or the folder of a run, that holds an adapter; or several of one task and base model.
        output: Where the whole model appears; refused where something is.
        weights: Of several adapters, one for each; left out, their average.
        above: Folder of bottleneck adapters that those of `model` are to stand above; `output` then holds both, and no
            whole model.

    Returns:
        The new folder.

    Raises:
        ModelError: A folder holds no adapter that fits into weights, the base model is missing, or the adapters do not
            belong together.
        ConfigError: Several adapters, or weights, are named with `above`.
        InputError: Nothing can be written to `output`.
        ArtifactError: `output` is there, a file is damaged, or the merged model answers differently.
    """
    if Path(output).exists():
        raise ArtifactError("already there", where=str(output), mend="choose another folder, or remove it")
    require_writable(output)
    folders = [model] if isinstance(model, str | Path) else list(model)
    task = open_task(open_folder(folders[0]))
    told = task.generation_config
    if above is not None:
        if len(folders) > 1 or weights is not None:
            raise ConfigError("one adapter stands above another", where="above", mend="name one, without weights")
        restack(folders[0], above, output, task.auto_class)
        get_console().info(f"{output}: the adapters of {folders[0]} above those of {above}")
        return Path(output)
    if len(folders) == 1 and weights is None:
        difference = merge_folder(folders[0], output, task.auto_class, generation=told)
    else:
        shares = [1.0 / len(folders)] * len(folders) if weights is None else list(weights)
        difference = combine(folders, shares, output, task.auto_class, generation=told)
    get_console().info(f"{output}: merged; logits are within {difference:.0e} of the adapter's")
    return Path(output)
