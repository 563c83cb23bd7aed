"""A tokenizer by name or folder, always a fast one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.device import hub_reachable
from fathom.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
)
"""A folder with none of these holds no tokenizer."""


def load_tokenizer(name_or_folder: str | Path) -> PreTrainedTokenizerBase:
    """Load a fast tokenizer and take off the truncation and padding its file may carry.

    `AutoTokenizer` is used although it imports more than `PreTrainedTokenizerFast`: with torch already loaded the
    difference is under 0.1 s, and only it picks the class whose `model_input_names` and saved `tokenizer_class` other
    tools rely on.

    Args:
        name_or_folder: A folder written by `save_pretrained`, or a hub name.

    Raises:
        ModelError: No such folder or name, a damaged file, or a tokenizer without the fast form that offsets need.
    """
    name = str(name_or_folder)
    folder = Path(name)
    if folder.is_dir():
        _check_folder(folder)
    elif folder.is_absolute() or name.startswith(("./", "../")):
        raise ModelError("no such folder", where=name, mend="check the path, or give a hub name")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, local_files_only=not hub_reachable())
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        mend = (
            "write the tokenizer again with save_pretrained"
            if folder.is_dir()
            else "check the name; without a network give a folder, or the built-in 'minilm'"
        )
        raise ModelError(f"the tokenizer cannot be loaded: {reason}", where=name, mend=mend) from None
    return prepare(tokenizer, where=name)


def prepare(tokenizer: PreTrainedTokenizerBase, where: str = "tokenizer") -> PreTrainedTokenizerBase:
    """Check that a tokenizer is fast and clear the truncation and padding stored in it.

    Raises:
        ModelError: The tokenizer has no fast form.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} is not a fast tokenizer: it gives no character offsets",
            where=where,
            mend="convert it with transformers.convert_slow_tokenizer and save tokenizer.json, or take another model",
        )
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return tokenizer


def _check_folder(folder: Path) -> None:
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise ModelError(
            "this folder holds no tokenizer",
            where=str(folder),
            mend=f"it needs one of {', '.join(TOKENIZER_FILES)}; save it with tokenizer.save_pretrained(folder)",
        )
    for file in ("tokenizer.json", "tokenizer_config.json"):
        path = folder / file
        if not path.is_file():
            continue
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            raise ModelError(f"damaged: {error}", where=str(path), mend="copy or save the tokenizer again") from None
