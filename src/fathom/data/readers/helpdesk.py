"""The corpus Fathom brings along, by paths such as `helpdesk:intents` or `helpdesk:entities/test@zh`."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, cast

from fathom.config import suggest
from fathom.data.conversation import text_of
from fathom.data.corpus.template import columns_of
from fathom.data.example import Example
from fathom.data.helpdesk import DEFAULT_SIZES, KINDS, LANGUAGES, SPLITS, Kind, Language, Split, generate
from fathom.data.helpdesk.preferences import compare_answers
from fathom.data.helpdesk.relations import PAIRS
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.relations import pair_examples
from fathom.data.section import DataSection
from fathom.errors import DataError

FORMS: dict[Form, tuple[Kind, ...]] = {
    "text": ("intents", "faq", "tickets", "parallel"),
    "spans": ("entities", "relations"),
    "relation": ("relations",),
    "triples": ("relations",),
    "questions": ("questions",),
    "chat": ("dialogues",),
    "preference": ("dialogues",),
    "corpus": KINDS,
    "pairs": ("faq", "intents"),
    "writing": ("parallel", "tickets"),
    "interactions": (),
}
"""Which kinds of examples a task of each form takes, the usual one first."""

_PATH = re.compile(r"helpdesk:(?P<kind>[\w-]+)(?:/(?P<split>[\w-]+))?(?P<rest>(?:@[\w-]+|#\d+)*)\Z")
_KEYS = (
    *("text", "question", "answers", "text_pair", "label", "words", "tags", "messages", "target", "paraphrases"),
    *("language", "where"),
)


class HelpdeskReader(Reader):
    """Generates one split: `helpdesk:KIND[/SPLIT][@LANGUAGE][#SIZE]`; left out: train, both, all rows."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Generate the examples of a path; nothing in `options` changes them.

        Raises:
            DataError: The path names something helpdesk does not have, or another form than the task takes.
        """
        match = _PATH.match(path)
        if match is None:
            raise DataError(
                "not a helpdesk path", where=path, mend="write helpdesk:intents or helpdesk:entities/test@zh#500"
            )
        kind = cast(Kind, _known(path, "kind", match["kind"], KINDS))
        split = cast(Split, _known(path, "split", match["split"] or "train", SPLITS))
        if kind not in FORMS[form]:
            mend = f"write helpdesk:{' or helpdesk:'.join(FORMS[form])}"
            raise DataError(f"'{kind}' do not fit this task", where=path, mend=mend)
        language, size = "both", DEFAULT_SIZES[kind][split]
        for option in re.findall(r"[@#][\w-]+", match["rest"]):
            if option[0] == "@":
                language = _known(path, "language", option[1:], ("both", *LANGUAGES))
            else:
                size = int(option[1:])
        if size < 1:
            raise DataError("a sample of 0 rows", where=path, mend="give a number from 1 after #")
        rows = generate(kind, split, size, language=cast("Language", language))
        examples: list[Example] = [{key: row[key] for key in _KEYS if key in row} for row in rows]
        if form == "writing":
            named = ("text", "language", "where")
            examples = [{**{key: row[key] for key in named}, "references": [row["target"]]} for row in examples]
        if form == "relation":
            examples = [pair for row in rows for pair in _pairs(row)]
        if form == "triples":
            examples = [_stated(row) for row in rows]
        if form == "preference":
            examples = compare_answers(rows)
        if form == "corpus":
            codes = columns_of(options.document_template)
            coded = [{key: row[key] for key in codes if key in row} for row in rows]
            examples = [
                {**code, "text": text_of(row), "where": row["where"]} for code, row in zip(coded, examples, strict=True)
            ]
        digest = hashlib.sha256(json.dumps(examples, sort_keys=True).encode()).hexdigest()
        notes = (f"format: generated, helpdesk {kind}, split {split}, language {language}",)
        return Reading(examples, notes, digest, tuple(key for key in _KEYS if key in rows[0]))


def _entities(row: Example) -> list[dict[str, Any]]:
    return [{"start": item["start"], "end": item["end"], "type": item["label"]} for item in row["entities"]]


def _stated(row: Example) -> Example:
    """Return a message and all that is related in it."""
    entities = _entities(row)
    triples = [
        {"head": entities[item["head"]], "label": item["type"], "tail": entities[item["tail"]]}
        for item in row["relations"]
    ]
    return {**{key: row[key] for key in ("text", "language", "where")}, "triples": triples}


def _pairs(row: Example) -> list[Example]:
    """Return every pair of a message that might be related."""
    entities = _entities(row)
    relations = {(item["head"], item["tail"]): item["type"] for item in row["relations"]}
    shared = {key: row[key] for key in ("text", "language", "where")}
    return pair_examples(shared, entities, relations, PAIRS)


def _known(path: str, what: str, name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        hint = suggest(name, names)
        raise DataError(f"helpdesk has no {what} '{name}'{hint}", where=path, mend=f"known: {', '.join(names)}")
    return name
