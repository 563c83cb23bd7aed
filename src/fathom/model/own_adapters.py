"""Adapters that PEFT does not have, each with a module that puts it in, saves it and loads it."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from fathom.model import bottleneck, ladder
from fathom.model.adapter_files import kind_of


def has_own_adapter(model: nn.Module) -> bool:
    """Whether a model holds an adapter of Fathom's own."""
    return bottleneck.attached(model) is not None or ladder.attached(model) is not None


def is_own_folder(folder: Path) -> bool:
    """Whether a folder holds an adapter of Fathom's own."""
    return kind_of(folder) in (bottleneck.KIND, ladder.KIND)


def save_own_adapter(model: nn.Module, folder: Path, base_model: str) -> None:
    """Write the two files of a model's own adapter."""
    (ladder if ladder.attached(model) is not None else bottleneck).save_adapter(model, folder, base_model)


def own_adapter_bytes(model: nn.Module) -> int:
    """Return the bytes of the tensors that a model's own adapter is saved as."""
    tensors = (ladder if ladder.attached(model) is not None else bottleneck).adapter_tensors(model)
    return sum(tensor.nbytes for tensor in tensors.values())


def load_own_adapter(model: nn.Module, folder: Path) -> nn.Module:
    """Put a saved adapter into a freshly loaded base model; returns it.

    Raises:
        ArtifactError: The files are of a newer version or do not fit the model.
    """
    loaded: nn.Module = (ladder if kind_of(folder) == ladder.KIND else bottleneck).load_adapter(model, folder)
    return loaded
