"""Which trials of a search are asked for at once: LoRA trials that share a frozen base, to train in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from fathom.runs.study import Study, Taken


class TrialBatches:
    """Takes the trials of a study, as many at once as may train in one pass.

    The numbers of new trials in a batch lie between two multiples of its size, so that a search that was killed asks
    for the same trials, knowing the same scores, as one that was not.

    Args:
        study: Open.
        most: Trials of the study; see `Study.take`.
        size: Most trials of a batch.
        base_of: What a trial shares a pass with others over; None where it trains alone.
    """

    def __init__(self, study: Study, most: int, size: int, base_of: Callable[[Taken], str | None]) -> None:
        self.study = study
        self.most = most
        self.size = size
        self.base_of = base_of
        self._given: list[Taken] = []
        """The last batch."""
        self._ahead: list[Taken] = []
        """Taken, and not given yet."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()
        self._given, self._ahead = self._ahead, []
        self._release()

    def take(self) -> list[Taken]:
        """Release the last batch and return the next one; nothing where there are enough trials."""
        self._release()
        first = self._one(None)
        if first is None:
            return []
        self._given, base = [first], self.base_of(first) if self.size > 1 else None
        while base is not None and len(self._given) < self.size:
            other = self._one((first.live.number // self.size + 1) * self.size)
            if other is None:
                break
            if self.base_of(other) != base:
                self._ahead.append(other)
                break
            self._given.append(other)
        return list(self._given)

    def take_back(self, batch: Sequence[Taken]) -> None:
        """Take back the last batch, or what is left of it, to give its trials and all others one by one."""
        self.size = 1
        self._given = [taken for taken in self._given if taken not in batch]
        self._ahead = [*batch, *self._ahead]

    def _one(self, below: int | None) -> Taken | None:
        return self._ahead.pop(0) if self._ahead else self.study.take(self.most, below=below)

    def _release(self) -> None:
        for taken in self._given:
            self.study.release(taken)
        self._given = []
