"""How long sources and targets are in a model's tokens, for the check of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fathom.data.example import Example
from fathom.data.findings import SHOWN, Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from fathom.tasks.base import Task

UNLIMITED = 1 << 30


def written_lengths(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[Finding]]:
    """Return the tokens that each source needs within `data.max_length`, and what is to be said of targets.

    Args:
        task: Suited to its model; a decoder keeps room for the target beside the source.
        examples: Of one split.
        tokenizer: Of the model.
    """
    from fathom.tasks.writing import OpenWriting

    opened = task.open(examples, tokenizer, UNLIMITED)
    assert isinstance(opened, OpenWriting)
    features = opened.encode(examples)
    lengths = [int(item["source_length"]) + opened.reserved for item in features]
    cut = [example for example, item in zip(examples, features, strict=True) if item["target_truncated"]]
    if not cut:
        return lengths, []
    split = str(cut[0]["where"]).rpartition(":")[0]
    said = (
        f"{len(cut)} of {len(examples)} targets in {split} have more than {opened.part.max_target_length} tokens and "
        "are cut"
    )
    shown = tuple(f"{example['where']}: {example['references'][0][:60]!r}" for example in cut[:SHOWN])
    return lengths, [Finding("target-truncation", "warning", said, len(cut), shown, "raise task.max_target_length")]
