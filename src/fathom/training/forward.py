"""One forward pass, the same for training and scoring: place the batch, lay it out, run the model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor, nn

from fathom.data.batch import model_inputs, segment_positions, split_segments
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL
from fathom.data.hidden import CachedSequences
from fathom.data.sampler import Indices
from fathom.data.sequences import Sequences
from fathom.model.families import position_offset
from fathom.model.offload import kept_on_host
from fathom.model.packing import PackedModel
from fathom.model.virtual_tokens import num_virtual_tokens
from fathom.model.vocabulary import VocabularyHead, vocabulary_states
from fathom.tasks.base import Batch, LossSum, OpenTask

HIDDEN = "hidden"
"""Key in a batch: what enters the lowest computed block, `[tokens, D]`, the tokens of the rows one after another."""


def make_batch(task: OpenTask, store: Sequences, rows: Indices, draw: Draw) -> Batch:
    """Put sequences of a store into one batch, with their hidden states where the store has them."""
    batch = task.make_batch([store[int(row)] for row in rows], draw)
    if isinstance(store, CachedSequences):
        batch[HIDDEN] = store.states(rows)
    return batch


@dataclass(frozen=True)
class Runner:
    """A model, how its blocks run, and its vocabulary head where the task has one.

    Attributes:
        model: The model, wrapped by PEFT or not.
        packed: How its blocks run.
        task: Whose loss it is.
        vocabulary: For tasks over the vocabulary.
        offload: Whether what the model keeps for the backward pass goes to the processor's memory.
    """

    model: nn.Module
    packed: PackedModel
    task: OpenTask
    vocabulary: VocabularyHead | None = None
    offload: bool = False

    def place(self, batch: Batch) -> Batch:
        """Bring a batch to the model's device in the form its blocks take."""
        if "segment" in batch:
            if self.packed.packed and not num_virtual_tokens(self.model):
                offset = position_offset(self.packed.model.config)
                batch = {**batch, "position_ids": segment_positions(batch["segment"]) + offset}
            else:
                batch = split_segments(batch, self.task.tokenizer.pad_token_id or 0)
        device = self.packed.model.device
        return {name: value.to(device) for name, value in batch.items()}

    def run(self, batch: Batch) -> Any:
        """Run the model on a placed batch; returns transformers' output."""
        if HIDDEN in batch:
            self.packed.prepare(batch["attention_mask"], batch.get("segment"), batch[HIDDEN])
        else:
            self.packed.prepare_batch(batch)
        inputs: dict[str, Any] = dict(model_inputs(batch))
        if _caches(self.packed.model.__class__):  # the keys and values of a text that nothing follows
            inputs["use_cache"] = False
        if self.packed.model.config.is_encoder_decoder and "labels" in batch and "decoder_input_ids" not in batch:
            said = batch["labels"]
            self.packed.prepare_target(said != IGNORED_LABEL)
            inputs["decoder_input_ids"] = self.packed.model.prepare_decoder_input_ids_from_labels(labels=said)
        keeping: AbstractContextManager[Any, None] = kept_on_host() if self.offload else nullcontext()
        with keeping:
            return self.model(**inputs)

    def loss(self, batch: Batch, normalizers: Normalizers) -> Losses:
        """Return the loss of a placed batch as its share of the whole batch's."""
        if self.vocabulary is None or self.task.reads_words:
            return Losses(self.task.loss(self.read(batch), batch).total / normalizers.main)
        with self.vocabulary.select(batch["labels"]) as labels_S:
            output = self.run(batch)
        hidden = vocabulary_states(output)
        loss = self.vocabulary.loss(hidden, labels_S, 1.0 / normalizers.main, self.task.label_smoothing)
        side = self.task.side_loss(output, batch)
        if side is None:
            return Losses(loss)
        share = side.total / normalizers.side
        return Losses(loss + share, share.detach())

    def read(self, batch: Batch) -> Tensor:
        """Return what the task's `loss` and `raw_predictions` are given of a placed batch.

        What the task reads of the output; of a task that keeps logits those of its labelled positions, `[S, V]`; of one
        that reads words how likely they are, `[K]`.
        """
        if not self.task.keeps_logits:
            return self.task.logits(self.run(batch), batch)
        assert self.vocabulary is not None
        with self.vocabulary.select(batch["labels"]) as labels_S:
            hidden = vocabulary_states(self.run(batch))
        if self.task.reads_words:
            return self.vocabulary.score_tokens(hidden, *self.task.asked(labels_S))
        return self.vocabulary.logits(hidden.flatten(0, 1))

    def judge(self, batch: Batch) -> Judgement:
        """Return how well a vocabulary task's labels in a placed batch are predicted."""
        assert self.vocabulary is not None
        with self.vocabulary.select(batch["labels"]) as labels_S:
            output = self.run(batch)
            losses_S, hits_S = self.vocabulary.judge(vocabulary_states(output), labels_S)
        return Judgement(losses_S.cpu(), hits_S.cpu(), self.task.side_loss(output, batch))


@cache
def _caches(family: type[nn.Module]) -> bool:
    """Whether a model keeps keys and values for the tokens to come unless it is told not to."""
    return "use_cache" in inspect.signature(family.forward).parameters


class Losses(NamedTuple):
    """What a step is made for."""

    total: Tensor
    """With its graph."""
    side: Tensor | None = None
    """The second objective's part of it; None where the task has none."""

    @property
    def side_value(self) -> float | None:
        """That part as a number."""
        return None if self.side is None else self.side.item()


@dataclass(frozen=True)
class Normalizers:
    """What the summed losses of a whole batch are divided by."""

    main: float
    side: float = 1.0

    @classmethod
    def of(cls, task: OpenTask, batches: Sequence[Batch]) -> Normalizers:
        """Add up those of a batch's parts; a batch with nothing to learn from has loss 0, not NaN."""
        main = sum(task.normalizer(batch) for batch in batches)
        side = sum(task.side_normalizer(batch) for batch in batches)
        return cls(main or 1.0, side or 1.0)


@dataclass(frozen=True)
class Judgement:
    """A vocabulary task's answers on a batch.

    Attributes:
        losses_S: Negative log-likelihood of each label, in the order of the padded batch.
        hits_S: Whether the label ranked first.
        side: The second objective's summed loss.
    """

    losses_S: Tensor
    hits_S: Tensor
    side: LossSum | None
