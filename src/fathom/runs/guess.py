"""Guess what a data file is for: which columns hold the text and the label, and what kind of label it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.data.conversation import has_answer
from fathom.data.example import Example
from fathom.data.load import SUFFIXES, detect_format, load_examples
from fathom.data.readers.base import Form
from fathom.data.readers.columns import USUAL_NAMES
from fathom.data.readers.parallel import split_path
from fathom.data.section import DataSection
from fathom.errors import DataError
from fathom.runs.guess_files import guess_files
from fathom.runs.guess_preference import answers_in, has_verdicts
from fathom.runs.guess_relation import relation_columns
from fathom.runs.guess_table import as_number, read_table
from fathom.runs.guess_writing import are_written, read_written, writing_task

MAX_CLASSES = 200
"""More distinct labels than this are not taken for classes."""
MOST = 0.9
"""Share of a column's cells that must look alike for the column to count as such."""
TABLES = ("csv", "tsv", "json", "jsonl", "parquet")
"""Formats whose rows have named columns."""
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


def guess_data(path: str) -> Guess:
    """Read a file and tell what it is for.

    Raises:
        DataError: The file is missing or damaged, or nothing in it looks like a text with labels.
    """
    if split_path(path) is not None:
        written = _guess_written(path)
        if written is not None:
            return written
    compared = _guess_preference(path)
    if compared is not None:
        return compared
    answers = _guess_questions(path)
    if answers is not None:
        return answers
    files = guess_files(path)
    if files is not None:
        form, examples, notes = files
        return Guess(form, "transcripts" if form == "speech" else "files", {}, examples, notes)
    section = DataSection(train=path)
    name = detect_format(path, "spans", section)
    if path.startswith("helpdesk:") and not path.startswith(("helpdesk:entities", "helpdesk:relations")):
        return _guess_text(path, name)
    columns = _columns(path, name)
    if name == "shop" or _are_interactions(columns):
        examples, notes = load_examples(path, "interactions")
        return Guess("interactions", "interactions", {}, examples, notes)
    pairs = _pairs_of(columns)
    if pairs is not None:
        examples, notes = load_examples(path, "pairs")
        return Guess("pairs", pairs, {}, examples, notes)
    relations = _guess_relation(path, section)
    if relations is not None:
        return relations
    try:
        examples, notes = load_examples(path, "spans")
    except DataError:
        if SUFFIXES.get(Path(path.partition("#")[0]).suffix.lower()) == "conll":
            raise
    else:
        if any(tag != "O" for example in examples for tag in example.get("tags", ())):
            return Guess("spans", "tokens", {}, examples, notes)
    try:
        name = detect_format(path, "text", section)
    except DataError:
        if Path(path).suffix.lower() != ".txt":
            raise
        mend = f"to pretrain on it: fathom train bert data.train={path} (or gpt, or t5)"
        raise DataError("this is running text, without labels to learn", where=path, mend=mend) from None
    return _guess_text(path, name)


def _columns(path: str, name: str) -> list[str]:
    """Names of a table's columns as they are compared; none of a file that is no table."""
    names = read_table(path.partition("#")[0], name)[0] if name in TABLES else []
    return [str(column).strip().lower() for column in names]


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


def _guess_relation(path: str, section: DataSection) -> Guess | None:
    """The file as pairs of entities; None where it holds none. A few bad rows are left out, and the recipe says so."""
    options: dict[str, Any] = {}
    try:
        name = detect_format(path, "relation", section)
    except DataError:
        return None
    if name != "semeval" and not path.startswith("helpdesk:relations"):
        names, rows, header = read_table(path.partition("#")[0], name)
        places = {key: [row[place] for row in rows if place < len(row)] for place, key in enumerate(names)}
        columns = relation_columns(places, _may_be_label)
        if columns is None:
            return None
        if columns:
            options = {"columns": columns, **({} if header is None else {"header": header})}
    try:
        examples, notes = load_examples(path, "relation", DataSection(train=path, **options))
    except DataError as error:
        try:
            examples, notes = load_examples(path, "relation", DataSection(train=path, on_error="skip", **options))
        except DataError:
            raise error from None
        options["on_error"] = "skip"
    if not any("label" in example for example in examples):
        return None
    return Guess("relation", "relations", options, examples, notes)


def _guess_text(path: str, name: str) -> Guess:
    options: dict[str, Any] = {}
    try:
        examples, notes = load_examples(path, "text")
        found = any("label" in example for example in examples)
        mistake = DataError("no column is known to hold the label", where=path)
    except DataError as error:
        found, mistake, examples, notes = False, error, [], ()
    if not found:
        conversations = _guess_chat(path)
        if conversations is not None:
            return conversations
        pairs = _guess_written(path)
        if pairs is not None:
            return pairs
        options = _columns_by_content(path, name)
        if not options:
            raise mistake
        examples, notes = load_examples(path, "text", DataSection(train=path, **options))
    labels = [example["label"] for example in examples if "label" in example]
    flat = [text for label in labels for text in (label if isinstance(label, list) else [label])]
    if len(set(flat)) > MAX_CLASSES and not options and all(isinstance(text, str) for text in flat):
        pairs = _guess_written(path) if are_written(flat) else None
        if pairs is not None:
            return pairs
    problem, separator = _problem_of(labels)
    if separator is not None:
        options["label_separator"] = separator
        examples, notes = load_examples(path, "text", DataSection(train=path, **options))
    return Guess("text", problem, options, examples, notes)


def _guess_questions(path: str) -> Guess | None:
    """The file as questions on passages; None where it is none, or has no answers."""
    try:
        examples, notes = load_examples(path, "questions")
    except DataError:
        json_file = SUFFIXES.get(Path(path).suffix.lower()) in {"json", "jsonl"} and Path(path).is_file()
        if json_file and detect_format(path, "questions", DataSection(train=path)) == "squad":
            raise
        return None
    return Guess("questions", "answers", {}, examples, notes) if any("answers" in item for item in examples) else None


def _guess_preference(path: str) -> Guess | None:
    """The file as compared or judged answers; None where its columns hold none. A few bad rows are left out."""
    plain = Path(path.partition("#")[0])
    name = SUFFIXES.get(plain.suffix.lower())
    if name not in TABLES or not plain.is_file():
        return None
    if answers_in(plain) != "pairs":
        names, rows, _ = read_table(str(plain), name)
        columns = {str(key): [row[place] for row in rows if place < len(row)] for place, key in enumerate(names)}
        if not has_verdicts(columns):
            return None
    options: dict[str, Any] = {}
    try:
        examples, notes = load_examples(path, "preference")
    except DataError:
        options = {"on_error": "skip"}
        examples, notes = load_examples(path, "preference", DataSection(train=path, on_error="skip"))
    return Guess("preference", "comparisons", options, examples, notes)


def _guess_chat(path: str) -> Guess | None:
    """The file as conversations; None where it holds none, or none with an answer."""
    try:
        examples, notes = load_examples(path, "chat")
    except DataError:
        return None
    return Guess("chat", "conversations", {}, examples, notes) if any(map(has_answer, examples)) else None


def _guess_written(path: str) -> Guess | None:
    """The file as sources with what is written for them; None where it holds none."""
    found = read_written(path)
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


def _columns_by_content(path: str, name: str) -> dict[str, Any]:
    """Options that say which columns are text and label, told by what is in them; empty where that fails."""
    names, rows, header = read_table(path, name)
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
