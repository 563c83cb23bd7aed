"""Opening the folder of a model that writes: Fathom's own, checked file by file, or a plain Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from fathom.errors import ModelError
from fathom.model.families import writes_only
from fathom.model.folder import open_folder
from fathom.model.load import load_config, load_model, resolve_model
from fathom.model.save import is_peft
from fathom.model.virtual_tokens import num_virtual_tokens
from fathom.model.weights import INFO
from fathom.tokenization.load import load_tokenizer
from fathom.tokenization.match import check_vocabulary

ANSWERING = frozenset({"recommendation", "prompt-classification"})
"""Tasks of language models whose answer is no text: an item, a label."""
CAUSAL = "AutoModelForCausalLM"
SEQUENCE_TO_SEQUENCE = "AutoModelForSeq2SeqLM"


@dataclass(frozen=True)
class Opened:
    """A model that writes, with all that belongs to it."""

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    info: Mapping[str, Any]
    """`fathom.json`; empty for a plain Hugging Face folder."""


def is_fathom_folder(folder: str | Path) -> bool:
    """Whether a folder, or the `model` folder of a run in it, was saved by Fathom."""
    root = Path(folder)
    return (root / INFO).is_file() or (root / "model" / INFO).is_file()


def generates(folder: str | Path) -> bool:
    """Whether the model of a folder generates text, told from its `fathom.json` or `config.json` alone."""
    try:
        if is_fathom_folder(folder):
            return writes(saved_info(folder))
        return _writes_plain(json.loads((Path(folder) / "config.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return False  # no model, or a damaged one: whoever opens it says what is wrong


def saved_info(folder: str | Path) -> dict[str, Any]:
    """Return `fathom.json` of a model folder or a run; empty where there is none to be read."""
    root = Path(folder)
    root = root / "model" if (root / "model" / INFO).is_file() and not (root / INFO).is_file() else root
    try:
        said = json.loads((root / INFO).read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def writes(info: Mapping[str, Any]) -> bool:
    """Whether the model of a `fathom.json` generates text: its class is one for causal or sequence-to-sequence."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if info.get("task", {}).get("kind") in ANSWERING:
        return False
    names = {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()} - _masked_names()
    return info["architecture"] in names | _sequence_to_sequence_names()


def open_generator(folder: str | Path) -> Opened:
    """Load a model that writes, with its tokenizer; an adapter is merged into its base, which answers the same.

    Raises:
        ModelError: There is no such folder, its model does not generate text, or the tokenizer is another model's.
        ArtifactError: A file is damaged; names it.
    """
    if not is_fathom_folder(folder):
        return _open_plain(folder)
    opened = open_folder(folder)
    if not writes(opened.info):
        raise ModelError(
            f"a model for {opened.info['task']['kind']} does not generate text",
            where=str(folder),
            mend=_told_otherwise(opened.info["task"]["kind"]),
        )
    model: Any = opened.load_model(writing_class(opened.info))
    # bottleneck adapters and bases in 4 bits run as they are, and virtual tokens before the text
    if is_peft(model) and not num_virtual_tokens(model) and "four_bit" not in opened.info:
        model = model.merge_and_unload()
    return Opened(model, load_tokenizer(opened.path), opened.info)


def _told_otherwise(kind: str) -> str:
    """What a model that does not write is good for."""
    if kind == "masked-lm":
        return "fathom predict fills the masks of a text; fine-tune it for a task, or train a decoder (task: causal-lm)"
    return "fathom predict gives its predictions; to generate, train with task: causal-lm or chat"


def writing_class(info: Mapping[str, Any]) -> str:
    """Return the name of the transformers auto class that loads a model that writes, by its `fathom.json`."""
    return SEQUENCE_TO_SEQUENCE if info["architecture"] in _sequence_to_sequence_names() else CAUSAL


def _open_plain(folder: str | Path) -> Opened:
    name = str(folder)
    config = load_config(name, {})
    if not _writes_plain(config.to_dict()):
        raise ModelError(
            f"a {config.model_type} model reads text and does not write it",
            where=name,
            mend="give a decoder (GPT-2, Llama, Qwen ...) or an encoder-decoder (T5, BART ...)",
        )
    tokenizer = load_tokenizer(resolve_model(name))
    check_vocabulary(tokenizer, config)
    model = load_model(name, SEQUENCE_TO_SEQUENCE if config.is_encoder_decoder else CAUSAL, {}, seed=0)
    return Opened(model.eval(), tokenizer, {})


def _writes_plain(config: Mapping[str, Any]) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

    model_type = str(config["model_type"])
    pairs = model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    return pairs or writes_only(model_type) or bool(config.get("is_decoder"))


def _sequence_to_sequence_names() -> set[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

    return {*MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.values()}


def _masked_names() -> set[str]:
    """Classes that fill gaps as well; of these only an encoder-decoder writes."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return {*MODEL_FOR_MASKED_LM_MAPPING_NAMES.values()} - _sequence_to_sequence_names()
