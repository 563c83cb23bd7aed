"""From what the user gives to the tokens a model reads, and how many it may write after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from fathom.errors import DataError, ModelError
from fathom.tokenization.chat import ChatTemplate

Message = Mapping[str, str]
"""A turn of a conversation: `role` (system, user or assistant) and `content`."""
Prompt = str | Sequence[Message]
"""A text to go on from, or the messages of a conversation to answer."""


@dataclass(frozen=True)
class ModelFacts:
    """What encoding must know of a model."""

    encoder_decoder: bool
    vocabulary: int
    """Rows of the embedding table."""
    positions: int | None
    """Tokens a sequence may have beside virtual ones; None for any number."""
    chat: bool = False
    """Whether a text is a user's turn (the model was trained to chat)."""
    special: bool = True
    """Whether the tokenizer puts its special tokens before a text; a model trained on bare documents saw none."""
    read: Callable[[str], list[int]] | None = None
    """What the model's task makes of a text; None where the model just goes on with it."""


@dataclass(frozen=True)
class Encoded:
    """A prompt as tokens."""

    shown: str
    """What the result repeats as its prompt."""
    ids: list[int]
    context: list[int]
    """Tokens whose text stands right before the generated one."""


def encode_prompt(given: Prompt, number: int, tokenizer: PreTrainedTokenizerBase, facts: ModelFacts) -> Encoded:
    """Turn a prompt into tokens.

    Args:
        given: A text, or messages.
        number: Its place among the prompts, from 1, for messages.
        tokenizer: Of the model.
        facts: Of the model.

    Raises:
        DataError: It is no prompt, is empty where the model needs a beginning, or is longer than the model's positions.
        ModelError: The tokenizer is of another model.
    """
    where = f"prompt {number}"
    if isinstance(given, str):
        shown = given
        messages = [{"role": "user", "content": given}] if facts.chat else None
    else:
        messages = check_messages(given, where)
        shown = messages[-1]["content"]
    if messages is not None:
        ids = render_chat(messages, tokenizer, where)
    elif facts.read is not None:
        ids = facts.read(shown)
    else:
        ids = [int(token) for token in tokenizer(shown, add_special_tokens=facts.special)["input_ids"]]
        if not facts.encoder_decoder:
            ids = _open_end(ids, shown, tokenizer)
    if not ids:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if start is None:
            raise DataError(
                "the prompt is empty, and the tokenizer has no token a text begins with",
                where=where,
                mend="give a word",
            )
        ids = [int(start)]
    if max(ids) >= facts.vocabulary:
        raise ModelError(
            f"the tokenizer gives token {max(ids)}, the model knows {facts.vocabulary}: they do not belong together",
            where=where,
            mend="put the tokenizer the model was trained with into its folder",
        )
    if facts.positions is not None and len(ids) > facts.positions - (0 if facts.encoder_decoder else 1):
        raise DataError(
            f"the prompt has {len(ids):,} tokens, the model has {facts.positions:,} positions"
            + ("" if facts.encoder_decoder else " for prompt and answer"),
            where=where,
            mend="shorten the prompt",
        )
    return Encoded(shown, ids, [] if facts.encoder_decoder else ids)


def room(length: int, wanted: int, facts: ModelFacts) -> int:
    """Return how many tokens may follow a prompt of so many tokens: as wanted, within the model's positions."""
    if facts.positions is None:
        return wanted
    return min(wanted, facts.positions - (1 if facts.encoder_decoder else length))


def check_messages(given: Any, where: str) -> list[dict[str, str]]:
    """Return messages as plain mappings.

    Raises:
        DataError: They are none.
    """
    if not isinstance(given, Sequence) or not given:
        raise DataError(
            f"{type(given).__name__} is no prompt" if given else "no message",
            where=where,
            mend="give a text, or messages such as {'role': 'user', 'content': '...'}",
        )
    found = []
    for message in given:
        if not isinstance(message, Mapping) or not all(
            isinstance(message.get(key), str) for key in ("role", "content")
        ):
            raise DataError(
                "a message needs 'role' and 'content', both texts",
                where=where,
                mend="{'role': 'user', 'content': '...'}",
            )
        found.append({"role": message["role"], "content": message["content"]})
    return found


def render_chat(messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, where: str = "chat") -> list[int]:
    """Return the tokens of a conversation up to where the assistant answers, by the tokenizer's chat template.

    Raises:
        ModelError: The tokenizer has no template.
        DataError: The template refuses the conversation (two user turns in a row, a system prompt it does not know).
    """
    from jinja2.exceptions import TemplateError

    if tokenizer.chat_template is None:
        raise ModelError(
            "the tokenizer has no chat template: this is a base model, it goes on with a text",
            where=where,
            mend="give a text, or fine-tune the model with task: chat",
        )
    try:
        text = ChatTemplate(tokenizer).prompt([dict(message) for message in messages])
    except TemplateError as error:
        mend = "give the turns in the order that the model's template takes"
        raise DataError(f"the chat template refuses this conversation: {error}", where=where, mend=mend) from None
    return [int(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]


def _open_end(ids: list[int], text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Take off the end-of-text token that a tokenizer's template adds: a prompt is not over."""
    ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
    while ids and ids[-1] in ends and not text.endswith(str(tokenizer.convert_ids_to_tokens(ids[-1]))):
        ids = ids[:-1]
    return ids
