"""What a tuned model has forgotten of what its base could do, measured on texts that are nobody's task.

Where the base has a language-model head, the tuned body is put under that head, and the loss is compared with the
base's own; the masks are drawn once for all. Where it has none (a sentence encoder), there is nothing it could do
without a task, and what is told is how far its states have moved.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom import files
from fathom.data.batch import collate, model_inputs
from fathom.data.draw import EVALUATION, Draw
from fathom.data.example import FILE_KEYS, Features
from fathom.device import probe_machine, release_free_memory
from fathom.errors import ConfigError, ModelError
from fathom.model.families import most_positions
from fathom.model.folder import open_folder
from fathom.model.load import load_config, load_model, resolve_model
from fathom.model.save import is_peft
from fathom.model.section import Pretrained
from fathom.model.virtual_tokens import num_virtual_tokens
from fathom.model.weights import INFO
from fathom.recipe import Recipe
from fathom.runs.finish import MODEL
from fathom.runs.predict import read_inputs
from fathom.runs.published_task import language_model_of
from fathom.tasks.language_model import OpenLanguageTask
from fathom.tasks.masked_lm import MaskedLm
from fathom.tokenization.load import load_tokenizer

FILE = "forgetting.json"
LENGTH = 128
"""Tokens of the longest sequence."""
BATCH_SIZE = 8
MOST_SEQUENCES = 1000
"""Sequences that are read of the texts, at most."""


class Forgetting:
    """Measures runs against the models they began with, on the same texts; each run once.

    Args:
        path: A text file, a text on each line; or a table with a column of texts.

    Raises:
        DataError: The file is missing, empty or wrong.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.texts = [str(row["text"]) for row in read_inputs(path, "text")]
        self._bases: dict[str, Base] = {}

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe whose model could not be measured.

        Raises:
            ConfigError: It starts from new weights, reads no text, or has two stacks.
        """
        problem = None
        if not isinstance(recipe.model, Pretrained):
            problem = "new weights have nothing to forget"
        elif recipe.task.form in FILE_KEYS or recipe.task.form == "interactions":
            problem = f"a model for {recipe.task.kind} reads no text"
        elif load_config(recipe.model.name, {}).is_encoder_decoder:
            problem = "what an encoder with a decoder could do is not measured"
        if problem is not None:
            raise ConfigError(problem, where="--forgetting", mend="leave it out")

    def measure(self, recipe: Recipe) -> dict[str, float]:
        """Return what a finished run kept: `base_loss` and `base_loss_after` in nats per token, or `base_cosine`.

        Nothing where virtual tokens were learnt, which leave the body as it is.

        Raises:
            ModelError: The body of the run does not fit under the base's head, or the base is missing.
            ArtifactError: A file of the run's model is damaged.
        """
        assert isinstance(recipe.model, Pretrained) and recipe.output is not None  # checked; a trial has its own folder
        place, tuned = Path(recipe.output) / FILE, Path(recipe.output) / MODEL
        key = files.digest([self.texts, LENGTH, MOST_SEQUENCES, files.read_json(tuned / INFO)["files"]])
        if place.is_file() and (known := files.read_json(place)).get("key") == key:
            found: dict[str, float] = known["found"]
            return found
        name = recipe.model.name
        base = self._bases.get(name) or Base.open(name, self.texts)
        self._bases[name] = base
        opened = open_folder(tuned)
        model = opened.load_model(opened.info["auto_class"])
        found = {} if num_virtual_tokens(model) else base.compare(_body(model))
        files.write_json(place, {"key": key, "found": found})
        del model
        gc.collect()  # modules and their hooks hold each other
        release_free_memory()
        return found


@dataclass(frozen=True)
class Base:
    """A model that runs began with, and what it makes of the texts.

    Attributes:
        name: As recipes name it.
        features: The texts in its tokens, longest first.
        padding: Token that fills up.
        task: Of its language-model head; None without one.
        before: Its loss; without a head its states `[texts, D]`.
    """

    name: str
    features: list[Features]
    padding: int
    task: OpenLanguageTask | None
    before: float | Tensor

    @classmethod
    def open(cls, name: str, texts: Sequence[str]) -> Base:
        """Load a base and let it read the texts."""
        config = load_config(name, {})
        tokenizer = load_tokenizer(resolve_model(name))
        length = min(LENGTH, most_positions(config) or LENGTH)
        part = language_model_of(config)
        if isinstance(part, MaskedLm) and tokenizer.mask_token_id is None:
            part = None
        task: OpenLanguageTask | None = None
        if part is None:
            encoded = tokenizer(list(texts), truncation=True, max_length=length)["input_ids"]
            features: list[Features] = [{"input_ids": np.asarray(ids, dtype=np.int32)} for ids in encoded]
        else:
            opened = part.open([], tokenizer, length)
            assert isinstance(opened, OpenLanguageTask)
            task = opened
            features = task.encode([{"text": text} for text in texts])
        features = sorted(features[:MOST_SEQUENCES], key=lambda one: -len(one["input_ids"]))
        self = cls(name, features, tokenizer.pad_token_id or 0, task, float("nan"))
        model = load_model(name, "AutoModel" if task is None else task.part.auto_class, {}, 0).eval()
        before = self._states(model) if task is None else self._loss(model)
        return cls(name, self.features, self.padding, task, before)

    def compare(self, body: nn.Module) -> dict[str, float]:
        """Return what a tuned body kept; see `Forgetting.measure`.

        Raises:
            ModelError: It is no body of the base's kind.
        """
        if isinstance(self.before, Tensor):
            return {"base_cosine": float(torch.cosine_similarity(self.before, self._states(body)).mean())}
        assert self.task is not None
        whole: Any = load_model(self.name, self.task.part.auto_class, {}, 0).eval()
        if type(whole.base_model) is not type(body):
            message = f"a {type(body).__name__} does not fit under the head of {type(whole).__name__}"
            raise ModelError(message, where=self.name, mend="measure with the model the body was tuned from")
        whole.add_module(whole.base_model_prefix, body)  # in the place of its own
        return {"base_loss": self.before, "base_loss_after": self._loss(whole)}

    @torch.inference_mode()
    def _loss(self, model: nn.Module) -> float:
        """Return the loss in nats for each token that is predicted; the masks depend on the sequence alone."""
        assert self.task is not None
        total, number = 0.0, 0.0
        for rows, part in self._parts():
            batch = self.task.make_batch(part, Draw(0, EVALUATION, rows))
            total += float(self.task.loss(_run(model, batch).logits.cpu(), batch).total)
            number += self.task.normalizer(batch)
        return total / number

    @torch.inference_mode()
    def _states(self, body: nn.Module) -> Tensor:
        """Return the mean of each text's last states, `[texts, D]`."""
        found = []
        for _, part in self._parts():
            batch = collate(part, self.padding)
            states_BLD = _run(body, batch)[0].float().cpu()
            mask_BL1 = batch["attention_mask"][:, :, None].float()
            found.append((states_BLD * mask_BL1).sum(1) / mask_BL1.sum(1))
        return torch.cat(found)

    def _parts(self) -> Iterator[tuple[np.ndarray[Any, Any], list[Features]]]:
        for first in range(0, len(self.features), BATCH_SIZE):
            part = self.features[first : first + BATCH_SIZE]
            yield np.arange(first, first + len(part)), part


def _body(model: Any) -> nn.Module:
    """Return what stands under a model's head, adapters in place."""
    whole = model.get_base_model() if is_peft(model) else model
    body: nn.Module = whole.base_model
    return body


def _run(model: nn.Module, batch: dict[str, Tensor]) -> Any:
    device = probe_machine().device
    return model.to(device)(**{name: value.to(device) for name, value in model_inputs(batch).items()})
