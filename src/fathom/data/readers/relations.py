"""Rows with two entities and a relation, or with all entities and relations of a text, become examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import RowChecks, as_json
from fathom.data.readers.words import Span, join_words
from fathom.data.relations import apart, pair_examples, pair_problem, read_tagged
from fathom.data.section import DataSection

Entity = dict[str, Any]
Stated = list[tuple[tuple[int, int], str]]
"""Pairs of positions in the entities of a text, head first, and how they are related."""

_START = ("start", "start_offset", "begin", "start_char")
_END = ("end", "end_offset", "stop", "end_char")
_TYPE = ("type", "label", "entity_type", "ner", "tag")
_NAME = ("name", "text", "word", "mention")
_RELATION = ("label", "type", "relation", "predicate", "rel")
LAST_INCLUDED = frozenset({"subj_end", "obj_end"})
"""Columns of TACRED, whose end is the last token of an entity, not the one after it."""
_MEND_TAGS = "mark both: <e1>..</e1> and <e2>..</e2>; or name the columns of head and tail"
_MEND_ENTITY = 'write {"start": 0, "end": 5} (end after the last character), or the entity as it stands in the text'


class RelationRows(RowChecks):
    """Rows with a text, two entities and a relation; see `RowChecks`."""

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, options, problems)
        self._unlabelled: list[int] = []
        self._whole: list[tuple[Example, list[Entity], Stated]] = []
        self._repeats = self._nested = self._twice = self._unpaired = 0
        ends = [layout.name(role) for role in ("head_end", "tail_end") if role in layout.roles]
        self._last_included = bool(ends) and set(ends) <= LAST_INCLUDED

    def add(self, line: int, row: Mapping[str, Any]) -> None:
        """Check one row, values by role; `line` counts from 1."""
        before = len(self.problems)
        read = self._text(line, row)
        if read is None:
            return
        text, words = read
        where = f"{self.problems.path}:{line}"
        if "relations" in self.layout.roles:
            self._add_whole(line, row, (text, words), where)
            return
        named = "head" in row or "head_start" in row
        pair = self._pair(line, row, text, words) if named else self._tagged(line, text)
        if pair is None or len(self.problems) > before:
            return
        text, head, tail = pair
        problem = pair_problem(text, head, tail)
        if problem is not None:
            self.problems.add(problem, "correct the places of the entities, or remove the row", line=line)
            return
        self._nested += not apart(head, tail)
        example: Example = {"text": text, "head": head, "tail": tail}
        if "label" in self.layout.roles:
            label = self._label(line, row["label"])
            if label is None:
                return
            if label:
                example["label"] = label
            else:
                self._unlabelled.append(line)
        self.examples.append({**example, "where": where})

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the examples and what was noticed; `num_rows` counts all rows of the file, bad ones too.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no example.
        """
        labelled = any("label" in example for example in self.examples)
        if self._unlabelled and labelled:
            name = self.layout.name("label")
            for line in self._unlabelled:
                self.problems.add("the label is empty", "give every row a label", line=line, column=name)
            self.examples = [example for example in self.examples if "label" in example]
        notes = self.settle(num_rows)
        self._make_examples()
        if self._last_included:
            notes.append("an entity's end is its last token, as in TACRED (columns subj_end, obj_end)")
        if self._repeats:
            notes.append(f"{self._repeats} entities occur several times in their text; the first place was taken")
        if self._nested:
            notes.append(f"{self._nested} pairs have one entity inside the other")
        if self._unpaired:
            notes.append(f"{self._unpaired} texts hold no two entities of related types, and give no example")
        if self._twice:
            notes.append(f"{self._twice} pairs are related twice; the first relation was taken")
        if not self.examples:
            raise self.problems.fail("no pairs of entities", "the file needs at least one row with two entities")
        return self.examples, notes

    def _make_examples(self) -> None:
        """Make examples of texts with all their relations; the types that are related anywhere may be everywhere."""
        types = {
            (entities[head]["type"], entities[tail]["type"])
            for _, entities, stated in self._whole
            for (head, tail), _ in stated
        }
        for example, entities, stated in self._whole:
            relations: dict[tuple[int, int], str] = {}
            for pair, label in stated:
                relations.setdefault(pair, label)
            self._twice += len(stated) - len(relations)
            pairs = pair_examples(example, entities, relations, types)
            self._unpaired += not pairs
            self.examples += pairs

    def _text(self, line: int, row: Mapping[str, Any]) -> tuple[str, list[Span] | None] | None:
        """Return the text, and its words where it is given as words; None for a bad or empty row."""
        role = "tokens" if "tokens" in row else "text"
        value = row[role]
        name = self.layout.name(role)
        if role == "tokens":
            if isinstance(value, str):
                value = as_json(value) if value.lstrip().startswith("[") else value.split()
            if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() for word in value):
                self.problems.add("not a list of words", 'write ["a", "list"]', line=line, column=name)
                return None
            bad = bad_character(" ".join(value))
        elif not isinstance(value, str):
            self.problems.add("the text is missing or no text", "give every row a text", line=line, column=name)
            return None
        else:
            bad = bad_character(value)
        if bad is not None:
            self.problems.add(f"{bad} in the text", "remove it", line=line, column=name)
            return None
        if not value or (isinstance(value, str) and not value.strip()):
            self.empty.append(line)
            return None
        return (value, None) if isinstance(value, str) else join_words(value, self.options.word_join)

    def _tagged(self, line: int, text: str) -> tuple[str, Entity, Entity] | None:
        found = read_tagged(text)
        if isinstance(found, str):
            column = self.layout.name("text" if "text" in self.layout.roles else "tokens")
            self.problems.add(found, _MEND_TAGS, line=line, column=column)
            return None
        return found

    def _pair(
        self, line: int, row: Mapping[str, Any], text: str, words: list[Span] | None
    ) -> tuple[str, Entity, Entity] | None:
        found: list[Entity] = []
        for role in ("head", "tail"):
            value = row.get(role)
            if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
                value = as_json(value)
            if f"{role}_start" in row and f"{role}_end" in row:
                value = [_number(row[f"{role}_start"]), _number(row[f"{role}_end"])]
                if self._last_included and type(value[1]) is int:
                    value[1] += 1
            entity = self._entity(value, text, words, avoid=found)
            if isinstance(entity, str):
                known = (name for name in (role, f"{role}_start", f"{role}_end") if name in self.layout.roles)
                column = next(map(self.layout.name, known), None)
                self.problems.add(f"the {role}: {entity}", _MEND_ENTITY, line=line, column=column)
                return None
            kind = row.get(f"{role}_type")
            found.append({**entity, "type": kind.strip()} if isinstance(kind, str) and kind.strip() else entity)
        return text, found[0], found[1]

    def _entity(self, value: Any, text: str, words: list[Span] | None, avoid: list[Entity]) -> Entity | str:
        """Read one entity in any of the forms it is written in; a text says what is wrong."""
        kind = None
        if isinstance(value, Mapping):
            kind = _first(value, _TYPE)
            span = value.get("pos", [_first(value, _START), _first(value, _END)])
            if span == [None, None]:
                value = _first(value, _NAME)
            else:
                said = _first(value, ("text",))
                value = list(span) if isinstance(span, list | tuple) else span
                if isinstance(said, str) and words is None and _places(value) and text[value[0] : value[1]] != said:
                    return f"{value[0]}-{value[1]} covers {text[value[0] : value[1]]!r}, but its text is {said!r}"
        if isinstance(value, str):
            return self._search(value.strip(), text, avoid)
        if isinstance(value, list) and len(value) == 3 and isinstance(value[2], str):
            value, kind = value[:2], value[2]
        if not _places(value):
            return f"{value!r} is no place in the text"[:120]
        start, end = value
        if words is not None:
            if not 0 <= start < end <= len(words):
                return f"tokens {start}-{end} are not among the {len(words)} tokens"
            start, end = words[start][0], words[end - 1][1]
        elif not 0 <= start < end <= len(text):
            return f"{start}-{end} is not inside the text of {len(text)} characters"
        covered = text[start:end]
        if not covered.strip():
            return f"{start}-{end} covers only white space"
        start, end = start + len(covered) - len(covered.lstrip()), end - len(covered) + len(covered.rstrip())
        entity = {"start": start, "end": end}
        return {**entity, "type": kind.strip()} if isinstance(kind, str) and kind.strip() else entity

    def _search(self, name: str, text: str, avoid: list[Entity]) -> Entity | str:
        """Find an entity by its name: at its first place that the other entity leaves free, else its first."""
        if not name:
            return "it is empty"
        places: list[int] = []
        place = text.find(name)
        while place >= 0:
            places.append(place)
            place = text.find(name, place + 1)
        if not places:
            return f"{name!r} does not occur in the text"
        self._repeats += len(places) > 1
        free = [at for at in places if all(at >= one["end"] or at + len(name) <= one["start"] for one in avoid)]
        start = (free or places)[0]
        return {"start": start, "end": start + len(name)}

    def _add_whole(self, line: int, row: Mapping[str, Any], read: tuple[str, list[Span] | None], where: str) -> None:
        """Check a row with all entities and relations of its text."""
        text, words = read
        listed = [as_json(row.get(role)) for role in ("entities", "relations")]
        if not all(isinstance(one, list) for one in listed):
            mend = 'write "entities": [{"start", "end", "type"}], "relations": [{"head": 0, "tail": 1, "type": ..}]'
            self.problems.add("entities or relations are not lists", mend, line=line)
            return
        entities: list[Entity] = []
        places: dict[Any, int] = {}
        for number, given in enumerate(listed[0]):
            entity = self._entity(given, text, words, avoid=[])
            if isinstance(entity, str):
                self.problems.add(f"entity {number}: {entity}", _MEND_ENTITY, line=line)
                return
            name = given["id"] if isinstance(given, Mapping) and "id" in given else number
            if not isinstance(name, int | str) or name in places:
                said = "is another's too" if isinstance(name, int | str) else "is no text"
                mend = "give every entity an id of its own, or none"
                self.problems.add(f"entity {number}: its id {name!r:.80} {said}", mend, line=line)
                return
            places[name] = number
            entities.append({"type": "entity", **entity})
        stated: Stated = []
        for number, given in enumerate(listed[1]):
            read_relation = _read_relation(given, places)
            if isinstance(read_relation, str):
                mend = 'write {"head": 0, "tail": 1, "type": "costs"}, positions in (or ids of) entities'
                self.problems.add(f"relation {number}: {read_relation}", mend, line=line)
                return
            pair, label = read_relation
            problem = pair_problem(text, entities[pair[0]], entities[pair[1]])
            if problem is not None:
                mend = "correct the places of the entities, or remove the relation"
                self.problems.add(f"relation {number}: {problem}", mend, line=line)
                return
            self._nested += not apart(entities[pair[0]], entities[pair[1]])
            stated.append((pair, label))
        self._whole.append(({"text": text, "where": where}, entities, stated))

    def _label(self, line: int, value: Any) -> str | None:
        """Return the label, '' for none, None for a bad one."""
        if value is None:
            return ""
        label = value.strip() if isinstance(value, str) else value
        if not isinstance(label, str) or bad_character(label) is not None or label.lower() == "nan":
            mend = "write the relation of every row as text"
            self.problems.add(f"{value!r} is no label"[:120], mend, line=line, column=self.layout.name("label"))
            return None
        return label


def _read_relation(given: Any, places: Mapping[Any, int]) -> tuple[tuple[int, int], str] | str:
    if isinstance(given, list | tuple) and len(given) == 3:
        head, tail, label = given[0], given[1], given[2]
    elif isinstance(given, Mapping):
        head, tail = _first(given, ("head", "h", "subject")), _first(given, ("tail", "t", "object"))
        label = _first(given, _RELATION)
    else:
        return f"{given!r} has no head, tail and type"[:120]
    for role, entity in (("head", head), ("tail", tail)):
        if not isinstance(entity, int | str) or entity not in places:
            return f"the {role} {entity!r} is no entity of the text"
    if places[head] == places[tail]:
        return "head and tail are the same entity"
    if not isinstance(label, str) or not label.strip():
        return f"the type must be a text, not {label!r}"
    return (places[head], places[tail]), label.strip()


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if key in value), None)


def _places(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(place) is int for place in value)


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value
