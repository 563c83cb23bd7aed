"""Adding a LoRA adapter's updates into the weights it stands beside."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fathom import files
from fathom.errors import REPORT, ArtifactError, ModelError
from fathom.model.folder import ModelFolder, open_folder
from fathom.model.four_bit import dequantize
from fathom.model.generation import tell_generation
from fathom.model.probes import probe
from fathom.model.reload import answer_of, verify_reload
from fathom.model.save import ADAPTER_CONFIG, save_model

MERGEABLE = ("LORA", "ADALORA", "VERA", "IA3", "LN_TUNING")
"""PEFT's names of the methods whose adapters are weights, or factors of weights."""
_TOLERANCE = 1e-4


def merge(
    folder: str | Path, output: str | Path, auto_class: str, *, generation: Mapping[str, Any] | None = None
) -> float:
    """Merge an adapter's model folder into a whole model, and prove by logits that it answers the same.

    Args:
        folder: A model folder that holds an adapter.
        output: Where the whole model appears; refused where something is.
        auto_class: Name of the transformers auto class of its task.
        generation: What the model's `generation_config` says besides the base model's; an adapter's folder has no place
            for it.

    Returns:
        The largest difference between the logits of adapter and merged model, on fixed inputs; the merged model is
        loaded by transformers alone in a fresh process for it.

    Raises:
        ModelError: The folder holds a whole model or an adapter that fits no weight, the base model is missing, or no
            inputs are known to compare the two on.
        ArtifactError: A file is damaged, or the merged model answers differently.
    """
    opened = open_folder(folder)
    if opened.info["weights"] != "adapter":
        mend = "use the folder as it is"
        raise ModelError("this is a whole model, there is nothing to merge", where=str(folder), mend=mend)
    _require_mergeable(opened)
    said = {"step": "merge", "adapter": Path(folder).name}
    return fold(opened, opened.load_model(auto_class), output, (auto_class, said), generation or {})


def fold(
    opened: ModelFolder,
    wrapped: Any,
    output: str | Path,
    made: tuple[str, dict[str, Any]],
    generation: Mapping[str, Any],
) -> float:
    """Fold the active adapter of a loaded PEFT model into its weights, save the whole model and compare the logits.

    Args:
        opened: The folder whose task, tokenizer and history the whole model gets.
        wrapped: The PEFT model, in evaluation mode.
        output: Where the whole model appears.
        made: Name of the transformers auto class, and the step for the model's history.
        generation: What the model's `generation_config` says besides the base model's.

    Raises:
        ModelError: No inputs are known to compare the two on.
        ArtifactError: The folded model answers differently, in this process or in a fresh one.
    """
    auto_class, step = made
    tokenizer = opened.load_tokenizer()
    inputs = probe(wrapped.get_base_model(), tokenizer, opened.info["max_length"])
    with torch.no_grad():
        before = answer_of(wrapped(**inputs))
        dequantize(wrapped)
        put_heads_in_place(wrapped)
        merged: Any = wrapped.merge_and_unload()
        after = answer_of(merged(**inputs))
    difference = (before - after).abs()
    mask = inputs.get("attention_mask")
    kept = difference if before.dim() == 2 or mask is None else difference[mask.bool()]
    apart = float(kept.max())
    if not apart <= _TOLERANCE * max(1.0, float(before.abs().max())):
        message = f"merging changed the answers: logits are up to {apart:.3g} apart"
        raise ArtifactError(message, where=str(opened.path), mend=REPORT)
    info: dict[str, Any] = copy.deepcopy(dict(opened.info))
    for key in ("files", "base", "base_files", "four_bit", "weights", "architecture", "config"):
        info.pop(key, None)
    info["auto_class"] = auto_class  # folders of earlier versions do not say it
    info["lineage"] = [*info.get("lineage", []), step]
    beside = {name: (opened.path / name).read_text(encoding="utf-8") for name in opened.info.get("beside", ())}
    tell_generation(merged, generation)
    save_model(merged, tokenizer, output, info, beside=beside)
    try:
        return max(apart, verify_reload(output, auto_class, inputs, before, _TOLERANCE))
    except ArtifactError:
        files.remove_folder(output)
        raise


def put_heads_in_place(wrapped: Any) -> None:
    """Put the trained heads where the base model's were.

    PEFT does so itself, and under IA3 copies `weight` from module to module on the way, which a head of several
    modules (BERT's pooler) has not.
    """
    from peft.utils.other import ModulesToSaveWrapper

    inner = wrapped.get_base_model()
    for path, module in list(inner.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            active = module.active_adapters  # none where adapters that were added up leave the head alone
            inner.set_submodule(path, module.modules_to_save[active[0]] if active else module.original_module)


def _require_mergeable(opened: ModelFolder) -> None:
    """Refuse adapters that compute something no weight of the base model can hold."""
    kind = str(files.read_json(opened.path / ADAPTER_CONFIG)["peft_type"])
    if kind not in MERGEABLE:
        raise ModelError(
            f"an adapter of type {kind} cannot be merged: what it computes fits into no weight of the base model",
            where=str(opened.path),
            mend="serve it as it is, beside its base model",
        )
