"""Answer in a conversation: the next token of the assistant's turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from fathom.data.conversation import Turn, has_answer
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.errors import DataError
from fathom.log import get_console
from fathom.tasks.base import Batch
from fathom.tasks.language_model import LanguageModel, OpenLanguageTask
from fathom.tokenization.chat import ChatTemplate, Encoded


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
