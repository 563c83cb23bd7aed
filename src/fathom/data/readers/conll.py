"""CoNLL columns: one word a line, a blank line between sentences."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fathom.data.encodings import bad_character, decode
from fathom.data.example import Example
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.readers.problems import Problems
from fathom.data.readers.spans import TAG_MEND, scheme_notes, tag_problem
from fathom.data.readers.tags import parse_tag, to_iob2
from fathom.data.readers.words import find_words, join_words
from fathom.data.section import DataSection

_LINE = re.compile(r"\r\n|\n|\r")
_RAW_TEXT = re.compile(r"#\s*text\s*=\s?(.*)\Z", re.DOTALL)
_WORD_NUMBER = re.compile(r"\d+(?:[-.]\d+)?\Z")


@dataclass
class Sentence:
    """One sentence as it stands in the file: line numbers and cells of its words."""

    raw_text: str | None = None
    lines: list[int] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Columns:
    tokens: int
    tags: int | None
    width: int
    numbered: bool


class ConllReader(Reader):
    """Reads words and tags in columns set apart by tabs or spaces."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every sentence; see `Reader.read`."""
        problems = Problems(path, skip=options.on_error == "skip")
        if form != "spans":
            raise problems.fail(
                "CoNLL columns hold tagged words, and this task needs a text with a label",
                "use task: token-classification, or another file",
            )
        data = Path(path).read_bytes()
        decoded = decode(data, path, options.encoding)
        if not decoded.text.strip():
            raise problems.fail("the file is empty", "give a file with sentences")
        lines = _LINE.split(decoded.text)
        tabs = _uses_tabs(lines)
        sentences, comments = _cut_sentences(lines, tabs)
        if not sentences:
            raise problems.fail("no sentences", "give a file with one word and its tag a line")
        columns = _find_columns(sentences, options, problems)
        notes = [
            f"format: CoNLL, {columns.width} {'tab' if tabs else 'space'}-separated columns, "
            f"word in column {columns.tokens}, tag in column {columns.tags}",
            *decoded.notes,
        ]
        if comments:
            notes.append(f"{comments} comment and document lines skipped")
        good = [sentence for sentence in sentences if _check(sentence, columns, options, problems)]
        skipped = problems.finish(sum(len(sentence.rows) for sentence in sentences))
        if skipped:
            notes.append(f"{len(sentences) - len(good)} of {len(sentences)} sentences left out")
        if not good:
            raise problems.error()
        examples, more = _to_examples(good, columns, options, path)
        return Reading(examples, (*notes, *skipped, *more), hashlib.sha256(data).hexdigest())


def _uses_tabs(lines: list[str]) -> bool:
    """Whether most of the lines with words hold a tab between two columns."""
    with_tab = without = 0
    for line in lines[:5000]:
        if line.strip(" \t") and line[0] != "#":
            if "\t" in line.strip(" "):
                with_tab += 1
            else:
                without += 1
    return with_tab > without


def _cut_sentences(lines: list[str], tabs: bool) -> tuple[list[Sentence], int]:
    """Cut at blank lines; returns the sentences and how many comment and document lines were skipped."""
    sentences: list[Sentence] = []
    current = Sentence()
    comments = 0
    for number, line in enumerate(lines, 1):
        if not line or not line.strip(" \t"):
            if current.rows:
                sentences.append(current)
                current = Sentence()
            continue
        if line.startswith("-DOCSTART-"):
            comments += 1
            continue
        if line[0] == "#" and _is_comment(line, tabs):
            comments += 1
            if current.rows:
                sentences.append(current)
                current = Sentence()
            raw = _RAW_TEXT.match(line)
            if raw:
                current.raw_text = raw[1]
            continue
        current.lines.append(number)
        current.rows.append(line.split("\t") if tabs else [cell for cell in line.split(" ") if cell])
    if current.rows:
        sentences.append(current)
    return sentences, comments


def _is_comment(line: str, tabs: bool) -> bool:
    """Tell a comment from the word `#`: a word has its tag in the last column."""
    if tabs:
        return "\t" not in line
    cells = line.split()
    return len(cells) < 2 or parse_tag(cells[-1]) is None


def _find_columns(sentences: list[Sentence], options: DataSection, problems: Problems) -> _Columns:
    sample = [
        (sentence.lines[place], cells) for sentence in sentences[:2000] for place, cells in enumerate(sentence.rows)
    ]
    width = Counter(len(cells) for _, cells in sample).most_common(1)[0][0]
    rows = [(line, cells) for line, cells in sample if len(cells) == width]
    numbered = width > 2 and all(_WORD_NUMBER.match(cells[0]) for _, cells in rows)
    places = {}
    for role in ("tokens", "tags"):
        wanted = options.columns.get(role)
        if wanted is None:
            continue
        if isinstance(wanted, str) and not wanted.isdigit():
            mend = f"give its position, 0 to {width - 1}: data.columns.{role}=0"
            raise problems.fail(f"CoNLL columns have no names, so there is none called '{wanted}'", mend)
        if int(wanted) >= width:
            mend = f"give a position from 0 to {width - 1}"
            raise problems.fail(f"columns.{role} is {wanted}, but there are {width} columns", mend, line=rows[0][0])
        places[role] = int(wanted)
    tokens = places.get("tokens", 1 if numbered and places.get("tags") != 1 else 0)
    tags = places.get("tags")
    if tags is None and width > 1:
        tags = _guess_tags(rows, tokens, options, problems)
    return _Columns(tokens, tags, width, numbered)


def _guess_tags(rows: list[tuple[int, list[str]]], tokens: int, options: DataSection, problems: Problems) -> int:
    """The last column in which nearly everything is a tag, one with entities first."""
    width = len(rows[0][1])
    best = None
    for place in range(width):
        if place == tokens:
            continue
        values = [cells[place] for _, cells in rows]
        if options.tag_scheme == "io":
            best = (True, place)
            continue
        fitting = sum(parse_tag(value) is not None for value in values)
        if fitting >= 0.9 * len(values):
            candidate = (any(value != "O" for value in values), place)
            best = candidate if best is None or candidate > best else best
    if best is None:
        line, cells = rows[0]
        raise problems.fail(
            f"no column holds tags (first row: {' | '.join(cells)[:80]})",
            f"say which one does: data.columns.tags=N (0 to {width - 1}). {TAG_MEND}; bare types: data.tag_scheme=io",
            line=line,
        )
    return best[1]


def _check(sentence: Sentence, columns: _Columns, options: DataSection, problems: Problems) -> bool:
    """Note what is wrong with the words of a sentence; a bad one spoils the whole sentence."""
    good = True
    tokens, tags, width = columns.tokens, columns.tags, columns.width
    for line, cells in zip(sentence.lines, sentence.rows, strict=True):
        if len(cells) != width:
            shown = " | ".join(cells)[:80]
            mend = "give every line the same columns, set apart by the same character; a blank line ends a sentence"
            problems.add(f"{len(cells)} columns where there should be {width}: {shown}", mend, line=line)
            good = False
            continue
        word = cells[tokens]
        if not word or word.isspace():
            problems.add("the word is empty", "remove the line or write the word", line=line, column=str(tokens))
            good = False
        elif not word.isascii() or "\x00" in word:
            bad = bad_character(word)
            if bad is not None:
                problems.add(f"{bad} in the word", "remove it", line=line, column=str(tokens))
                good = False
        if tags is not None and cells[tags] != "O":
            problem = tag_problem(cells[tags], options.tag_scheme)
            if problem is not None:
                problems.add(problem, TAG_MEND, line=line, column=str(tags))
                good = False
    return good


def _to_examples(
    sentences: list[Sentence], columns: _Columns, options: DataSection, path: str
) -> tuple[list[Example], list[str]]:
    examples: list[Example] = []
    all_tags: list[list[str]] = []
    raw = misplaced = 0
    for sentence in sentences:
        rows = [cells for cells in sentence.rows if cells[0].isdigit()] if columns.numbered else sentence.rows
        words = [cells[columns.tokens] for cells in rows]
        spans = None
        if sentence.raw_text is not None:
            spans = find_words(sentence.raw_text, words)
            raw += spans is not None
            misplaced += spans is None
        if spans is not None:
            example: Example = {"text": sentence.raw_text, "words": spans}
        else:
            text, joined = join_words(words, options.word_join)
            example = {"text": text, "words": joined}
        if columns.tags is not None:
            all_tags.append([cells[columns.tags] for cells in rows])
        example["where"] = f"{path}:{sentence.lines[0]}"
        examples.append(example)
    notes = []
    if raw:
        notes.append(f"words of {raw} sentences placed in their '# text =' line")
    if misplaced:
        notes.append(f"words of {misplaced} sentences do not fit their '# text =' line; they were joined instead")
    if columns.tags is not None:
        schemed = to_iob2(all_tags, options.tag_scheme)
        for example, tags in zip(examples, schemed.sentences, strict=True):
            example["tags"] = tags
        notes += scheme_notes(schemed, [str(sentence.lines[0]) for sentence in sentences], options)
    return examples, notes
