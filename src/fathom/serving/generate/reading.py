"""How the task a model was trained for turns a text into what the model reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from fathom import catalog
from fathom.tasks.writing import OpenWriting


def reader_of(info: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> Callable[[str], list[int]] | None:
    """Return the encoding of a source by a model's own task: its prompt, and its cut where it is too long.

    Args:
        info: `fathom.json`; empty for a plain Hugging Face folder.
        tokenizer: Of the model.

    Returns:
        None for a model that just goes on with a text.
    """
    state = info.get("task")
    if state is None or catalog.load("task", state["kind"]).form != "writing":
        return None
    task = catalog.load("task", state["kind"])().reopen(state, tokenizer)
    assert isinstance(task, OpenWriting)
    return lambda text: task.read([text])[0][0]
