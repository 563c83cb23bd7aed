"""Forecast of what a run leaves on disk: checkpoints, the best weights, the model folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from fathom.data.hidden import CachedSequences
from fathom.log import format_bytes
from fathom.model.ledger import Ledger
from fathom.model.save import FLOAT_BYTES, saved_bytes
from fathom.recipe import Recipe
from fathom.runs.prepare import PreparedModel
from fathom.runs.prepared import PreparedData
from fathom.training.loop import Plan
from fathom.training.settings import Training


@dataclass(frozen=True)
class Disk:
    """Bytes by kind; logs and records are small beside them."""

    checkpoints: int
    """Those that stay: trained weights and what the optimizer keeps."""
    best: int
    """Weights of the best evaluation."""
    model: int
    """The model folder: all weights, or what an adapter saves, and the tokenizer."""
    writing: int
    """A checkpoint more while one is written: the older is removed only after the newer is whole."""
    cache: int = 0
    """Outputs of frozen blocks, in the cache folder, where later runs find them; no part of the run's folder."""

    @property
    def total(self) -> int:
        """What is in the run's folder in the end."""
        return self.checkpoints + self.best + self.model

    def to_text(self) -> str:
        """Return a line for people."""
        cached = f"; {format_bytes(self.cache)} in the cache, of frozen blocks" if self.cache else ""
        return (
            f"disk forecast: {format_bytes(self.total)}, of these {format_bytes(self.model)} for the model; "
            f"{format_bytes(self.writing)} more while a checkpoint is written{cached}"
        )

    def to_json(self) -> dict[str, int]:
        """Return bytes by kind, with their total."""
        return {**asdict(self), "total": self.total}


def forecast_disk(recipe: Recipe, data: PreparedData, prepared: PreparedModel, ledger: Ledger) -> Disk:
    """Count what a run will write.

    Args:
        recipe: Resolved.
        data: Encoded, as the loop reads them: says whether there are evaluations, and what is read from the cache.
        prepared: The model, ready.
        ledger: Of the run; says what the optimizer keeps.
    """
    settings = recipe.training
    trained = sum(FLOAT_BYTES * slot.parameter.numel() for slot in prepared.work.parameters.slots.values())
    checkpoint = trained + ledger.memory.optimizer
    evaluates = data.split("validation") is not None
    plan = Plan.of(settings, prepared.work.num_sequences)
    kept = min(settings.save_total_limit, num_saves(settings, plan, evaluates=evaluates))
    tokenizer: Any = data.tokenizer
    # a processor of images or sounds is a few hundred bytes
    reads_words = isinstance(tokenizer, PreTrainedTokenizerBase)
    words = len(tokenizer.backend_tokenizer.to_str().encode()) if reads_words else 0
    cached = [store.hidden for store in data.stores.values() if isinstance(store, CachedSequences)]
    return Disk(
        checkpoints=kept * checkpoint,
        best=trained if evaluates and settings.load_best_model_at_end else 0,
        model=saved_bytes(prepared.model) + words,
        writing=checkpoint,
        cache=sum(states.nbytes for states in cached),
    )


def num_saves(settings: Training, plan: Plan, *, evaluates: bool) -> int:
    """Return how often a run that is not stopped early writes a checkpoint; the last step always does."""
    every = settings.save_steps
    if every is None:
        if not evaluates:
            return 1
        every = plan.steps_per_evaluation
    return -(-plan.total_steps // every)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
