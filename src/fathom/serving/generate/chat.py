"""A conversation with a model: turns, a system prompt, and only as much of the past as the model can hold."""

from __future__ import annotations

from collections.abc import Generator as PythonGenerator
from typing import Literal

from fathom.errors import ConfigError
from fathom.log import get_console
from fathom.serving.generate.generator import Generation, Generator
from fathom.serving.generate.options import GenerationOptions
from fathom.serving.generate.prompts import Prompt, render_chat
from fathom.tokenization.chat import ChatTemplate

Style = Literal["turns", "continue"]
DESCRIPTIONS = {
    "own": "turns by the tokenizer's own chat template",
    "chatml": "turns by ChatML, each between <|im_start|> and <|im_end|>",
    "plain": "turns as lines of plain text, 'User: ...' and 'Assistant: ...': the tokenizer has no chat template",
    "continue": "a base model: it goes on with each line, and remembers none (--style turns for a conversation)",
}
PLAIN_STOPS = ("\nUser:", "\nSystem:")
"""Where an answer in plain text ends, if the model speaks on in another's name."""
ANSWER_SHARE = 4
"""A conversation leaves at least this part of the positions (one in so many) to the answer, if it wants as much."""


class Conversation:
    """Turns of a user and a model.

    Args:
        generator: The model.
        options: How it answers.
        system: Told to the model before everything else.
        style: `turns` by a chat template, or `continue` the user's text. Left out, turns where the tokenizer has a
            template or the marks of ChatML.

    Raises:
        ConfigError: The options ask for several texts at once, or a base model is given a system prompt.
        ModelError: Turns are wanted, and the tokenizer has no token that could end one.
    """

    def __init__(
        self,
        generator: Generator,
        options: GenerationOptions | None = None,
        *,
        system: str | None = None,
        style: Style | None = None,
    ) -> None:
        self.generator = generator
        self.style: Style = style or guess_style(generator)
        self.template = "continue" if self.style == "continue" else ChatTemplate(generator.tokenizer).name
        """What turns become text by: a key of `DESCRIPTIONS`."""
        options = options or generator.options()
        stop = PLAIN_STOPS if self.template == "plain" else ()
        self.options = options.model_copy(update={"stop": (*options.stop, *stop)})
        self.messages: list[dict[str, str]] = []
        self._turns = 0
        self.system: str | None = None
        if system is not None:
            self.set_system(system)

    def set_system(self, text: str) -> None:
        """Set the system prompt from now on; an empty one takes it away.

        Raises:
            ConfigError: A base model that goes on with text reads none.
        """
        if self.style == "continue":
            raise ConfigError("a base model has no system prompt", mend="write it as the beginning of your text")
        self.system = text or None

    def reset(self) -> None:
        """Forget every turn; the system prompt stays."""
        self.messages.clear()

    def answer(self, text: str) -> PythonGenerator[str, None, Generation]:
        """Answer a user's turn, streaming; an answer that is stopped half-way is kept as far as it came.

        Yields:
            Pieces of the answer.

        Returns:
            The whole generation, as the value of `yield from`.

        Raises:
            DataError: This turn alone is longer than the model's positions.
        """
        self.messages.append({"role": "user", "content": text})
        pieces: list[str] = []
        complete = False
        # every turn draws other numbers, and the whole conversation can be had again
        options = self.options.model_copy(update={"seed": self.options.seed + self._turns})
        self._turns += 1
        try:
            stream = self.generator.stream(self._prompt(), options)
            while True:
                try:
                    piece = next(stream)
                except StopIteration as end:
                    generation: Generation = end.value
                    complete = True
                    return generation
                pieces.append(piece)
                yield piece
        finally:
            if pieces or complete:
                self.messages.append({"role": "assistant", "content": "".join(pieces).strip()})
            else:
                self.messages.pop()

    def _prompt(self) -> Prompt:
        if self.style == "continue":
            return self.messages[-1]["content"]
        dropped = 0
        while len(self.messages) > 1 and not self._fits():
            del self.messages[: 2 if self.messages[1]["role"] == "assistant" else 1]
            dropped += 1
        if dropped:
            turns = "turn" if dropped == 1 else "turns"
            get_console().info(
                f"the oldest {dropped} {turns} forgotten: the model has {self.generator.facts.positions:,} positions"
            )
        return self._render()

    def _fits(self) -> bool:
        facts = self.generator.facts
        if facts.positions is None:
            return True
        length = len(render_chat(self._render(), self.generator.tokenizer))
        return length + min(self.options.max_new_tokens, facts.positions // ANSWER_SHARE) <= facts.positions

    def _render(self) -> list[dict[str, str]]:
        return [*([{"role": "system", "content": self.system}] if self.system else []), *self.messages]


def guess_style(generator: Generator) -> Style:
    """Return whether a model takes turns: its tokenizer has a chat template, or the marks of ChatML."""
    if generator.tokenizer.chat_template is not None:
        return "turns"
    return "turns" if {"<|im_start|>", "<|im_end|>"} <= set(generator.tokenizer.get_added_vocab()) else "continue"
