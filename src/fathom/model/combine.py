"""Several LoRA adapters of one base model as one: added up with weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fathom import files
from fathom.errors import REPORT, ArtifactError, ModelError
from fathom.model.folder import ModelFolder, open_folder
from fathom.model.merge import fold, put_heads_in_place
from fathom.model.save import ADAPTER_CONFIG

COMBINED = "combined"
FIRST = "default"
_TOLERANCE = 1e-5


def combine(
    folders: Sequence[str | Path],
    weights: Sequence[float],
    output: str | Path,
    auto_class: str,
    *,
    generation: Mapping[str, Any] | None = None,
) -> float:
    """Add up LoRA adapters with weights, fold the sum into their base model, and prove it by logits.

    Every projection changes by the weighted sum of the adapters' updates (PEFT's `cat`, which is exact); heads are
    averaged with the weights divided by their sum. 0.5 and 0.5 average two adapters, 1 and 1 stack them.

    Args:
        folders: Model folders of LoRA adapters of one task and one base model.
        weights: One for each, of positive sum.
        output: Where the whole model appears; refused where something is.
        auto_class: Name of the transformers auto class of their task.
        generation: What the model's `generation_config` says besides the base model's.

    Returns:
        The largest difference of logits between the combined adapters and the folded model, loaded in a fresh process.

    Raises:
        ModelError: Weights that do not fit, adapters of another kind, task, labels or base model.
        ArtifactError: A file is damaged, or the result answers differently.
    """
    opened = [open_folder(folder) for folder in folders]
    model = load_combined(opened, weights, auto_class)
    said = {"step": "combine", "adapters": [item.path.name for item in opened], "weights": list(weights)}
    return fold(opened[0], model, output, (auto_class, said), generation or {})


def load_combined(opened: Sequence[ModelFolder], weights: Sequence[float], auto_class: str) -> Any:
    """Load the weighted sum of LoRA adapters beside their base model, whose weights stay as they are.

    Args:
        opened: Checked folders of LoRA adapters of one task and one base model.
        weights: One for each, of positive sum.
        auto_class: Name of the transformers auto class of their task.

    Returns:
        The PEFT model in evaluation mode, with the sum as its active adapter.

    Raises:
        ModelError: Weights that do not fit, adapters of another kind, task, labels or base model.
        ArtifactError: The sum of the updates is not what the weights say.
    """
    _check(opened, weights)
    model: Any = opened[0].load_model(auto_class)
    names = [FIRST, *(f"adapter_{number}" for number in range(1, len(opened)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # see ModelFolder
        for name, other in zip(names[1:], opened[1:], strict=True):
            model.load_adapter(str(other.path), adapter_name=name)
        heads = _average_heads(model, dict(zip(names, weights, strict=True)))
        with torch.no_grad():
            for path, tensor in heads.items():
                model.get_parameter(path).copy_(tensor)
        put_heads_in_place(model)  # PEFT adds up no adapters that still hold heads of their own
        model.add_weighted_adapter(names, list(weights), COMBINED, combination_type="cat")
    _check_sum(model, dict(zip(names, weights, strict=True)))
    for _, layer in _layers(model):
        layer.set_adapter(COMBINED)
    return model.eval()


def _check(opened: Sequence[ModelFolder], weights: Sequence[float]) -> None:
    if len(opened) < 2 or len(weights) != len(opened):
        raise ModelError(
            f"{len(opened)} adapters and {len(weights)} weights", where="weights", mend="give one for each of several"
        )
    if not sum(weights) > 0:
        raise ModelError(f"the weights sum to {sum(weights):g}", where="weights", mend="give a positive sum")
    first = opened[0]
    require_one_base(opened)
    for item in opened:
        config = files.read_json(item.path / ADAPTER_CONFIG)
        init = config.get("init_lora_weights", True)
        changes_base = isinstance(init, str) and init.startswith(("pissa", "olora"))
        learns_biases = config.get("bias", "none") != "none"
        if config.get("peft_type") != "LORA" or config.get("use_dora") or changes_base or learns_biases:
            raise ModelError(
                "only LoRA adapters that leave their base model's weights alone can be added up",
                where=str(item.path),
                mend="merge this one by itself",
            )
        if item.info["task"] != first.info["task"]:
            mend = "combine adapters that were trained for one task with the same labels"
            raise ModelError(
                f"another task or other labels than those of {first.path}", where=str(item.path), mend=mend
            )
        if item.info.get("four_bit") != first.info.get("four_bit"):
            mend = "combine adapters that were all trained by qlora, or none of them"
            raise ModelError(f"one of this and {first.path} has its base in 4 bits", where=str(item.path), mend=mend)


def require_one_base(opened: Sequence[ModelFolder]) -> None:
    """Refuse folders that hold no adapter, or adapters of several base models.

    Raises:
        ModelError: Names the folder.
    """
    first = opened[0]
    for item in opened:
        if item.info["weights"] != "adapter":
            mend = "name folders that hold adapters"
            raise ModelError("this is a whole model, not an adapter", where=str(item.path), mend=mend)
        if item.info["base_files"] != first.info["base_files"]:
            mend = "name adapters of one base model"
            raise ModelError(f"another base model than that of {first.path}", where=str(item.path), mend=mend)


def _check_sum(model: nn.Module, weights: Mapping[str, float]) -> None:
    """Compare the combined update of every projection with the weighted sum of the single ones."""
    for path, layer in _layers(model):
        parts = [weight * layer.get_delta_weight(name) for name, weight in weights.items() if name in layer.lora_A]
        expected = torch.stack(parts).sum(0)
        apart = float((layer.get_delta_weight(COMBINED) - expected).abs().max())
        if not apart <= _TOLERANCE * max(1.0, float(expected.abs().max())):
            raise ArtifactError(f"the combined update is {apart:.3g} from the weighted sum", where=path, mend=REPORT)


def _layers(model: nn.Module) -> list[tuple[str, Any]]:
    """Return the projections that have a combined update."""
    from peft.tuners.lora import LoraLayer

    found: list[tuple[str, Any]] = [(path, item) for path, item in model.named_modules() if isinstance(item, LoraLayer)]
    return [(path, layer) for path, layer in found if COMBINED in layer.lora_A]


def _average_heads(model: nn.Module, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the weighted mean of the modules each adapter saves whole, under the first adapter's names."""
    named = dict(model.named_parameters())
    total, mark = sum(weights.values()), f".modules_to_save.{FIRST}."
    return {
        path: torch.stack(
            [
                weight / total * named[path.replace(mark, f".modules_to_save.{name}.")]
                for name, weight in weights.items()
            ]
        ).sum(0)
        for path in named
        if mark in path
    }
