"""What translation and summarization share: a source is read, a target is written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from transformers import PreTrainedTokenizerBase

from fathom.data.batch import collate
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.errors import ConfigError, ModelError
from fathom.model.families import most_positions
from fathom.tasks.base import Batch, OpenTask
from fathom.tasks.language_model import LanguageModel, OpenLanguageTask
from fathom.tasks.text_units import Units, guess_units

SOURCE = "{source}"
LEAST_ROOM = 2
"""Tokens of a source that must fit beside a prompt."""

Array = np.ndarray[Any, Any]


class WritingTask(LanguageModel):
    """A task that writes a target for a source, with an encoder-decoder, or with a decoder and a prompt."""

    form: ClassVar[Literal["text", "spans", "chat", "corpus", "writing"]] = "writing"
    decoder_prompt: ClassVar[str]
    """The prompt of decoders where the recipe gives none."""

    architecture: Literal["auto", "encoder-decoder", "decoder"] = "auto"
    """What the model is; auto asks the model itself."""
    prompt: str | None = None
    """What the model reads, with `{source}` where the source stands, e.g. `translate English to German: {source}` for
    T5. Left out, an encoder-decoder reads the bare source and a decoder the source with what asks for the target."""
    max_target_length: int = Field(128, ge=2)
    """Tokens of the longest target, special tokens included; longer ones are cut and counted, and no more are
    generated. Sources are cut at `data.max_length`; a decoder has both within it."""
    generated_examples: int = Field(200, ge=0)
    """How many validation examples, a seeded sample, are answered by generation at each evaluation; 0 for none: the
    loss alone then chooses the best model. The test split is answered in full."""
    num_beams: int | None = Field(None, ge=1)
    """Beams of generation, saved with the model; left out, what the model's own generation_config says, mostly 1."""
    length_penalty: float | None = None
    """Beam scores are divided by length to this power; above 0 favours longer text."""
    early_stopping: bool | Literal["never"] | None = None
    """Whether beam search ends when `num_beams` texts are complete."""
    no_repeat_ngram_size: int | None = Field(None, ge=0)
    """No run of so many tokens occurs twice in a generated text."""
    units: Literal["auto"] | Units = "auto"
    """What metrics compare: `english` (words; stemmed in ROUGE), `words` (of any letters), `chinese` (characters;
    sacreBLEU's zh), `characters`; auto looks at the targets."""

    @model_validator(mode="after")
    def _can_be_honoured(self) -> Self:
        if self.prompt is not None and self.prompt.count(SOURCE) != 1:
            raise ValueError(f"the prompt {self.prompt!r} must say once where the source stands: write {SOURCE}")
        idle = [key for key in ("length_penalty", "early_stopping") if self.__dict__[key] is not None]
        if idle and (self.num_beams or 1) == 1:
            raise ValueError(f"{' and '.join(idle)} is for beam search: write num_beams of 2 or more beside it")
        return self

    @property
    def auto_class(self) -> str:  # type: ignore[override]
        """The head: one for each kind of model."""
        return "AutoModelForCausalLM" if self.architecture == "decoder" else "AutoModelForSeq2SeqLM"

    @property
    def generation(self) -> dict[str, Any]:
        """Settings of generation that are saved with the model."""
        keys = ("num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size")
        given = {key: self.__dict__[key] for key in keys if self.__dict__[key] is not None}
        return {"max_new_tokens": self.max_target_length, **given}

    @property
    @abstractmethod
    def writing_metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics of generated texts."""

    @property
    @abstractmethod
    def writing_score(self) -> str:
        """The score of generated texts that chooses the best model."""

    def suited(self, config: Any) -> Self:
        """Return the task for a model's config; see `Task.suited`.

        Raises:
            ConfigError: The recipe says the model is another kind, or targets have more tokens than its positions.
        """
        found = "encoder-decoder" if config.is_encoder_decoder else "decoder"
        if self.architecture not in ("auto", found):
            raise ConfigError(
                f"the recipe says the model is of the kind '{self.architecture}', and {config.model_type} is of the "
                f"kind '{found}'",
                where="task.architecture",
                mend="leave it out",
            )
        positions = most_positions(config)
        if positions is not None and self.max_target_length > positions:
            raise ConfigError(
                f"the model has {positions} positions", where="task.max_target_length", mend=f"write {positions}"
            )
        return self.model_copy(update={"architecture": found})

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenTask:
        """Return the live task; what metrics compare is told from the targets."""
        units = self.units
        if units == "auto":
            units = guess_units(example["references"][0] for example in examples if "references" in example)
        part = self.model_copy(update={"units": units})
        return part.reopen({"options": part.model_dump(), "max_length": max_length}, tokenizer)

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenTask:
        """Return the live task of a saved model; see `Task.reopen`."""
        part = type(self).model_validate(state["options"])
        kind = OpenPrompted if part.architecture == "decoder" else OpenWriting
        return kind(part, tokenizer, int(state["max_length"]))


class OpenWriting(OpenLanguageTask):
    """A pair task with its tokenizer, for an encoder-decoder.

    A feature holds source and target one after the other, so that its length is what the model works on; `labels` are
    the target's tokens.
    """

    joins_documents: ClassVar[bool] = False
    part: WritingTask

    def __init__(self, part: WritingTask, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        super().__init__(part, tokenizer, max_length)
        self.writing_metrics = {name: {"units": part.units} for name in part.writing_metrics}
        self.generated_examples = part.generated_examples
        self.generation = part.generation
        self.template = part.prompt or self.usual_prompt
        self.before, self.after = self.source_frame()
        self.target_before, self.target_after = self.target_frame()
        self.prompt_end = self._plain([self.template.partition(SOURCE)[2]])[0]
        self.room = max_length - len(self.before) - len(self.after) - len(self.prompt_end) - self.reserved
        used = len(self._plain([self.template.partition(SOURCE)[0]])[0])
        if self.room < used + LEAST_ROOM:
            raise ConfigError(
                f"max_length {max_length} leaves no room for a source beside the prompt"
                + (f" and {self.reserved} tokens of the target" if self.reserved else ""),
                where="data.max_length",
                mend=f"raise it by at least {used + LEAST_ROOM - self.room}"
                + (", or lower task.max_target_length" if self.reserved else ""),
            )

    @property
    def usual_prompt(self) -> str:
        """What is read where the recipe says nothing."""
        return SOURCE

    @property
    def reserved(self) -> int:
        """Tokens of `max_length` that are kept for the target."""
        return 0

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return self.part.writing_score if self.part.generated_examples else "loss"

    def source_frame(self) -> tuple[list[int], list[int]]:
        """Return the tokens before and after what is read."""
        return _frame(self.tokenizer, text="a")

    def target_frame(self) -> tuple[list[int], list[int]]:
        """Return the tokens before and after a target."""
        return _frame(self.tokenizer, text_target="a")

    def read(self, texts: Sequence[str]) -> list[tuple[list[int], bool]]:
        """Return what the model reads of each source, and whether it was cut."""
        begin = self.template.partition(SOURCE)[0]
        found = []
        for ids in self._plain([begin + text for text in texts]):
            kept = [*self.before, *ids[: self.room], *self.prompt_end, *self.after]
            found.append((kept, len(ids) > self.room))
        return found

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode pairs, one feature each; of several references the first is the target."""
        sources = self.read([example["text"] for example in examples])
        texts = [example.get("references", [""])[0] for example in examples]
        targets = self.tokenizer(text_target=texts, add_special_tokens=False, verbose=False)["input_ids"]
        most = self.part.max_target_length - len(self.target_before) - len(self.target_after)
        features: list[Features] = []
        for index, (example, (source, cut), said) in enumerate(zip(examples, sources, targets, strict=True)):
            labelled = "references" in example
            target = [*self.target_before, *said[:most], *self.target_after] if labelled else []
            ids = np.array([*source, *target], dtype=np.int32)
            labels = np.full(len(ids), IGNORED_LABEL, dtype=np.int32)
            labels[len(source) :] = ids[len(source) :]
            scalars = (len(source), cut, labelled and len(said) > most, first_index + index)
            names = ("source_length", "truncated", "target_truncated", "example")
            numbers: dict[str, Any] = {name: np.int64(value) for name, value in zip(names, scalars, strict=True)}
            features.append({"input_ids": ids, "labels": labels, **numbers})
        return features

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        kept = ("architecture", "max_target_length")
        options = {key: self.part.__dict__[key] for key in kept}
        return {**super().cache_key(), **options, "template": self.template}

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Put sources `[B, L]` and targets `labels` `[B, M]` into a batch, each in a length of their own."""
        ends = [int(feature["source_length"]) for feature in features]
        batch = collate(
            [{"input_ids": f["input_ids"][:end]} for f, end in zip(features, ends, strict=True)], self.padding
        )
        said = collate(
            [{"input_ids": f["input_ids"][end:]} for f, end in zip(features, ends, strict=True)], self.padding
        )
        batch["labels"] = torch.where(said["attention_mask"].bool(), said["input_ids"], IGNORED_LABEL)
        return batch

    def corrupt(self, batch: Batch, draw: Draw) -> Batch:
        """Nothing is drawn."""
        return batch

    def written_reference(self, example: Example) -> dict[str, Any] | None:
        """Return the source and the references; see `OpenTask.written_reference`."""
        if "references" not in example:
            return None
        return {"source": example["text"], "references": example["references"]}

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return found


class OpenPrompted(OpenWriting):
    """A pair task for a decoder: the target follows a prompt, and alone counts in the loss.

    Raises:
        ModelError: The tokenizer has no token that ends a text.
    """

    causal: ClassVar[bool] = True

    @property
    def usual_prompt(self) -> str:
        """What is read where the recipe says nothing."""
        return self.part.decoder_prompt

    @property
    def reserved(self) -> int:
        """Tokens of `max_length` that are kept for the target."""
        return self.part.max_target_length

    def source_frame(self) -> tuple[list[int], list[int]]:
        """Return what the tokenizer puts before a text; nothing after it, for a prompt is not over."""
        return _frame(self.tokenizer, text="a")[0], []

    def target_frame(self) -> tuple[list[int], list[int]]:
        """Nothing before a target, the end of a text after it."""
        end = self.tokenizer.eos_token_id if self.tokenizer.eos_token_id is not None else self.tokenizer.sep_token_id
        if end is None:
            raise ModelError("the tokenizer has no token that ends a text", where="model", mend="give it an eos_token")
        return [], [int(end)]

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Put prompts with their targets into a batch, every label where it is predicted."""
        kept = [{name: feature[name] for name in ("input_ids", "labels")} for feature in features]
        return OpenLanguageTask.make_batch(self, kept, draw)


def _frame(tokenizer: PreTrainedTokenizerBase, **given: str) -> tuple[list[int], list[int]]:
    """Return the special tokens a tokenizer puts before and after a text, or a `text_target`."""
    framed = tokenizer(**given)["input_ids"]
    plain = tokenizer(**given, add_special_tokens=False)["input_ids"]
    for start in range(len(framed) - len(plain) + 1):
        if framed[start : start + len(plain)] == plain:
            return framed[:start], framed[start + len(plain) :]
    mend = "choose a model with another tokenizer"
    raise ModelError("the tokenizer writes a text differently beside its special tokens", where="model", mend=mend)
