"""What `inspect` is asked about: a model by name, a recipe's, or one that does not exist yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fathom.config import parse_yaml, validate
from fathom.errors import ConfigError
from fathom.model.new import NewModel
from fathom.model.section import ModelSection, Pretrained

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from fathom.tuning.base import Tuning

DEFAULT_BATCH_SIZE = 32
DEFAULT_LENGTH = 128
DEFAULT_VOCABULARY = 32_000
"""Rows of a new model's embeddings where neither tokenizer nor size is named."""
TASK_CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "relation-extraction": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "masked-lm": "AutoModelForMaskedLM",
    "causal-lm": "AutoModelForCausalLM",
    "prefix-lm": "AutoModelForSeq2SeqLM",
    "chat": "AutoModelForCausalLM",
    "preference": "AutoModelForCausalLM",
    "span-denoising": "AutoModelForSeq2SeqLM",
    "translation": "AutoModelForSeq2SeqLM",
    "summarization": "AutoModelForSeq2SeqLM",
    "text-infilling": "AutoModelForSeq2SeqLM",
    "speech-recognition": "AutoModelForCTC",
}
LABELLED = frozenset({"text-classification", "token-classification", "relation-extraction"})
"""Tasks whose head has a row for each label."""
CHARACTERS = 32
"""Rows of a speech model's head before its data say more: English letters and signs, as wav2vec2 has them."""
WRITES_SPEECH = "AutoModelForSpeechSeq2Seq"
"""Of a speech model that writes with a decoder."""
BASE_CLASS = "AutoModel"
ENDINGS = (
    ("LMHeadModel", "AutoModelForCausalLM"),
    ("ForCausalLM", "AutoModelForCausalLM"),
    ("ForSequenceClassification", "AutoModelForSequenceClassification"),
    ("ForTokenClassification", "AutoModelForTokenClassification"),
    ("ForMaskedLM", "AutoModelForMaskedLM"),
    ("ForQuestionAnswering", "AutoModelForQuestionAnswering"),
    ("ForImageClassification", "AutoModelForImageClassification"),
    ("ForConditionalGeneration", "AutoModelForSeq2SeqLM"),
)


@dataclass(frozen=True)
class Subject:
    """A model, and what a recipe says about training it."""

    section: ModelSection
    batch_size: int = DEFAULT_BATCH_SIZE
    length: int = DEFAULT_LENGTH
    tuning: Tuning | None = None
    task: str | None = None


def read_subject(source: str | ModelSection) -> Subject:
    """Read what the user named.

    Raises:
        ConfigError: A recipe or a new model with a mistake in it.
    """
    if isinstance(source, ModelSection):
        return Subject(source)
    from fathom.recipe import load_recipe, ready_recipes

    if source.endswith((".yaml", ".yml")) or source in ready_recipes():
        recipe = load_recipe(source)
        length = recipe.data.max_length or DEFAULT_LENGTH
        known = recipe.task.kind if recipe.task.kind in TASK_CLASSES else None
        return Subject(recipe.model, recipe.training.batch_size, length, recipe.tuning, known)
    if source.lstrip().startswith("{"):
        return Subject(_read_section(source))
    return Subject(Pretrained(name=source))


def architecture(
    subject: Subject, task: str | Mapping[str, Any] | None, *, needs_head: bool
) -> tuple[PreTrainedConfig, str]:
    """Return the config of a subject and the auto class of the head it gets.

    Args:
        subject: What is inspected.
        task: Whose head; left out, the recipe's, or the one the model was published with.
        needs_head: Give a model without a head a classifier.

    Raises:
        ModelError: No such model, or its family has no such head.
        ConfigError: No such task.
    """
    task = task or subject.task
    if task is None:
        return _as_published(subject.section, needs_head=needs_head)
    options = {"kind": task} if isinstance(task, str) else dict(task)
    kind = str(options.pop("kind", ""))
    if kind not in TASK_CLASSES:
        raise ConfigError(f"no head is known for the task '{kind}'", mend=f"known: {', '.join(TASK_CLASSES)}")
    if kind == "speech-recognition" and _config(subject.section, {}).is_encoder_decoder:
        from fathom.tokenization.whisper import BYTE_ROWS

        section = subject.section
        if isinstance(section, NewModel):
            section = section.model_copy(update={"vocabulary_size": BYTE_ROWS})
        return _config(section, options), WRITES_SPEECH
    usual = (
        {"num_labels": 2} if kind in LABELLED else {"vocab_size": CHARACTERS} if kind == "speech-recognition" else {}
    )
    overrides = {**usual, **options}
    return _config(subject.section, overrides), TASK_CLASSES[kind]


def _read_section(text: str) -> ModelSection:
    from fathom.config import choice

    try:
        raw = parse_yaml(text)
    except yaml.YAMLError:
        raise ConfigError(f"'{text}' is no model", mend="write {kind: new, architecture: llama, depth: 12}") from None
    part = choice("model", default="pretrained").part(raw)
    section: Any = validate(part, {"kind": "pretrained", **raw}, "model")
    return section  # type: ignore[no-any-return]


def _config(section: ModelSection, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    if isinstance(section, Pretrained):
        from fathom.model.load import load_config

        return load_config(section.name, overrides, from_preset=True)
    if (
        isinstance(section, NewModel)
        and section.family.reads_text
        and section.tokenizer is None
        and section.vocabulary_size is None
    ):
        section = section.model_copy(update={"vocabulary_size": DEFAULT_VOCABULARY})
    return section.read_config(_tokenizer(section), overrides)


def _tokenizer(section: ModelSection) -> Any:
    if isinstance(section, NewModel) and section.tokenizer is None:
        return None
    from fathom.model.load import resolve_model
    from fathom.tokenization.load import load_tokenizer

    return load_tokenizer(resolve_model(section.tokenizer_source))


def _as_published(section: ModelSection, *, needs_head: bool) -> tuple[PreTrainedConfig, str]:
    from fathom.model import presets

    config = _config(section, {})
    if isinstance(section, NewModel):
        return config, section.family.auto_class
    assert isinstance(section, Pretrained)
    preset = presets.find(section.name) if not Path(section.name).is_dir() else None
    auto_class = preset.auto_class if preset is not None else _published_class(config)
    if auto_class == BASE_CLASS and needs_head and config.model_type != "vit":
        auto_class = TASK_CLASSES["text-classification"]
    return config, auto_class


def _published_class(config: PreTrainedConfig) -> str:
    """The auto class of the model a config says its weights are of."""
    name = str((config.architectures or [""])[0])
    if config.model_type == "whisper" and name.endswith("ForConditionalGeneration"):
        return WRITES_SPEECH
    return next((auto_class for ending, auto_class in ENDINGS if name.endswith(ending)), BASE_CLASS)
