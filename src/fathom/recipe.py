"""Recipe, the one typed description of a run; resolve()."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SerializeAsAny, ValidationError, model_validator

from fathom import catalog
from fathom.config import Bare, Part, apply_edits, choice, explain, read_yaml, suggest, validate, write_yaml
from fathom.data.readers.honoured import forms_of_key, passed_over
from fathom.data.section import STORED, DataSection
from fathom.device import Machine, choose_precision
from fathom.errors import ConfigError
from fathom.files import digest
from fathom.model.new import TOKENIZER_MEND, NewModel
from fathom.model.section import ModelSection
from fathom.tasks.base import Task
from fathom.training.settings import Training
from fathom.tuning.base import Tuning

RUNS_FOLDER = "runs"
"""Where runs go whose recipe names no `output`, relative to the working folder."""

WITHOUT_EFFECT: dict[str, frozenset[str]] = {
    "": frozenset({"name", "output", "trackers"}),
    "data": frozenset({"max_leak_share", "allow_leaks"}),
    "training": frozenset(
        {
            "logging_steps",
            "save_steps",
            "save_total_limit",
            "eval_batch_size",
            "threads",
            "log_gradients",
            "frozen_cache_gb",
            "activation_offload",
        }
    ),
}
"""Keys by section that change where a result is written, how often it is told or whether a run is refused, never the
result."""

CORPUS_ONLY = ("mixture", "filters", "document_separator", "document_template", "pack_documents")
"""Keys of the data section that a task which reads examples cannot honour."""

NO_VALIDATION = (
    "leave it out, or give the run a validation split: a file as data.validation, or data.validation_fraction above 0"
)

LABELLED_FORMS = frozenset({"text", "relation", "image", "sound"})
"""What tasks take whose examples have a label."""

MODEL = choice("model", default="pretrained", bare="name")
TUNING = choice("tuning", default="full")


def _default_tuning() -> Any:
    return TUNING.load({})


def _known(family: str, name: str) -> str:
    known = catalog.names(family)
    if name not in known:
        raise ValueError(f"no {family} is called '{name}'{suggest(name, known)} (known: {', '.join(known)})")
    return name


def _known_tracker(name: str) -> str:
    return _known("tracker", name)


def _with_tokenizer(model: ModelSection) -> ModelSection:
    if isinstance(model, NewModel) and model.family.reads_text and model.tokenizer is None:
        raise ValueError(f"a new {model.architecture} needs the key 'tokenizer': {TOKENIZER_MEND}")
    return model


class Recipe(Part):
    """Everything one run needs: model, data, task, tuning, training."""

    name: str | None = None
    """Name of the run; left out, the name of the recipe's file."""
    model: Annotated[SerializeAsAny[ModelSection], AfterValidator(_with_tokenizer), MODEL]
    """The model to start from: a plain name, or `{kind: new, architecture: bert, depth: 6, tokenizer: FOLDER}`."""
    data: Annotated[DataSection, Bare("train")]
    """The splits and how to read them."""
    task: Annotated[SerializeAsAny[Task], choice("task")]
    """What the model learns to do; a bare name, or `{kind: ..., options}`."""
    tuning: Annotated[SerializeAsAny[Tuning], TUNING] = Field(default_factory=_default_tuning)
    """Which parameters learn; a bare name, or `{kind: ..., options}`."""
    training: Training = Field(default_factory=Training)
    """How they learn."""
    trackers: tuple[Annotated[str, AfterValidator(_known_tracker)], ...] = ()
    """Where numbers go besides `metrics.jsonl`, which is always written."""
    output: str | None = None
    """The run's folder; left out, `runs/<name>`."""

    @model_validator(mode="after")
    def _a_corpus_for_settings_of_corpora(self) -> Self:
        if self.task.form == "corpus":
            return self
        data, plain = dict(self.data), dict(DataSection(train=self.data.train))
        given = [f"data.{name}" for name in CORPUS_ONLY if data[name] != plain[name]]
        if given:
            raise ValueError(
                f"only running text is read with {', '.join(given)}, and {self.task.kind} reads examples: leave out "
                f"{_them(given)}, or take a task that reads a corpus, such as causal-lm"
            )
        return self

    @model_validator(mode="after")
    def _settings_of_data_that_the_task_reads(self) -> Self:
        plain = DataSection(train=self.data.train)
        given = {key: value for key, value in dict(self.data).items() if value != plain.__dict__[key]}
        found = passed_over(given, self.task.form)
        if found:
            raise ValueError(f"{self.task.kind} does not read {_with_readers(found)}: leave {_them(found)} out")
        return self

    @model_validator(mode="after")
    def _evaluations_of_a_split(self) -> Self:
        without = self.data.validation is None and self.data.validation_fraction == 0
        # of what users chose, the last items are kept for validation
        given = self.training.of_evaluations if without and self.task.form != "interactions" else []
        if given:
            keys = ", ".join(f"training.{name}" for name in given)
            raise ValueError(f"the run has no validation split, and {keys} would do nothing: {NO_VALIDATION}")
        return self

    @model_validator(mode="after")
    def _shots_of_labels(self) -> Self:
        if self.data.shots is not None and self.task.form not in LABELLED_FORMS:
            raise ValueError(
                f"data.shots counts the examples of each label, and {self.task.kind} has none: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _updates_apart(self) -> Self:
        if self.training.optimizer_in_backward and not self.tuning.updates_apart:
            raise ValueError(
                "training.optimizer_in_backward updates each block as soon as its gradients are whole, and tuning.kind "
                f"'{self.tuning.kind}' needs those of the whole step: leave it off, or choose another strategy"
            )
        return self

    @model_validator(mode="after")
    def _new_weights_are_saved_whole(self) -> Self:
        if isinstance(self.model, NewModel) and self.tuning.saves_adapter:
            parts = {name: catalog.load("tuning", name) for name in catalog.names("tuning")}
            whole = [name for name, part in parts.items() if part.trains_whole]
            partly = [name for name, part in parts.items() if not part.saves_adapter and name not in whole]
            raise ValueError(
                f"tuning.kind '{self.tuning.kind}' trains an adapter beside frozen weights, and those of model.kind "
                "'new' are random: frozen they would stay so, and no base model holds them to load the adapter beside. "
                f"Every weight learns under tuning.kind {', '.join(whole)}; {', '.join(partly)} are taken too, and "
                "leave the rest random. For an adapter start from a trained model: model.name"
            )
        return self


def _them(keys: Sequence[str]) -> str:
    return "it" if len(keys) == 1 else "them"


def _with_readers(keys: Sequence[str]) -> str:
    """Keys of the data section, each with the tasks that read it."""
    forms = {name: catalog.load("task", name).form for name in catalog.names("task")}
    return ", ".join(
        f"{key} ({', '.join(name for name, form in forms.items() if form in forms_of_key(key))})" for key in keys
    )


def load_recipe(source: str | Path, edits: Iterable[str] = ()) -> Recipe:
    """Read a recipe and merge edits into it.

    Args:
        source: A YAML file, a run folder, the name of a ready recipe, or `module:function` in Python (a function
            without arguments that returns a `Recipe` or a dict).
        edits: `section.key=value`, in order.

    Raises:
        ConfigError: No such recipe, or mistakes in it, all of them at once.
    """
    raw, name, where = _read(str(source))
    raw = apply_edits(raw, edits, Recipe)
    if raw.get("name") is None:
        raw["name"] = name
    return validate_stored(raw, where) if Path(source).is_dir() else validate(Recipe, raw, where)


def validate_stored(raw: Mapping[str, Any], where: str) -> Recipe:
    """Validate a recipe that a run wrote out; what was refused only later is read.

    Raises:
        ConfigError: Mistakes in it, all of them at once.
    """
    try:
        return Recipe.model_validate(raw, context=STORED)
    except ValidationError as error:
        raise explain(Recipe, raw, error, where) from None


def ready_recipes() -> dict[str, str]:
    """Return the recipes that Fathom brings, by name, each with the comment on its first line."""
    found = {}
    for entry in sorted(_ready_folder().iterdir(), key=lambda item: item.name):
        name, _, suffix = entry.name.rpartition(".")
        if suffix == "yaml":
            found[name] = entry.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
    return found


def resolve(recipe: Recipe, machine: Machine) -> Recipe:
    """Return the recipe with everything derived that it leaves open: precision, threads, learning rate, folder.

    Pure, and idempotent: a resolved recipe resolves to itself.

    Raises:
        ConfigError: The recipe asks for arithmetic the machine only emulates, or for offload where there is no GPU.
    """
    training = recipe.training
    if training.activation_offload and machine.device == "cpu":
        raise ConfigError(
            "there is no GPU: what the backward pass needs is in the processor's memory already",
            where="training.activation_offload",
            mend="leave it off; activation_checkpointing: true saves memory on a processor",
        )
    name = recipe.name or f"{recipe.task.kind}-{_plain_name(recipe.model.label)}"
    derived = training.model_copy(
        update={
            "learning_rate": _learning_rate(recipe),
            "precision": choose_precision(training.precision, machine),
            "threads": training.threads or machine.cores,
        }
    )
    output = recipe.output or f"{RUNS_FOLDER}/{name}"
    return recipe.model_copy(update={"name": name, "training": derived, "output": output})


def _learning_rate(recipe: Recipe) -> float:
    """The rate the recipe gives; else the model's or the strategy's, made for AdamW, as the optimizer takes it."""
    training, tuning = recipe.training, recipe.tuning
    given = tuning.learning_rate if training.learning_rate is None else training.learning_rate
    if given is not None:
        return given
    own = recipe.model.default_learning_rate
    default = tuning.default_learning_rate if own is None else own
    scale = training.optimizer.learning_rate_scale
    return default if scale == 1 else float(f"{default * scale:.6g}")


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML, every option written out; `load_recipe` reads it back to an equal recipe."""
    return write_yaml(recipe.model_dump(mode="json"))


def deciding(recipe: Recipe) -> dict[str, Any]:
    """Return everything in a recipe that can change its result, as JSON."""
    raw = recipe.model_dump(mode="json")
    for section, names in WITHOUT_EFFECT.items():
        found = raw[section] if section else raw
        for name in names:
            del found[name]
    return raw


def recipe_digest(recipe: Recipe) -> str:
    """Return the sha256 of everything in a recipe that can change its result."""
    return digest(deciding(recipe))


def _read(source: str) -> tuple[dict[str, Any], str | None, str]:
    """Return the raw recipe, the name it gives a run, and the place to name in messages."""
    path = Path(source)
    if path.is_dir() and (path / "recipe.yaml").is_file():
        path = path / "recipe.yaml"
    if path.is_file() or path.suffix in {".yaml", ".yml"}:
        return read_yaml(path), None if path.name == "recipe.yaml" else path.stem, str(path)
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", source):
        return _call(source), None, source
    if source in ready_recipes():
        with resources.as_file(_ready_folder() / f"{source}.yaml") as ready:
            return read_yaml(ready), source, source
    known = list(ready_recipes())
    raise ConfigError(
        f"no recipe '{source}'{suggest(source, known)}",
        mend=f"give a YAML file, module:function, or a ready recipe: {', '.join(known)}; "
        "'fathom init DATA' writes one from a data file",
    )


def _call(source: str) -> dict[str, Any]:
    """Import `module:function` (the working folder first on the path, as `python -m` has it) and call it."""
    module_name, _, function_name = source.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"no Python module '{error.name}'", where=source, mend="run from its folder") from None
    function = vars(module).get(function_name)
    if not callable(function):
        mend = "name a function that the module has, as module:function"
        raise ConfigError(f"the module has no function '{function_name}'", where=source, mend=mend)
    try:
        made = function()
    except ValidationError as error:
        raise explain(Recipe, {}, error, source) from None
    if isinstance(made, Recipe):
        return made.model_dump(mode="json")
    if isinstance(made, Mapping):
        return dict(made)
    message = f"the function returned {type(made).__name__}, not a Recipe or a dict"
    raise ConfigError(message, where=source, mend="return fathom.Recipe(...), or the sections as a dict")


def _ready_folder() -> Traversable:
    return resources.files("fathom") / "recipes"


def _plain_name(name: str) -> str:
    """The last component of a model name, in characters every file system takes."""
    return re.sub(r"[^\w.-]+", "-", name.rstrip("/").rpartition("/")[2]) or "model"
