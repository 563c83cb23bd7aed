"""A folder of sounds and what is spoken in them: a text beside each sound, lists of transcripts, or a table."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import cast

from fathom import catalog
from fathom.data.encodings import bad_character, decode
from fathom.data.example import Example
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.readers.folders import SHOWN_NAMES, FolderProblems, walk
from fathom.data.readers.media import MediaFiles, digest_with_files
from fathom.data.readers.problems import Skipped
from fathom.data.readers.rows import empty_notes
from fathom.data.section import DataSection
from fathom.data.sounds import SUFFIXES

TABLES = {"metadata.csv": "csv", "metadata.jsonl": "jsonl", "metadata.tsv": "tsv"}
"""A table of this name in the folder says everything; other files are not looked at."""
LISTS = frozenset({"transcripts.txt", "transcript.txt", "transcriptions.txt"})
"""Lists of transcripts, a line for each sound: its name, white space, what is said. `*.trans.txt` is one, too."""


class SpeechFolderReader(Reader):
    """Reads a folder of sounds with transcripts: `a.txt` beside `a.wav`, a list, or `metadata.csv`.

    A list is `transcripts.txt` or, as LibriSpeech has it, `*.trans.txt`: a line for each sound below it, with its name
    and what is said. Without any transcript the folder is one of sounds, to be transcribed.
    """

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every sound; see `Reader.read`. Names that begin with a dot are passed over."""
        root = Path(path)
        for name, kind in TABLES.items():
            if (root / name).is_file():
                reader = cast(Reader, catalog.load("reader", kind)())
                return digest_with_files(reader.read(str(root / name), form, options))
        found = list(walk(root))
        problems = FolderProblems(path, found, skip=options.on_error == "skip")
        if form != "speech":
            raise problems.fail("a folder of sounds is no text", "choose task: speech-recognition")
        transcripts = Transcripts(found if options.answers else [], problems)
        media = MediaFiles(problems, form, named=False)
        examples: list[Example] = []
        empty: list[int] = []
        missing: list[int] = []
        for number, file in enumerate(found, 1):
            if file.suffix.lower() not in SUFFIXES:
                continue
            example = media.read(file, number, str(file))
            if example is None:
                continue
            text = transcripts.of(number)
            if text:
                example["transcript"] = text
            else:
                (missing if text is None else empty).append(number)
            examples.append(example)
        sounds = len(examples)
        notes = [f"format: a folder of {sounds:,} sounds, {transcripts.note()}", *media.notes()]
        if any("transcript" in example for example in examples):
            examples = [example for example in examples if "transcript" in example]
            for number in missing:
                if number in problems.rows:
                    continue
                mend = "write what is said into a text file of the same name beside it, or remove it"
                problems.add("no transcript of this sound was found", mend, line=number)
            notes += empty_notes(empty, sounds, options, problems, "transcript")
        notes += [*transcripts.left_over(), *problems.finish(len(found) + 1)]
        if not examples:
            known = ", ".join(sorted(SUFFIXES))
            raise problems.fail("the folder holds no sound", f"put files in it that end in {known}")
        skipped: tuple[Skipped, ...] = problems.skipped(lambda line: (line, str(found[line - 1])))
        return Reading(examples, tuple(notes), _digest(root, examples), (), skipped)


class Transcripts:
    """What the text files of a folder say of its sounds, by the number of the sound's file.

    Args:
        found: Every file of the folder.
        problems: Takes what is wrong with a transcript; lines count the files from 1.
    """

    def __init__(self, found: list[Path], problems: FolderProblems) -> None:
        self._found = found
        self._problems = problems
        self._said: dict[int, str] = {}
        self._lists = self._beside = 0
        self._strangers: list[str] = []
        names: dict[str, list[int]] = defaultdict(list)
        beside: dict[Path, int] = {}
        for number, file in enumerate(found, 1):
            if file.suffix.lower() in SUFFIXES:
                names[file.stem].append(number)
                names[file.name].append(number)
                beside[file.with_suffix("")] = number
        for number, file in enumerate(found, 1):
            if is_list(file):
                self._lists += 1
                self._read_list(file, number, names)
            elif file.suffix.lower() == ".txt" and file.with_suffix("") in beside:
                self._beside += 1
                self._take(beside[file.with_suffix("")], " ".join(self._text(file).split()))

    def of(self, number: int) -> str | None:
        """Return the transcript of a sound; None where it has none."""
        return self._said.get(number)

    def note(self) -> str:
        """Say where the transcripts are."""
        if self._lists:
            return f"transcripts in {self._lists:,} lists"
        return "transcripts in a text file beside each" if self._beside else "no transcripts"

    def left_over(self) -> list[str]:
        """Say which transcripts have no sound."""
        if not self._strangers:
            return []
        shown = ", ".join(self._strangers[:SHOWN_NAMES]) + (", ..." if len(self._strangers) > SHOWN_NAMES else "")
        return [f"{len(self._strangers):,} transcripts have no sound: {shown}"]

    def _text(self, file: Path) -> str:
        return decode(file.read_bytes(), str(file)).text

    def _read_list(self, file: Path, number: int, names: dict[str, list[int]]) -> None:
        for line in self._text(file).splitlines():
            if not line.strip():
                continue
            name, *rest = line.split(maxsplit=1)
            places = names.get(name, [])
            sounds = [place for place in places if file.parent in self._found[place - 1].parents]
            if len(sounds) > 1:
                mend = "give a table of paths and transcripts: metadata.csv with file_name, transcription"
                self._problems.add(f"{len(sounds)} sounds are called '{name}'", mend, line=number)
            elif sounds:
                self._take(sounds[0], rest[0].strip() if rest else "")
            else:
                self._strangers.append(name)

    def _take(self, number: int, text: str) -> None:
        bad = bad_character(text)
        if bad is not None:
            self._problems.add(f"{bad} in the transcript", "remove it", line=number)
        elif self._said.setdefault(number, text) != text:
            self._problems.add("the sound has two different transcripts", "keep one of them", line=number)


def is_list(file: Path) -> bool:
    """Whether a file is a list of transcripts by its name."""
    name = file.name.lower()
    return name in LISTS or name.endswith(".trans.txt")


def has_transcripts(root: Path) -> bool:
    """Whether a folder of sounds says what is spoken in them."""
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is not None:
        with table.open("rb") as stream:
            head = stream.readline(1 << 16).lower()
        return any(name in head for name in (b"transcri", b"sentence", b"text"))
    files = list(walk(root))
    sounds = {file.with_suffix("") for file in files if file.suffix.lower() in SUFFIXES}
    return any(is_list(file) or (file.suffix.lower() == ".txt" and file.with_suffix("") in sounds) for file in files)


def _digest(root: Path, examples: list[Example]) -> str:
    hasher = hashlib.sha256()
    for example in examples:
        inside = Path(example["sound"]).relative_to(root).as_posix()
        hasher.update(f"{inside}\0{example['digest']}\0{example.get('transcript', '')}\n".encode("utf-8", "replace"))
    return hasher.hexdigest()
