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
from fathom.tokenization.items import ITEMS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from fathom.tasks.base import Task
    from fathom.training.settings import Training
    from fathom.tuning.base import Tuning

DEFAULT_LENGTH = 128
DEFAULT_VOCABULARY = 32_000
"""Rows of a new model's embeddings where neither size nor tokenizer is named, or the tokenizer is made of the data."""
CLASSIFIER = "AutoModelForSequenceClassification"
"""What a model without a head gets where a strategy needs one and no task is named."""
BASE_CLASS = "AutoModel"


@dataclass(frozen=True)
class Subject:
    """A model, and what a recipe says about training it."""

    section: ModelSection
    training: Training
    length: int = DEFAULT_LENGTH
    tuning: Tuning | None = None
    task: Task | None = None


def read_subject(source: str | ModelSection, training: Mapping[str, Any] | None = None) -> Subject:
    """Read what the user named.

    Args:
        source: See `inspect`.
        training: Keys of a recipe's `training` section that take the place of the recipe's own, or of the defaults;
            None stands for a key that is left out.

    Raises:
        ConfigError: A recipe or a new model with a mistake in it, or no such key or value.
    """
    from fathom.recipe import load_recipe, ready_recipes
    from fathom.training.settings import Training

    wanted = {name: value for name, value in (training or {}).items() if value is not None}
    given = validate(Training, wanted, "training")
    if isinstance(source, ModelSection):
        return Subject(source, given)
    if source.endswith((".yaml", ".yml")) or source in ready_recipes():
        recipe = load_recipe(source)
        merged = recipe.training.model_copy(update={name: vars(given)[name] for name in given.model_fields_set})
        return Subject(recipe.model, merged, recipe.data.max_length or DEFAULT_LENGTH, recipe.tuning, recipe.task)
    if source.lstrip().startswith("{"):
        return Subject(_read_section(source), given)
    return Subject(Pretrained(name=source), given)


@dataclass(frozen=True)
class Shape:
    """A model before its weights: its config, the auto class of its head, and the task the head is for, if one is."""

    config: PreTrainedConfig
    auto_class: str
    task: Task | None = None


def architecture(subject: Subject, task: str | Mapping[str, Any] | None, *, needs_head: bool) -> Shape:
    """Return the config of a subject, and the head it gets.

    Args:
        subject: What is inspected.
        task: Whose head: a name, or options as in a recipe, with `num_labels` of the data that will come. Left out, the
            recipe's, or the one the model was published with.
        needs_head: Give a model without a head a classifier.

    Raises:
        ModelError: No such model, or its family has no such head.
        ConfigError: No such task, or its options do not go with the model.
    """
    part, num_labels = (subject.task, None) if task is None else _read_task(task)
    if part is None:
        return _as_published(subject.section, needs_head=needs_head)
    from fathom.runs.heads import require_head

    section = subject.section
    bare = _config(section, {})
    part = part.suited(bare)
    if isinstance(section, NewModel) and part.new_vocabulary is not None:
        section = section.model_copy(update={"vocabulary_size": part.new_vocabulary})
    config = _config(section, {**part.fixed_keys(bare), **part.head_keys(num_labels)})
    require_head(config, part, new=isinstance(section, NewModel))
    return Shape(config, part.auto_class, part)


def _read_task(task: str | Mapping[str, Any]) -> tuple[Task, int | None]:
    """Return a task and the labels it is said to have."""
    from fathom.config import choice

    raw: dict[str, Any] = {"kind": task} if isinstance(task, str) else dict(task)
    num_labels = raw.pop("num_labels", None)
    part: Any = validate(choice("task").part(raw), raw, "task")
    return part, num_labels


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
        and section.tokenizer in (None, ITEMS)
        and section.vocabulary_size is None
    ):
        section = section.model_copy(update={"vocabulary_size": DEFAULT_VOCABULARY})
    return section.read_config(_tokenizer(section), overrides)


def _tokenizer(section: ModelSection) -> Any:
    if isinstance(section, NewModel) and section.tokenizer in (None, ITEMS):
        return None
    from fathom.model.load import resolve_model
    from fathom.tokenization.load import load_tokenizer

    return load_tokenizer(resolve_model(section.tokenizer_source))


def _as_published(section: ModelSection, *, needs_head: bool) -> Shape:
    from fathom.model import presets
    from fathom.model.published import published_class

    config = _config(section, {})
    if isinstance(section, NewModel):
        return Shape(config, section.family.auto_class)
    assert isinstance(section, Pretrained)
    preset = presets.find(section.name) if not Path(section.name).is_dir() else None
    if preset is not None:
        auto_class = preset.auto_class
    else:
        auto_class = (published_class(config) if config.architectures else None) or BASE_CLASS
    if auto_class == BASE_CLASS and needs_head and config.model_type != "vit":
        auto_class = CLASSIFIER
    return Shape(config, auto_class)
