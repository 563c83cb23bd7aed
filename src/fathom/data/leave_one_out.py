"""Splitting sequences by time: what each user chose last is asked, what came before is learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.data.example import Example
from fathom.data.findings import SHOWN, Finding

LEAST = 3
"""Items a sequence must have: one to learn from, one for validation, one for test."""


def leave_one_out(examples: Sequence[Example], *, test: bool) -> dict[str, list[Example]]:
    """Return the splits of sequences; the last item of a validation or test sequence is the one that is asked.

    A short sequence is learnt from as it is.

    Args:
        examples: Whole sequences.
        test: Whether the last item of each is kept for a test split.
    """
    parts: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for example in examples:
        items = example["items"]
        if len(items) < LEAST:
            parts["train"].append(example)
            continue
        end = len(items) - int(test)
        parts["train"].append(beginning(example, end - 1))
        parts["validation"].append(beginning(example, end))
        if test:
            parts["test"].append(example)
    return parts


def beginning(example: Example, size: int) -> Example:
    """Return the first items of a sequence."""
    items = example["items"][:size]
    return {**example, "items": items, "text": " ".join(items)}


def check_sequences(parts: Mapping[str, Sequence[Example]]) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Return facts of the splits and what is to be known of them: short sequences, items that training never sees.

    Args:
        parts: Whole sequences by split, as they were read; splits by time are made of `train` where it is alone.
    """
    made: dict[str, Sequence[Example]] = dict(parts)
    if set(parts) == {"train"}:
        made = {split: examples for split, examples in leave_one_out(parts["train"], test=True).items() if examples}
    known = {item for example in made.get("train", ()) for item in example["items"]}
    facts: dict[str, dict[str, Any]] = {}
    findings: list[Finding] = []
    for split, examples in made.items():
        lengths = sorted(len(example["text"]) for example in examples)
        facts[split] = {
            "num_examples": len(examples),
            "labels": {},
            "median_characters": lengths[len(lengths) // 2],
            "longest_characters": lengths[-1],
        }
        if split == "train":
            short = [example for example in examples if len(example["items"]) < 2]
            said = f"{len(short):,} of {len(examples):,} training sequences hold one item, from which nothing is learnt"
            if short:
                findings.append(Finding("short-sequence", "note", said, len(short), _places(short)))
            continue
        cold = [example for example in examples if example["items"][-1] not in known]
        if cold:
            said = f"{len(cold):,} of {len(examples):,} items that {split} asks for are cold: training never sees them"
            mend = "they count as not found; the score 'cold' tells their share"
            findings.append(Finding("cold-item", "warning", said, len(cold), _places(cold), mend))
    return facts, findings


def _places(examples: Sequence[Example]) -> tuple[str, ...]:
    return tuple(f"{example['where']}: {example['items'][-1]}" for example in examples[:SHOWN])
