"""CoNLL columns: one word a line, a blank line between sentences."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fathom.data.encodings import bad_character, decode, refuse_characters
from fathom.data.example import Example
from fathom.data.readers.base import Form, Reader, Reading, Request
from fathom.data.readers.columns import USUAL_NAMES, find_columns
from fathom.data.readers.problems import Problems, Skipped
from fathom.data.readers.spans import TAG_MEND, scheme_notes, tag_problem
from fathom.data.readers.tags import parse_tag, to_iob2
from fathom.data.readers.words import Span, find_words, join_words
from fathom.data.section import DataSection

_RAW_TEXT = re.compile(r"#\s*text\s*=\s?(.*)\Z", re.DOTALL)
_BEGINS_SENTENCE = re.compile(r"#\s*(?:text|sent_id|id|newdoc|newpar)\b")
_WORD_NUMBER = re.compile(r"\d+(?:[-.]\d+)?\Z")
_SPECIAL = frozenset("# \t-")
_WIDTH_MEND = "give every line the same columns, set apart by the same character; a blank line ends a sentence"


@dataclass
class Sentence:
    """The lines of one sentence, with their numbers from 1, and the raw text a comment gave."""

    raw_text: str | None = None
    numbers: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ConllColumns:
    """Where words and tags stand.

    Attributes:
        tokens: Position of the word.
        tags: Position of the tag; None in a file without tags.
        width: Columns of a line.
        tabs: Whether tabs set the columns apart, or spaces.
        numbered: Whether the first column counts the words (CoNLL-U), so that `3-4` and `3.1` are no words.
    """

    tokens: int
    tags: int | None
    width: int
    tabs: bool
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
        refuse_characters(decoded.text, problems)
        lines = decoded.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        tabs = _uses_tabs(lines)
        sentences, comments = _cut_sentences(lines, tabs)
        if not sentences:
            raise problems.fail("no sentences", "give a file with one word and its tag a line")
        columns = _find_columns(sentences, tabs, Request(form, options, problems))
        notes = [
            f"format: CoNLL, {columns.width} {'tab' if tabs else 'space'}-separated columns, word in column "
            f"{columns.tokens}, {'no tags' if columns.tags is None else f'tag in column {columns.tags}'}",
            *decoded.notes,
        ]
        if comments:
            notes.append(f"{comments} comment and document lines skipped")
        examples, more = _Build(columns, options, problems).build(sentences)
        skipped: tuple[Skipped, ...] = ()
        if problems.reasons:
            skipped = problems.skipped(partial(_sentence_text, _sentence_of_line(sentences), lines))
        return Reading(examples, (*notes, *more), hashlib.sha256(data).hexdigest(), skipped=skipped)


def _sentence_of_line(sentences: list[Sentence]) -> dict[int, Sentence]:
    return {number: sentence for sentence in sentences for number in sentence.numbers}


def _sentence_text(owners: dict[int, Sentence], lines: list[str], line: int) -> tuple[int, str]:
    """Return the sentence a bad line spoils: its first line, and all of its lines."""
    sentence = owners.get(line)
    return (line, lines[line - 1]) if sentence is None else (sentence.numbers[0], "\n".join(sentence.lines))


class _Build:
    """Makes examples of sentences; a bad line spoils its whole sentence."""

    def __init__(self, columns: ConllColumns, options: DataSection, problems: Problems) -> None:
        self.columns = columns
        self.options = options
        self.problems = problems
        self.good_tags = {"O"}
        self.raw = self.misplaced = 0

    def build(self, sentences: list[Sentence]) -> tuple[list[Example], list[str]]:
        """Return the examples and what was noticed.

        Raises:
            DataError: Problems were found (and are not skipped).
        """
        examples: list[Example] = []
        all_tags: list[list[str]] = []
        for sentence in sentences:
            read = self._read(sentence)
            if read is None:
                continue
            words, tags = read
            text, spans = self._place(sentence.raw_text, words)
            examples.append({"text": text, "words": spans, "where": f"{self.problems.path}:{sentence.numbers[0]}"})
            if tags is not None:
                all_tags.append(tags)
        notes = list(self.problems.finish(sum(len(sentence.lines) for sentence in sentences)))
        if len(examples) < len(sentences):
            notes.append(f"{len(sentences) - len(examples)} of {len(sentences)} sentences left out with them")
        if not examples:
            raise self.problems.error()
        if self.raw:
            notes.append(f"words of {self.raw} sentences placed in their '# text =' line")
        if self.misplaced:
            notes.append(f"words of {self.misplaced} sentences do not fit their '# text =' line; joined instead")
        if self.columns.tags is not None:
            schemed = to_iob2(all_tags, self.options.tag_scheme)
            for example, tags in zip(examples, schemed.sentences, strict=True):
                example["tags"] = tags
            lines = [str(example["where"]).rpartition(":")[2] for example in examples]
            notes += scheme_notes(schemed, lines, self.options)
        return examples, notes

    def _read(self, sentence: Sentence) -> tuple[list[str], list[str] | None] | None:
        """Return words and tags; None when something is wrong, which is noted."""
        columns = self.columns
        numbers = sentence.numbers
        flat = _cut_evenly(sentence.lines, columns)
        if flat is None:
            self._note_widths(sentence)
            return None
        step = columns.width + 1
        words = flat[columns.tokens :: step]
        tags = None if columns.tags is None else flat[columns.tags :: step]
        if columns.numbered and not all(map(str.isdigit, flat[::step])):
            kept = [place for place, number in enumerate(flat[::step]) if number.isdigit()]
            numbers = [numbers[place] for place in kept]
            words = [words[place] for place in kept]
            tags = tags and [tags[place] for place in kept]
        joined = "".join(words)
        good = bool(words) and "\x00" not in joined
        if not joined.isascii() or not all(words) or any(map(str.isspace, words)):
            good = self._good_words(words, numbers) and good
        if tags is not None and not self.good_tags.issuperset(tags):
            good = self._note_tags(tags, numbers) and good
        return (words, tags) if good else None

    def _note_widths(self, sentence: Sentence) -> None:
        width = self.columns.width
        for number, line in zip(sentence.numbers, sentence.lines, strict=True):
            cells = split_cells(line, self.columns.tabs)
            if len(cells) != width:
                shown = " | ".join(cells)[:80]
                message = f"{len(cells)} columns where there should be {width}: {shown}"
                self.problems.add(message, _WIDTH_MEND, line=number)

    def _good_words(self, words: list[str], numbers: list[int]) -> bool:
        good = True
        column = str(self.columns.tokens)
        for number, word in zip(numbers, words, strict=True):
            if not word or word.isspace():
                self.problems.add("the word is empty", "write the word or remove the line", line=number, column=column)
                good = False
            elif (bad := bad_character(word)) is not None and bad != "a NUL character":
                self.problems.add(f"{bad} in the word", "remove it", line=number, column=column)
                good = False
        return good

    def _note_tags(self, tags: list[str], numbers: list[int]) -> bool:
        good = True
        for number, tag in zip(numbers, tags, strict=True):
            if tag in self.good_tags:
                continue
            problem = tag_problem(tag, self.options.tag_scheme)
            if problem is None:
                self.good_tags.add(tag)
            else:
                self.problems.add(problem, TAG_MEND, line=number, column=str(self.columns.tags))
                good = False
        return good

    def _place(self, raw_text: str | None, words: list[str]) -> tuple[str, list[Span]]:
        if raw_text is not None:
            spans = find_words(raw_text, words)
            if spans is not None:
                self.raw += 1
                return raw_text, spans
            self.misplaced += 1
        return join_words(words, self.options.word_join)


def split_cells(line: str, tabs: bool) -> list[str]:
    """Cut a line at tabs, or at runs of spaces (no other white space, which can be part of a word)."""
    if tabs:
        return line.split("\t")
    return [cell for cell in line.split(" ") if cell]


def _cut_evenly(lines: list[str], columns: ConllColumns) -> list[str] | None:
    """Cut all lines of a sentence at once; None when one of them has not the width of the file.

    The cells stand one after another with a line end after each line's last, so cell `n` of the lines is every
    `width + 1`th item from `n` on. Cutting line by line would take three times as long.
    """
    separator = "\t" if columns.tabs else " "
    joined = f"{separator}\n{separator}".join(lines)
    if not columns.tabs and ("  " in joined or lines[0][0] == " " or joined[-1] == " "):
        joined = " \n ".join(" ".join(split_cells(line, False)) for line in lines)
    flat = joined.split(separator)
    width = columns.width
    if len(flat) != len(lines) * (width + 1) - 1 or flat[width :: width + 1].count("\n") != len(lines) - 1:
        return None
    return flat


def _uses_tabs(lines: list[str]) -> bool:
    """Whether most of the lines with words hold a tab between two columns."""
    with_tab = without = 0
    for line in lines[:5000]:
        if line and line[0] != "#" and line.strip(" \t"):
            if "\t" in line.strip(" "):
                with_tab += 1
            else:
                without += 1
    return with_tab > without


def _cut_sentences(lines: list[str], tabs: bool) -> tuple[list[Sentence], int]:
    """Cut at blank lines; returns the sentences and how many comment and document lines were skipped."""
    sentences = [Sentence()]
    current = sentences[0]
    comments = 0
    begin = 0
    for place in [place for place, line in enumerate(lines) if not line or line[0] in _SPECIAL] + [len(lines)]:
        if place > begin:
            current.lines += lines[begin:place]
            current.numbers += range(begin + 1, place + 1)
        begin = place + 1
        line = lines[place] if place < len(lines) else ""
        ends = not line.strip(" \t")
        comment = not ends and (line.startswith("-DOCSTART-") or (line[0] == "#" and _is_comment(line, tabs)))
        comments += comment
        if (ends or (comment and (line[0] == "-" or _BEGINS_SENTENCE.match(line)))) and current.lines:
            current = Sentence()
            sentences.append(current)
        if comment and (raw := _RAW_TEXT.match(line)):
            current.raw_text = raw[1]
        if not ends and not comment:
            current.lines.append(line)
            current.numbers.append(place + 1)
    if not current.lines:
        sentences.pop()
    return sentences, comments


def _is_comment(line: str, tabs: bool) -> bool:
    """Tell a comment from a word that begins with `#`: a word has columns, and a tag among them."""
    if tabs:
        return "\t" not in line or (line.startswith("# ") and " = " in line)
    cells = line.split()
    return len(cells) < 2 or parse_tag(cells[-1]) is None


def _find_columns(sentences: list[Sentence], tabs: bool, request: Request) -> ConllColumns:
    """Find words and tags by `columns:`, by a first line that names them, or by what stands in them."""
    options, problems = request.options, request.problems
    first_number = sentences[0].numbers[0]
    head = split_cells(sentences[0].lines[0], tabs)
    if _names_columns(head, options):
        layout = find_columns([cell.strip() for cell in head], request)
        if "tokens" not in layout.roles:
            raise problems.fail(f"none of the columns {', '.join(head)} is known to hold the word", _columns_mend(head))
        del sentences[0].lines[0], sentences[0].numbers[0]
        if not sentences[0].lines:
            del sentences[0]
        if not sentences:
            raise problems.fail("no sentences below the names of the columns", "give a file with words")
        named = layout if options.answers else layout.without(("tags",))
        return ConllColumns(named.roles["tokens"], named.roles.get("tags"), len(head), tabs, False)
    rows = [split_cells(line, tabs) for sentence in sentences[:300] for line in sentence.lines]
    width = Counter(map(len, rows)).most_common(1)[0][0]
    rows = [cells for cells in rows if len(cells) == width]
    for role in ("tokens", "tags"):
        wanted = options.columns.get(role, 0)
        if isinstance(wanted, str):
            message = f"the first line names no columns, so there is none called '{wanted}'"
            raise problems.fail(message, _columns_mend(rows[0]), line=first_number)
        if wanted >= width:
            message = f"columns.{role} is {wanted}, but there are {width} columns"
            raise problems.fail(message, f"give a position from 0 to {width - 1}", line=first_number)
    numbered = width > 2 and all(_WORD_NUMBER.match(cells[0]) for cells in rows)
    if numbered:
        rows = [cells for cells in rows if cells[0].isdigit()] or rows
    tokens = options.columns.get("tokens", 1 if numbered else 0)
    tags = options.columns.get("tags")
    assert isinstance(tokens, int) and not isinstance(tags, str)
    if tags is None and width > 1 and options.answers:
        tags = _guess_tags(rows, tokens, first_number, request)
    return ConllColumns(tokens, tags, width, tabs, numbered)


def _names_columns(head: list[str], options: DataSection) -> bool:
    """Whether the first line names the columns instead of holding a word."""
    if options.header is not None:
        return options.header
    named = [column for role, column in options.columns.items() if role in {"tokens", "tags"}]
    if any(isinstance(column, str) and column in head for column in named):
        return True
    cells = [cell.strip().lower() for cell in head]
    return any(cell in USUAL_NAMES["tokens"] for cell in cells) and any(cell in USUAL_NAMES["tags"] for cell in cells)


def _guess_tags(rows: list[list[str]], tokens: int, first_number: int, request: Request) -> int:
    """The last column in which nearly everything is a tag, one with entities first."""
    places = [place for place in range(len(rows[0])) if place != tokens]
    if request.options.tag_scheme == "io":
        return places[-1]
    candidates = []
    for place in places:
        values = [cells[place] for cells in rows]
        if sum(parse_tag(value) is not None for value in values) >= 0.9 * len(values):
            candidates.append((any(value != "O" for value in values), place))
    if not candidates:
        message = f"no column holds tags (first line: {' | '.join(rows[0])[:80]})"
        mend = f"{_columns_mend(rows[0])}. {TAG_MEND}; bare types: data.tag_scheme=io"
        raise request.problems.fail(message, mend, line=first_number)
    return max(candidates)[1]


def _columns_mend(cells: list[str]) -> str:
    return f"say which columns: data.columns.tokens=0 data.columns.tags=N (positions 0 to {len(cells) - 1})"
