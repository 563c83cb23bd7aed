"""The two files of an adapter in a format of Fathom's own: a config that names it, and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fathom import files
from fathom.errors import ArtifactError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def write_adapter(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], base_model: str) -> None:
    """Write both files."""
    saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(saved, str(folder / WEIGHTS_FILE), metadata={"format": "pt"})
    files.write_json(folder / CONFIG_FILE, {**config, "base_model_name_or_path": base_model})


def read_config(folder: Path, kind: str, *versions: int) -> dict[str, Any]:
    """Read the config of an adapter.

    Raises:
        ArtifactError: Written by a newer version, or of another kind.
    """
    values: dict[str, Any] = files.read_json(folder / CONFIG_FILE)
    if values.get("peft_type") != kind or values.get("format") not in versions:
        raise ArtifactError(
            f"adapter of type {values.get('peft_type')}, format {values.get('format')}; this version reads "
            f"{kind}, format {' or '.join(map(str, versions))}",
            where=str(folder / CONFIG_FILE),
            mend="update fathom-lm",
        )
    return values


def read_tensors(folder: Path, wanted: Mapping[str, Tensor], *, beside: bool = False) -> None:
    """Copy the saved tensors into those of a model.

    Args:
        folder: Of the adapter.
        wanted: By their names in the file.
        beside: Whether the file may hold others, which are left.

    Raises:
        ArtifactError: The saved ones are not those that are wanted.
    """
    saved = load_file(str(folder / WEIGHTS_FILE))
    if beside:
        saved = {name: tensor for name, tensor in saved.items() if name in wanted}
    different = {name for name in saved.keys() | wanted.keys() if name not in saved or name not in wanted}
    different |= {name for name in saved.keys() & wanted.keys() if saved[name].shape != wanted[name].shape}
    if different:
        raise ArtifactError(
            f"the adapter does not fit the base model: {', '.join(sorted(different)[:3])}",
            where=str(folder / WEIGHTS_FILE),
            mend="put it over the base model it was trained on",
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(saved[name])


def kind_of(folder: Path) -> str | None:
    """Return what kind of adapter a folder holds, as its config names it; None without one."""
    path = folder / CONFIG_FILE
    return str(files.read_json(path).get("peft_type")) if path.is_file() else None
