"""Label sets: reading them from examples, looking labels up, weighing classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from fathom.config import suggest
from fathom.data.example import Example
from fathom.errors import ConfigError, DataError

ClassWeights = Literal["none", "balanced"] | dict[str, float]


def place(example: Example) -> str:
    """Return where an example is from, for messages."""
    return str(example.get("where") or "an example")


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Sort labels; whole numbers by value, so that '10' comes after '9'."""
    names = set(labels)
    if all(name.lstrip("-").isdecimal() and name.isascii() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def unknown_label(label: str, labels: Sequence[str], example: Example) -> DataError:
    """Build the error for a label the model has no class for."""
    shown = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
    return DataError(
        f"the label '{label}' does not occur in the training split{suggest(label, labels)}",
        where=place(example),
        mend=f"correct the label, or add training examples of it; known: {shown}",
    )


def weigh_classes(chosen: ClassWeights, labels: Sequence[str], counts: Mapping[str, int]) -> list[float] | None:
    """Return one weight per class, or None where every class weighs the same.

    `balanced` is scikit-learn's: examples / (classes * examples of the class).

    Raises:
        ConfigError: A weight for an unknown label, or not above zero.
    """
    if chosen == "none":
        return None
    if chosen == "balanced":
        total = sum(counts[label] for label in labels if label in counts)
        seen = [label for label in labels if counts.get(label, 0) > 0]
        return [total / (len(seen) * counts[label]) if counts.get(label, 0) > 0 else 1.0 for label in labels]
    for label, weight in chosen.items():
        if label not in labels:
            raise ConfigError(
                f"no class is called '{label}'{suggest(label, labels)}",
                where="task.class_weights",
                mend=f"known: {', '.join(labels)}",
            )
        if weight <= 0:
            mend = "give a weight above zero; to leave a class out, remove its examples"
            raise ConfigError(f"the weight of '{label}' is {weight:g}", where="task.class_weights", mend=mend)
    return [float(chosen.get(label, 1.0)) for label in labels]


def count_labels(labels: Iterable[str]) -> Counter[str]:
    """Count how often each label occurs."""
    return Counter(labels)


def id_maps(labels: Sequence[str]) -> dict[str, Any]:
    """Return the label entries of a Hugging Face config."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
