"""Check data before a run, and look at one example of it as the model will see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fathom import catalog
from fathom.config import apply_edits, validate
from fathom.data.check import CheckOptions, check_splits
from fathom.data.corpus.report import check_corpus
from fathom.data.example import FILE_KEYS, Example, Features
from fathom.data.findings import SHOWN, CheckReport, Finding, Severity, order
from fathom.data.leave_one_out import check_sequences
from fathom.data.load import detect_format, load_splits, read_path, require_labels, take_shots
from fathom.data.preview import Preview, PreviewToken
from fathom.data.readers.base import Form, Reading
from fathom.data.readers.built_in import built_in
from fathom.data.readers.parallel import split_path
from fathom.data.readers.questions import MOVED, NOT_FOUND
from fathom.data.section import DataSection
from fathom.data.split import stratified_split
from fathom.errors import ConfigError, DataError, ModelError
from fathom.runs.answer_lengths import answer_lengths, answer_titles
from fathom.runs.corpus_preview import preview_window
from fathom.runs.guess_files import FORMS as FILE_FORMS
from fathom.runs.guess_form import form_of_columns
from fathom.runs.media_preview import MediaPreview, preview_media
from fathom.runs.spoken_checks import check_spoken
from fathom.runs.written_lengths import written_lengths

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from fathom.recipe import Recipe
    from fathom.tasks.base import OpenTask, Task

DEFAULT_MODEL = "minilm"
DEFAULT_MAX_LENGTH = 512
"""Tokens of the longest sequence where neither recipe nor tokenizer states a limit."""
UNLIMITED = 1 << 30
DEFAULT_TASKS: dict[Form, str] = {
    "text": "text-classification",
    "spans": "token-classification",
    "relation": "relation-extraction",
    "questions": "question-answering",
    "chat": "chat",
    "preference": "preference",
    "corpus": "causal-lm",
    "pairs": "sentence-embedding",
    "writing": "translation",
    "image": "image-classification",
    "sound": "audio-classification",
    "speech": "speech-recognition",
    "interactions": "recommendation",
}
"""The task a bare data file is previewed for."""

ONE_CLASS_EACH = ("text", "relation", "image", "sound")
"""Forms of which an example has one class, where it has not a list of them."""
EMPTY = ("text", "source", "target", "transcript")
"""What readers leave out where it is empty."""


@dataclass(frozen=True)
class _Source:
    """What a recipe or a bare data file says: the data, and the task and model if it is a recipe."""

    section: DataSection
    form: Form
    task: Task | None = None
    model: str | None = None
    recipe: Recipe | None = None
    problem: str | None = None
    """What a label is, where the task leaves that open: said by the recipe, or guessed of a bare file."""


def check(source: str, edits: Iterable[str] = ()) -> CheckReport:
    """Check the data of a recipe, or one data file.

    Every file is read and every problem is reported, not only the first file's. With a recipe the length of texts is
    measured by its model's tokenizer. A corpus is read document by document, with the sources of its mixture.

    Args:
        source: A recipe (as `fathom train` takes it) or a data file (as `data.train` takes it).
        edits: Changes to the recipe (`data.test=test.csv`); for a data file `data.` may be left out.

    Returns:
        The report; its `exit_code` is 2 when there are errors.

    Raises:
        ConfigError: The recipe or an edit is wrong.
    """
    found = _read_source(source, list(edits))
    section = found.section
    if found.form == "corpus":
        return check_corpus(section)
    asked = section.on_error
    if found.form in FILE_KEYS:  # every bad file is found, and what remains is checked too
        section = section.model_copy(update={"on_error": "skip"})
    findings: list[Finding] = []
    notes: list[str] = []
    parts: dict[str, Sequence[Example]] = {}
    for split, path in (("train", section.train), ("validation", section.validation), ("test", section.test)):
        if path is None:
            continue
        try:
            reading = read_path(path, found.form, section)
            parts[split] = reading.examples
            notes += [f"{split}: {note}" for note in reading.notes]
            findings += _skipped_files(split, reading, asked) if found.form in FILE_KEYS else []
            findings += _reader_findings(split, reading.notes)
            require_labels(reading, path, split, found.form)
        except DataError as error:
            where = f"{error.where}: " if error.where else ""
            message = f"{split}: {where}{error.message}"
            findings.append(Finding("unreadable", "error", message, 1, (), error.mend or ""))
    if found.form == "interactions":
        facts, more = check_sequences(parts)
        return CheckReport(facts, order([*findings, *more]), tuple(notes))
    if "train" in parts and section.validation is None and section.validation_fraction > 0:
        train, validation = stratified_split(parts["train"], section.validation_fraction, section.split_seed)
        parts = {"train": train, "validation": validation, **{k: v for k, v in parts.items() if k != "train"}}
    if "train" in parts:
        parts["train"], told = take_shots(list(parts["train"]), section)
        notes += told
    options, more = _options(found)
    if found.form == "speech" and parts.get("train"):
        more += check_spoken(found.recipe, parts, asked)
    facts, checked = check_splits(parts, options)
    return CheckReport(facts, order([*findings, *more, *checked]), tuple(notes))


def preview(
    source: str, edits: Iterable[str] = (), index: int = 0, output: str | None = None
) -> Preview | MediaPreview:
    """Show one training example: its text and labels, and the label of each sub-word; of images and sounds several.

    Args:
        source: A recipe or a data file, as for `check`.
        edits: Changes to it, as for `check`.
        index: Position of the example in the training split.
        output: Of images and sounds, the picture that is drawn of them; see `media_preview.preview_media`.

    Raises:
        ConfigError: The recipe or an edit is wrong.
        DataError: A file is wrong, or there is no such example.
        ModelError: The tokenizer cannot be loaded.
    """
    found = _read_source(source, list(edits))
    if found.form == "corpus":
        if found.recipe is None:
            mend = "name it: model=FOLDER, and the task: task=causal-lm"
            raise ConfigError("a corpus is shown as a model reads it, and none is named", where=source, mend=mend)
        return preview_window(found.recipe, index)
    if found.form in FILE_KEYS:
        if found.recipe is None:
            raise ConfigError("a preview of files needs a recipe", where=source, mend="fathom init writes one")
        return preview_media(found.recipe, index, output)
    if output is not None:
        raise ConfigError("a preview of text is not written to a file", where="output", mend="leave it out")
    splits = load_splits(found.section, found.form)
    if not 0 <= index < len(splits.train):
        raise DataError(
            f"there is no example {index}", where=found.section.train, mend=f"give 0 to {len(splits.train) - 1}"
        )
    part = found.task or _default_task(found.form)
    own = found.form == "interactions"
    tokenizer = part.make_tokenizer(splits.train) if own else _load_tokenizer(found.model or DEFAULT_MODEL)
    if found.recipe is not None:
        part = part.suited(found.recipe.model.read_config(tokenizer, {}))
    task = part.open(splits.train, tokenizer, _max_length(found.section, tokenizer))
    example = splits.train[index]
    windows, titles = [], list[str]()
    for features in task.encode([example]):
        ids = [int(token) for token in features["input_ids"]]
        if found.form == "questions":
            names = _answer_names(example, features)
        else:
            labels = [int(label) for label in features["labels"]] if "labels" in features else [-1] * len(ids)
            names = [_label_name(task, number, label) for number, label in zip(ids, labels, strict=True)]
        tokens = tokenizer.convert_ids_to_tokens(ids)
        shown = list(map(PreviewToken, tokens, ids, names))
        ends = [
            place for place, (first, second) in enumerate(pairwise(features.get("segment", ())), 1) if first != second
        ]
        windows += [tuple(shown[begin:end]) for begin, end in pairwise([0, *ends, len(ids)])]
        titles += answer_titles(task, features)
    return Preview(index, len(splits.train), example, tuple(windows), splits.notes, tuple(titles))


def _skipped_files(split: str, reading: Reading, on_error: str) -> list[Finding]:
    """Images or sounds that cannot be used: an error where the policy is to refuse them."""
    if not reading.skipped:
        return []
    shown = tuple(f"{row.where}: {'; '.join(row.reasons)}" for row in reading.skipped[:SHOWN])
    said = f"{len(reading.skipped)} files of {split} cannot be used"
    severity: Severity = "error" if on_error == "refuse" else "warning"
    mend = "replace or remove them, or leave them out: data.on_error=skip"
    return [Finding("unusable-file", severity, said, len(reading.skipped), shown, mend)]


def _label_name(task: OpenTask, token: int, label: int) -> str | None:
    if label < 0:
        return None
    if task.vocabulary:
        return "loss" if label == token else str(task.tokenizer.convert_ids_to_tokens(label))
    return task.labels[label] if label < len(task.labels) else None


def _answer_names(example: Example, features: Features) -> list[str | None]:
    """Mark the tokens of the answer, the first with the characters of the passage that all of them stand for."""
    names: list[str | None] = [None] * len(features["input_ids"])
    if "label" not in features:
        return names
    first, last = (int(token) for token in features["label"])
    start, end = int(features["char_start"][first]), int(features["char_end"][last])
    if start < 0:
        return ["no answer in this window", *names[1:]]
    names[first : last + 1] = ["answer"] * (last + 1 - first)
    names[first] = f"answer {example['text'][start:end]!r}"
    return names


def _read_source(source: str, edits: list[str]) -> _Source:
    if _is_recipe(source):
        from fathom.recipe import load_recipe

        recipe = load_recipe(source, edits)
        form: Form = catalog.load("task", recipe.task.kind).form
        model = None if form in FILE_KEYS else recipe.model.tokenizer_source
        return _Source(recipe.data, form, recipe.task, model, recipe, recipe.task.model_dump().get("problem"))
    from fathom.recipe import Recipe
    from fathom.runs.guess import guess_data

    keys = {"data", "task", "model"}
    full = [edit if edit.partition("=")[0].partition(".")[0] in keys else f"data.{edit}" for edit in edits]
    raw = apply_edits({"data": {"train": source}}, full)
    section = validate(DataSection, _mapping(raw["data"]), "data")
    task = raw.get("task")
    if _form_of_task(task) == "corpus":
        whole = validate(Recipe, raw) if "model" in raw else None
        return _Source(section, "corpus", recipe=whole)
    named = FILE_FORMS.get(detect_format(section.train, "text", section))
    if task is None and named is not None:
        return _Source(section, named)
    if task is None and not edits:
        guess = guess_data(source)
        section = validate(DataSection, {"train": source, **guess.options}, "data")
        return _Source(section, guess.form, problem=guess.problem)
    problem = task.get("problem") if isinstance(task, Mapping) else None
    return _Source(section, _guess_form(section, task), None, _model_name(raw.get("model")), problem=problem)


def _is_recipe(source: str) -> bool:
    path = Path(source)
    if path.suffix in {".yaml", ".yml"} or (path / "recipe.yaml").is_file():
        return True
    if (
        path.exists()
        or built_in(source) is not None
        or source.startswith(("helpdesk:", "hub:", "python:"))
        or "/" in source
        or "#" in source
    ):
        return False
    from fathom.recipe import ready_recipes

    return source in ready_recipes() or (":" in source and source.partition(":")[0].isidentifier())


def _form_of_task(task: Any) -> Form | None:
    """Return what the task that was named reads; None where none was."""
    kind = task.get("kind") if isinstance(task, Mapping) else task
    return None if kind is None else cast("Form", catalog.load("task", kind).form)


def _guess_form(section: DataSection, task: Any) -> Form:
    form = _form_of_task(task)
    if form is not None:
        return form
    named = form_of_columns(section)
    if named is not None:
        return named
    if built_in(section.train) == "shop":
        return "interactions"
    if split_path(section.train) is not None:
        return "writing"
    return "spans" if detect_format(section.train, "text", section) == "conll" else "text"


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError("'data' is a section of keys", where="data", mend="write data.train=...")
    return value


def _model_name(model: Any) -> str | None:
    return model.get("name") if isinstance(model, Mapping) else model


def _options(found: _Source) -> tuple[CheckOptions, list[Finding]]:
    section = found.section
    options = CheckOptions(
        max_leak_share=section.max_leak_share,
        allow_leaks=section.allow_leaks,
        numeric=_numeric(found),
        classes=found.form in ONE_CLASS_EACH and found.problem != "multi-label",
    )
    if found.model is None or found.form in FILE_KEYS:
        return options, []
    try:
        tokenizer = _load_tokenizer(found.model)
    except ModelError as error:
        said = f"lengths were not checked, for the tokenizer cannot be loaded: {error.message}"
        return options, [Finding("tokenizer", "note", said, 1, (), error.mend or "")]

    more: list[Finding] = []

    def lengths(examples: Sequence[Example]) -> list[int]:
        if found.form == "chat":
            task = (found.task or _default_task("chat")).open(examples, tokenizer, UNLIMITED)
            return [len(features["input_ids"]) for features in task.encode(examples)]
        if found.form == "preference":
            part = found.task or _default_task("preference")
            return answer_lengths(part, examples, tokenizer)
        if found.form == "questions":
            examples = [{"text": item["question"], "text_pair": item["text"]} for item in examples]
        if found.form == "pairs":  # each text is read by itself
            longest = [max((item["text"], item.get("text_pair", "")), key=len) for item in examples]
            examples = [{"text": text} for text in longest]
        if found.form == "writing":  # target and source are cut apart from each other
            part = found.task or _default_task("writing")
            if found.recipe is not None:
                part = part.suited(found.recipe.model.read_config(tokenizer, {}))
            needed, told = written_lengths(part, examples, tokenizer)
            more.extend(told)
            return needed
        counted: list[int] = []
        for begin in range(0, len(examples), 1000):
            run = examples[begin : begin + 1000]
            texts = [example["text"] for example in run]
            pairs = [example["text_pair"] for example in run] if "text_pair" in run[0] else None
            encoded = tokenizer(texts, pairs, add_special_tokens=True, verbose=False)
            counted += [len(ids) for ids in encoded["input_ids"]]
        return counted

    limit = _max_length(section, tokenizer)
    return replace(options, max_length=limit, lengths=lengths, windows=found.form in ("spans", "questions")), more


def _numeric(found: _Source) -> bool | None:
    """Whether labels are numbers to be predicted; None where neither recipe nor guess says it."""
    if found.problem == "regression":
        return True
    return False if found.recipe is not None and found.problem is not None else None


def _load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    from fathom.model.load import resolve_model
    from fathom.tokenization.load import load_tokenizer

    return load_tokenizer(resolve_model(model))


def _max_length(section: DataSection, tokenizer: PreTrainedTokenizerBase) -> int:
    if section.max_length is not None:
        return section.max_length
    stated = int(tokenizer.model_max_length)
    return stated if stated < 1_000_000 else DEFAULT_MAX_LENGTH


def _default_task(form: Form) -> Task:
    from fathom.config import choice

    task: Task = choice("task").load(DEFAULT_TASKS[form])
    return task


def _reader_findings(split: str, notes: Iterable[str]) -> list[Finding]:
    """What a reader had to repair or leave out counts as a warning."""
    told = {
        "repaired": "repaired-tags",
        "left out": "skipped-rows",
        "words of": "misplaced-words",
        MOVED: "moved-answers",
        NOT_FOUND: "answers-not-in-passage",
    }
    findings = []
    for note in notes:
        kind = next((kind for beginning, kind in told.items() if note.startswith(beginning)), None)
        kind = "empty-text" if any(f"have an empty {what}" in note for what in EMPTY) else kind
        if kind is not None and not note.endswith("placed in their '# text =' line"):
            findings.append(Finding(kind, "warning", f"{split}: {note}", 1, (), "mend the file"))
    return findings
