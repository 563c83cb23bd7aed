"""Composes a user's message: greeting, context, the request or a contrast, an aside, thanks, and noise over it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from fathom.data.helpdesk import chatter, intents_en_account, intents_en_goods, intents_en_orders, noise
from fathom.data.helpdesk import intents_zh_account, intents_zh_goods, intents_zh_orders
from fathom.data.helpdesk.grammar import (
    ASIDE_PATTERN,
    GOAL_PATTERN,
    Chooser,
    Fill,
    Intent,
    Language,
    Piece,
    Split,
    Template,
    templates,
)
from fathom.data.helpdesk.lexicon import lexicon

INTENTS: dict[Language, dict[str, Intent]] = {
    "en": {**intents_en_orders.INTENTS, **intents_en_goods.INTENTS, **intents_en_account.INTENTS},
    "zh": {**intents_zh_orders.INTENTS, **intents_zh_goods.INTENTS, **intents_zh_account.INTENTS},
}
LABELS = tuple(INTENTS["en"])


@dataclass(frozen=True)
class Speech:
    """Everything the users of one split and language can say."""

    language: Language
    split: Split
    requests: dict[str, list[Template]]
    goals: dict[str, list[Template]]
    asides: dict[str, list[Template]]
    contexts: list[Template]
    contrasts: list[Template]


@dataclass(frozen=True)
class Message:
    """A message before it is joined: its pieces and the names of the templates it was made from."""

    pieces: list[Piece]
    templates: tuple[str, ...]


@cache
def speech(language: Language, split: Split) -> Speech:
    """Return what one split's users say in one language, parsed once."""
    requests, goals, asides = {}, {}, {}
    for label, intent in INTENTS[language].items():
        prefix = f"{language}/{label}"
        requests[label] = templates(f"{prefix}/request", intent.templates)[split]
        goals[label] = templates(f"{prefix}/goal", intent.goals, GOAL_PATTERN)[split]
        asides[label] = templates(f"{prefix}/aside", intent.asides, ASIDE_PATTERN)[split]
    contexts = templates(f"{language}/context", chatter.CONTEXT[language])[split]
    contrasts = templates(f"{language}/contrast", chatter.CONTRASTS[language])[split]
    return Speech(language, split, requests, goals, asides, contexts, contrasts)


def compose(source: Speech, label: str, chooser: Chooser) -> Message:
    """Compose one message whose one request is `label`; everything else in it asks for nothing."""
    fill = partial(lexicon(source.language, source.split).fill, chooser=chooser)
    names: list[str] = []
    request = _contrast(source, label, chooser, names) if chooser.chance(0.2) else None
    if request is None:
        template = chooser.pick(source.requests[label])
        names.append(template.name)
        request = template.expand(chooser, fill)
    sentences = [request]
    if chooser.chance(0.25):
        other = chooser.pick(chatter.NEAR[label])
        sentences.insert(0, _sentence(source.asides[other], chooser, fill, names))
    if chooser.chance(0.25):
        place = chooser.below(len(sentences) + 1)
        sentences.insert(place, _sentence(source.contexts, chooser, fill, names))
    return Message(_dress(source.language, sentences, chooser), tuple(names))


def _sentence(choices: Sequence[Template], chooser: Chooser, fill: Fill, names: list[str]) -> list[Piece]:
    template = chooser.pick(choices)
    names.append(template.name)
    return template.expand(chooser, fill)


def _contrast(source: Speech, label: str, chooser: Chooser, names: list[str]) -> list[Piece]:
    """Say what is *not* wanted and what is; the words of the near intent are there, its wish is not."""
    values = lexicon(source.language, source.split)
    other = chooser.pick(chatter.NEAR[label])

    def fill(slot: str) -> Sequence[Piece]:
        if slot in ("goal", "other"):
            choices = source.goals[label if slot == "goal" else other]
            return _sentence(choices, chooser, fill, names)
        return values.fill(slot, chooser)

    return _sentence(source.contrasts, chooser, fill, names)


def _dress(language: Language, sentences: list[list[Piece]], chooser: Chooser) -> list[Piece]:
    """Put greeting and thanks around the sentences, punctuate, then write it all as a hurried user would."""
    gap = [Piece(" ")] if language == "en" else []
    pieces: list[Piece] = []
    if chooser.chance(0.3):
        shelf = chatter.MIXED if chooser.chance(0.1) else chatter.GREETINGS
        pieces += [Piece(chooser.pick(shelf[language])), *gap]
    for sentence in sentences:
        finished = noise.punctuate(sentence, language)
        pieces += [*(noise.capitalize(finished) if language == "en" else finished), *gap]
    if chooser.chance(0.25):
        pieces.append(Piece(chooser.pick(chatter.THANKS[language])))
    return noise.roughen(pieces, language, chooser)
