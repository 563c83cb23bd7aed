"""The texts of embedding examples: which belong together, which are the same, which were there before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fathom.data.example import Example
from fathom.data.split import normalize_text

Kind = Literal["pairs", "labelled", "scored", "texts"]
"""What an example says: a text and its partner, a text and its label, two texts and how near they are, a text."""


def kind_of(example: Example) -> Kind:
    """Return what an example says."""
    if "text_pair" in example:
        return "scored" if "score" in example else "pairs"
    return "labelled" if "label" in example else "texts"


TRAINING_ONLY, BROUGHT_BEFORE = 2, 1
"""Why a text's vector is not needed: it stands there to be learnt from, or an earlier example of the split has it."""


class PairSet:
    """The texts of a split by number.

    The members of an example are its anchor, its positive and its negatives. A labelled text has another text of its
    label as its positive, each in turn, so that every text is the positive of one other; a text alone has itself.

    Args:
        examples: Of the split.
        max_negatives: Negatives of an example that are used; None for all.
    """

    def __init__(self, examples: Sequence[Example], max_negatives: int | None) -> None:
        self._numbers: dict[str, int] = {}
        self._identities: dict[str, int] = {}
        self._labels: dict[str, int] = {}
        self._documents: set[int] = set()
        self.members: list[list[int]] = []
        """Numbers of the texts of each example."""
        self.identities: list[list[int]] = []
        """For each of them a number that texts share which differ in case and white space only."""
        self.needless: list[list[int]] = []
        """For each of them why its vector is not needed, 0 where it is."""
        self.groups: list[int] = []
        """Number of each example's label; -1 without one."""
        partners = _partners(examples)
        for index, example in enumerate(examples):
            kind = kind_of(example)
            texts = [example["text"]]
            if kind in ("pairs", "scored"):
                texts += [example["text_pair"], *negatives_of(example, max_negatives)]
            elif kind == "texts":
                texts.append(example["text"])
            elif index in partners:
                texts.append(examples[partners[index]]["text"])
            self._add(texts, kind, example.get("label"))
        self._width = max(map(len, self.members), default=1)

    @property
    def distinct(self) -> list[str]:
        """A text by its number."""
        return list(self._numbers)

    def padded(self, values: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return values of one example, filled with -1 to the length of the longest example's."""
        return np.array([*values, *[-1] * (self._width - len(values))], dtype=np.int64)

    def _add(self, texts: Sequence[str], kind: Kind, label: object) -> None:
        numbers = [self._numbers.setdefault(text, len(self._numbers)) for text in texts]
        self.members.append(numbers)
        keys = map(normalize_text, texts)
        self.identities.append([self._identities.setdefault(key, len(self._identities)) for key in keys])
        needless = [0] * len(texts)
        for place in range(1, len(texts)):
            if kind in ("labelled", "texts"):
                needless[place] = TRAINING_ONLY
            elif kind == "pairs":
                needless[place] = BROUGHT_BEFORE if numbers[place] in self._documents else 0
                self._documents.add(numbers[place])
        self.needless.append(needless)
        self.groups.append(-1 if label is None else self._labels.setdefault(str(label), len(self._labels)))


def negatives_of(example: Example, most: int | None) -> list[str]:
    """Return the negatives of an example that are used."""
    return list(example.get("negatives", ()))[:most]


def _partners(examples: Sequence[Example]) -> dict[int, int]:
    """Return for labelled texts the example that is the positive of each: the next of its label, in a mixed order."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        if kind_of(example) == "labelled":
            by_label[str(example["label"])].append(index)
    generator = np.random.default_rng(0)
    found: dict[int, int] = {}
    for members in by_label.values():
        if len(members) > 1:
            order = generator.permutation(members).tolist()
            found.update(zip(order, [*order[1:], order[0]], strict=True))
    return found
