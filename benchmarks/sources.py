"""The data sets of the comparisons, read from their raw files by small readers of their own.

The readers here share no code with Fathom: the peer's data does not depend on the program it is compared with. Both
sides see the same rows in the same order. Nothing is copied into the repository; prepared files go to a work folder.
"""

from __future__ import annotations

import ast
import csv
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Row = dict[str, Any]
Form = Literal["tags", "label", "labels"]

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY.parent / "shared" / "data"

XED_EMOTIONS = ("neutral", "anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")


@dataclass(frozen=True)
class Source:
    """One data set: how to read it, how Fathom is told about it, and what a proper model has to beat."""

    name: str
    form: Form
    read: Callable[[], tuple[list[Row], list[Row]]]
    """Return the rows of train and dev: `{"tokens", "tags"}`, `{"text", "label"}` or `{"text", "labels"}`."""
    raw_train: str | None = None
    """Raw file for Fathom, relative to the data folder; left out, Fathom gets the prepared JSON lines."""
    raw_dev: str | None = None
    raw_options: tuple[tuple[str, Any], ...] = ()
    """Further keys of the recipe's `data:` section, needed to read the raw file."""
    task_options: tuple[tuple[str, Any], ...] = ()
    """Options of the recipe's `task:` that make it the peer's task (words as given, not single characters)."""
    floor: float | None = None
    """Score of a cheap baseline, from the data set's README; on `main_score`."""
    reference: str = ""

    @property
    def main_score(self) -> str:
        return {"tags": "entity_f1", "label": "accuracy", "labels": "micro_f1"}[self.form]


def require(relative: str) -> Path:
    """Return a file of the shared data folder, or stop with a message that says what is missing."""
    path = DATA / relative
    if not path.is_file():
        raise SystemExit(
            f"benchmark data not found: ../shared/data/{relative} (relative to the repository).\n"
            "The benchmarks read openly licensed data sets from a folder 'shared/data' beside the repository; "
            "get the set named in benchmarks/README.md and put it there."
        )
    return path


def read_columns(path: Path, *, word: int, tag: int, separator: str | None, comments: str | None = None) -> list[Row]:
    """Read CoNLL columns; a blank line ends a sentence."""
    rows: list[Row] = []
    tokens: list[str] = []
    tags: list[str] = []
    for line in [*path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n"), ""]:
        if comments and line.startswith(comments):
            continue
        if not line.strip() or line.startswith("-DOCSTART-"):
            if tokens:
                rows.append({"tokens": tokens, "tags": tags})
            tokens, tags = [], []
            continue
        fields = line.split(separator)
        tokens.append(fields[word])
        tags.append(fields[tag].strip())
    return rows


def iob1_to_iob2(rows: list[Row]) -> list[Row]:
    """An entity starts with B- everywhere, not only where it touches the one before."""
    for row in rows:
        before = "O"
        fixed = []
        for tag in row["tags"]:
            starts = tag.startswith("I-") and (before == "O" or before[2:] != tag[2:])
            fixed.append("B-" + tag[2:] if starts else tag)
            before = tag
        row["tags"] = fixed
    return rows


def shuffled_split(rows: list[Row], share: float = 0.8) -> tuple[list[Row], list[Row]]:
    """Shuffle with seed 0 and cut, as the folders' READMEs do."""
    rows = list(rows)
    random.Random(0).shuffle(rows)
    cut = int(len(rows) * share)
    return rows[:cut], rows[cut:]


def _wnut17() -> tuple[list[Row], list[Row]]:
    train, dev = require("wnut17/wnut17train.conll"), require("wnut17/emerging.dev.conll")
    return (
        read_columns(train, word=0, tag=1, separator="\t"),
        read_columns(dev, word=0, tag=1, separator="\t"),
    )


def _uner() -> tuple[list[Row], list[Row]]:
    train = require("uner_zh_gsdsimp/zh_gsdsimp-ud-train.iob2")
    dev = require("uner_zh_gsdsimp/zh_gsdsimp-ud-dev.iob2")
    return (
        read_columns(train, word=1, tag=2, separator="\t", comments="# "),
        read_columns(dev, word=1, tag=2, separator="\t", comments="# "),
    )


def _sec() -> tuple[list[Row], list[Row]]:
    train, test = require("sec_filings_ner/FIN5.txt"), require("sec_filings_ner/FIN3.txt")
    return (
        iob1_to_iob2(read_columns(train, word=0, tag=3, separator=" ")),
        iob1_to_iob2(read_columns(test, word=0, tag=3, separator=" ")),
    )


def _csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _banking77() -> tuple[list[Row], list[Row]]:
    train, test = require("banking77/train.csv"), require("banking77/test.csv")
    return (
        [{"text": row["text"], "label": row["category"]} for row in _csv_rows(train)],
        [{"text": row["text"], "label": row["category"]} for row in _csv_rows(test)],
    )


def _sentfin() -> tuple[list[Row], list[Row]]:
    """Headlines whose entities agree; the 13 rows whose decisions do not parse are left out, as the README counts."""
    rows: list[Row] = []
    for row in _csv_rows(require("sentfin/SEntFiN.csv")):
        try:
            decisions = ast.literal_eval(row["Decisions"])
        except (ValueError, SyntaxError):
            continue
        sentiments = set(decisions.values())
        if len(sentiments) == 1:
            rows.append({"text": row["Title"], "label": sentiments.pop()})
    return shuffled_split(rows)


def _xed() -> tuple[list[Row], list[Row]]:
    rows: list[Row] = []
    for line in require("xed/en-annotated.tsv").read_text(encoding="utf-8-sig").split("\n"):
        text, _, numbers = line.rstrip("\r").partition("\t")
        if numbers.strip():
            emotions = [XED_EMOTIONS[int(number)] for number in numbers.split(",")]
            rows.append({"text": text, "labels": sorted(set(emotions))})
    return shuffled_split(rows)


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "wnut17",
            "tags",
            _wnut17,
            raw_train="wnut17/wnut17train.conll",
            raw_dev="wnut17/emerging.dev.conll",
            reference="shared-task winner 41.86 on test",
        ),
        Source(
            "banking77",
            "label",
            _banking77,
            raw_train="banking77/train.csv",
            raw_dev="banking77/test.csv",
            raw_options=(("columns", {"text": "text", "label": "category"}),),
            floor=0.894,
            reference="BERT-large 93.66 accuracy",
        ),
        Source("sentfin", "label", _sentfin, floor=0.827, reference="RoBERTa 94.29 accuracy on all entities"),
        Source("xed", "labels", _xed, reference="BERT F1 0.536, accuracy 0.544"),
        Source(
            "uner_zh_gsdsimp",
            "tags",
            _uner,
            raw_train="uner_zh_gsdsimp/zh_gsdsimp-ud-train.iob2",
            raw_dev="uner_zh_gsdsimp/zh_gsdsimp-ud-dev.iob2",
            raw_options=(("format", "conll"), ("columns", {"tokens": 1, "tags": 2})),
            task_options=(("chinese_characters", False),),
            reference="XLM-R-large 89.4 on test",
        ),
        Source(
            "sec_filings_ner",
            "tags",
            _sec,
            raw_train="sec_filings_ner/FIN5.txt",
            raw_dev="sec_filings_ner/FIN3.txt",
            raw_options=(("format", "conll"),),
        ),
    )
}


def find_source(name: str) -> Source:
    if name not in SOURCES:
        raise SystemExit(f"no data set is called '{name}'; known: {', '.join(SOURCES)}")
    return SOURCES[name]


def prepare(source: Source, work: Path) -> dict[str, Path]:
    """Write `train.jsonl` and `dev.jsonl` of a source into the work folder, once; return their paths."""
    folder = work / "prepared" / source.name
    paths = {"train": folder / "train.jsonl", "dev": folder / "dev.jsonl"}
    if not all(path.is_file() for path in paths.values()):
        folder.mkdir(parents=True, exist_ok=True)
        for split, rows in zip(paths, source.read(), strict=True):
            temporary = paths[split].with_suffix(".partial")
            with temporary.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            temporary.replace(paths[split])
    return paths


def read_prepared(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def label_names(source: Source, rows: list[Row]) -> list[str]:
    """Return the sorted labels of the train rows, as the peer's example scripts order them."""
    if source.form == "label":
        return sorted({row["label"] for row in rows})
    key = "tags" if source.form == "tags" else "labels"
    return sorted({label for row in rows for label in row[key]})


def fathom_data_section(source: Source, work: Path) -> dict[str, Any]:
    """Return the `data:` section of a recipe: the raw files where Fathom reads them, else the prepared ones."""
    if source.raw_train and source.raw_dev:
        files = {"train": str(require(source.raw_train)), "validation": str(require(source.raw_dev))}
        return {**files, "allow_leaks": True, **dict(source.raw_options)}
    paths = prepare(source, work)
    section: dict[str, Any] = {"train": str(paths["train"]), "validation": str(paths["dev"]), "allow_leaks": True}
    if source.form == "labels":
        section["columns"] = {"text": "text", "label": "labels"}
    return section
