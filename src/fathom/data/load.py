"""Paths to examples: the format is detected, `#n` samples, and splits are made where none are given."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from fathom import catalog
from fathom.data.conversation import has_answer
from fathom.data.example import Example
from fathom.data.leave_one_out import leave_one_out
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.readers.built_in import built_in
from fathom.data.readers.folders import folder_kind
from fathom.data.readers.media import digest_with_files
from fathom.data.readers.parallel import split_path
from fathom.data.readers.speech_folder import has_transcripts
from fathom.data.readers.squad import is_squad
from fathom.data.section import DataSection
from fathom.data.split import content_key, few_shots, sample, stratified_split
from fathom.errors import DataError

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".conll": "conll",
    ".conllu": "conll",
    ".iob": "conll",
    ".iob1": "conll",
    ".iob2": "conll",
    ".bio": "conll",
    ".bioes": "conll",
    ".bmes": "conll",
}
"""Format by the end of a file's name; other names are told by content."""
FOLDERS: dict[str | None, str] = {"image": "image-folder", "sound": "sound-folder", "speech": "speech-folder"}
"""Reader of a folder by what a task takes."""
FILES_BESIDE = frozenset({"image", "sound", "speech"})
"""Forms whose tables name files; their content belongs to the digest of the split."""

LABELS: dict[Form, str] = {"writing": "targets", "speech": "transcripts"}
"""What is learnt from, where it is not called labels."""

SEMEVAL_BEGINS = re.compile(rb'\d+\t"[^\n]*</?e[12]>')
"""The first line of SemEval-2010 task 8 as it was published."""
_SAMPLE = re.compile(r"(?P<path>.+)#(?P<size>\d+)\Z", re.DOTALL)


@dataclass(frozen=True)
class Splits:
    """The examples of a recipe.

    Attributes:
        train: Never empty.
        validation: Empty when none is given and `validation_fraction` is 0.
        test: Empty when none is given.
        notes: What was detected, repaired and left out, one sentence each.
        digests: sha256 by split (`train`, `validation`, `test`) of the bytes that were read; a split taken from train
            has no digest of its own.
        skipped: The rows left out of each split's file (`on_error: skip`): `split`, `where`, `reasons`, `row`.
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    notes: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    skipped: tuple[dict[str, object], ...] = ()


def load_splits(section: DataSection, form: Form) -> Splits:
    """Read all splits of a recipe and check them against each other.

    Args:
        section: The recipe's data section.
        form: What the task takes; see `readers.base.Form`.

    Raises:
        DataError: A file is missing or wrong, rows have no labels, or a split repeats the training split.
    """
    notes: list[str] = []
    skipped: list[dict[str, object]] = []
    digests: dict[str, str] = {}
    parts: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for split, path in (("train", section.train), ("validation", section.validation), ("test", section.test)):
        if path is None:
            continue
        reading = read_path(path, form, section)
        require_labels(reading, path, split, form)
        parts[split] = reading.examples
        digests[split] = reading.digest
        skipped += [{"split": split, **row.to_json()} for row in reading.skipped]
        notes += [f"{split}: {note}" for note in (f"{len(reading.examples)} examples from {path}", *reading.notes)]
    if form == "interactions":
        notes += _take_last(parts)
        return Splits(parts["train"], parts["validation"], parts["test"], tuple(notes), digests, tuple(skipped))
    if section.validation is None and section.validation_fraction > 0:
        parts["train"], parts["validation"] = stratified_split(
            parts["train"], section.validation_fraction, section.split_seed
        )
        notes.append(
            f"validation: {len(parts['validation'])} of the training examples, stratified, seed {section.split_seed}, "
            "equal texts on one side"
        )
        if not parts["validation"]:
            raise DataError(
                f"{len(parts['train'])} training examples are too few to take some for validation",
                where=section.train,
                mend="give data.validation a file, take a larger data.validation_fraction, or 0 for none",
            )
    parts["train"], told = take_shots(parts["train"], section)
    notes += [*told, *_leak_notes(parts, section)]
    return Splits(parts["train"], parts["validation"], parts["test"], tuple(notes), digests, tuple(skipped))


def load_examples(path: str, form: Form, section: DataSection | None = None) -> tuple[list[Example], tuple[str, ...]]:
    """Read one file, hub name or built-in corpus; rows without labels are fine.

    Args:
        path: As in a recipe, `#n` included.
        form: What the task takes; see `readers.base.Form`.
        section: How to read it; its own paths are not used.

    Returns:
        The examples, and what was noticed.

    Raises:
        DataError: The file is missing or wrong.
    """
    reading = read_path(path, form, section or DataSection(train=path))
    return reading.examples, reading.notes


def read_path(path: str, form: Form, section: DataSection) -> Reading:
    """Read a path as a recipe writes it; see `load_examples`."""
    size = None
    match = None if path.startswith("helpdesk:") else _SAMPLE.match(path)  # its reader makes as many as are asked for
    if match is not None and not Path(path).exists():
        path, size = match["path"], int(match["size"])
        if size < 1:
            raise DataError("a sample of 0 rows", where=f"{path}#{size}", mend="give a number from 1 after #")
    try:
        name = detect_format(path, form, section)
        reader = cast(Reader, catalog.load("reader", name)())
        reading = reader.read(path, form, section)
    except PermissionError:
        raise DataError("the file may not be read", where=path, mend="change its permissions") from None
    if form in FILES_BESIDE and Path(path).is_file():
        reading = digest_with_files(reading)
    if size is None:
        return reading
    chosen = sample(reading.examples, size, section.split_seed)
    note = f"sampled {len(chosen)} of {len(reading.examples)} examples (#{size}, seed {section.split_seed})"
    return replace(reading, examples=chosen, notes=(*reading.notes, note))


def detect_format(path: str, form: Form, section: DataSection) -> str:
    """Return the catalog name of the reader for a path.

    Raises:
        DataError: There is no such file, or its format cannot be told.
    """
    match = _SAMPLE.match(path)
    if match is not None and not Path(path).exists():
        path = match["path"]
    if path.startswith("helpdesk:"):
        return "helpdesk"
    if path.startswith("hub:"):
        return "hub"
    two = split_path(path) if form == "writing" else None
    if two is not None:
        for name in two:
            if not Path(name).is_file():
                raise _missing(Path(name))
        return "parallel"
    brought = built_in(path)
    if brought is not None:
        return brought
    file = Path(path)
    if file.is_dir():
        if section.format in {None, *FOLDERS.values()}:
            kind = section.format or FOLDERS.get(form) or _guess_folder(file)
            if kind is not None:
                return kind
        inside = ", ".join(sorted(child.name for child in file.iterdir())[:8])
        raise DataError("this is a folder", where=path, mend=f"name a file in it ({inside})")
    if not file.exists():
        if section.format == "hub" or (section.format is None and _may_be_hub(path)):
            return "hub"
        raise _missing(file)
    if section.format is not None:
        return section.format
    found = SUFFIXES.get(file.suffix.lower()) or _sniff(file, form)
    return "squad" if form == "questions" and found in ("json", "jsonl") and _holds_squad(file) else found


def _guess_folder(folder: Path) -> str | None:
    kind = folder_kind(folder)
    return "speech-folder" if kind == "sound-folder" and has_transcripts(folder) else kind


def _holds_squad(file: Path) -> bool:
    with file.open("rb") as stream:
        return is_squad(stream.read(65536).decode("utf-8", "ignore"))


def _may_be_hub(path: str) -> bool:
    suffix = Path(path).suffix.lower()
    return (
        suffix not in SUFFIXES
        and suffix != ".txt"
        and re.match(r"[\w-][\w.-]*(/[\w.-]+){0,2}(:[\w.-]+)?(/[\w.-]+)?\Z", path) is not None
    )


def _missing(file: Path) -> DataError:
    folder = file.parent
    if not folder.is_dir():
        return DataError("no such file", where=str(file), mend=f"there is no folder '{folder}'; check the path")
    near = difflib.get_close_matches(file.name, [child.name for child in folder.iterdir()], n=1)
    return DataError(
        "no such file", where=str(file), mend=f"did you mean '{folder / near[0]}'?" if near else "check the path"
    )


def _sniff(file: Path, form: Form) -> str:
    """Tell the format of a file with an unknown name by its first bytes."""
    with file.open("rb") as stream:
        head = stream.read(65536)
    if head[:4] == b"PAR1":
        return "parquet"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"{":
        return "jsonl"
    if start == b"[":
        return "json"
    if SEMEVAL_BEGINS.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "semeval"
    if form == "spans":
        return "conll"
    lines = [line for line in head.split(b"\n")[:-1] or [head] if line.strip()]
    if lines and all(b"\t" in line for line in lines[:50]):
        return "tsv"
    two = " (two plain files of parallel lines are named SOURCE,TARGET)" if form == "writing" else ""
    raise DataError(
        "the format cannot be told from the name or the content",
        where=str(file),
        mend=f"say it{two}: data.format=csv (known: {', '.join(catalog.names('reader'))})",
    )


def require_labels(reading: Reading, path: str, split: str, form: Form) -> None:
    """Refuse a split without a single label.

    Raises:
        DataError: No example has a label (or tags); names the columns there are.
    """
    if form in ("corpus", "pairs", "interactions"):  # a text alone has something to learn from, too
        return
    if form == "preference" and any("chosen" in example for example in reading.examples):
        return
    if form == "chat":
        if not any(map(has_answer, reading.examples)):
            mend = "chat learns from the assistant's turns; give the column of the answers: data.columns.response=NAME"
            raise DataError(f"the {split} split has no assistant turn", where=path, mend=mend)
        return
    key = {"spans": "tags", "questions": "answers", "writing": "references", "speech": "transcript"}.get(form, "label")
    if any(key in example for example in reading.examples):
        return
    known = ", ".join(f"'{name}'" for name in reading.columns)
    wanted = {"spans": "columns: {tags: NAME} or {entities: NAME}", "writing": "columns: {target: NAME}"}.get(
        form, f"columns: {{{key}: NAME}}"
    )
    if Path(path).is_dir():
        mend = "put the files of each class in a folder of its name"
        if form == "speech":
            mend = "write what is said in a.wav into a.txt beside it, or give a table of paths and transcripts"
        raise DataError(f"the {split} split has no {LABELS.get(form, 'labels')}", where=path, mend=mend)
    raise DataError(
        f"the {split} split has no {LABELS.get(form, 'labels')}" + (f" (columns: {known})" if known else ""),
        where=path,
        mend=f"say which column holds them: data.{wanted}",
    )


def take_shots(examples: list[Example], section: DataSection) -> tuple[list[Example], list[str]]:
    """Return the examples that are learnt from where a recipe wants few of each label, and what is to be said of it.

    Raises:
        DataError: An example has no label, or several.
    """
    if section.shots is None:
        return examples, []
    chosen = few_shots(examples, section.shots, section.shots_seed)
    labels = Counter(str(example["label"]) for example in chosen)
    few = [label for label, count in labels.items() if count < section.shots]
    short = f"; {len(few)} have fewer: {', '.join(few[:5])}" if few else ""
    note = (
        f"train: {len(chosen)} of {len(examples)} examples, {section.shots} of each of {len(labels)} labels "
        f"(shots_seed {section.shots_seed}){short}"
    )
    return chosen, [note]


def _take_last(parts: dict[str, list[Example]]) -> list[str]:
    """Make the splits of sequences that were given as one file; returns what is to be said of it."""
    if parts["validation"]:
        return []
    made = leave_one_out(parts["train"], test=not parts["test"])
    parts |= {split: examples for split, examples in made.items() if examples}
    asked = len(made["validation"])
    if not asked:
        return ["no user chose three items, so nothing is kept for validation"]
    last = "the last item of each for the test, the one before for validation" if made["test"] else "the last of each"
    return [f"validation: {asked:,} users with three items or more, {last}; shorter sequences are only learnt from"]


def _leak_notes(parts: dict[str, list[Example]], section: DataSection) -> list[str]:
    """Compare splits that were given as files with train, by normalised text."""
    given = [split for split in ("validation", "test") if parts[split] and (split == "test" or section.validation)]
    if not given:
        return []
    notes = []
    seen = _places([*parts["train"], *(parts["validation"] if not section.validation else [])])
    for split in given:
        leaks = [(example["where"], seen[key]) for example in parts[split] if (key := content_key(example)) in seen]
        if not leaks:
            continue
        share = len(leaks) / len(parts[split])
        said = (
            f"{len(leaks)} of {len(parts[split])} examples are also in train ({share:.1%}), "
            f"the first {leaks[0][0]} = {leaks[0][1]}"
        )
        if share > section.max_leak_share and not section.allow_leaks:
            path = section.validation if split == "validation" else section.test
            raise DataError(
                f"{said}: scores on it would not mean much",
                where=path,
                mend="remove them (fathom data check lists them), or accept them: data.allow_leaks=true",
            )
        notes.append(f"{split}: {said}")
    return notes


def _places(examples: Iterable[Example]) -> dict[str, str]:
    return {content_key(example): example["where"] for example in examples}
