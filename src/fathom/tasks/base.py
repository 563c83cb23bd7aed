"""The contract of a task: what a model is asked to do."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import AliasChoices
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fathom.config import Part
from fathom.data.batch import collate
from fathom.data.conversation import Turn
from fathom.data.draw import Draw
from fathom.data.example import Example, Features
from fathom.data.readers.base import Form
from fathom.errors import ConfigError
from fathom.tokenization.encode import clean_backend
from fathom.tokenization.load import load_tokenizer

FEWEST_LABELS = 2
"""Of a classifier, before data say more."""

Batch = dict[str, Tensor]
"""Padded model inputs: `input_ids` and `attention_mask` [B, L], `token_type_ids` [B, L] where the tokenizer makes them,
and the labels: `labels` [B, L] int64 (per token, -100 where none) or `label` [B] / [B, classes]."""


@dataclass(frozen=True)
class LossSum:
    """A loss not yet divided: `total` is a scalar tensor to be divided by the whole batch's normalizer."""

    total: Tensor
    hits: Tensor | None = None
    """How many answers were right, a scalar, where the loss counts them."""


LABEL_SMOOTHING = AliasChoices("label_smoothing", "label_smoothing_factor")
"""Names of the key that spreads probability over the labels that are not the answer."""


class Task(Part, ABC):
    """A task as written in a recipe: options only. `open` returns the live task that knows the labels."""

    kind: str
    form: ClassVar[Form]
    """What its examples look like; see `data.example`."""
    auto_class: ClassVar[str]
    """Name of the transformers auto class whose head does this task, e.g. AutoModelForSequenceClassification. A task
    that several kinds of model do, or that has several objectives, says it in a property, once it is `suited`."""

    def suited(self, config: Any) -> Self:
        """Return the task as a model of this config does it; most tasks are done by one kind of model only."""
        return self

    @property
    def new_vocabulary(self) -> int | None:
        """Rows of the vocabulary that the task makes for a new model; None where its tokenizer or the data say it."""
        return None

    @property
    def labelled_share(self) -> float | None:
        """Share of a text's tokens that the head over a vocabulary is asked for; None where only the data say it."""
        return None

    def head_keys(self, num_labels: int | None = None) -> dict[str, Any]:
        """Return what a model's config says of the head, as far as it is known before there are data.

        Args:
            num_labels: Labels the data will have; left out, two.

        Raises:
            ConfigError: The head is the same whatever the labels are.
        """
        if num_labels is not None:
            raise ConfigError(
                f"the head of {self.kind} does not grow with a number of labels", where="labels", mend="leave it out"
            )
        return {}

    def fixed_keys(self, config: Any) -> dict[str, Any]:
        """Return config keys that the task sets whatever the data are.

        Args:
            config: The model's own.
        """
        return {}

    def make_tokenizer(self, examples: Sequence[Example]) -> PreTrainedTokenizerBase:
        """Return the tokenizer of a task whose tokens are no text but things of its training examples."""
        raise NotImplementedError

    @abstractmethod
    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenTask:
        """Read the label set from the training examples.

        Args:
            examples: The training split.
            tokenizer: Of the model that will be trained.
            max_length: Tokens of the longest sequence the model takes or the user wants.

        Raises:
            DataError: No labels, one class only, or labels of the wrong type; names the rows.
        """

    def load_tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """Load what makes features of this task's inputs, from a folder or hub name.

        A tokenizer, or for tasks that see or hear the processor in its place (see `tasks.media`).
        """
        return load_tokenizer(name)

    @abstractmethod
    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenTask:
        """Return the live task of a saved model from what `OpenTask.state()` gave."""


class OpenTask(ABC):
    """A task with its labels and tokenizer: features, head, loss, decoding, metrics."""

    part: Task
    """The options, suited to the model."""

    vocabulary: ClassVar[bool] = False
    """Whether the labels are words of the vocabulary. Such a task's loss is the cross-entropy of `model.vocabulary` at
    the labelled positions, and `loss` and `raw_predictions` are never asked; see `tasks.language_model`."""

    whole_batch: ClassVar[bool] = False
    """Whether the loss compares the sequences of a batch with each other, and so is no sum over parts of it. Where
    memory cuts a batch of such a task, what `logits` gives of all parts is put together, and `loss` is asked once, with
    what `join` makes of the parts; see `training.whole_batch`."""

    keeps_logits: ClassVar[bool] = False
    """Whether a vocabulary task judges the logits of its labelled positions, by `loss` and `raw_predictions`, when a
    split is scored, and answers by them; other ones know only how likely each label was."""

    reads_words: ClassVar[bool] = False
    """Whether a task that keeps logits reads of them only how likely certain tokens are: its `loss` and
    `raw_predictions` get the log probabilities `[K]` of the tokens that `asked` names, in training too."""

    tells_others: bool = False
    """Whether an answer says how likely the others were: `probabilities` of the labels, or `n_best` answers."""

    reads_two_texts: ClassVar[bool] = False
    """Whether an input is two texts: two that are given by themselves are then one input."""

    label_smoothing: float = 0.0
    """Of a vocabulary task's loss."""

    writing_metrics: Mapping[str, Mapping[str, Any]] = {}
    """Catalog names and options of the metrics that judge what the model writes; empty where it writes nothing."""

    generated_examples: int = 0
    """Validation examples that are answered by generation at each evaluation, where the model writes."""

    generation: Mapping[str, Any] = {}
    """Settings of generation that are saved with a model that writes."""

    source_positions: int = 0
    """Positions beside its `length` that every input takes in the model: Whisper's encoder runs on so many frames of
    each sound."""

    generation_config: Mapping[str, Any] = {}
    """What the `generation_config` of a model must say for transformers' own `generate` to do this task."""

    new_tokens: Mapping[int, Sequence[int]] = MappingProxyType({})
    """Tokens the task added to the tokenizer, each with the ids that stood in its place: rows the model has to get."""

    kind: str
    labels: tuple[str, ...]
    tokenizer: PreTrainedTokenizerBase
    max_length: int

    @property
    def auto_class(self) -> str:
        """Name of the transformers auto class whose head does this task; see `Task.auto_class`."""
        return self.part.auto_class

    @property
    @abstractmethod
    def config_overrides(self) -> dict[str, Any]:
        """What the model's config must say: num_labels, id2label, label2id, problem_type."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics that judge this task."""

    @property
    @abstractmethod
    def main_metric(self) -> str:
        """The key of the score that chooses the best model, e.g. 'accuracy', 'f1', 'pearson'."""

    @property
    def limit(self) -> str:
        """What is read of an input at most, in words."""
        return f"{self.max_length} tokens"

    def prepare(self, example: Example) -> Example:
        """Return what a user gave to predict on in the form `encode` takes.

        Raises:
            DataError: The task needs more than was given; says what.
        """
        return example

    @abstractmethod
    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode a run of examples; a long one may become several features (their `example` field says whose).

        Labels unknown to the model raise a `DataError` that names `where` and the nearest known label.
        """

    def check_input(self, example: Example) -> None:  # noqa: B027 (most tasks refuse nothing)
        """Refuse an example that cannot be answered; called of every line of a file before the first is answered."""

    def encode_inputs(self, examples: Sequence[Example]) -> list[Features]:
        """Encode examples that are only to be answered: nothing that a task adds to learn from."""
        return self.encode(examples)

    @abstractmethod
    def cache_key(self) -> dict[str, Any]:
        """Everything besides data and tokenizer that `encode` depends on, as JSON."""

    def tokenizer_digest(self) -> str:
        """Return the sha256 of what the tokenizer does; encoded data and resumed runs depend on it.

        As encoding leaves it: what a file says of truncation and padding is not used.
        """
        return hashlib.sha256(clean_backend(self.tokenizer).to_str().encode()).hexdigest()

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Put sequences into one padded batch; what is random in it (masking, noise) comes from `draw` alone."""
        return collate(features, self.tokenizer.pad_token_id or 0)

    @property
    def fixed_inputs(self) -> bool:
        """Whether a sequence gives the model the same tokens in every epoch: nothing in its batch is drawn."""
        return type(self).make_batch is OpenTask.make_batch

    def side_loss(self, output: Any, batch: Batch) -> LossSum | None:
        """The summed loss of a second objective beside a vocabulary task's own (next sentence); None without one."""
        return None

    def side_normalizer(self, batch: Batch) -> float:
        """What the summed side loss of a whole batch is divided by."""
        return 0.0

    def join(self, batches: Sequence[Batch]) -> Batch:
        """Return what `loss` and `normalizer` read of a batch that was cut into parts; of a `whole_batch` task."""
        raise NotImplementedError

    def asked(self, labels_S: Tensor) -> tuple[Tensor, Tensor]:
        """Return which tokens a task that `reads_words` asks for: of each its labelled position and its id, int64 [K].

        Args:
            labels_S: Of the labelled positions of a batch.
        """
        raise NotImplementedError

    def asked_to_write(self, example: Example) -> list[Example]:
        """Return what a model is asked to write for an example: itself, or one for each of its answers."""
        return [example]

    def written_prompt(self, example: Example) -> str | list[Turn] | None:
        """Return what is written for: a text, or the turns before an answer; None where they do not fit."""
        return str(example["text"])

    def written_reference(self, example: Example) -> dict[str, Any] | None:
        """Return what a text written for an example is judged by, as it is kept beside it; None where it has none."""
        return None

    def written_pair(self, written: str, reference: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return a written text and its reference in the form the `writing_metrics` take."""
        return written, reference

    def files(self, config: Any) -> dict[str, str]:
        """Return further text files of the saved folder by path, what other tools need to use the model.

        Args:
            config: Of the model.
        """
        return {}

    @abstractmethod
    def normalizer(self, batch: Batch) -> float:
        """What the summed loss of a whole batch is divided by (sequences, supervised tokens, or summed weights)."""

    def logits(self, output: Any, batch: Batch) -> Tensor:
        """Return what `loss` and `raw_predictions` are given of the model's output on a placed batch."""
        logits: Tensor = output.logits
        return logits

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """The summed loss of a (micro-)batch, in float32, with label smoothing and class weights applied."""

    @abstractmethod
    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """One small numpy record for each sequence of the batch, all `decode` needs; logits are not kept."""

    @abstractmethod
    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Join the records of one example's features into a JSON-ready prediction.

        Classification: `{"label", "score", "probabilities": {label: p}}`; multi-label: `{"labels": [...],
        "probabilities"}`; regression: `{"value"}`. Token classification: `{"entities": [{"start", "end", "label",
        "text", "score"}], "tags": [...]}` with offsets into the example's text. Relations: `{"text", "head", "tail",
        "label", "score", "probabilities"}`.
        """

    def answer(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return what a user gets who asks about an example: the prediction, or what was written for it."""
        return self.decode(example, features, raw)

    @abstractmethod
    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (prediction, reference) of one labelled example in the form its metrics take (see evaluation.base)."""

    def settle(self, scores: Mapping[str, Any]) -> bool:
        """Take over what the scores of the validation split decide at the end of a run, such as a threshold.

        Returns:
            Whether anything changed, so that the split has to be scored again.
        """
        return False

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """JSON that `Task.reopen` needs: options, labels, max_length, thresholds."""
