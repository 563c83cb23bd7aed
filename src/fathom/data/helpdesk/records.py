"""Questions with their page of the help centre, or the sentence of several pages, and tickets with their title."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from fathom.data.helpdesk import noise
from fathom.data.helpdesk.grammar import ASIDE_PATTERN, Chooser, Language, Piece, Split, Template, templates
from fathom.data.helpdesk.messages import Speech, Voice, dress
from fathom.data.helpdesk.passages import PASSAGES
from fathom.data.helpdesk.titles import TITLES
from fathom.data.helpdesk.words import join

MOST_TITLES = 50
"""Draws for a title that names only what the ticket names."""


@dataclass(frozen=True)
class Record:
    """A text and what belongs to it, with its values and the names of the templates it was made from."""

    text: str
    target: str
    paraphrases: tuple[str, ...]
    entities: list[dict[str, str]]
    templates: tuple[str, ...]


def compose_question(source: Speech, label: str, chooser: Chooser) -> Record:
    """Compose a question, three other ways to ask it, and the page that answers all four."""
    names: list[str] = []
    entities: list[dict[str, str]] = []
    texts: list[str] = []
    while len(texts) < 4:
        voice = Voice(source, label, chooser)
        sentence = voice.say(source.wishes if chooser.chance(0.6) else source.requests[label])
        text, found = join(_clean(sentence, source.language) if len(texts) % 2 == 0 else _rough(sentence, voice))
        if text not in texts:
            texts.append(text)
            names += voice.names
            entities += [{"label": str(item["label"]), "text": str(item["text"])} for item in found]
    page = PASSAGES[source.language][label]
    return Record(texts[0], page, tuple(texts[1:]), entities, tuple(dict.fromkeys(names)))


@dataclass(frozen=True)
class Asked:
    """A question on a passage, and its answer with its place; none where the passage does not say."""

    question: str
    answers: list[dict[str, object]]


def compose_answer(source: Speech, label: str, chooser: Chooser) -> tuple[Record, Asked]:
    """Compose several pages as one text, and a question: the first sentence of its page is the answer.

    In one case of five the page is not among them, and there is no answer.
    """
    record = compose_question(source, label, chooser)
    pages = PASSAGES[source.language]
    others = chooser.shuffled([other for other in pages if other != label])[: chooser.between(3, 5)]
    named = others if chooser.chance(0.2) else chooser.shuffled([label, *others])
    text = (" " if source.language == "en" else "").join(pages[name] for name in named)
    answer = _first_sentence(pages[label], source.language)
    answers: list[dict[str, object]] = [{"text": answer, "start": text.index(answer)}] if label in named else []
    return Record(text, answer, (), record.entities, record.templates), Asked(record.text, answers)


def _first_sentence(page: str, language: Language) -> str:
    end = ". " if language == "en" else "。"
    return page.partition(end)[0] + end.strip()


def compose_ticket(source: Speech, label: str, chooser: Chooser) -> Record:
    """Compose a message of several sentences, and a title that names only what is in it."""
    voice = Voice(source, label, chooser)
    sentences = [voice.say(source.requests[label])]
    if chooser.chance(0.6):
        sentences.append(voice.say(source.wishes))
    told = dict(voice.told)
    place = chooser.below(2)
    voice.change_subject()
    for _ in range(chooser.between(1, 3)):
        before = place == 0
        choices = source.contexts if chooser.chance(0.7) else source.asides[voice.other]
        fresh = [template for template in choices if template.name not in voice.names]
        if fresh:
            sentences.insert(0 if before else len(sentences), voice.say(fresh))
        place = 1 - place
    text, entities = join(dress(source.language, sentences, chooser))
    voice.told = told
    title = _title(voice, source, label)
    found = [{"label": str(item["label"]), "text": str(item["text"])} for item in entities]
    return Record(text, join(title)[0], (), found, tuple(dict.fromkeys(voice.names)))


def _title(voice: Voice, source: Speech, label: str) -> list[Piece]:
    told, named = dict(voice.told), list(voice.names)
    for _ in range(MOST_TITLES):
        pieces = voice.say(titles(source.language, source.split)[label])
        if set(voice.told) <= set(told):
            return pieces
        voice.told, voice.names = dict(told), list(named)
    raise AssertionError(f"every title of {label} names a value")


@cache
def titles(language: Language, split: Split) -> dict[str, list[Template]]:
    """Return the titles one split may use, parsed once."""
    return {
        label: templates(f"{language}/title/{label}", block, ASIDE_PATTERN)[split]
        for label, block in TITLES[language].items()
    }


def _clean(sentence: list[Piece], language: Language) -> list[Piece]:
    finished = noise.punctuate(sentence, language)
    return noise.capitalize(finished) if language == "en" else finished


def _rough(sentence: list[Piece], voice: Voice) -> list[Piece]:
    language = voice.language
    return noise.roughen(noise.punctuate(sentence, language), language, voice.chooser)
