"""Adding a LoRA adapter's updates into the weights it stands beside."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fathom import files
from fathom.errors import ArtifactError, ModelError
from fathom.model.families import reads_sound
from fathom.model.folder import ModelFolder, open_folder
from fathom.model.four_bit import dequantize
from fathom.model.reload import answer_of, verify_reload
from fathom.model.save import ADAPTER_CONFIG, save_model

MERGEABLE = ("LORA", "ADALORA", "VERA", "IA3", "LN_TUNING")
"""PEFT's names of the methods whose adapters are weights, or factors of weights."""
_TOLERANCE = 1e-4


def merge(folder: str | Path, output: str | Path, auto_class: str) -> float:
    """Merge an adapter's model folder into a whole model, and prove by logits that it answers the same.

    Args:
        folder: A model folder that holds an adapter.
        output: Where the whole model appears; refused where something is.
        auto_class: Name of the transformers auto class of its task.

    Returns:
        The largest difference between the logits of adapter and merged model, on fixed token sequences; the merged
        model is loaded by transformers alone in a fresh process for it.

    Raises:
        ModelError: The folder holds a whole model or an adapter that fits no weight, or the base model is missing.
        ArtifactError: A file is damaged, or the merged model answers differently.
    """
    opened = open_folder(folder)
    if opened.info["weights"] != "adapter":
        raise ModelError("this is a whole model, there is nothing to merge", where=str(folder))
    _require_mergeable(opened)
    said = {"step": "merge", "adapter": Path(folder).name}
    return fold(opened, opened.load_model(auto_class), output, (auto_class, said))


def fold(opened: ModelFolder, wrapped: Any, output: str | Path, made: tuple[str, dict[str, Any]]) -> float:
    """Fold the active adapter of a loaded PEFT model into its weights, save the whole model and compare the logits.

    Args:
        opened: The folder whose task, tokenizer and history the whole model gets.
        wrapped: The PEFT model, in evaluation mode.
        output: Where the whole model appears.
        made: Name of the transformers auto class, and the step for the model's history.

    Raises:
        ArtifactError: The folded model answers differently, in this process or in a fresh one.
    """
    auto_class, step = made
    inputs = _probe(opened, wrapped)
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
        raise ArtifactError(f"merging changed the answers: logits are up to {apart:.3g} apart", where=str(opened.path))
    info: dict[str, Any] = copy.deepcopy(dict(opened.info))
    for key in ("files", "base", "base_files", "four_bit", "weights", "architecture", "config"):
        info.pop(key, None)
    info["lineage"] = [*info.get("lineage", []), step]
    beside = {name: (opened.path / name).read_text(encoding="utf-8") for name in opened.info.get("beside", ())}
    save_model(merged, opened.load_tokenizer(), output, info, beside=beside)
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


def _probe(opened: ModelFolder, model: Any) -> dict[str, Tensor]:
    """Return fixed random token sequences, [4, L], with unequal lengths; of one that hears, those of its decoder."""
    length = min(32, opened.info["max_length"])
    generator = torch.Generator().manual_seed(0)
    size = model.get_input_embeddings().num_embeddings
    if model.config.is_encoder_decoder and reads_sound(model.config):
        shape = (4, model.config.num_mel_bins, 2 * model.config.max_source_positions)
        said = torch.randint(0, size, (4, length), generator=generator)
        return {"input_features": torch.randn(shape, generator=generator), "decoder_input_ids": said}
    lengths = torch.tensor([max(1, length - 7 * row) for row in range(4)])
    input_ids = torch.randint(0, size, (4, length), generator=generator)
    mask = (torch.arange(length)[None, :] < lengths[:, None]).long()
    padding = opened.load_tokenizer().pad_token_id
    inputs = {"input_ids": torch.where(mask.bool(), input_ids, padding or 0), "attention_mask": mask}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"].clone()
    return inputs
