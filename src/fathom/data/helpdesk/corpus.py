"""Generates the helpdesk corpus: the same examples for the same arguments, on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, get_args

from fathom.data.conversation import speak
from fathom.data.example import Example
from fathom.data.helpdesk.dialogues import compose_dialogue
from fathom.data.helpdesk.entities import compose_entities
from fathom.data.helpdesk.grammar import SPLITS, Chooser, Language, Split, owner
from fathom.data.helpdesk.messages import LABELS, compose, speech
from fathom.data.helpdesk.pairs import compose_pair
from fathom.data.helpdesk.records import Record, compose_answer, compose_question, compose_ticket
from fathom.data.helpdesk.relations import compose_relations
from fathom.data.helpdesk.words import join, tag
from fathom.errors import DataError

Kind = Literal["intents", "entities", "relations", "dialogues", "faq", "questions", "tickets", "parallel"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LANGUAGES: tuple[Language, ...] = ("en", "zh")

DEFAULT_SIZES: dict[Kind, dict[Split, int]] = {
    "intents": {"train": 3000, "validation": 400, "test": 800},
    "entities": {"train": 2400, "validation": 400, "test": 600},
    "relations": {"train": 1500, "validation": 200, "test": 400},
    "dialogues": {"train": 2000, "validation": 200, "test": 400},
    "faq": {"train": 1500, "validation": 200, "test": 400},
    "questions": {"train": 1600, "validation": 240, "test": 480},
    "tickets": {"train": 2000, "validation": 200, "test": 400},
    "parallel": {"train": 3000, "validation": 300, "test": 600},
}
MOST_TRIES = 400
"""Draws for one new text before the grammar is taken to have no more."""


def generate(
    kind: Kind,
    split: Split,
    size: int | None = None,
    seed: int = 7,
    language: Literal["both", "en", "zh"] = "both",
) -> list[Example]:
    """Generate one split of one kind of data; a smaller size gives the first examples of a larger one.

    Args:
        kind: What the examples are for.
        split: Its templates, entity values and texts occur in no other split.
        size: Number of examples; None for the default of this kind and split.
        seed: Another seed, other examples, of the same grammar and the same division into splits.
        language: One language, or both by turns; of parallel sentences, the one that is translated from.

    Raises:
        DataError: No such kind or split, or more texts wanted than the grammar has.
    """
    if kind not in KINDS:
        raise DataError(f"helpdesk has no '{kind}'", where=f"helpdesk:{kind}", mend=f"known: {', '.join(KINDS)}")
    if split not in SPLITS:
        raise DataError(f"no split is called '{split}'", where=f"helpdesk:{kind}", mend=f"known: {', '.join(SPLITS)}")
    if language not in ("both", *LANGUAGES):
        raise DataError(f"helpdesk has no language '{language}'", where=f"helpdesk:{kind}", mend="both, en or zh")
    size = DEFAULT_SIZES[kind][split] if size is None else size
    languages: tuple[Language, ...] = LANGUAGES if language == "both" else (language,)
    key = f"helpdesk/{kind}/{split}/{seed}"
    make = _MAKERS[kind]
    seen: set[str] = set()
    examples = []
    for index, (tongue, label) in zip(range(size), _schedule(key, languages), strict=False):
        where = f"helpdesk:{kind}/{split}:{index + 1}"
        chooser = Chooser(f"{key}/{tongue}/{label}/{index}")
        examples.append(_new(partial(make, split, tongue, label, chooser), split, seen, where))
    return examples


def _schedule(key: str, languages: tuple[Language, ...]) -> Iterator[tuple[Language, str]]:
    """Yield every intent once for each language, in a random order, again and again: all labels equally often."""
    chooser = Chooser(f"{key}/schedule")
    pairs = [(language, label) for language in languages for label in LABELS]
    while True:
        yield from chooser.shuffled(pairs)


def _new(make: Callable[[], Example], split: Split, seen: set[str], where: str) -> Example:
    """Draw until the text is new in this split; a text without a value must also be one this split owns."""
    for _ in range(MOST_TRIES):
        example = make()
        text = speak(example["messages"]) if "messages" in example else str(example.get("question", example["text"]))
        if text in seen or (not example["entities"] and owner(text) != split):
            continue
        seen.add(text)
        return {**example, "where": where}
    raise DataError("the grammar has no more new texts", where=where, mend="ask for fewer examples")


def _make_intent(split: Split, language: Language, label: str, chooser: Chooser) -> Example:
    message = compose(speech(language, split), label, chooser)
    text, entities = join(message.pieces)
    return {
        "text": text,
        "label": label,
        "language": language,
        "entities": entities,
        "templates": list(message.templates),
    }


def _make_entities(split: Split, language: Language, label: str, chooser: Chooser) -> Example:
    message = compose_entities(speech(language, split), label, chooser)
    text, entities = join(message.pieces)
    words, tags = tag(text, entities)
    return {
        "text": text,
        "words": words,
        "tags": tags,
        "language": language,
        "entities": entities,
        "templates": list(message.templates),
    }


def _make_relations(split: Split, language: Language, label: str, chooser: Chooser) -> Example:
    """The intent plays no part: what is stated is in the sentence alone."""
    stated = compose_relations(language, split, chooser)
    words, tags = tag(stated.text, stated.entities)
    return {
        "text": stated.text,
        "words": words,
        "tags": tags,
        "language": language,
        "entities": stated.entities,
        "relations": stated.relations,
        "templates": [stated.template],
    }


def _make_dialogue(split: Split, language: Language, label: str, chooser: Chooser) -> Example:
    dialogue = compose_dialogue(speech(language, split), label, chooser)
    return {
        "messages": dialogue.messages,
        "intent": label,
        "language": language,
        "entities": dialogue.entities,
        "templates": list(dialogue.templates),
    }


def _make_question(split: Split, language: Language, label: str, chooser: Chooser) -> Example:
    record = compose_question(speech(language, split), label, chooser)
    page = {"text_pair": record.target, "paraphrases": list(record.paraphrases), "label": label}
    return {**_shared(record, language), **page}


def _make_answer(split: Split, language: Language, label: str, chooser: Chooser) -> Example:
    record, asked = compose_answer(speech(language, split), label, chooser)
    return {**_shared(record, language), "question": asked.question, "answers": asked.answers}


def _make_ticket(split: Split, language: Language, label: str, chooser: Chooser) -> Example:
    record = compose_ticket(speech(language, split), label, chooser)
    return {**_shared(record, language), "target": record.target, "label": label}


def _make_pair(split: Split, language: Language, label: str, chooser: Chooser) -> Example:
    pair = compose_pair(split, label, chooser)
    other: Language = "zh" if language == "en" else "en"
    return {
        "text": pair.texts[language],
        "target": pair.texts[other],
        "language": language,
        "entities": pair.entities,
        "templates": list(pair.templates),
    }


def _shared(record: Record, language: Language) -> Example:
    return {
        "text": record.text,
        "language": language,
        "entities": record.entities,
        "templates": list(record.templates),
    }


_MAKERS: dict[Kind, Callable[[Split, Language, str, Chooser], Example]] = {
    "intents": _make_intent,
    "entities": _make_entities,
    "relations": _make_relations,
    "dialogues": _make_dialogue,
    "faq": _make_question,
    "questions": _make_answer,
    "tickets": _make_ticket,
    "parallel": _make_pair,
}
