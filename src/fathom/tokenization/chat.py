"""Conversations to text by a chat template, and where in that text the assistant speaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.errors import DataError, ModelError
from fathom.tokenization.encode import clean_backend

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int]
Turns = Sequence[dict[str, str]]

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] | trim + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] | trim + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For tokenizers that know its two marks but bring no template."""
PLAIN = (
    "{% set end = eos_token if eos_token is defined and eos_token else sep_token %}"
    "{% for message in messages %}{{ message['role'] | capitalize + ':' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] | trim + end }}{% endgeneration %}"
    "{% else %}{{ ' ' + message['content'] | trim }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""For tokenizers without such marks: a line for each turn, the assistant's ended by the end-of-text token."""

_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@dataclass(frozen=True)
class Rendered:
    """A conversation as text, with the place of each assistant turn: from after the prompt to its end-of-turn mark."""

    text: str
    answers: tuple[Span, ...]


@dataclass(frozen=True)
class Encoded:
    """A conversation as ids, with the tokens `[first, end)` of each assistant turn."""

    ids: np.ndarray[Any, np.dtype[np.int32]]
    answers: tuple[Span, ...]


class ChatTemplate:
    """A tokenizer's chat template, or the default it is given.

    Args:
        tokenizer: One without a template is given one, which `save_pretrained` then saves.

    Raises:
        ModelError: There is no template, and no token that could end a turn.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer: Any = tokenizer
        self.name = name_template(tokenizer)
        if self.name != "own":
            self.tokenizer.chat_template = CHATML if self.name == "chatml" else PLAIN
        self.source: str = self.tokenizer.get_chat_template()
        self._marks = tuple(
            dict.fromkeys(
                [
                    *self.tokenizer.all_special_tokens,
                    *(str(token) for token in self.tokenizer.added_tokens_decoder.values()),
                ]
            )
        )

    @property
    def end_of_turn(self) -> int:
        """The id of the token that ends an assistant turn: where generation stops."""
        encoded = self.encode([self.render(_PROBE)])[0]
        return int(encoded.ids[encoded.answers[-1][1] - 1])

    def prompt(self, turns: Turns) -> str:
        """Return turns as text, up to where the assistant begins to speak."""
        return self._text(turns, prompt=True)

    def render(self, turns: Turns, where: str | None = None) -> Rendered:
        """Render a conversation and find the assistant's turns in it.

        A turn begins where the conversation before it, with the template's prompt for an answer, ends, and ends where
        the conversation up to it ends. Where a template writes a conversation differently as it grows, its
        `{% generation %}` marks say it.

        Args:
            turns: The conversation.
            where: Its place in a file, for messages.

        Raises:
            DataError: The template refuses the conversation.
            ModelError: It cannot be told where the assistant speaks.
        """
        from jinja2 import TemplateError

        try:
            text = self._text(turns)
            spans = self._spans_by_prefix(turns, text)
            spans = self._spans_by_marks(turns) if spans is None else spans
        except TemplateError as error:
            raise DataError(
                f"the chat template refuses this conversation: {error}",
                where=where,
                mend="change the turns, or leave the row out",
            ) from None
        if spans is None:
            raise ModelError(
                "the chat template writes a conversation differently as it grows, so it cannot be told where the "
                "assistant speaks",
                where=f"the chat template of {self.tokenizer.name_or_path or 'the tokenizer'}",
                mend="enclose the assistant's content in {% generation %} and {% endgeneration %} in the template",
            )
        return Rendered(text, tuple(self._trim(text, span) for span in spans))

    def encode(self, conversations: Sequence[Rendered]) -> list[Encoded]:
        """Return the ids of rendered conversations; they equal `apply_chat_template(tokenize=True)`."""
        backend = clean_backend(self.tokenizer)
        encodings = backend.encode_batch([item.text for item in conversations], add_special_tokens=False)
        return [_locate(encoding, item.answers) for encoding, item in zip(encodings, conversations, strict=True)]

    def _text(self, turns: Turns, prompt: bool = False) -> str:
        return str(self.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=prompt))

    def _spans_by_prefix(self, turns: Turns, text: str) -> list[Span] | None:
        """Where the turns stand, by rendering the conversation as it grows; None where that is not how it is written.

        An earlier answer may lose what only the last one shows (Qwen3's thoughts): then its content and end mark are
        found behind its beginning.
        """
        spans: list[Span] = []
        for place, turn in enumerate(turns):
            if turn["role"] != "assistant":
                continue
            before = self._text(turns[:place], prompt=True)
            after = text if place == len(turns) - 1 else self._text(turns[: place + 1])
            start = len(before)
            if not text.startswith(before) or (spans and start < spans[-1][1]):
                return None
            end = len(after) if text.startswith(after) else _end_of(turn["content"].strip(), after, text, start)
            if end is None or end <= start:
                return None
            spans.append((start, end))
        return spans

    def _spans_by_marks(self, turns: Turns) -> list[Span] | None:
        from transformers.utils.chat_template_utils import render_jinja_template

        if not _MARKER.search(self.source):
            return None
        _, found = render_jinja_template(
            [list(turns)],
            chat_template=self.source,
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
        )
        spans = [(int(start), int(end)) for start, end in found[0]]
        return spans if len(spans) == sum(turn["role"] == "assistant" for turn in turns) else None

    def _trim(self, text: str, span: Span) -> Span:
        """Leave out white space after the end-of-turn mark: generation has stopped before it."""
        start, end = span
        body = text[start:end].rstrip()
        return (start, start + len(body)) if body.endswith(self._marks) else span


def name_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return which template a tokenizer uses: `own`, `chatml` or `plain`.

    Raises:
        ModelError: It has none, and no token that could end a turn.
    """
    any_tokenizer: Any = tokenizer
    own = any_tokenizer.chat_template
    if own is not None and own not in (CHATML, PLAIN):
        return "own"
    vocabulary = any_tokenizer.get_vocab()
    if {"<|im_start|>", "<|im_end|>"} <= set(vocabulary):
        return "chatml"
    if not (any_tokenizer.eos_token or any_tokenizer.sep_token):
        raise ModelError(
            "the tokenizer has no chat template, and no end-of-text token that could end a turn",
            where=any_tokenizer.name_or_path or "the tokenizer",
            mend="train the tokenizer with chat tokens (<|im_start|>, <|im_end|>), or set its eos_token",
        )
    return "plain"


def _end_of(content: str, after: str, text: str, start: int) -> int | None:
    """Where an answer ends in the whole text, by its content and what followed it while it was the last turn."""
    place = after.rfind(content)
    found = text.find(content, start)
    if not content or place < 0 or found < 0:
        return None
    tail = after[place + len(content) :]
    end = found + len(content) + len(tail)
    return end if tail and text.startswith(tail, found + len(content)) else None


def _locate(encoding: Any, answers: Sequence[Span]) -> Encoded:
    """Find the tokens of character spans.

    A token reaches from the end of the one before it to its own end: some tokenizers leave white space out of offsets.
    """
    ids = np.array(encoding.ids, dtype=np.int32)
    if not answers or not len(ids):
        return Encoded(ids, ())
    offsets = np.array(encoding.offsets, dtype=np.int64)
    ends = np.maximum.accumulate(offsets[:, 1])
    starts = np.minimum(offsets[:, 0], np.concatenate([[0], ends[:-1]]))
    spans = []
    for start, end in answers:
        inside = np.flatnonzero((ends > start) & (starts < end))
        first = int(inside[0]) if len(inside) else 0
        spans.append((first, int(inside[-1]) + 1 if len(inside) else first))
    return Encoded(ids, tuple(spans))
