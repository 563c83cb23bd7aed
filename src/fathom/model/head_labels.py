"""A head that was trained for some labels, taken over by a task that names or orders its labels otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fathom.log import get_console

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST_NAMED = 5


def keep_labels(
    name: str, model: PreTrainedModel, saved: Mapping[int, str], new_keys: set[str], wanted: Mapping[int, str]
) -> None:
    """Let each row of a saved head stand for the label it was trained for; warn where that cannot be.

    Args:
        name: Of the model, for messages.
        model: Loaded, its head included.
        saved: Labels of the saved head by row.
        new_keys: Parameters that were not in the file: a new head has no labels yet.
        wanted: Labels of the task by row.
    """
    path = _last_layer(model, len(wanted))
    if path is None or f"{path}.weight" in new_keys or len(wanted) < 2 or len(saved) != len(wanted):
        return
    before = [saved[row] for row in sorted(saved)]
    now = [wanted[row] for row in sorted(wanted)]
    if before == now:
        return
    if set(before) == set(now):
        _permute(model.get_submodule(path), [before.index(label) for label in now])
        get_console().info(f"{name}: the rows of its head were put in the order of this task's labels")
    elif before == [f"LABEL_{row}" for row in range(len(before))]:
        get_console().warn(
            f"{name}: its head was saved without names of labels; its rows are taken in this task's order: "
            f"{_names(now)}. Where that is not the order it was trained in, it starts from wrong answers"
        )
    else:
        pairs = [f"'{old}' now stands for '{new}'" for old, new in zip(before, now, strict=True) if old != new]
        get_console().warn(
            f"{name}: its head was trained for other labels, and its rows are taken over by position: {_names(pairs)}"
        )


def _last_layer(model: PreTrainedModel, num_labels: int) -> str | None:
    """Path of the layer that gives the logits: the last one outside the body with a row for each label."""
    from torch import nn

    body = {id(module) for module in model.base_model.modules()} if model.base_model is not model else set()
    found = None
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and id(module) not in body and module.out_features == num_labels:
            found = path
    return found


def _permute(layer: Any, rows: list[int]) -> None:
    import torch

    with torch.no_grad():
        layer.weight.copy_(layer.weight[rows].clone())
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[rows].clone())


def _names(items: list[str]) -> str:
    more = f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else ""
    return ", ".join(items[:MOST_NAMED]) + more
