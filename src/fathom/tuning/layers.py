"""Chosen blocks or parts of them learn."""

from __future__ import annotations

import fnmatch
import re
from typing import Literal

from pydantic import field_validator
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy, Stack
from fathom.tuning.base import Tuning
from fathom.tuning.select import mark_trainable, under

RANGE = re.compile(r"\s*(-?\d+)\s*(?:-|\.\.)\s*(-?\d+)\s*")


class Layers(Tuning):
    """Train any set of blocks, chosen by number, range or pattern, and the head.

    In a model with two stacks, a number or range means the blocks of each stack; a pattern sees full parameter names.
    """

    kind: Literal["layers"] = "layers"
    layers: tuple[int | str, ...]
    """What learns: numbers counted from the input (0) or from the top (-1), ranges with both ends ("2-5"), or patterns
    over parameter names ("*attention*", "*.layer.3.output.*")."""
    embeddings: Literal["frozen", "trained"] = "frozen"
    """Whether the embeddings learn too; trained ones need a backward pass through every block."""

    @field_validator("layers", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str | int) else value

    @field_validator("layers")
    @classmethod
    def _some_layers(cls, value: tuple[int | str, ...]) -> tuple[int | str, ...]:
        if not value:
            raise ValueError("name at least one layer")
        return tuple(int(item) if isinstance(item, str) and re.fullmatch(r"\s*-?\d+\s*", item) else item
                     for item in value)  # fmt: skip

    @property
    def default_learning_rate(self) -> float:
        """That of `top-layers`, which is a case of it."""
        return 5e-4

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Freeze what is not chosen.

        Raises:
            ModelError: A block of that number does not exist, a range runs backwards, or a pattern matches nothing.
        """
        chosen: set[str] = set()
        names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        for item in self.layers:
            matched = self._matched(item, anatomy, names)
            if not matched:
                raise ModelError(
                    f"no parameter of {type(model).__name__} matches '{item}'",
                    where="tuning.layers",
                    mend=f"names look like '{names[len(names) // 2]}'",
                )
            chosen |= matched
        beside = [*anatomy.head, *anatomy.final, *(anatomy.embeddings if self.embeddings == "trained" else ())]
        mark_trainable(model, lambda name: name in chosen or under(name, beside))
        return model

    @staticmethod
    def _matched(item: int | str, anatomy: Anatomy, names: list[str]) -> set[str]:
        ends = (item, item) if isinstance(item, int) else _ends(item)
        if ends is None:
            return {name for name in names if fnmatch.fnmatchcase(name, str(item))}
        paths = []
        for stack in anatomy.stacks:
            first, last = (_index(end, stack) for end in ends)
            if first > last:
                raise ModelError(f"the range '{item}' runs backwards", where="tuning.layers", mend="smaller end first")
            paths += [block.path for block in stack.blocks[first : last + 1]]
        return {name for name in names if under(name, paths)}


def _ends(item: str) -> tuple[int, int] | None:
    found = RANGE.fullmatch(item)
    return (int(found[1]), int(found[2])) if found else None


def _index(number: int, stack: Stack) -> int:
    count = len(stack.blocks)
    if not -count <= number < count:
        raise ModelError(
            f"there is no layer {number}: the {stack.name} has {count} blocks",
            where="tuning.layers",
            mend=f"choose 0 to {count - 1}, or -1 to -{count} counted from the top",
        )
    return number % count
