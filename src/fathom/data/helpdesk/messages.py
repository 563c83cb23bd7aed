"""Composes a user's message: greeting, context, the request or a contrast, an aside, thanks, and noise over it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from fathom.data.helpdesk import (
    chatter,
    goals_en_account,
    goals_en_shop,
    goals_zh_account,
    goals_zh_shop,
    intents_en_account,
    intents_en_goods,
    intents_en_orders,
    intents_zh_account,
    intents_zh_goods,
    intents_zh_orders,
    noise,
)
from fathom.data.helpdesk.grammar import (
    ASIDE_PATTERN,
    GOAL_PATTERN,
    Chooser,
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
GOALS: dict[Language, dict[str, str]] = {
    "en": {**goals_en_shop.GOALS, **goals_en_account.GOALS},
    "zh": {**goals_zh_shop.GOALS, **goals_zh_account.GOALS},
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
    wishes: list[Template]
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
        goals[label] = templates(f"{prefix}/goal", GOALS[language][label], GOAL_PATTERN)[split]
        asides[label] = templates(f"{prefix}/aside", intent.asides, ASIDE_PATTERN)[split]
    contexts = templates(f"{language}/context", chatter.CONTEXT[language])[split]
    wishes = templates(f"{language}/wish", chatter.WISHES[language])[split]
    contrasts = templates(f"{language}/contrast", chatter.CONTRASTS[language])[split]
    return Speech(language, split, requests, goals, asides, contexts, wishes, contrasts)


def compose(source: Speech, label: str, chooser: Chooser) -> Message:
    """Compose one message whose one request is `label`; everything else in it asks for nothing."""
    voice = Voice(source, label, chooser)
    form = chooser.below(100)
    if form < 55:
        sentences = [voice.say(source.requests[label])]
        if form < 42:
            sentences.insert(form % 3 > 0, voice.say(source.wishes))
    else:
        sentences = [voice.say(source.wishes if form < 86 else source.contrasts)]
    if chooser.chance(0.12):
        voice.change_subject()
        sentences.insert(0, voice.say(source.asides[voice.other]))
    if chooser.chance(0.2):
        voice.change_subject()
        sentences.insert(0 if chooser.chance(0.5) else len(sentences), voice.say(source.contexts))
    return Message(dress(source.language, sentences, chooser), tuple(voice.names))


class Voice:
    """One user: speaks of the same order and product in every sentence about the same subject."""

    def __init__(self, source: Speech, label: str, chooser: Chooser) -> None:
        self.names: list[str] = []
        self.other = chooser.pick(chatter.NEAR[label])
        """The near intent this message may mention."""
        self.language: Language = source.language
        self._source = source
        self._label = label
        self.chooser = chooser
        self._values = lexicon(source.language, source.split)
        self.told: dict[tuple[str, int], list[Piece]] = {}
        """What has been said of the subject, by slot and how many of its kind came before in the sentence."""
        self._said: dict[str, int] = {}

    def say(self, choices: Sequence[Template]) -> list[Piece]:
        """Return one sentence of one of the patterns."""
        self._said = {}
        return self._expand(choices)

    def change_subject(self) -> None:
        """Forget the order and the product spoken of."""
        self.told = {}

    def _expand(self, choices: Sequence[Template]) -> list[Piece]:
        template = self.chooser.pick(choices)
        self.names.append(template.name)
        return template.expand(self.chooser, self._fill)

    def _fill(self, slot: str) -> Sequence[Piece]:
        if slot in ("goal", "other"):
            return self._expand(self._source.goals[self._label if slot == "goal" else self.other])
        place = (slot, self._said.get(slot, 0))
        self._said[slot] = place[1] + 1
        if place not in self.told:
            self.told[place] = self._values.fill(slot, self.chooser)
        return self.told[place]


def dress(language: Language, sentences: list[list[Piece]], chooser: Chooser) -> list[Piece]:
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
