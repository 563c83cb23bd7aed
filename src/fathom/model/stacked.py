"""Bottleneck adapters above others of the same base model: a task's above a language's (Pfeiffer et al. 2020, MAD-X).

The lower ones stay as they are; the upper ones read what they make. The folder of the upper ones holds both.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fathom import files
from fathom.errors import ModelError
from fathom.model.adapter_files import kind_of, read_tensors
from fathom.model.base import base_digest
from fathom.model.bottleneck import KIND, BottleneckSpec, attach, read_spec
from fathom.model.combine import require_one_base
from fathom.model.folder import ModelFolder, open_folder
from fathom.model.probes import probe
from fathom.model.reload import answer_of, verify_reload
from fathom.model.save import save_model


def open_lower(folder: str | Path) -> ModelFolder:
    """Check a folder of adapters that others are to stand above.

    Raises:
        ModelError: It holds no such adapters, or some that stand above others themselves.
        ArtifactError: A file is damaged.
    """
    opened = open_folder(folder)
    if kind_of(opened.path) != KIND:
        mend = "name the folder of a run with tuning: adapter"
        raise ModelError("it holds no bottleneck adapters that others could stand above", where=str(folder), mend=mend)
    if read_spec(opened.path).under is not None:
        mend = "name the folder of adapters that stand above no others"
        raise ModelError("its adapters stand above others already", where=str(folder), mend=mend)
    return opened


def require_base(opened: ModelFolder, base_model: str) -> None:
    """Refuse adapters of another base model than the one that is trained.

    Args:
        opened: See `open_lower`.
        base_model: As the recipe names it.

    Raises:
        ModelError: The weights differ.
    """
    known = {name: record["sha256"] for name, record in opened.info["base_files"].items()}
    if files.digest(known) != base_digest(base_model):
        raise ModelError(
            f"its adapters were trained over another base model than '{base_model}'",
            where=str(opened.path),
            mend=f"they belong to '{opened.info['base_model']}': name it under model, or train them again",
        )


def attach_lower(model: nn.Module, opened: ModelFolder) -> list[nn.Parameter]:
    """Put saved adapters without their head into a base model; returns their parameters.

    Args:
        model: With any head; on the meta device it gets their shapes alone.
        opened: See `open_lower`.

    Raises:
        ModelError: The model has no such projections.
        ArtifactError: The adapters are of other shapes.
    """
    spec = replace(read_spec(opened.path), modules_to_save=())
    before = {id(tensor) for tensor in model.parameters()}
    try:
        attach(model, spec)
    except AttributeError as error:
        message = f"its adapters do not fit a {type(model).__name__}: {error}"
        raise ModelError(message, where=str(opened.path), mend="name adapters of the same base model") from None
    added = [tensor for tensor in model.parameters() if id(tensor) not in before]
    if not any(tensor.is_meta for tensor in added):
        read_tensors(opened.path, _tensors_at(model, spec), beside=True)
    return added


def restack(folder: str | Path, lower: str | Path, output: str | Path, auto_class: str) -> None:
    """Write adapters above others than those they were trained above, or above some where there were none.

    Args:
        folder: Model folder of the upper adapters, whose head and task the new one has.
        lower: Model folder of the adapters they are to stand above.
        output: Where the new folder appears.
        auto_class: Name of the transformers auto class of the task.

    Raises:
        ModelError: A folder holds no such adapters, or they are of different base models.
        ArtifactError: A file is damaged, or the new folder answers otherwise than what was put together.
    """
    opened, below = open_folder(folder), open_lower(lower)
    if kind_of(opened.path) != KIND:
        mend = "name the folder of a run with tuning: adapter"
        raise ModelError("it holds no bottleneck adapters", where=str(folder), mend=mend)
    require_one_base([opened, below])
    model: Any = opened.load_base(auto_class)
    attach_lower(model, below)
    spec = replace(read_spec(opened.path), under=None)
    attach(model, spec)
    heads = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if any(name.startswith(f"{path}.") for path in spec.modules_to_save)
    }
    read_tensors(opened.path, {**_tensors_at(model, spec), **heads}, beside=True)
    model.eval()
    tokenizer = opened.load_tokenizer()
    inputs = probe(model, tokenizer, opened.info["max_length"])
    with torch.no_grad():
        answer = answer_of(model(**inputs))
    info: dict[str, Any] = copy.deepcopy(dict(opened.info))
    for key in ("files", "metrics"):
        info.pop(key, None)
    said = {"step": "stack", "adapter": opened.path.name, "above": below.path.name}
    info["lineage"] = [*info.get("lineage", []), said]
    beside = {name: (opened.path / name).read_text(encoding="utf-8") for name in opened.info.get("beside", ())}
    save_model(model, tokenizer, output, info, beside=beside)
    verify_reload(output, auto_class, inputs, answer)


def _tensors_at(model: nn.Module, spec: BottleneckSpec) -> dict[str, Tensor]:
    """Return the tensors of the uppermost adapters at the places of a spec, by the names they have in its file."""
    return {
        f"{place.at}.{name}": tensor
        for place in spec.adapters
        for name, tensor in model.get_submodule(place.at).state_dict().items()
        if name.startswith("adapter_")
    }
