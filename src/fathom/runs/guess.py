"""Guess what a data file is for: which columns hold the text and the label, and what kind of label it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fathom.data.conversation import has_answer
from fathom.data.example import Example
from fathom.data.load import SUFFIXES
from fathom.data.readers.base import Form
from fathom.data.readers.columns import USUAL_NAMES
from fathom.data.readers.parallel import split_path
from fathom.errors import DataError
from fathom.runs.guess_files import guess_files
from fathom.runs.guess_form import form_of_columns
from fathom.runs.guess_preference import answers_in, has_verdicts
from fathom.runs.guess_relation import relation_columns
from fathom.runs.guess_table import TABLES, Source, as_number, column_names, read_table, with_separator
from fathom.runs.guess_writing import are_written, read_written, writing_task

MAX_CLASSES = 200
"""More distinct labels than this are not taken for classes."""
MOST = 0.9
"""Share of a column's cells that must look alike for the column to count as such."""
PROBLEMS: dict[Form, str] = {
    "spans": "tokens",
    "relation": "relations",
    "questions": "answers",
    "chat": "conversations",
    "preference": "comparisons",
    "pairs": "pairs",
    "image": "files",
    "sound": "files",
    "speech": "transcripts",
    "interactions": "interactions",
}
"""What is learnt of a form, where one thing only can be."""
SEPARATORS = ("|", ";", ",")
"""Between the labels of one row, the least ambiguous first."""


@dataclass(frozen=True)
class Guess:
    """What a data file seems to be for.

    Attributes:
        form: "text", "spans", "relation", "questions", "chat", "preference", "pairs", "writing", "image", "sound",
            "speech" or "interactions".
        problem: "single-label", "multi-label", "regression", "tokens", "relations", "answers", "conversations",
            "comparisons", "pairs", "relevance", "files", "transcripts", "interactions", or of what is written the task.
        options: Keys of the `data:` section besides the paths.
        examples: Everything in the file.
        notes: What was detected, one sentence each.
    """

    form: Form
    problem: str
    options: dict[str, Any]
    examples: list[Example]
    notes: tuple[str, ...]


def guess_data(path: str, stated: Mapping[str, Any] | None = None) -> Guess:
    """Read a file and tell what it is for.

    Args:
        path: As in a recipe.
        stated: What is known: keys of the `data:` section besides `train`, which the guess has among its options.

    Raises:
        DataError: The file is missing or damaged, or nothing in it looks like a text with labels.
        ConfigError: A stated key or value is none of the section.
    """
    try:
        source = with_separator(Source(path, stated or {}))
        guess = _guess(source)
    except PermissionError:
        raise DataError("the file may not be read", where=path, mend="change its permissions") from None
    return replace(guess, options={**source.stated, **guess.options})


def _guess(source: Source) -> Guess:
    form = form_of_columns(source.section())
    if form is not None:
        return _as_stated(source, form)
    path = source.path
    if split_path(path) is not None:
        written = _guess_written(source)
        if written is not None:
            return written
    compared = _guess_preference(source)
    if compared is not None:
        return compared
    answers = _guess_questions(source)
    if answers is not None:
        return answers
    files = guess_files(source)
    if files is not None:
        form, examples, notes = files
        return Guess(form, PROBLEMS[form], {}, examples, notes)
    name = source.format("spans")
    if path.startswith("helpdesk:") and not path.startswith(("helpdesk:entities", "helpdesk:relations")):
        return _guess_text(source, name)
    columns = column_names(source, name)
    if name == "shop" or _are_interactions(columns):
        return Guess("interactions", PROBLEMS["interactions"], {}, *source.read("interactions"))
    pairs = _pairs_of(columns)
    if pairs is not None:
        return Guess("pairs", pairs, {}, *source.read("pairs"))
    relations = _guess_relation(source)
    if relations is not None:
        return relations
    try:
        examples, notes = source.read("spans")
    except DataError:
        if _are_spans(columns) or SUFFIXES.get(Path(source.plain).suffix.lower()) == "conll":
            raise
    else:
        if any(tag != "O" for example in examples for tag in example.get("tags", ())):
            return Guess("spans", PROBLEMS["spans"], {}, examples, notes)
    try:
        name = source.format("text")
    except DataError:
        if Path(path).suffix.lower() != ".txt":
            raise
        mend = f"to pretrain on it: fathom train bert data.train={path} (or gpt, or t5)"
        raise DataError("this is running text, without labels to learn", where=path, mend=mend) from None
    return _guess_text(source, name)


def _as_stated(source: Source, form: Form) -> Guess:
    """The file as the columns that were named say it."""
    examples, notes = source.read(form)
    if form == "text":
        return _with_problem(source, examples, notes, {})
    problem = writing_task(examples) if form == "writing" else PROBLEMS[form]
    return Guess(form, problem, {}, examples, notes)


def _are_spans(columns: Collection[str]) -> bool:
    """Whether columns can be nothing but words with tags, or a text with entities."""

    def named(role: str) -> set[str]:
        return {*columns} & {*USUAL_NAMES[role]} - {*USUAL_NAMES["label"]}

    return bool((named("tokens") and named("tags")) or (named("text") and named("entities")))


def _are_interactions(columns: Iterable[str]) -> bool:
    """Whether columns hold users and items, or sequences of items, and no text."""
    roles = {role: {*columns} & {*USUAL_NAMES[role]} for role in ("text", "user", "item", "items")}
    return bool((roles["user"] and roles["item"]) or roles["items"]) and not roles["text"]


def _pairs_of(columns: Iterable[str]) -> str | None:
    """What the columns of queries and passages say: `relevance` where there is a number beside them, else `pairs`."""
    names = {*columns}
    if not {"anchor", "query"} & names or not {"positive", "pos", "passage", "document"} & names:
        return None
    return "relevance" if {"label", "relevance", "score"} & names else "pairs"


def _guess_relation(source: Source) -> Guess | None:
    """The file as pairs of entities; None where it holds none. A few bad rows are left out, and the recipe says so."""
    options: dict[str, Any] = {}
    try:
        name = source.format("relation")
    except DataError:
        return None
    if name != "semeval" and not source.path.startswith("helpdesk:relations"):
        names, rows, header = read_table(source, name)
        places = {key: [row[place] for row in rows if place < len(row)] for place, key in enumerate(names)}
        columns = relation_columns(places, _may_be_label)
        if columns is None:
            return None
        if columns:
            options = {"columns": columns, **({} if header is None else {"header": header})}
    try:
        examples, notes = source.read("relation", **options)
    except DataError as error:
        options["on_error"] = "skip"
        try:
            examples, notes = source.read("relation", **options)
        except DataError:
            raise error from None
    if not any("label" in example for example in examples):
        return None
    return Guess("relation", PROBLEMS["relation"], options, examples, notes)


def _guess_text(source: Source, name: str) -> Guess:
    options: dict[str, Any] = {}
    try:
        examples, notes = source.read("text")
        found = any("label" in example for example in examples)
        mend = "say which column is what: columns.text=NAME columns.label=NAME"
        mistake = DataError("no column is known to hold the label", where=source.path, mend=mend)
    except DataError as error:
        found, mistake, examples, notes = False, error, [], ()
    if not found:
        conversations = _guess_chat(source)
        if conversations is not None:
            return conversations
        pairs = _guess_written(source)
        if pairs is not None:
            return pairs
        options = _columns_by_content(source, name)
        if not options:
            raise mistake
        examples, notes = source.read("text", **options)
    return _with_problem(source, examples, notes, options)


def _with_problem(source: Source, examples: list[Example], notes: tuple[str, ...], options: dict[str, Any]) -> Guess:
    """What texts with labels are for, by the labels."""
    labels = [example["label"] for example in examples if "label" in example]
    flat = [text for label in labels for text in (label if isinstance(label, list) else [label])]
    if len(set(flat)) > MAX_CLASSES and not options and all(isinstance(text, str) for text in flat):
        pairs = _guess_written(source) if are_written(flat) else None
        if pairs is not None:
            return pairs
    problem, separator = _problem_of(labels)
    if separator is not None:
        options = {**options, "label_separator": separator}
        examples, notes = source.read("text", **options)
    return Guess("text", problem, options, examples, notes)


def _guess_questions(source: Source) -> Guess | None:
    """The file as questions on passages; None where it is none, or has no answers."""
    try:
        examples, notes = source.read("questions")
    except DataError:
        file = Path(source.plain)
        json_file = SUFFIXES.get(file.suffix.lower()) in {"json", "jsonl"} and file.is_file()
        if json_file and source.format("questions") == "squad":
            raise
        return None
    return (
        Guess("questions", PROBLEMS["questions"], {}, examples, notes)
        if any("answers" in item for item in examples)
        else None
    )


def _guess_preference(source: Source) -> Guess | None:
    """The file as compared or judged answers; None where its columns hold none. A few bad rows are left out."""
    plain = Path(source.plain)
    name = SUFFIXES.get(plain.suffix.lower())
    if name not in TABLES or not plain.is_file():
        return None
    if answers_in(source) != "pairs":
        names, rows, _ = read_table(source, name)
        columns = {str(key): [row[place] for row in rows if place < len(row)] for place, key in enumerate(names)}
        if not has_verdicts(columns):
            return None
    options: dict[str, Any] = {}
    try:
        examples, notes = source.read("preference")
    except DataError:
        options = {"on_error": "skip"}
        examples, notes = source.read("preference", **options)
    return Guess("preference", PROBLEMS["preference"], options, examples, notes)


def _guess_chat(source: Source) -> Guess | None:
    """The file as conversations; None where it holds none, or none with an answer."""
    try:
        examples, notes = source.read("chat")
    except DataError:
        return None
    return Guess("chat", PROBLEMS["chat"], {}, examples, notes) if any(map(has_answer, examples)) else None


def _guess_written(source: Source) -> Guess | None:
    """The file as sources with what is written for them; None where it holds none."""
    found = read_written(source)
    return None if found is None else Guess("writing", writing_task(found[0]), {}, *found)


def _problem_of(labels: Sequence[Any]) -> tuple[str, str | None]:
    """Return the problem, and the separator where one cell holds several labels."""
    if any(isinstance(label, list) for label in labels):
        return "multi-label", None
    counts = Counter(labels)
    numbers = [number for label in counts if (number := as_number(label)) is not None]
    if len(numbers) == len(counts) and (any(number % 1 for number in numbers) or len(counts) > MAX_CLASSES):
        return "regression", None
    for separator in SEPARATORS:
        split = [label.split(separator) for label in labels if separator in label]
        atoms = {atom.strip() for label in labels for atom in label.split(separator)}
        if len(split) > 0.05 * len(labels) and len(atoms) < len(counts) and "" not in atoms:
            return "multi-label", separator
    return "single-label", None


def _columns_by_content(source: Source, name: str) -> dict[str, Any]:
    """Options that say which columns are text and label, told by what is in them; empty where that fails."""
    names, rows, header = read_table(source, name)
    columns = {position: [row[position] for row in rows if position < len(row)] for position in range(len(names))}
    prose = {
        position: sum(map(len, values)) / len(values)
        for position, values in columns.items()
        if len(set(values)) > 0.5 * len(values) and _share(values, _is_prose) > MOST
    }
    if not prose:
        return {}
    text = max(prose, key=lambda position: prose[position])
    labels = {
        position: len(set(values)) for position, values in columns.items() if position != text and _may_be_label(values)
    }
    if not labels:
        return {}
    label = min(labels, key=lambda position: labels[position])
    return {"columns": {"text": names[text], "label": names[label]}, **({} if header is None else {"header": header})}


def _may_be_label(values: Sequence[str]) -> bool:
    distinct = len(set(values))
    return 1 < distinct <= MAX_CLASSES and (distinct <= 0.5 * len(values) or _is_numeric(values))


def _is_numeric(values: Sequence[str]) -> bool:
    return all(as_number(value) is not None for value in values)


def _is_mapping(value: str) -> bool:
    return value.startswith("{") and value.endswith("}") and ":" in value


def _is_prose(value: str) -> bool:
    return bool(value) and value[0] not in "[{" and as_number(value) is None


def _share(values: Sequence[str], holds: Callable[[str], bool]) -> float:
    return sum(holds(value.strip()) for value in values) / max(len(values), 1)
