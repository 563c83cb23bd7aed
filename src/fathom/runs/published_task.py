"""A language model that was published without `fathom.json`, ready to be scored on running text or to fill masks."""

from __future__ import annotations

from typing import Any

from fathom.device import probe_machine
from fathom.errors import ConfigError, ModelError
from fathom.model.families import JUDGES_PAIRS, most_positions
from fathom.model.load import load_config, load_model, resolve_model
from fathom.model.published import published_class
from fathom.model.virtual_tokens import num_virtual_tokens
from fathom.runs.corpus import DEFAULT_WINDOW
from fathom.serving.generate.open import is_fathom_folder
from fathom.serving.predictor import Precision, Predictor
from fathom.tasks.causal_lm import CausalLm
from fathom.tasks.language_model import OpenLanguageTask
from fathom.tasks.masked_lm import MaskedLm
from fathom.tokenization.load import load_tokenizer
from fathom.tokenization.match import check_vocabulary


def language_model_of(config: Any) -> MaskedLm | CausalLm | None:
    """Return the task of the head that was published with a model; None where it has none."""
    published = published_class(config) if config.architectures else None
    if published == "AutoModelForCausalLM":
        return CausalLm(end_of_document=False)
    pretrained = published == "AutoModelForPreTraining" and config.model_type in JUDGES_PAIRS
    return MaskedLm() if published == "AutoModelForMaskedLM" or pretrained else None


def open_predictor(model: str, *, precision: Precision = "fp32", top_k: int | None = None) -> Predictor:
    """Load a folder of Fathom's, or a published decoder or encoder with the head of its pretraining.

    Args:
        model: Folder, or the hub name of a published model.
        precision: See `Predictor`.
        top_k: See `Predictor`.

    Raises:
        ModelError: There is no such model, its task is unknown, or its tokenizer is another model's.
        ArtifactError: A file is damaged; names it.
    """
    if is_fathom_folder(model):
        return Predictor.load(model, precision=precision, top_k=top_k)
    try:
        config = load_config(model, {})
    except ModelError:
        return Predictor.load(model)  # says what is wrong
    part = language_model_of(config)
    if part is None:
        return Predictor.load(model)
    tokenizer = load_tokenizer(resolve_model(model))
    check_vocabulary(tokenizer, config)
    length = min(most_positions(config) or DEFAULT_WINDOW, tokenizer.model_max_length, DEFAULT_WINDOW)
    task = part.open([], tokenizer, length)
    loaded = load_model(model, part.auto_class, {}, 0).to(probe_machine().device)
    return Predictor(loaded, task, precision=precision, top_k=top_k)


def set_window(predictor: Predictor, wanted: int | None) -> None:
    """Make the windows of a language model so many tokens long; None leaves them as they are.

    Raises:
        ConfigError: The model has not so many positions.
    """
    if wanted is None:
        return
    task, model = predictor.task, predictor.model
    assert isinstance(task, OpenLanguageTask)
    positions = most_positions(model.config)
    if positions is not None and wanted > positions - num_virtual_tokens(model):
        most = positions - num_virtual_tokens(model)
        raise ConfigError(f"the model takes at most {most} tokens", where="data.max_length", mend=f"write {most}")
    if wanted <= task.overhead + 1:
        raise ConfigError("max_length leaves no room for text", where="data.max_length", mend="give a larger one")
    task.max_length = wanted
