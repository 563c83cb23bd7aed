"""A saved model that writes: prompts in, generated texts out, in the order they came."""

from __future__ import annotations

from collections.abc import Generator as PythonGenerator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from fathom import device
from fathom.errors import ConfigError
from fathom.log import get_console
from fathom.model.families import most_positions
from fathom.model.packing import inner_model
from fathom.model.virtual_tokens import num_virtual_tokens
from fathom.serving.generate.beam import Ending, beam_search
from fathom.serving.generate.decode import decode
from fathom.serving.generate.endings import end_tokens, split_stops
from fathom.serving.generate.engine import Engine, decoder_start, make_engine
from fathom.serving.generate.open import open_generator
from fathom.serving.generate.options import GenerationOptions, make_options, saved_options
from fathom.serving.generate.processors import row_processors, sampling_filters
from fathom.serving.generate.prompts import Encoded, ModelFacts, Prompt, encode_prompt, room
from fathom.serving.generate.reading import reader_of
from fathom.serving.generate.rows import FinishReason, Row
from fathom.serving.generate.sampling import draw_numbers
from fathom.serving.generate.stop import Detokenizer, TextStream, decode_all
from fathom.tokenization.beginning import beginning_of

WINDOW_BATCHES = 16
"""Batches read ahead at a time: prompts within them are sorted by length, so that a batch's are nearly equal."""
BATCH_PROMPT_TOKENS = 16_384
"""Most prompt tokens of a batch of several prompts: what reading them holds in memory is bounded."""


@dataclass(frozen=True)
class Generation:
    """One generated text."""

    prompt: str
    text: str
    """What came after the prompt; ends before a stop string."""
    tokens: tuple[int, ...]
    """Generated tokens, an end-of-text token included."""
    finish_reason: FinishReason
    """`eos` (the model ended), `stop` (a stop string) or `length` (as many tokens as allowed)."""
    index: int = 0
    """Which prompt, from 0."""
    score: float | None = None
    """Of beam search: log-probability over length to the power of the length penalty."""

    def row(self) -> dict[str, Any]:
        """Return it as a JSON-ready mapping."""
        row = {"prompt": self.prompt, "text": self.text, "finish_reason": self.finish_reason, "tokens": [*self.tokens]}
        return row if self.score is None else {**row, "score": self.score}


class Generator:
    """A decoder or encoder-decoder with its tokenizer, ready to write.

    Args:
        model: In float32.
        tokenizer: The model's own, a fast one.
        info: `fathom.json` of the folder; empty for a model that has not been saved by Fathom.
        precision: Arithmetic of the whole model; bf16 converts the weights, once.
        packing: Read prompts packed, without padding, where the family allows it.

    Raises:
        ConfigError: bf16 on a processor that has no such arithmetic.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        info: Mapping[str, Any] | None = None,
        *,
        precision: device.Precision = "fp32",
        packing: bool = True,
    ) -> None:
        self.precision = device.choose_precision(precision, device.probe_machine())
        inner: Any = model.eval() if num_virtual_tokens(model) else inner_model(model.eval())
        self.tokenizer = tokenizer
        self.info: dict[str, Any] = dict(info or {})
        self.engine: Engine = make_engine(inner, packing=packing)
        if self.precision == "bf16":
            inner.to(torch.bfloat16)
        self._model: Any = inner
        self._fixed: Any = inner.generation_config
        self.facts = replace(facts_of(inner, self.info, tokenizer), read=reader_of(self.info, tokenizer))
        self.saved = saved_options(self.info, self._fixed.to_dict())
        """Settings kept with the model; they hold where a call says nothing."""

    @classmethod
    def load(cls, folder: str | Path, *, precision: device.Precision = "fp32", packing: bool = True) -> Self:
        """Load a model folder, the folder of a run, or a plain Hugging Face folder.

        Raises:
            ModelError: It is no model folder, or the model is none that generates text.
            ArtifactError: A file is damaged; names it.
            ConfigError: bf16 on a processor that has no such arithmetic.
        """
        machine = device.probe_machine()
        device.choose_precision(precision, machine)
        opened = open_generator(folder)
        return cls(opened.model.to(machine.device), opened.tokenizer, opened.info, precision=precision, packing=packing)

    def options(self, **given: Any) -> GenerationOptions:
        """Return options: what is given, over the settings saved with the model.

        Raises:
            ConfigError: A setting is unknown or wrong, or two contradict each other.
        """
        return make_options(given, self.saved)

    def generate(
        self, prompts: Iterable[Prompt], options: GenerationOptions | None = None, *, batch_size: int = 16
    ) -> list[Generation]:
        """Generate for every prompt.

        Args:
            prompts: Texts, or conversations as lists of messages.
            options: Left out, those saved with the model.
            batch_size: Most sequences generated at once; changes no answer beyond rounding.

        Returns:
            `num_return_sequences` generations for each prompt, in the order of the prompts.

        Raises:
            DataError: A prompt is wrong or longer than the model's positions; says which.
        """
        if isinstance(prompts, str):
            raise ConfigError("one text where a list of prompts is wanted", mend="write [prompt]")
        return list(self.iterate(prompts, options, batch_size=batch_size))

    def iterate(
        self, prompts: Iterable[Prompt], options: GenerationOptions | None = None, *, batch_size: int = 16
    ) -> Iterator[Generation]:
        """Generate lazily: a window of prompts is read and answered before the next; see `generate`."""
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}", mend="give at least 1")
        options = options or self.options()
        source, first = iter(prompts), 0
        while window := list(islice(source, batch_size * WINDOW_BATCHES)):
            encoded = [
                encode_prompt(given, first + number, self.tokenizer, self.facts)
                for number, given in enumerate(window, start=1)
            ]
            found: list[list[Generation]] = [[] for _ in window]
            for places in self._batches(encoded, options, batch_size):
                answers = self._generate([encoded[place] for place in places], options, [first + p for p in places])
                for place, answer in zip(places, answers, strict=True):
                    found[place] = answer
            for texts in found:
                yield from texts
            first += len(window)

    def stream(
        self, prompt: Prompt, options: GenerationOptions | None = None
    ) -> PythonGenerator[str, None, Generation]:
        """Generate for one prompt, giving out text as it becomes certain.

        Characters come whole, and the beginning of a stop string is withheld until it is known to be none.

        Yields:
            Pieces of text; their sum is the text `generate` gives.

        Returns:
            The whole generation, as the value of `yield from`.

        Raises:
            ConfigError: The options ask for beams or for several sequences.
        """
        options = options or self.options()
        if options.strategy == "beam" or options.num_return_sequences > 1:
            raise ConfigError(
                "only one growing text can be streamed: beams change their beginning",
                mend="stream without num_beams and num_return_sequences",
            )
        encoded = encode_prompt(prompt, 1, self.tokenizer, self.facts)
        rows = self._rows([encoded], options, [0], streaming=True)
        for _, piece in self._decoded([encoded], rows, options):
            if piece:
                yield piece
        return self._finished(rows[0], encoded)

    def _batches(self, encoded: Sequence[Encoded], options: GenerationOptions, batch_size: int) -> Iterator[list[int]]:
        """Cut prompts, sorted by length, into batches."""
        each = options.num_beams if options.strategy == "beam" else options.num_return_sequences
        most = self.engine.most_prompts or max(1, batch_size // each)
        order = sorted(range(len(encoded)), key=lambda place: (-len(encoded[place].ids), place))
        batch: list[int] = []
        for place in order:
            longest = len(encoded[batch[0]].ids) if batch else 0
            if batch and (len(batch) >= most or longest * (len(batch) + 1) > BATCH_PROMPT_TOKENS):
                yield batch
                batch = []
            batch.append(place)
        yield batch

    def _generate(
        self, encoded: Sequence[Encoded], options: GenerationOptions, numbers: Sequence[int]
    ) -> list[list[Generation]]:
        rows = self._rows(encoded, options, numbers)
        if options.strategy == "beam":
            return self._beams(encoded, rows, options)
        for _ in self._decoded(encoded, rows, options):
            pass
        each = options.num_return_sequences
        return [
            [self._finished(row, prompt) for row in rows[at * each : (at + 1) * each]]
            for at, prompt in enumerate(encoded)
        ]

    def _rows(
        self, encoded: Sequence[Encoded], options: GenerationOptions, numbers: Sequence[int], *, streaming: bool = False
    ) -> list[Row]:
        """Return the sequences of a batch: of each prompt one, or one for each sample."""
        eos, stop = self._endings(options)
        samples = options.strategy == "sample"
        rows = []
        for prompt, number in zip(encoded, numbers, strict=True):
            limit = room(len(prompt.ids), options.max_new_tokens, self.facts)
            if limit < options.max_new_tokens:
                get_console().info(
                    f"prompt {number + 1}: max_new_tokens {options.max_new_tokens:,} cut to {limit:,}, "
                    f"the model has {self.facts.positions:,} positions"
                )
            read = [decoder_start(self._model)] if self.facts.encoder_decoder else prompt.ids
            for sample in range(options.num_return_sequences if samples else 1):
                row = Row(
                    number, sample, read, limit, row_processors(options, self._fixed, sorted(eos), len(read), limit)
                )
                if samples:
                    row.numbers = draw_numbers(options.seed, number, sample, limit)
                if (streaming or stop) and options.strategy != "beam":
                    row.text = TextStream(Detokenizer(self.tokenizer, prompt.context), stop)
                rows.append(row)
        return rows

    def _decoded(
        self, encoded: Sequence[Encoded], rows: Sequence[Row], options: GenerationOptions
    ) -> Iterator[tuple[Row, str]]:
        eos, _ = self._endings(options)
        filters = sampling_filters(options) if options.strategy == "sample" else None
        steps = decode(self.engine.start(), [prompt.ids for prompt in encoded], rows, filters, eos)
        while True:
            with torch.inference_mode():  # not across a yield: the caller's own code is not ours
                found = next(steps, None)
            if found is None:
                return
            yield found

    def _beams(
        self, encoded: Sequence[Encoded], rows: Sequence[Row], options: GenerationOptions
    ) -> list[list[Generation]]:
        eos, stop = self._endings(options)
        ending = Ending(eos, self.tokenizer, stop)
        with torch.inference_mode():
            found = beam_search(self.engine.start(), [prompt.ids for prompt in encoded], rows, options, ending)
        answers = []
        for row, prompt, hypotheses in zip(rows, encoded, found, strict=True):
            best = []
            for hypothesis in hypotheses[: options.num_return_sequences]:
                text = self._text(prompt, hypothesis.tokens, hypothesis.reason, stop)
                tokens = tuple(hypothesis.tokens)
                best.append(Generation(prompt.shown, text, tokens, hypothesis.reason, row.prompt, hypothesis.score))
            answers.append(best)
        return answers

    def _endings(self, options: GenerationOptions) -> tuple[frozenset[int], tuple[str, ...]]:
        """Return the tokens and the strings that end a text."""
        return split_stops(options.stop, self.tokenizer, end_tokens(self._fixed, self.tokenizer, self.facts))

    def _finished(self, row: Row, prompt: Encoded) -> Generation:
        assert row.reason is not None
        text = "".join(row.pieces) if row.text is not None else self._text(prompt, row.tokens, row.reason, ())
        return Generation(prompt.shown, text, tuple(row.tokens), row.reason, row.prompt)

    def _text(self, prompt: Encoded, tokens: Sequence[int], reason: FinishReason, stop: Sequence[str]) -> str:
        text = decode_all(self.tokenizer, prompt.context, tokens[:-1] if reason == "eos" else tokens)
        found = [place for place in (text.find(string) for string in stop) if place >= 0]
        return text[: min(found)] if found else text


def facts_of(model: Any, info: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> ModelFacts:
    """Return what encoding must know of a model."""
    task = info.get("task", {})
    kind = task.get("kind")
    positions = most_positions(model.config)
    began = bool(task.get("options", {}).get("begin_of_document")) and bool(beginning_of(tokenizer))
    return ModelFacts(
        encoder_decoder=bool(model.config.is_encoder_decoder),
        vocabulary=int(model.get_input_embeddings().num_embeddings),
        positions=None if positions is None else positions - num_virtual_tokens(model),
        chat=kind in {"chat", "preference"},
        special=kind != "causal-lm" or began,
    )
