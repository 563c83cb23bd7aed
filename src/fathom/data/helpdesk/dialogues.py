"""Composes dialogues: a customer asks for something, the agent asks for what is missing, acts, and knows the rules.

An act is a block of templates. The agent's acts: `wish` and `sorry` (how it takes up a request), `ask/SLOT`,
`confirm/SLOT`, `done/INTENT` and `fail/INTENT`, `more`, `close`. The customer's: `give/SLOT`, `yes`, `no/SLOT`,
`happy`, `unhappy`. Every act is divided into the splits like all templates; the rules are told in the system turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from fathom.data.helpdesk import (
    chatter,
    noise,
    outcomes_en,
    outcomes_zh,
    rules_en,
    rules_zh,
    talk_en,
    talk_zh,
)
from fathom.data.helpdesk.grammar import ASIDE_PATTERN, Chooser, Language, Piece, Split, Template, templates
from fathom.data.helpdesk.lexicon import lexicon
from fathom.data.helpdesk.messages import Speech, Voice, dress
from fathom.data.helpdesk.words import join

NEEDS: dict[str, tuple[str, ...]] = {
    "cancel_order": ("order",),
    "change_order": ("order",),
    "change_address": ("order", "address"),
    "track_order": ("order",),
    "reschedule_delivery": ("order", "day"),
    "not_received": ("order",),
    "stock_question": ("product",),
    "complaint_service": ("contact",),
    "wrong_item": ("order",),
    "damaged_item": ("order",),
    "missing_part": ("order",),
    "return_item": ("order",),
    "exchange_item": ("order",),
    "warranty_repair": ("product",),
    "refund_status": ("order",),
    "price_adjustment": ("order", "amount"),
    "wrong_charge": ("amount",),
    "payment_failed": (),
    "invoice_request": ("order", "contact"),
    "coupon_problem": (),
    "cancel_subscription": ("contact",),
    "pause_subscription": ("contact",),
    "login_problem": ("contact",),
    "delete_account": ("contact",),
}
"""What the agent must know before it can act."""
RULES: dict[str, tuple[str, ...]] = {
    "cancel_order": ("refund_time", "return_window"),
    "change_order": ("delivery_time", "express_fee"),
    "change_address": ("delivery_time", "pickup_time"),
    "track_order": ("delivery_time", "pickup_time"),
    "reschedule_delivery": ("pickup_time", "opening_hours"),
    "not_received": ("reply_time", "pickup_time", "refund_time"),
    "stock_question": ("delivery_time", "free_shipping", "express_fee"),
    "complaint_service": ("reply_time", "opening_hours"),
    "wrong_item": ("return_window", "delivery_time"),
    "damaged_item": ("warranty", "delivery_time", "refund_time"),
    "missing_part": ("delivery_time", "warranty"),
    "return_item": ("return_window", "refund_time"),
    "exchange_item": ("return_window", "delivery_time"),
    "warranty_repair": ("warranty", "reply_time"),
    "refund_status": ("refund_time", "opening_hours"),
    "price_adjustment": ("price_match", "refund_time"),
    "wrong_charge": ("refund_time", "reply_time"),
    "payment_failed": ("opening_hours", "free_shipping"),
    "invoice_request": ("invoice_time",),
    "coupon_problem": ("free_shipping", "price_match"),
    "cancel_subscription": ("pause_limit", "refund_time"),
    "pause_subscription": ("pause_limit",),
    "login_problem": ("opening_hours", "reply_time"),
    "delete_account": ("reply_time", "invoice_time"),
}
"""The rules a customer with this request may ask for."""
PROBLEMS = (
    *("not_received", "complaint_service", "wrong_item", "damaged_item", "missing_part", "refund_status"),
    *("wrong_charge", "payment_failed", "coupon_problem", "login_problem"),
)
"""Requests the agent takes up with regret."""
QUESTIONS = ("stock_question", "track_order")
"""Requests it answers at once."""
CONFIRMED = ("order", "address", "day", "contact")


@dataclass(frozen=True)
class Talk:
    """The acts of one split and language, by name, and the shop's rules."""

    acts: dict[str, list[Template]]
    rules: dict[str, str]
    values: dict[str, list[str]]


@cache
def talk(language: Language, split: Split) -> Talk:
    """Return what both sides may say in one split and language, parsed once."""
    words, outcomes, rules = (talk_en, outcomes_en, rules_en) if language == "en" else (talk_zh, outcomes_zh, rules_zh)
    blocks = {"system": words.SYSTEM, **words.AGENT, **words.CUSTOMER, **outcomes.OUTCOMES}
    blocks |= {f"question/{name}": block for name, block in rules.QUESTIONS.items()}
    blocks |= {f"answer/{name}": block for name, block in rules.ANSWERS.items()}
    acts = {
        name: templates(f"{language}/dialogue/{name}", block, ASIDE_PATTERN)[split] for name, block in blocks.items()
    }
    return Talk(acts, rules.RULES, {name: line.split(";") for name, line in rules.VALUES.items()})


@dataclass(frozen=True)
class Dialogue:
    """A dialogue: its turns, the values spoken of, and the names of the templates it was made from."""

    messages: list[dict[str, str]]
    entities: list[dict[str, str]]
    templates: tuple[str, ...]


def compose_dialogue(source: Speech, label: str, chooser: Chooser) -> Dialogue:
    """Compose one dialogue whose first request is `label`; one in seven goes on with a second, near one."""
    scene = _Scene(source, label, chooser)
    scene.open()
    scene.settle(label)
    if chooser.chance(0.14):
        second = chooser.pick(chatter.NEAR[label])
        scene.change_label(second)
        scene.request(greet=False)
        scene.settle(second)
    scene.close()
    return Dialogue(scene.messages, scene.entities, tuple(dict.fromkeys(scene.names)))


class _Scene(Voice):
    """Both sides of a dialogue: what one has said the other knows."""

    def __init__(self, source: Speech, label: str, chooser: Chooser) -> None:
        super().__init__(source, label, chooser)
        self.messages: list[dict[str, str]] = []
        self.entities: list[dict[str, str]] = []
        self.pleased = True
        self._talk = talk(source.language, source.split)
        self._rules = {name: chooser.pick(values) for name, values in self._talk.values.items()}
        self._brand = chooser.pick(lexicon(source.language, source.split).lists["brand"])
        self._policies = ""
        self._stated: list[str] = []

    def open(self) -> None:
        """Say the system turn (in seven of ten dialogues) and the first request."""
        chooser = self.chooser
        if chooser.chance(0.7):
            names = [*RULES[self._label], *chooser.shuffled(list(self._rules))[: chooser.between(0, 2)]]
            gap = " " if self.language == "en" else ""
            self._stated = chooser.shuffled(sorted(set(names)))
            lines = [self._write(self._talk.rules[name]) for name in self._stated]
            self._policies = gap.join(lines)
            self._say("system", self._pieces("system"))
        self.request(greet=True)

    def change_label(self, label: str) -> None:
        """Turn to another request; the order and product of the first one are forgotten."""
        self.change_subject()
        self._label = label

    def request(self, greet: bool) -> None:
        """Let the customer ask."""
        choices = self._source.requests[self._label] if self.chooser.chance(0.6) else self._source.wishes
        sentence = self.say(choices)
        if greet:
            pieces = dress(self.language, [sentence], self.chooser)
        else:
            pieces = noise.roughen(noise.punctuate(sentence, self.language), self.language, self.chooser)
        self._say("user", pieces)

    def settle(self, label: str) -> None:
        """Take up the request, ask for what is missing, act, and answer a question about the rules."""
        chooser = self.chooser
        polite = chooser.chance(0.8) and label not in QUESTIONS
        before = [self._pieces("sorry" if label in PROBLEMS else "wish")] if polite else []
        for slot in NEEDS[label]:
            if self._known(slot):
                continue
            self._agent(*before, self._pieces(f"ask/{slot}"))
            before = []
            self._customer(f"give/{slot}")
            if slot in CONFIRMED and chooser.chance(0.3):
                self._agent(self._pieces(f"confirm/{slot}"))
                if chooser.chance(0.3):
                    self.told.pop((slot, 0))
                    self._customer(f"no/{slot}")
                    before = [self._pieces("wish")] if chooser.chance(0.4) else []
                else:
                    self._customer("yes")
        self.pleased = chooser.chance(0.65)
        for slot in ("future", "past", *(() if self.pleased or "amount" in NEEDS[label] else ("amount",))):
            self.told.pop((slot, 0), None)
        outcome = [self._pieces(f"{'done' if self.pleased else 'fail'}/{label}")]
        if chooser.chance(0.25):
            outcome.append(self._pieces("more"))
        self._agent(*before, *outcome)
        known = [rule for rule in RULES[label] if rule in self._stated]
        if known and chooser.chance(0.5):
            rule = chooser.pick(known)
            self._customer(f"question/{rule}")
            self._agent(self._pieces(f"answer/{rule}"))

    def close(self) -> None:
        """Let the customer react, and the agent say goodbye."""
        if self.chooser.chance(0.85):
            self._customer("happy" if self.pleased else "unhappy")
            self._agent(self._pieces("close" if self.pleased or self.chooser.chance(0.3) else "close/fail"))

    def _known(self, slot: str) -> bool:
        """Whether the customer has named a value; a day named at first may be the one that does not suit."""
        if slot == "day":
            self.told.pop((slot, 0), None)
        return (slot, 0) in self.told

    def _pieces(self, act: str) -> list[Piece]:
        return self.say(self._talk.acts[act])

    def _customer(self, act: str) -> None:
        pieces = self._pieces(act)
        if self.chooser.chance(0.4):
            pieces = noise.punctuate(pieces, self.language)
            pieces = noise.capitalize(pieces) if self.language == "en" else pieces
        self._say("user", noise.roughen(pieces, self.language, self.chooser))

    def _agent(self, *sentences: Sequence[Piece]) -> None:
        gap = [Piece(" ")] if self.language == "en" else []
        pieces: list[Piece] = []
        for sentence in sentences:
            pieces += [*(gap if pieces else []), *sentence]
        self._say("assistant", pieces)

    def _say(self, role: str, pieces: Sequence[Piece]) -> None:
        text, entities = join(pieces)
        self.messages.append({"role": role, "content": text})
        self.entities += [{"label": item["label"], "text": item["text"]} for item in entities]

    def _fill(self, slot: str) -> Sequence[Piece]:
        if slot in self._rules:
            return [Piece(self._rules[slot])]
        if slot in ("brand", "policies"):
            return [Piece(self._brand if slot == "brand" else self._policies)]
        return super()._fill(slot)

    def _write(self, rule: str) -> str:
        """Put the values of this shop into a rule."""
        return rule.format(**self._rules)
