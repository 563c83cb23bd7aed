"""Writing down what is spoken: the spectra of sounds in, tokens out, by the loops that texts are written by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fathom.model.packing import inner_model
from fathom.serving.generate.beam import Ending, beam_search
from fathom.serving.generate.decode import decode
from fathom.serving.generate.endings import end_tokens
from fathom.serving.generate.options import make_options, saved_options
from fathom.serving.generate.processors import row_processors
from fathom.serving.generate.prompts import ModelFacts
from fathom.serving.generate.rows import FinishReason, Row
from fathom.serving.generate.steps import SpokenSteps
from fathom.tasks.speech_whisper import OpenWhisper

Written = tuple[list[int], FinishReason]
"""Tokens after the prompt, and why they end."""


class Transcriber:
    """A Whisper with its task, ready to write.

    Args:
        model: In evaluation mode.
        task: With the model's tokenizer; its prompt comes before every transcript.
    """

    def __init__(self, model: nn.Module, task: OpenWhisper) -> None:
        self._model: Any = inner_model(model)
        self._fixed: Any = self._model.generation_config
        self._prompt = task.prompt
        self.options = make_options({}, saved_options({"generation": task.generation}, self._fixed.to_dict()))
        """Settings saved with the model."""
        facts = ModelFacts(encoder_decoder=True, vocabulary=int(self._model.config.vocab_size), positions=None)
        self._ending = Ending(end_tokens(self._fixed, task.writer, facts), task.writer)

    def write(self, spectra_BMT: Tensor) -> list[Written]:
        """Write down a batch of sounds.

        Args:
            spectra_BMT: As the model's extractor makes them, on any device.

        Raises:
            ArtifactError: The model's scores are not numbers.
        """
        prompts = [self._prompt] * len(spectra_BMT)
        limit, begin, eos = self.options.max_new_tokens, len(self._prompt), self._ending.eos
        processors = row_processors(self.options, self._fixed, sorted(eos), begin, limit)
        rows = [Row(number, 0, list(prompt), limit, processors) for number, prompt in enumerate(prompts)]
        with torch.inference_mode():
            steps = SpokenSteps(self._model, spectra_BMT.to(self._model.device))
            if self.options.strategy == "beam":
                found = beam_search(steps, prompts, rows, self.options, self._ending)
                return [(hypotheses[0].tokens, hypotheses[0].reason) for hypotheses in found]
            for _ in decode(steps, prompts, rows, None, eos):
                pass
        return [(row.tokens, row.reason or "length") for row in rows]
