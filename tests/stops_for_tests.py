"""Runs that are stopped before a step, and what must be the same of two run folders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fathom.training.loop import Loop

KEPT = ("checkpoints/**/*", "model/*.safetensors", "metrics.jsonl", "examples.safetensors", "written-*.jsonl")
"""What of a run's folder the clock has no part in: weights, optimizer, random state, position, every logged number, the
scores of single examples and what was written for them."""


class Stopped(Exception):
    """Stands for a kill: nothing of the run is told."""


@contextmanager
def stopped_before(step: int) -> Iterator[None]:
    """Let the training in this block be killed before a step, counted from 0."""
    original = vars(Loop)["_step"]

    def stopping(loop: Loop, state: Any) -> Any:
        if state.step == step:
            raise Stopped
        return original(loop, state)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Loop, "_step", stopping)
        yield


@contextmanager
def steps_made() -> Iterator[list[int]]:
    """Note which steps the training in this block makes, counted from 0."""
    original, made = vars(Loop)["_step"], list[int]()

    def noting(loop: Loop, state: Any) -> Any:
        made.append(state.step)
        return original(loop, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_step", noting)
        yield made


def require_same_run(whole: Path, parts: Path) -> None:
    """Require of two run folders that everything kept is the same, byte for byte."""
    wanted, found = (
        {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for pattern in KEPT
            for path in folder.glob(pattern)
            if path.is_file()
        }
        for folder in (whole, parts)
    )
    assert wanted.keys() == found.keys()
    assert any(name.endswith("optimizer.safetensors") for name in wanted)
    assert [name for name, content in wanted.items() if content != found[name]] == []
