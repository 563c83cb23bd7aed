"""Scoring a model on encoded data: streaming, sorted by length within a window, bounded in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from fathom import catalog
from fathom.data.draw import EVALUATION, Draw
from fathom.data.example import Example
from fathom.data.sampler import Indices
from fathom.data.sequences import Sequences
from fathom.device import keep_within, release_free_memory
from fathom.evaluation.base import Accumulator
from fathom.model.packing import PackedModel
from fathom.model.vocabulary import VocabularyHead
from fathom.runs.writing import writing_scores
from fathom.tasks.base import Batch, LossSum, OpenTask
from fathom.tasks.language_model import OpenOverVocabulary
from fathom.training.checkpoint import kept_rng
from fathom.training.forward import Runner, make_batch

WINDOW = 4096
"""Sequences whose small prediction records are held at once."""
MOST_POSITIONS = 4096
"""Padded positions of a forward pass, at most, however many sequences are asked for: a language model's windows are
long, and evaluating them must not take more memory than training."""


@dataclass(frozen=True)
class Scorer:
    """A model in evaluation mode, ready to be scored.

    Attributes:
        model: In evaluation mode.
        packed: How its blocks run.
        task: Decodes, and names the metrics.
        batch_size: Sequences per forward pass.
        vocabulary: The model's vocabulary head, for tasks over the vocabulary.
        seed: Of what is masked: the same at every evaluation and in every run, so that runs can be compared.
        generated: Examples that are answered by generation, where the task writes; None for all.
        memory_bytes: What the process should take at most; above it, what the allocator keeps of freed memory is given
            back between passes. None where nothing is forecast.
    """

    model: nn.Module
    packed: PackedModel
    task: OpenTask
    batch_size: int
    vocabulary: VocabularyHead | None = None
    seed: int = 0
    generated: int | None = 0
    memory_bytes: int | None = None

    @property
    def runner(self) -> Runner:
        """How a batch is run."""
        return Runner(self.model, self.packed, self.task, self.vocabulary)


@dataclass
class LossMeter:
    """A mean loss over batches of any size."""

    total: float = 0.0
    normalizer: float = 0.0
    side_total: float = 0.0
    side_hits: float = 0.0
    side_normalizer: float = 0.0

    @property
    def mean(self) -> float:
        """The loss as one large batch would have it."""
        return self.total / self.normalizer if self.normalizer else float("nan")

    def add_side(self, side: LossSum, normalizer: float) -> None:
        """Add the second objective's part of a batch."""
        self.side_total += side.total.item()
        self.side_hits += 0.0 if side.hits is None else side.hits.item()
        self.side_normalizer += normalizer

    def side_scores(self) -> dict[str, float]:
        """Return the scores of the second objective; empty where there is none."""
        if not self.side_normalizer:
            return {}
        counts = {"sentence_loss": self.side_total, "sentence_accuracy": self.side_hits}
        return {name: count / self.side_normalizer for name, count in counts.items()}


@kept_rng()
def score(
    scorer: Scorer,
    split: tuple[Sequences, Sequence[Example]],
    counts: list[tuple[float, ...]] | None = None,
    written: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Score a model on a labelled split: encoded sequences, and the examples they came from.

    Args:
        scorer: The model.
        split: The sequences, and their examples.
        counts: Takes what each example adds to the sums behind the task's main score, where it has such.
        written: Takes what the model wrote, where its task is to write.

    Returns:
        `loss` and every metric's scores; where the examples are from several sources, the same of each in `per_source`.
    """
    release_free_memory()  # training's freed blocks have other sizes: scoring would be put beside them
    accumulators = open_metrics(scorer.task)
    sources: dict[str, list[Accumulator]] = {}
    meter = LossMeter()
    main = next((item for item in accumulators if item.sums_to == scorer.task.main_metric), None)
    for example, prediction in predict_split(scorer, split, meter):
        pair = scorer.task.score_pair(example, prediction)
        if counts is not None and main is not None:
            added = main.counts(*pair)
            counts += [] if added is None else [added]
        counted = list(accumulators)
        if "source" in example:
            counted += sources.setdefault(example["source"], open_metrics(scorer.task))
        for accumulator in counted:
            accumulator.update(*pair)
    if counts is not None and main is not None:
        counts += main.final_counts()
    # a loss that compares the sequences of a training batch with each other is none of a split's
    loss = {} if scorer.task.whole_batch or not meter.normalizer else {"loss": meter.mean}
    scores: dict[str, Any] = {**loss, **_computed(accumulators), **meter.side_scores()}
    if len(sources) > 1:
        scores["per_source"] = {source: _computed(found) for source, found in sources.items()}
    if scorer.task.writing_metrics and scorer.generated != 0:
        kept = ([] if counts is None else counts, [] if written is None else written)
        scores |= writing_scores(scorer, split[1], scorer.generated, kept)
    return scores


def _computed(accumulators: Sequence[Accumulator]) -> dict[str, Any]:
    return {name: value for accumulator in accumulators for name, value in accumulator.compute().items()}


def open_metrics(task: OpenTask) -> list[Accumulator]:
    """Open the metrics a task names."""
    return [catalog.load("metric", name)().open(task.labels) for name in task.metrics]


def predict_split(
    scorer: Scorer, split: tuple[Sequences, Sequence[Example]], meter: LossMeter | None = None
) -> Iterator[tuple[Example, dict[str, Any]]]:
    """Yield every example with its prediction, in order; `meter` collects the loss of labelled sequences."""
    store, examples = split
    owner = store.owners
    begin = 0
    while begin < len(store):
        end = _end_of_window(owner, begin)
        records = _records(scorer, store, np.arange(begin, end), meter)
        first = begin
        while first < end:
            last = first
            while last < end and owner[last] == owner[first]:
                last += 1
            example = examples[int(owner[first])]
            features = [store[row] for row in range(first, last)]
            yield example, scorer.task.decode(example, features, records[first - begin : last - begin])
            first = last
        begin = end


def _end_of_window(owner: np.ndarray[Any, Any], begin: int) -> int:
    """End of a window of whole examples."""
    end = min(begin + WINDOW, len(owner))
    while end < len(owner) and owner[end] == owner[end - 1]:
        end += 1
    return end


def _records(scorer: Scorer, store: Sequences, window: np.ndarray[Any, Any], meter: LossMeter | None) -> list[Any]:
    order = window[np.argsort(-store.lengths[window], kind="stable")]
    task, runner = scorer.task, scorer.runner
    records: list[Any] = [None] * len(window)
    labelled = task.vocabulary or bool({"labels", "label"} & store[0].keys())
    with torch.inference_mode():
        for chosen in scoring_passes(order, store.lengths + task.source_positions, scorer.batch_size):
            draw = Draw(scorer.seed, EVALUATION, chosen)
            placed = runner.place(make_batch(task, store, chosen, draw))
            found, loss, side = _judge(runner, placed)
            keep_within(scorer.memory_bytes)
            for row, record in zip(chosen, found, strict=True):
                records[int(row - window[0])] = record
            if labelled and meter is not None:
                meter.total += loss()
                meter.normalizer += task.normalizer(placed)
            if side is not None and meter is not None:
                meter.add_side(side, task.side_normalizer(placed))
    return records


def scoring_passes(order: Indices, lengths: np.ndarray[Any, Any], batch_size: int) -> Iterator[Indices]:
    """Cut sequences, longest first, into passes that hold no more memory than training does."""
    start = 0
    while start < len(order):
        size = max(1, min(batch_size, MOST_POSITIONS // max(int(lengths[order[start]]), 1)))
        yield order[start : start + size]
        start += size


def _judge(runner: Runner, placed: Batch) -> tuple[list[Any], Callable[[], float], LossSum | None]:
    """Return the records of a batch's sequences, its summed loss when it is asked for, and the second objective's."""
    task = runner.task
    if runner.vocabulary is None or task.keeps_logits:
        logits = runner.read(placed)

        def loss() -> float:
            return task.loss(logits, placed).total.item()

        return task.raw_predictions(logits, placed), loss, None
    assert isinstance(task, OpenOverVocabulary)
    judged = runner.judge(placed)
    return task.records(judged.losses_S, judged.hits_S, placed), judged.losses_S.double().sum().item, judged.side
