"""Answer in a conversation: the next token of the assistant's turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from transformers import PreTrainedTokenizerBase

from fathom.data.conversation import Turn, has_answer
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.errors import DataError
from fathom.log import get_console
from fathom.tasks.base import Batch, OpenTask
from fathom.tasks.language_model import LanguageModel, OpenLanguageTask
from fathom.tasks.text_units import Units, guess_units
from fathom.tokenization.chat import ChatTemplate, Encoded

OF_WRITTEN = ("max_target_length", "units")
"""Options that say how answers are written and judged."""


class Chat(LanguageModel):
    """Conversations: the assistant's turns are learned, the others are what it answers to.

    Source: Ouyang et al., "Training language models to follow instructions with human feedback", 2022 (its first step).
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus"]] = "chat"
    auto_class: ClassVar[str] = "AutoModelForCausalLM"

    kind: Literal["chat"] = "chat"
    """Catalog name."""
    train_on: Literal["assistant", "last", "all"] = "assistant"
    """Which tokens count in the loss: those of all assistant turns with their end-of-turn tokens, of the last one only,
    or every token of the conversation."""
    too_long: Literal["cut", "refuse"] = "cut"
    """What happens to a conversation longer than `max_length`: its first exchanges are left out (the system turn stays;
    an only exchange loses its end), or the data are refused."""
    generated_examples: int = Field(0, ge=0)
    """How many answers of the validation split, a seeded sample, are written by generation at each evaluation and
    compared with the data's; those of the test split then all are. 0, the default, judges by the loss alone."""
    max_target_length: int = Field(128, ge=2)
    """Tokens of an answer that is written so, at most, and never more than half of `data.max_length`; the turns before
    it have the rest. Saved as the model's own limit too: it answers as it was judged."""
    units: Literal["auto"] | Units = "auto"
    """What scores of written answers compare: `english` words, `words` of any letters, `chinese` (characters),
    `characters`; auto looks at the answers."""

    @model_validator(mode="after")
    def _can_be_honoured(self) -> Self:
        fields = type(self).model_fields
        idle = [name for name in OF_WRITTEN if self.__dict__[name] != fields[name].default]
        if idle and not self.generated_examples:
            raise ValueError(f"{' and '.join(idle)} is for written answers: write generated_examples beside it")
        return self

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenTask:
        """Return the live task; what scores of written answers compare is told from the answers."""
        if not self.generated_examples or self.units != "auto":
            return super().open(examples, tokenizer, max_length)
        said = (turn["content"] for example in examples for turn in example["messages"] if turn["role"] == "assistant")
        part = self.model_copy(update={"units": guess_units(said)})
        return part.reopen({"options": part.model_dump(), "max_length": max_length}, tokenizer)

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenChat:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenChat(type(self).model_validate(state["options"]), tokenizer, int(state["max_length"]))


class OpenChat(OpenLanguageTask):
    """Chat with its tokenizer and template; a tokenizer without a template is given one."""

    causal: ClassVar[bool] = True
    part: Chat

    def __init__(self, part: Chat, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        super().__init__(part, tokenizer, max_length)
        self.template = ChatTemplate(tokenizer)
        self.generated_examples = part.generated_examples
        if part.generated_examples:
            cut = {"units": part.units}
            self.writing_metrics = {"bleu": cut, "distinct": cut, "exact-answer": {}, "calls": {}}
            self.generation = {"max_new_tokens": min(part.max_target_length, max_length // 2)}

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode conversations, one feature each; `labels` are the tokens that count, -100 elsewhere.

        Turns after the last answer teach nothing and are left out.

        Raises:
            DataError: The template refuses a conversation, or one is too long and the policy is to refuse.
            ModelError: It cannot be told where the assistant speaks.
        """
        turns = [self._learned(example) for example in examples]
        places = [example.get("where") for example in examples]
        rendered = [self.template.render(own, where) for own, where in zip(turns, places, strict=True)]
        encoded = self.template.encode(rendered)
        features: list[Features] = []
        shortened = cut = 0
        for index, whole in enumerate(encoded):
            item = whole
            if len(whole.ids) > self.max_length:
                if self.part.too_long == "refuse":
                    raise DataError(
                        f"this conversation has {len(whole.ids):,} tokens, and max_length is {self.max_length:,}",
                        where=places[index],
                        mend="raise data.max_length, or let its first exchanges be left out: task.too_long=cut",
                    )
                kept = last_exchanges(self.template, turns[index], self.max_length, places[index])
                item = self.template.encode([self.template.render(kept, places[index])])[0]
                shortened += 1
                cut += len(item.ids) > self.max_length
            features.append(self._feature(item, first_index + index))
        if shortened:
            get_console().info(
                f"{shortened:,} of {len(examples):,} conversations are longer than {self.max_length:,} tokens: their "
                f"first exchanges are left out" + (f"; the last exchange of {cut:,} is cut at its end" if cut else "")
            )
        return features

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        return {
            **super().cache_key(),
            "train_on": self.part.train_on,
            "too_long": self.part.too_long,
            "template": self.template.source,
        }

    def corrupt(self, batch: Batch, draw: Draw) -> Batch:
        """The labels are in the features: nothing is drawn."""
        return batch

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, and what generation needs: the template's name and the token that ends a turn."""
        return {**super().state(), "template": self.template.name, "end_of_turn": self.template.end_of_turn}

    def asked_to_write(self, example: Example) -> list[Example]:
        """Return an example for each answer that counts in the loss: the turns before it, and `answer`."""
        turns: list[Turn] = example["messages"]
        places = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
        places = places[-1:] if self.part.train_on == "last" else places
        return [
            {"messages": turns[:place], "answer": turns[place]["content"].strip(), "where": example.get("where")}
            for place in places
        ]

    def written_prompt(self, example: Example) -> list[Turn] | None:
        """Return the turns before an answer, without as few of the first exchanges as leave room for it."""
        turns: list[Turn] = example["messages"]
        head = [turn for turn in turns[:1] if turn["role"] == "system"]
        most = self.max_length - self.generation["max_new_tokens"]
        for begin in (place for place, turn in enumerate(turns) if turn["role"] == "user"):
            kept = [*head, *turns[begin:]]
            read = self.tokenizer(self.template.prompt(kept), add_special_tokens=False, verbose=False)
            if len(read["input_ids"]) <= most:
                return kept
        return None

    def written_reference(self, example: Example) -> dict[str, Any] | None:
        """Return the turn that is answered, and the data's answer; see `OpenTask.written_reference`."""
        answered = example["messages"][-1]["content"]
        return {"source": answered, "turn": len(example["messages"]) + 1, "references": [example["answer"]]}

    def _learned(self, example: Example) -> list[Turn]:
        turns: list[Turn] = example["messages"]
        if self.part.train_on == "all" or not has_answer(example):
            return turns
        last = max(place for place, turn in enumerate(turns) if turn["role"] == "assistant")
        return turns[: last + 1]

    def _feature(self, item: Encoded, index: int) -> Features:
        ids = item.ids[: self.max_length]
        labels = np.full(len(item.ids), IGNORED_LABEL, dtype=np.int32)
        spans = {"assistant": item.answers, "last": item.answers[-1:], "all": ((0, len(item.ids)),)}
        for first, end in spans[self.part.train_on]:
            labels[first:end] = item.ids[first:end]
        return {"input_ids": ids, "labels": labels[: self.max_length], "example": np.int64(index)}  # type: ignore[dict-item]


def last_exchanges(template: ChatTemplate, turns: Sequence[Turn], max_length: int, where: str | None) -> list[Turn]:
    """Leave out as few of the first exchanges as make a conversation fit; a system turn and the last exchange stay."""
    head = [turn for turn in turns[:1] if turn["role"] == "system"]
    begins = [place for place, turn in enumerate(turns) if turn["role"] == "user"]
    low, high, best = 1, len(begins) - 1, list(turns)
    while low <= high:
        middle = (low + high) // 2
        kept = [*head, *turns[begins[middle] :]]
        if len(template.encode([template.render(kept, where)])[0].ids) <= max_length:
            best, high = kept, middle - 1
        else:
            low = middle + 1
            if middle == len(begins) - 1:
                best = kept
    return best
