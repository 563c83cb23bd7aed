"""A template for a prompt: texts are put into it, and a word is asked for where it says so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from fathom.config import suggest
from fathom.data.example import Example
from fathom.errors import ConfigError, DataError, ModelError
from fathom.tasks.labels import place
from fathom.tasks.verbalizer import Token
from fathom.tokenization.align import encode_offsets, spans_to_subwords
from fathom.tokenization.encode import special_tokens

TEXT, PAIR, MASK = "{text}", "{text_pair}", "{mask}"
_HOLE = re.compile(r"(\{\w+\})")

Array = np.ndarray[Any, Any]


def check_holes(template: str) -> str:
    """Return a template that says where the text and the word stand.

    Raises:
        ValueError: It does not, says it twice, or has a hole that nothing is put into.
    """
    holes = Counter(_HOLE.findall(template))
    for hole in holes:
        if hole not in (TEXT, PAIR, MASK):
            near = suggest(hole, (TEXT, PAIR, MASK))
            raise ValueError(f"the template has {hole}{near} (known: {TEXT}, {PAIR}, {MASK})")
    for hole, what in ((MASK, "where the label's word belongs"), (TEXT, "where the text stands")):
        if holes[hole] != 1:
            raise ValueError(f"the template {template!r} must say once {what}: write {hole}")
    if holes[PAIR] > 1:
        raise ValueError(f"the template {template!r} says twice where the second text stands")
    return template


@dataclass(frozen=True)
class Filled:
    """A template with the texts of an example, in tokens.

    Attributes:
        left: Ids before the word, special tokens included.
        right: Ids after it.
        cut: Whether the end of a text did not fit.
    """

    left: Array
    right: Array
    cut: bool


class PromptTemplate:
    """A template with the tokenizer that reads it.

    Args:
        template: With `{text}`, `{mask}` and perhaps `{text_pair}`.
        tokenizer: Of the model.
        masked: Whether the word is guessed between what stands before and after it; a decoder reads what is before.

    Raises:
        ModelError: Masks are asked for, and the tokenizer has none.
        ConfigError: The template asks for what the model cannot do.
    """

    def __init__(self, template: str, tokenizer: PreTrainedTokenizerBase, *, masked: bool) -> None:
        self.template = template
        self.tokenizer = tokenizer
        self.masked = masked
        self._pieces = _HOLE.split(template)
        self._pair = PAIR in self._pieces
        self._check()
        around = special_tokens(tokenizer)
        self._prefix, self._suffix = around.prefix, around.suffix if masked else around.suffix[:0]

    def word_ids(self, words: Sequence[str]) -> list[Token]:
        """Return the ids of words as they stand in the template: white space before them belongs to them."""
        before = self.template.partition(MASK)[0].replace(TEXT, ".").replace(PAIR, ".")
        text = before.rstrip()
        blank = before[len(text) :]
        begin = self._encode(text) if text else []
        found: list[Token] = []
        for word in words:
            whole = self._encode(text + blank + word)
            ids = whole[len(begin) :]
            if whole[: len(begin)] != begin or not ids or self.tokenizer.unk_token_id in ids:
                ids = self._encode(word)  # the tokenizer joins it to what stands before: it is asked for the word alone
            found.append(tuple(ids))
        return found

    def fill(self, examples: Sequence[Example], room: int) -> list[Filled]:
        """Put the texts of examples into the template.

        A text that is too long loses its end (its beginning where the tokenizer cuts there), of two texts the longer
        one first; the template stays.

        Args:
            examples: With `text`, and `text_pair` where the template has it.
            room: Tokens of a sequence without those of the word.

        Raises:
            DataError: A text is missing, or there is one too many.
            ConfigError: The template alone leaves no room.
        """
        written = [self._write(example) for example in examples]
        encoded = encode_offsets(self.tokenizer, [text for text, _, _ in written])
        filled: list[Filled] = []
        for index, (example, (_, spans, masks)) in enumerate(zip(examples, written, strict=True)):
            ids, offsets = encoded.of(index)
            at = self._place_of_word(ids, masks, example)
            excess = len(ids) - self.masked + len(self._prefix) + len(self._suffix) - room
            kept = np.ones(len(ids), dtype=bool)
            if excess > 0:
                self._cut(kept, spans_to_subwords(spans, offsets), excess)
            after = at + self.masked
            left = np.concatenate([self._prefix, ids[:at][kept[:at]]]).astype(np.int32)
            right = np.concatenate([ids[after:][kept[after:]], self._suffix]).astype(np.int32)
            filled.append(Filled(left, right, excess > 0))
        return filled

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _write(self, example: Example) -> tuple[str, list[tuple[int, int]], int]:
        """Return the text as the tokenizer gets it, the characters of its texts, and the masks before the word's."""
        if self._pair != (example.get("text_pair") is not None):
            said = "the second text is missing" if self._pair else "the example has a second text"
            mend = "give text_pair" if self._pair else f"say where it stands: {PAIR} in task.template"
            raise DataError(said, where=place(example), mend=mend)
        text, masks = "", 0
        spans: list[tuple[int, int]] = []
        for piece in self._pieces:
            if piece == MASK:
                text = text.rstrip()
                if not self.masked:
                    break  # nothing follows
                mask = str(self.tokenizer.mask_token)
                masks = text.count(mask)
                text += mask
            elif piece in (TEXT, PAIR):
                given = example["text" if piece == TEXT else "text_pair"]
                spans.append((len(text), len(text) + len(given)))
                text += given
            else:
                text += piece
        return text, spans, masks

    def _place_of_word(self, ids: Array, masks: int, example: Example) -> int:
        if not self.masked:
            return len(ids)
        found = np.flatnonzero(ids == self.tokenizer.mask_token_id)
        if len(found) <= masks:
            raise DataError("the tokenizer drops the mask", where=place(example), mend="change task.template")
        return int(found[masks])

    def _cut(self, kept: Array, spans_S2: Array, excess: int) -> None:
        """Leave out so many tokens of the texts."""
        found = [(first, last + 1) for first, last in spans_S2.tolist() if first >= 0]
        sizes = shorten([end - first for first, end in found], excess)
        if sizes is None:
            missing = excess - sum(end - first for first, end in found) + 1
            raise ConfigError(
                "max_length leaves no room for a text beside the template and the word",
                where="data.max_length",
                mend=f"raise it by at least {missing}",
            )
        for (first, end), size in zip(found, sizes, strict=True):
            if self.tokenizer.truncation_side == "left":
                kept[first : end - size] = False
            else:
                kept[first + size : end] = False

    def _check(self) -> None:
        before, _, rest = self.template.partition(MASK)
        if not self.masked:
            if rest:
                instead = MASK if TEXT in rest or PAIR in rest else before + MASK
                raise ConfigError(
                    f"a decoder reads nothing after the word, and the template goes on with {rest!r}",
                    where="task.template",
                    mend=f"let it end with the word: {instead!r}",
                )
            return
        if self.tokenizer.mask_token_id is None:
            raise ModelError(
                "the tokenizer has no mask token",
                where="task.objective",
                mend="take an encoder with a masked-LM head, or a decoder",
            )
        if str(self.tokenizer.mask_token) in self.template:
            raise ConfigError(
                f"the template holds the tokenizer's own {self.tokenizer.mask_token}",
                where="task.template",
                mend=f"write {MASK}",
            )


def shorten(sizes: Sequence[int], excess: int) -> list[int] | None:
    """Return what remains of one or two texts when so many tokens are taken, of the longer one first.

    Returns:
        None where no token would be left.
    """
    if sum(sizes) <= excess:
        return None
    if len(sizes) == 1:
        return [sizes[0] - excess]
    total = sum(sizes) - excess
    shorter = min(*sizes, total // 2)
    return [shorter, total - shorter] if sizes[0] <= sizes[1] else [total - shorter, shorter]
