"""A saved model that answers: texts in, decoded predictions out, in the order they came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fathom import catalog, device
from fathom.data.batch import model_inputs
from fathom.data.draw import PREDICTION, Draw
from fathom.data.example import FILE_KEYS, Example, Features, num_positions
from fathom.data.readers.base import Form
from fathom.errors import ArtifactError, ConfigError, DataError, ModelError
from fathom.model.folder import FathomInfo, ModelFolder, open_folder
from fathom.model.packing import PackedModel, pack_model
from fathom.model.vocabulary import VocabularyHead, vocabulary_states
from fathom.serving.generate.spoken import Transcriber
from fathom.tasks.base import Batch, OpenTask, Task
from fathom.tasks.masked_lm import OpenMaskedLm
from fathom.tasks.speech_whisper import OpenWhisper
from fathom.tokenization.match import check_ids, short_table

Precision = Literal["fp32", "bf16"]
WINDOW_BATCHES = 16
"""Batches read ahead at a time: inputs within them are sorted by length, so that a batch's are nearly equal. Of files,
whose content is large, one."""
MOST_FRAMES = 8192
"""Frames of sounds that go through the model at once, padding included: their samples are 320 times as many."""
INPUT_KEYS = ("text", "text_pair", "words", "head", "tail", "question")
"""What an input may say; other keys are refused, so that a misspelt one is not silently ignored."""
PASSAGE = "context"
"""Another name of `text` beside a question."""


class Predictor:
    """A model with its task, ready to predict.

    Args:
        model: In evaluation mode.
        task: The live task, with the model's labels and tokenizer.
        info: `fathom.json` of the folder; empty for a model that has not been saved.
        precision: Arithmetic of the forward pass; weights stay float32.
        packing: Run the blocks on packed tokens where the family allows it; changes answers by rounding only.
        top_k: Candidates for each mask, of a model that fills masks; left out, 5.

    Raises:
        ConfigError: bf16 on a processor that has no such arithmetic; or `top_k` for a model that fills no masks.
    """

    def __init__(
        self,
        model: nn.Module,
        task: OpenTask,
        info: Mapping[str, Any] | None = None,
        *,
        precision: Precision = "fp32",
        packing: bool = True,
        top_k: int | None = None,
    ) -> None:
        self.precision = device.choose_precision(precision, device.probe_machine())
        self.model = model.eval()
        self.task = task
        self.info = cast(FathomInfo, dict(info or {}))
        if top_k is not None:
            _ask_for(task, top_k)
        self.packed: PackedModel | None = pack_model(model) if packing else None
        fills = isinstance(task, OpenMaskedLm)
        self.vocabulary = VocabularyHead(model) if task.keeps_logits or fills else None
        """For a task that answers by logits over a vocabulary: they are made where something is asked, nowhere else."""
        self.transcriber = Transcriber(model, task) if isinstance(task, OpenWhisper) else None
        """For a task that writes down what it hears."""
        self._device = next(model.parameters()).device
        published = isinstance(model, PreTrainedModel) and model.main_input_name == "input_ids"
        table = cast(PreTrainedModel, model).get_input_embeddings() if published else None
        self._rows = short_table(task.tokenizer, table)
        """Of an embedding table that lacks some of the tokenizer's tokens, as published ones may."""
        self.folder: Path | None = None
        """Where it was loaded from."""

    @classmethod
    def load(
        cls, folder: str | Path, *, precision: Precision = "fp32", packing: bool = True, top_k: int | None = None
    ) -> Self:
        """Load a model folder (or the folder of a run), every file checked first.

        Raises:
            ModelError: It is no model folder, or an adapter's base model is missing.
            ArtifactError: A file is damaged; names it.
            ConfigError: bf16 on a processor that has no such arithmetic; or `top_k` for a model that fills no masks.
        """
        machine = device.probe_machine()
        device.choose_precision(precision, machine)
        opened = open_folder(folder)
        task = open_task(opened)
        model: nn.Module = opened.load_model(task.auto_class)
        options: dict[str, Any] = {"precision": precision, "packing": packing, "top_k": top_k}
        predictor = cls(model.to(machine.device), task, opened.info, **options)
        predictor.folder = opened.path
        return predictor

    @property
    def form(self) -> Form:
        """What the task takes: `text`, or `spans` (a text and its words)."""
        return cast(Form, catalog.load("task", self.task.kind).form)

    def predict(self, inputs: Iterable[str | Mapping[str, Any]], batch_size: int = 64) -> Iterator[dict[str, Any]]:
        """Predict lazily: a window of inputs is read, answered and given out before the next is read.

        Args:
            inputs: Texts, or mappings with `text` and, where the model takes pairs, `text_pair`; for token
                classification `words` may give (start, end) offsets into the text; for question answering `question`
                and `context` (or `text`), the passage.
            batch_size: Sequences per forward pass.

        Yields:
            One prediction for each input, in order, as `OpenTask.answer` makes it.

        Raises:
            DataError: An input is neither text nor such a mapping; says which.
            ModelError: The model is a language model: it writes, or is the start of a fine-tuning.
        """
        if self.task.vocabulary and self.vocabulary is None and self.transcriber is None:
            raise ModelError(
                f"a model trained for {self.task.kind} labels no text",
                mend="fine-tune it: model: THIS FOLDER, task: text-classification; evaluate tells its perplexity",
            )
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}", mend="give at least 1")
        given = (as_example(item, number, self.form) for number, item in enumerate(inputs, start=1))
        examples = map(self.task.prepare, given)
        ahead = 1 if self.form in FILE_KEYS else WINDOW_BATCHES
        while window := list(islice(examples, batch_size * ahead)):
            yield from self._predict_window(window, batch_size)

    def predict_one(self, given: str | Mapping[str, Any]) -> dict[str, Any]:
        """Predict one input; see `predict`."""
        return next(self.predict([given], batch_size=1))

    def _predict_window(self, examples: Sequence[Example], batch_size: int) -> Iterator[dict[str, Any]]:
        features = self.task.encode_inputs(examples)
        if self._rows is not None:
            check_ids(self.task.tokenizer, self._rows, {int(id) for one in features for id in one["input_ids"]})
        lengths = [num_positions(feature) + self.task.source_positions for feature in features]
        order = np.argsort(lengths, kind="stable")[::-1]
        raw: list[Any] = [None] * len(features)
        heard = "input_values" in features[0]
        first = 0
        while first < len(order):
            size = min(batch_size, max(MOST_FRAMES // lengths[order[first]], 1)) if heard else batch_size
            rows = order[first : first + size].tolist()
            first += size
            chosen = [features[row] for row in rows]
            batch = self.task.make_batch(chosen, Draw(0, PREDICTION, np.asarray(rows)))
            for row, record in zip(rows, self._records(batch), strict=True):
                raw[row] = record
        own: list[list[int]] = [[] for _ in examples]
        for row, feature in enumerate(features):
            own[int(feature["example"])].append(row)
        for example, rows in zip(examples, own, strict=True):
            mine: list[Features] = [features[row] for row in rows]
            yield self.task.answer(example, mine, [raw[row] for row in rows])

    def _records(self, batch: Batch) -> Sequence[Any]:
        """Return what the task's `answer` is made of, of each sequence of a padded batch."""
        if self.transcriber is None:
            return self.task.raw_predictions(self.logits(batch), batch)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.transcriber.write(batch["input_features"])

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return what the task reads of the model's output on a padded batch, float32 on the CPU.

        Logits [B, classes] or [B, L, classes]; over a vocabulary of the labelled positions, [S, V], or how likely the
        tokens are that a task asks there, [K]; of a task without a head see its `logits`.

        Raises:
            ArtifactError: They are not finite.
        """
        inputs = {name: tensor.to(self._device) for name, tensor in model_inputs(dict(batch)).items()}
        if self.packed is not None:
            self.packed.prepare_batch(inputs)
        low = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=low):
            if self.vocabulary is None:
                logits = self.task.logits(self.model(**inputs), {**batch, **inputs})
            else:
                logits = self._at_labels(self.vocabulary, inputs, batch["labels"].to(self._device))
        logits = logits.float().cpu()
        seen = logits[inputs["attention_mask"].bool().cpu()] if logits.dim() == 3 else logits
        if not bool(torch.isfinite(seen).all()):
            raise ArtifactError("the model answers NaN or Inf", mend="predict with precision fp32, or train again")
        return logits

    def _at_labels(self, head: VocabularyHead, inputs: Mapping[str, Tensor], labels_BL: Tensor) -> Tensor:
        with head.select(labels_BL) as labels_S:
            hidden_1SD = vocabulary_states(self.model(**inputs))
        if self.task.reads_words:
            return head.score_tokens(hidden_1SD, *self.task.asked(labels_S))
        return head.logits(hidden_1SD.flatten(0, 1))


def _ask_for(task: OpenTask, top_k: int) -> None:
    """Let a task that fills masks give so many candidates."""
    if not isinstance(task, OpenMaskedLm):
        raise ConfigError(f"a model for {task.kind} fills no masks", where="top_k", mend="leave it out")
    if top_k < 1:
        raise ConfigError(f"{top_k} candidates are none", where="top_k", mend="give at least 1")
    task.top_k = top_k


def open_task(opened: ModelFolder) -> OpenTask:
    """Return the live task of a model folder, with its labels and tokenizer."""
    state = opened.info["task"]
    part = cast(Task, catalog.load("task", state["kind"])())
    return part.reopen(state, part.load_tokenizer(str(opened.path)))


def as_example(given: str | Mapping[str, Any], number: int, form: Form = "text") -> Example:
    """Return an input as an example.

    Args:
        given: A text, or a mapping with the keys of `INPUT_KEYS`; for a model that sees or hears the path of a file, or
            a mapping that names it.
        number: Its place among the inputs, from 1, for messages.
        form: What the model's task takes.

    Raises:
        DataError: It is neither.
    """
    where = f"input {number}"
    if form in FILE_KEYS:
        return _file_example(given, FILE_KEYS[form], where)
    if isinstance(given, str):
        return {"text": given, "where": where}
    if not isinstance(given, Mapping):
        raise DataError(f"{type(given).__name__} is no text", where=where, mend="give a text, or {'text': ...}")
    where = str(given.get("where", where))
    if PASSAGE in given and "text" not in given:
        given = {"text" if key == PASSAGE else key: value for key, value in given.items()}
    unknown = [key for key in given if key not in (*INPUT_KEYS, "where")]
    if unknown:
        raise DataError(f"unknown key '{unknown[0]}'", where=where, mend=f"known: {', '.join(INPUT_KEYS)}")
    for key in ("text", "text_pair", "question"):
        if not isinstance(given.get(key, ""), str):
            raise DataError(f"{key} is {type(given[key]).__name__}, not text", where=where, mend="give a text")
    if "text" not in given:
        raise DataError("the text is missing", where=where, mend="give {'text': ...}")
    return {**given, "where": where}


def _file_example(given: str | Mapping[str, Any], key: str, where: str) -> Example:
    if isinstance(given, Mapping):
        where = str(given.get("where", where))
        given = given.get(key, "")
    if not isinstance(given, str) or not given:
        raise DataError(f"no path of an {key} file", where=where, mend=f"give a path, or {{'{key}': path}}")
    return {key: given, "where": given if where.startswith("input ") else where}
