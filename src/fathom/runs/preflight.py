"""What cannot learn is refused before the first step."""

from __future__ import annotations

import numpy as np
from torch import nn

from fathom.data.example import IGNORED_LABEL
from fathom.data.sequences import Sequences
from fathom.data.store import TokenStore
from fathom.errors import ConfigError, DataError
from fathom.log import get_console
from fathom.tasks.base import OpenTask

TRUNCATED_SHARE_TOLD = 0.001


def check_data(store: Sequences, task: OpenTask) -> None:
    """Refuse a training split without anything to learn from; tell of long texts.

    Raises:
        DataError: No label is left after encoding.
    """
    if not isinstance(store, TokenStore):
        return  # windows of a corpus: every token is a label, and every window is meant to be full
    if "labels" in store.fields:
        supervised = int((np.asarray(store.fields["labels"]) != IGNORED_LABEL).sum())
        if supervised == 0:
            raise DataError(
                "no token of the training split carries a label: the loss would be 0 and nothing learned",
                where="data.train",
                mend="look at one example with 'fathom data preview'",
            )
    elif "label" not in store.fields and not task.vocabulary and not task.whole_batch:
        raise DataError("the training split has no labels", where="data.train", mend="name the column: data.columns")
    if "target_truncated" in store.fields:
        sources, targets = (int(np.asarray(store.fields[name]).sum()) for name in ("truncated", "target_truncated"))
        if sources or targets:
            get_console().info(
                f"{sources:,} sources and {targets:,} targets of {len(store):,} training examples are too long and "
                "lose their end: see data.max_length and task.max_target_length"
            )
        return
    if "length" in store.fields or "segment" in store.fields:
        # images and sounds are as long as the processor makes them; several readings of a text are not one text
        if store.num_truncated:
            get_console().info(cut_note(store.num_truncated, len(store), task))
        return
    full = int((store.lengths >= task.max_length).sum())
    if full > TRUNCATED_SHARE_TOLD * len(store):
        get_console().info(
            f"{full:,} of {len(store):,} training sequences ({full / len(store):.1%}) fill max_length "
            f"{task.max_length}; longer texts are cut there (classification, chat) or split into windows (token "
            "classification)"
        )


def cut_note(cut: int, total: int, task: OpenTask) -> str:
    """Say how many inputs a model does not read to their end."""
    return f"{cut:,} of {total:,} inputs are longer than {task.limit} and are not read to their end"


def check_trainable(model: nn.Module, strategy: str) -> int:
    """Return the number of trainable parameters.

    Raises:
        ConfigError: There is none.
    """
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if count == 0:
        raise ConfigError(f"the strategy '{strategy}' trains no parameter of this model", where="tuning")
    return count
