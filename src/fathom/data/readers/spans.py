"""Rows with words and tags, or a text and character spans, become examples."""

from __future__ import annotations

import itertools
from typing import Any

from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import RowChecks, text_mend
from fathom.data.readers.tags import UNTYPED, Schemed, parse_tag, to_iob2
from fathom.data.readers.words import Span, join_words, split_words
from fathom.data.section import DataSection

_START = ("start", "start_offset", "begin", "start_char", "startIndex")
_END = ("end", "end_offset", "stop", "end_char", "endIndex")
_LABEL = ("label", "type", "entity", "tag", "entity_group", "slot")
_SPAN = "valueSpan"
"""Where annotations of slots keep start and end; they are protocol buffers, which leave out a 0 and an empty list."""


class SpanRows(RowChecks):
    """Rows with words and tags, or a text and spans; see `RowChecks`."""

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, options, problems)
        self._tagged: list[int] = []
        self._tags: list[list[str]] = []
        self._untagged: list[int] = []
        self._trimmed = 0
        self._leaves_out_empty = False

    def add_words(self, line: int, words: Any, tags: Any) -> None:
        """Check one row of words and tags; `line` counts from 1. `tags` None marks a row without tags."""
        name = self.layout.name("tokens")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            self.problems.add("not a list of words", 'write ["a", "list"]', line=line, column=name)
            return
        if not words:
            self.empty.append(line)
            return
        for place, word in enumerate(words):
            bad = "an empty word" if not word.strip() else bad_character(word)
            if bad is not None:
                self.problems.add(f"{bad} at position {place} of the words", "remove it", line=line, column=name)
                return
        if tags is not None and not self._good_tags(line, words, tags):
            return
        text, spans = join_words(words, self.options.word_join)
        self._keep(line, text, spans, tags)

    def add_text(self, line: int, text: Any, entities: Any) -> None:
        """Check one row of text and character spans; `entities` None marks a row without them."""
        name = self.layout.name("text")
        if not isinstance(text, str):
            self.problems.add("the text is missing or no text", text_mend(name, text), line=line, column=name)
            return
        bad = bad_character(text)
        if bad is not None:
            self.problems.add(f"{bad} in the text", "remove it", line=line, column=name)
            return
        if not text.strip():
            self.empty.append(line)
            return
        if entities is None:
            self._keep(line, text, split_words(text), None)
            return
        found = self._entities(line, text, entities)
        if found is None:
            return
        spans = split_words(text, [border for start, end, _ in found for border in (start, end)])
        self._keep(line, text, spans, _tag_words(spans, found))

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the examples and what was noticed; `num_rows` counts all rows of the file, bad ones too.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no example.
        """
        if self._untagged and self._tagged and not self._leaves_out_empty:
            for line in self._untagged:
                self.problems.add("the tags are missing", "tag every row", line=line)
            self.examples = [example for example in self.examples if "tags" in example]
        notes = self.settle(num_rows)
        if self._trimmed:
            notes.append(f"{self._trimmed} entities begin or end with white space, which was left out of them")
        if not self.examples:
            raise self.problems.fail("no rows", "the file needs at least one sentence")
        if self._tagged:
            schemed = to_iob2(self._tags, self.options.tag_scheme)
            labelled = [example for example in self.examples if "tags" in example]
            for example, tags in zip(labelled, schemed.sentences, strict=True):
                example["tags"] = tags
            notes += scheme_notes(schemed, [str(line) for line in self._tagged], self.options)
        if self._untagged and self._leaves_out_empty:
            notes.append(f"{len(self._untagged)} rows without {self.layout.name('entities')} have no entity")
            for example in self.examples:
                example.setdefault("tags", ["O"] * len(example["words"]))
        return self.examples, notes

    def _keep(self, line: int, text: str, spans: list[Span], tags: list[str] | None) -> None:
        example: Example = {"text": text, "words": spans}
        if tags is None:
            self._untagged.append(line)
        else:
            example["tags"] = tags
            self._tagged.append(line)
            self._tags.append(tags)
        example["where"] = f"{self.problems.path}:{line}"
        self.examples.append(example)

    def _good_tags(self, line: int, words: list[str], tags: Any) -> bool:
        name = self.layout.name("tags")
        if not isinstance(tags, list):
            self.problems.add("not a list of tags", 'write ["O", "B-PER"]', line=line, column=name)
            return False
        if len(tags) != len(words):
            self.problems.add(
                f"{len(tags)} tags for {len(words)} words", "give each word one tag", line=line, column=name
            )
            return False
        for place, tag in enumerate(tags):
            problem = tag_problem(tag, self.options.tag_scheme)
            if problem is not None:
                self.problems.add(f"{problem} at position {place}", TAG_MEND, line=line, column=name)
                return False
        return True

    def _entities(self, line: int, text: str, entities: Any) -> list[tuple[int, int, str]] | None:
        name = self.layout.name("entities")
        if not isinstance(entities, list):
            mend = 'write [{"start": 0, "end": 5, "label": "PER"}]'
            self.problems.add("not a list of entities", mend, line=line, column=name)
            return None
        found = []
        for number, entity in enumerate(entities):
            self._leaves_out_empty |= isinstance(entity, dict) and _SPAN in entity
            span = _read_entity(entity)
            problem = span if isinstance(span, str) else _span_problem(span, text, entity)
            if problem is not None:
                self.problems.add(f"entity {number}: {problem}", ENTITY_MEND, line=line, column=name)
                return None
            assert not isinstance(span, str)
            found.append(self._trim(text, span))
        found.sort()
        for before, after in itertools.pairwise(found):
            if after[0] < before[1]:
                first, second = text[before[0] : before[1]], text[after[0] : after[1]]
                said = f"entities overlap: {first!r} {before} and {second!r} {after}"
                self.problems.add(said, "keep one of them (nested entities cannot be tagged)", line=line, column=name)
                return None
        return found

    def _trim(self, text: str, span: tuple[int, int, str]) -> tuple[int, int, str]:
        start, end, label = span
        covered = text[start:end]
        start += len(covered) - len(covered.lstrip())
        end -= len(covered) - len(covered.rstrip())
        self._trimmed += (start, end) != span[:2]
        return start, end, label


TAG_MEND = "a tag is O, or B- or I- (also E-, S-, M-) and a type, such as B-PER"
ENTITY_MEND = "start and end are character offsets into the text, end after the last character"


def tag_problem(tag: Any, scheme: str) -> str | None:
    """Say what is wrong with a tag under a stated scheme (or `auto`); None when nothing is."""
    if not isinstance(tag, str):
        return f"the tag {tag!r} is a {type(tag).__name__}, not a text"
    if scheme == "io":
        return None if tag else "an empty tag"
    if parse_tag(tag) is None or bad_character(tag) is not None:
        return f"{tag!r} is no tag"
    if scheme in {"iob1", "iob2"} and tag[0] not in "BIO":
        return f"{tag!r} is no tag of the stated scheme {scheme}"
    return None


def scheme_notes(schemed: Schemed, places: list[str], options: DataSection) -> list[str]:
    """Say which scheme was found and what was repaired; `places` names the sentences."""
    how = "stated" if options.tag_scheme != "auto" else "detected"
    if schemed.scheme == "none":
        return ["tags: no entity at all, every tag is O"]
    name = schemed.scheme.upper()
    notes = [f"tags: {name} ({how})" + ("" if schemed.scheme == "iob2" else ", converted to IOB2")]
    for kind, count in schemed.repairs.items():
        first = ", ".join(f"{places[sentence]} (word {word + 1})" for sentence, word in schemed.places)
        notes.append(f"repaired {count} tags: {kind}; first repairs at line {first}")
    return notes


def _read_entity(entity: Any) -> tuple[int, int, str] | str:
    """Read one entity: a mapping or a [start, end, label] list; a text says what is wrong."""
    if isinstance(entity, list | tuple) and len(entity) == 3:
        start, end, label = entity
    elif isinstance(entity, dict):
        span = entity.get(_SPAN)
        held = {"startIndex": 0, **span, **entity} if isinstance(span, dict) else entity
        start, end, label = (next((held[key] for key in keys if key in held), None) for keys in (_START, _END, _LABEL))
        if isinstance(label, list) and len(label) == 1:
            label = label[0]
    else:
        return f"{entity!r} has no start, end and label"[:120]
    if type(start) is not int or type(end) is not int:
        return f"start and end must be whole numbers, not {start!r} and {end!r}"
    if not isinstance(label, str) or not label.strip() or bad_character(label):
        return f"the label must be a text, not {label!r}"
    return start, end, label.strip() or UNTYPED


def _span_problem(span: tuple[int, int, str], text: str, entity: Any) -> str | None:
    start, end, _ = span
    if not 0 <= start < end <= len(text):
        return f"span {start}-{end} is not inside the text of {len(text)} characters"
    covered = text[start:end]
    if not covered.strip():
        return f"span {start}-{end} covers only white space"
    if isinstance(entity, dict):
        said = entity.get("text", covered)
        if isinstance(said, str) and said.strip() != covered.strip():
            return f"span {start}-{end} covers {covered!r}, but the entity's text is {said!r}"
    return None


def _tag_words(spans: list[Span], entities: list[tuple[int, int, str]]) -> list[str]:
    tags = []
    index = 0
    for start, end in spans:
        while index < len(entities) and entities[index][1] <= start:
            index += 1
        if index < len(entities) and entities[index][0] <= start and end <= entities[index][1]:
            tags.append(f"{'B' if entities[index][0] == start else 'I'}-{entities[index][2]}")
        else:
            tags.append("O")
    return tags
