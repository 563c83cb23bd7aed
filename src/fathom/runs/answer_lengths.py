"""What a look at data says of compared answers: how long they are in a model's tokens, and which is which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fathom.data.example import Example, Features

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from fathom.tasks.base import OpenTask, Task

UNLIMITED = 1 << 30


def answer_lengths(part: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens of each example's prompt with the longer of its answers."""
    task = part.open(examples, tokenizer, UNLIMITED)
    longest = [0] * len(examples)
    for features in task.encode(examples):
        own = features["segment"] if "desirable" not in features else features["segment"][features["segment"] == 0]
        index = int(features["example"])
        longest[index] = max(longest[index], int(np.bincount(own).max()))
    return longest


def answer_titles(task: OpenTask, features: Features) -> tuple[str, ...]:
    """Return what the answers of a sequence are called; nothing where it holds none."""
    from fathom.tasks.preference import OpenPreference

    return task.answer_names(features) if isinstance(task, OpenPreference) else ()
