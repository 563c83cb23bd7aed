"""Writing a published model folder: an ordinary Hugging Face folder, and `fathom.json` beside it."""

from __future__ import annotations

import copy
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import torch
from torch import nn

from fathom import files
from fathom.errors import ModelError
from fathom.files import FileRecord
from fathom.model.base import BaseOrigin, base_weight_files, find_origin
from fathom.model.card import render_card
from fathom.model.four_bit import describe
from fathom.model.load import resolve_model
from fathom.model.own_adapters import has_own_adapter, own_adapter_bytes, save_own_adapter
from fathom.model.sparse_update import updated_projections
from fathom.model.weights import INFO

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FLOAT_BYTES = 4
SCHEMA = 1
ADAPTER_CONFIG = "adapter_config.json"
SAVED_CONFIG_KEYS = ("num_labels", "id2label", "label2id", "problem_type")
"""What a task says in the model's config; kept in `fathom.json` for an adapter, as PEFT has no place for it."""
CTC_CONFIG_KEYS = ("vocab_size", "pad_token_id")
"""The same of a speech model, whose head may have other tokens than its base."""


class FathomInfo(TypedDict, total=False):
    """What `fathom.json` holds. The caller gives `task`, `base_model`, `max_length` and what it knows of the rest."""

    schema: int
    task: dict[str, Any]
    base_model: str
    max_length: int
    truncation: dict[str, Any]
    recipe_digest: str
    data_digests: dict[str, str]
    data: dict[str, Any]
    """How the training files were read (columns, delimiter, tag scheme ...); `evaluate` reads its file alike."""
    metrics: dict[str, Any]
    lineage: list[Any]
    weights: str
    """'whole' or 'adapter'."""
    architecture: str
    auto_class: str
    """Name of the transformers auto class that loads the model with its head."""
    config: dict[str, Any]
    four_bit: dict[str, Any]
    """For an adapter over a base in 4 bits; see `four_bit.describe`."""
    base_files: dict[str, FileRecord]
    """For an adapter: sha256 and size of the weight files it belongs to."""
    base: BaseOrigin
    """For an adapter: where its base model comes from."""
    beside: list[str]
    """Files that other tools need; a model made of this one has them too."""
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class _Parts:
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    info: FathomInfo
    beside: Mapping[str, str]


def save_model(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    info: Mapping[str, Any],
    *,
    replace: bool = False,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Publish a model: weights, config, tokenizer, model card, `fathom.json`; complete or not there at all.

    A `peft.PeftModel` is saved as PEFT saves it (the adapter, and the head beside it), any other model whole.

    Args:
        model: A transformers model, or one wrapped by PEFT.
        tokenizer: Saved with the folder; its longest input becomes `info['max_length']`. Of a model that sees or
            hears, the processor in its place, saved as it is.
        folder: Where the folder appears.
        info: See `FathomInfo`.
        replace: Take the place of an existing folder.
        beside: Further text files of the folder, by path.

    Raises:
        ModelError: `info` lacks what later commands need, or a weight is not finite.
        ArtifactError: The folder exists and `replace` is off.
    """
    completed = _complete(model, tokenizer, info, Path(folder))
    _require_finite(model)
    if beside:
        completed["beside"] = sorted(beside)
    with files.publish(folder, replace=replace, expected_bytes=saved_bytes(model)) as temporary:
        records = _write(_Parts(model, tokenizer, completed, beside or {}), temporary)
        files.write_json(temporary / INFO, {**completed, "files": records})


def saved_bytes(model: nn.Module) -> int:
    """Return the bytes of the tensors that `save_model` will write of a model when its strategy is done.

    What a strategy folds into the weights is no part of them, AdaLoRA's ranks are those that stay, and of virtual
    tokens the vectors are written, not the network that makes them.
    """
    if has_own_adapter(model):
        return own_adapter_bytes(model)
    if is_peft(model):
        return _peft_bytes(model)
    folded = [tensor for layer in updated_projections(model).values() for tensor in layer.parameters(recurse=False)]
    numbers = sum(tensor.numel() for tensor in model.parameters()) - sum(tensor.numel() for tensor in folded)
    return FLOAT_BYTES * numbers


def is_adapter(model: nn.Module) -> bool:
    """Whether only a small part of a model is its own: it is wrapped by PEFT, or holds adapters PEFT has not."""
    return is_peft(model) or has_own_adapter(model)


def is_peft(model: nn.Module) -> bool:
    """Whether a model is wrapped by PEFT; does not import `peft` to find out."""
    module = sys.modules.get("peft")
    return module is not None and isinstance(model, vars(module)["PeftModel"])


def _complete(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, info: Mapping[str, Any], folder: Path
) -> FathomInfo:
    missing = [key for key in ("task", "base_model", "max_length") if key not in info]
    if missing or "kind" not in info["task"]:
        said = ", ".join(missing) or "task.kind"
        raise ModelError(f"the model folder needs {said} in its info", where=INFO, mend=f"give {said} in `info`")
    adapter = is_adapter(model)
    outer: Any = model
    inner = outer.get_base_model() if is_peft(model) else outer
    config = inner.config.to_dict()
    keys = SAVED_CONFIG_KEYS + (CTC_CONFIG_KEYS if type(inner).__name__.endswith("ForCTC") else ())
    completed: dict[str, Any] = {
        "recipe_digest": "",
        "data_digests": {},
        "metrics": {},
        "lineage": [],
        **_truncation(tokenizer, info["max_length"]),
        **info,
        "schema": SCHEMA,
        "weights": "adapter" if adapter else "whole",
        "architecture": type(inner).__name__,
        "config": {key: config[key] for key in keys if key in config},
    }
    if adapter:
        completed["base_files"] = base_weight_files(info["base_model"])
        completed["base"] = find_origin(info["base_model"], folder)
        completed.pop("four_bit", None)
        packed = describe(inner)
        if packed is not None:
            completed["four_bit"] = packed
    # One form in memory and on disk: JSON has no tuples and no integer keys.
    completed = json.loads(json.dumps(completed, allow_nan=True))
    return cast(FathomInfo, completed)


def _write(parts: _Parts, folder: Path) -> dict[str, FileRecord]:
    from transformers.utils import logging

    logging.disable_progress_bar()  # one shard needs no bar
    model: Any = parts.model
    if has_own_adapter(model):
        save_own_adapter(model, folder, parts.info["base_model"])
        _name_base(folder / ADAPTER_CONFIG, parts.info["base_model"])
    elif parts.info["weights"] == "adapter":
        _note_ranks(model)
        with _ranks_may_be_gone():
            # 'auto' would ask the hub for the base model's vocabulary.
            model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        _name_base(folder / ADAPTER_CONFIG, parts.info["base_model"])
    else:
        model.save_pretrained(str(folder))
    _save_tokenizer(parts.tokenizer, parts.info["max_length"], folder)
    (folder / "README.md").write_text(render_card(parts.info), encoding="utf-8")
    for name, text in parts.beside.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return {
        path.relative_to(folder).as_posix(): FileRecord(sha256=files.sha256_file(path), bytes=path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _truncation(tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, Any]:
    """The rule for texts that are too long; a processor of images or sounds has none."""
    from transformers import PreTrainedTokenizerBase

    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        return {}
    return {"truncation": {"side": tokenizer.truncation_side, "max_length": max_length}}


def _save_tokenizer(tokenizer: PreTrainedTokenizerBase, max_length: int, folder: Path) -> None:
    """Save the tokenizer, or the processor that stands in its place."""
    from transformers import PreTrainedTokenizerBase

    saved = copy.deepcopy(tokenizer)
    if isinstance(saved, PreTrainedTokenizerBase):
        saved.model_max_length = max_length
    saved.save_pretrained(str(folder))


def _note_ranks(model: Any) -> None:
    """Let PEFT drop the ranks AdaLoRA took away, as the weights have them: they may be an earlier step's, the best."""
    for name, config in model.peft_config.items():
        if str(config.peft_type.value) == "ADALORA":
            config.rank_pattern = {
                path.removeprefix("base_model.model."): (tensor != 0).flatten().tolist()
                for path, tensor in model.named_parameters()
                if f"lora_E.{name}" in path
            }


def _name_base(path: Path, name: str) -> None:
    """Write where the base model is into the adapter's config: a hub name, or an absolute folder."""
    config = files.read_json(path)
    resolved = resolve_model(name)
    config["base_model_name_or_path"] = str(Path(resolved).absolute()) if Path(resolved).is_dir() else resolved
    files.write_json(path, config)


def _peft_bytes(model: Any) -> int:
    from peft import get_peft_model_state_dict

    config = model.active_peft_config
    if config.is_prompt_learning:
        # PEFT would run the network that makes the vectors, which may draw from the random state
        vectors = config.num_virtual_tokens * (2 * config.num_layers if config.peft_type == "PREFIX_TUNING" else 1)
        saved = sum(tensor.numel() for name, tensor in model.named_parameters() if ".modules_to_save." in name)
        numbers: int = vectors * config.token_dim + saved
        return FLOAT_BYTES * numbers
    shares = {"lora_A", "lora_B", "lora_E"} if config.peft_type == "ADALORA" else set()
    with _ranks_may_be_gone():
        saved_tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    return sum(
        round(tensor.nbytes * (config.target_r / config.init_r if shares & set(name.split(".")) else 1))
        for name, tensor in saved_tensors.items()
    )


@contextmanager
def _ranks_may_be_gone() -> Iterator[None]:
    """Of a projection AdaLoRA took all ranks from, PEFT believes that the tensors were not gathered."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LoRA tensor\\(s\\) have invalid shape")
        yield


def _require_finite(model: nn.Module) -> None:
    for name, tensor in model.named_parameters():
        if not bool(torch.isfinite(tensor).all()):
            mend = "train again with a lower learning rate, or with training.precision=fp32"
            raise ModelError("the weight holds NaN or Inf, and such a model is not saved", where=name, mend=mend)
