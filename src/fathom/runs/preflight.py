"""What cannot learn is refused before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from fathom.data.example import IGNORED_LABEL, Example
from fathom.data.sequences import Sequences
from fathom.data.store import TokenStore
from fathom.errors import ConfigError, DataError
from fathom.log import get_console
from fathom.tasks.base import OpenTask

TRUNCATED_SHARE_TOLD = 0.001
FEWEST_TOKENS = 16
"""A limit below this is no way to save time on long documents: where it cuts every text, it is a mistake."""
PLACES_SHOWN = 3
MEASURED_AT_ONCE = 1000


def check_data(store: Sequences, task: OpenTask, examples: Sequence[Example]) -> None:
    """Refuse a training split without anything to learn from; tell of long texts.

    Args:
        store: The training split, encoded.
        task: That encoded it.
        examples: What was encoded.

    Raises:
        DataError: No label is left after encoding, or next to nothing of every text.
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
    _refuse_scraps(store, task, examples)
    if "target_truncated" in store.fields:
        _tell_of_pairs(store, examples)
    elif "truncated" in store.fields:
        if store.num_truncated:
            where = _first(store, "truncated", examples)
            get_console().info(f"{cut_note(store.num_truncated, len(store), task)}{where}")
    elif not {"length", "segment"} & store.fields.keys():  # long texts are split into windows, or lose turns
        full = int((store.lengths >= task.max_length).sum())
        if full > TRUNCATED_SHARE_TOLD * len(store):
            get_console().info(
                f"{full:,} of {len(store):,} training sequences ({full / len(store):.1%}) fill max_length "
                f"{task.max_length}; longer texts are split into windows (token classification) or lose turns (chat)"
            )


def cut_note(cut: int, total: int, task: OpenTask) -> str:
    """Say how many inputs a model does not read to their end."""
    share = f" ({cut / total:.1%})" if cut < total else ""
    return f"{cut:,} of {total:,} inputs{share} are longer than {task.limit} and are not read to their end"


def _refuse_scraps(store: TokenStore, task: OpenTask, examples: Sequence[Example]) -> None:
    """Refuse texts that are all cut to next to nothing; all of them cut at a usual length is a way to save time."""
    limit = task.max_length
    texts = limit < FEWEST_TOKENS and "input_ids" in store.fields and "text" in examples[0]
    if not texts or "question" in examples[0] or store.num_truncated < len(store):
        return
    lengths: list[int] = []
    for begin in range(0, len(examples), MEASURED_AT_ONCE):
        run = examples[begin : begin + MEASURED_AT_ONCE]
        pairs = [one["text_pair"] for one in run] if "text_pair" in run[0] else None
        lengths += map(len, task.tokenizer([one["text"] for one in run], pairs, verbose=False)["input_ids"])
    if min(lengths) >= 2 * limit:
        raise DataError(
            f"every training text is cut at {limit} tokens and loses half of them or more; the longest has "
            f"{max(lengths):,}",
            where=str(examples[0].get("where", "data.train")),
            mend="raise data.max_length",
        )


def _tell_of_pairs(store: TokenStore, examples: Sequence[Example]) -> None:
    sources, targets = (int(np.asarray(store.fields[name]).sum()) for name in ("truncated", "target_truncated"))
    if sources or targets:
        where = _first(store, "truncated" if sources else "target_truncated", examples)
        get_console().info(
            f"{sources:,} sources and {targets:,} targets of {len(store):,} training examples are too long and "
            f"lose their end{where}: see data.max_length and task.max_target_length"
        )


def _first(store: TokenStore, field: str, examples: Sequence[Example]) -> str:
    """Name the first examples that were cut, for the end of a note."""
    owners = store.owners[np.flatnonzero(np.asarray(store.fields[field]))]
    places = [str(examples[owner]["where"]) for owner in owners[:PLACES_SHOWN].tolist() if "where" in examples[owner]]
    return f", the first {', '.join(places)}" if places else ""


def check_trainable(model: nn.Module, strategy: str) -> int:
    """Return the number of trainable parameters.

    Raises:
        ConfigError: There is none.
    """
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if count == 0:
        mend = "choose another strategy: fathom inspect MODEL --tuning all"
        raise ConfigError(f"the strategy '{strategy}' trains no parameter of this model", where="tuning", mend=mend)
    return count
