"""Fills the slots of a template with values that belong to one split."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from fathom.data.helpdesk import lexicon_en, lexicon_zh
from fathom.data.helpdesk.grammar import Chooser, Language, Piece, Split, owner, share

LABELS: dict[str, str] = {
    "order": "ORDER",
    "product": "PRODUCT",
    "past": "DATE",
    "pastday": "DATE",
    "day": "DATE",
    "future": "DATE",
    "place": "PLACE",
    "address": "PLACE",
    "amount": "AMOUNT",
    "person": "PERSON",
    "contact": "CONTACT",
    "courier": "COURIER",
}
"""The entity type of each slot; slots that are not here (colours, sizes, plans, durations) are plain words."""


class Lexicon:
    """The values one split may use in one language."""

    def __init__(self, language: Language, split: Split) -> None:
        self.language = language
        self.split = split
        source = lexicon_en if language == "en" else lexicon_zh
        self._words = source.WORDS
        self.lists = {name: share(_items(block), split) for name, block in source.LISTS.items()}
        relative = {"past": source.PAST, "pastday": source.PASTDAY, "day": source.DAY, "future": source.FUTURE}
        self.relative_days = {
            name: [day for day in days if owner(day.rpartition("|")[2]) == split] for name, days in relative.items()
        }
        self._makers: dict[str, Callable[[Chooser], str]] = {
            "order": _order,
            "product": self._product,
            "place": lambda chooser: chooser.pick(self.lists["place"]),
            "address": self._address,
            "amount": _amount_en if language == "en" else _amount_zh,
            "person": self._person,
            "contact": self._contact,
            "courier": lambda chooser: chooser.pick(self.lists["courier"]),
        }

    def fill(self, slot: str, chooser: Chooser) -> list[Piece]:
        """Return the pieces of one slot: a value with its label, at times after a preposition."""
        if slot in self._words:
            return [Piece(chooser.pick(self._words[slot]))]
        if slot in self.relative_days:
            return self._day(slot, chooser)
        make = self._makers[slot]
        value = make(chooser)
        if slot in ("order", "amount", "address", "contact"):
            while owner(value) != self.split:
                value = make(chooser)
        return [Piece(value, LABELS[slot])]

    def _day(self, slot: str, chooser: Chooser) -> list[Piece]:
        preposition, value = "", ""
        if chooser.chance(0.5):
            preposition, _, value = chooser.pick(self.relative_days[slot]).rpartition("|")
        else:
            make = _date_en if self.language == "en" else _date_zh
            while not value or owner(value) != self.split:
                value = make(chooser)
            preposition = "on" if self.language == "en" and slot in ("past", "future") else ""
        piece = Piece(value, "DATE")
        return [Piece(preposition + " "), piece] if preposition else [piece]

    def _product(self, chooser: Chooser) -> str:
        noun = chooser.pick(self.lists["product"])
        style = chooser.below(8)
        if style == 0:
            brand = chooser.pick(self.lists["brand"])
            return f"{brand} {noun}" if self.language == "en" else f"{brand}{noun}"
        if style == 1:
            gap = " " if self.language == "en" else ""
            return f"{noun}{gap}{chooser.pick('ABCEGKMRTX')}{chooser.between(2, 99)}"
        return noun

    def _person(self, chooser: Chooser) -> str:
        first, last = chooser.pick(self.lists["first"]), chooser.pick(self.lists["last"])
        if self.language == "zh":
            return last + first
        style = chooser.below(6)
        if style == 0:
            return f"{chooser.pick(('Mr', 'Ms', 'Mrs', 'Dr'))} {last}"
        return first if style in (1, 2) else f"{first} {last}"

    def _contact(self, chooser: Chooser) -> str:
        if chooser.chance(0.25):
            return _phone_en(chooser) if self.language == "en" else _phone_zh(chooser)
        domain = chooser.pick(self.lists["domain"])
        if self.language == "zh":
            name = chooser.pick(self.lists["account"])
            return f"{name}{chooser.between(1, 9999)}@{domain}"
        first, last = chooser.pick(self.lists["first"]).lower(), chooser.pick(self.lists["last"]).lower()
        style = chooser.below(3)
        if style == 0:
            return f"{first}.{last}@{domain}"
        return f"{first[0]}{last}{chooser.between(1, 99)}@{domain}" if style == 1 else f"{first}_{last[0]}@{domain}"

    def _address(self, chooser: Chooser) -> str:
        street, number = chooser.pick(self.lists["street"]), chooser.between(1, 240)
        if self.language == "zh":
            return f"{chooser.pick(self.lists['place'])}{street}{number}号"
        place = f", {chooser.pick(self.lists['place'])}" if chooser.chance(0.5) else ""
        return f"{number} {street}{place}"


@cache
def lexicon(language: Language, split: Split) -> Lexicon:
    """Return the lexicon of one language and split, made once."""
    return Lexicon(language, split)


def _items(block: str) -> list[str]:
    return [item for line in block.strip().splitlines() for item in line.split(";")]


def _order(chooser: Chooser) -> str:
    style = chooser.below(6)
    if style == 0:
        return f"#{chooser.between(10000, 99999)}"
    if style == 1:
        return f"{chooser.pick('ABCDFHKLMNPRSTX')}{chooser.between(1000, 9999)}-{chooser.between(10, 99)}"
    if style == 2:
        return f"ORD-{chooser.between(10000, 999999)}"
    if style == 3:
        return f"{chooser.between(100, 999)}-{chooser.between(1000000, 9999999)}"
    if style == 4:
        return f"{chooser.pick('ABCDFHKLMNPRSTX')}{chooser.pick('ABCDFHKLMNPRSTX')}{chooser.between(100000, 999999)}"
    return str(chooser.between(20000000, 99999999))


def _amount_en(chooser: Chooser) -> str:
    whole = chooser.between(3, 900)
    style = chooser.below(6)
    if style == 0:
        return f"{whole} {chooser.pick(('euros', 'dollars', 'pounds', 'bucks'))}"
    if style == 1:
        return f"{whole}.{chooser.between(0, 99):02d} {chooser.pick(('EUR', 'USD', 'GBP'))}"
    mark = chooser.pick("$€£")
    return (
        f"{mark}{whole}" if style in (2, 3) else f"{mark}{whole}.{chooser.pick((99, 50, 95, chooser.between(10, 98)))}"
    )


def _amount_zh(chooser: Chooser) -> str:
    whole = chooser.between(3, 2900)
    style = chooser.below(6)
    if style == 0:
        return f"¥{whole}"
    if style == 1:
        return f"{whole}.{chooser.between(1, 9)}元"
    if style == 2:
        return f"{whole}块钱" if chooser.chance(0.4) else f"{whole}块"
    if style == 3:
        digits = "一二三四五六七八九"
        return f"{chooser.pick(digits)}百{chooser.pick(digits)}十{chooser.pick(digits)}{chooser.pick('块元')}"
    return f"{whole}元"


def _date_en(chooser: Chooser) -> str:
    day, month = chooser.between(1, 28), chooser.below(12)
    style = chooser.below(6)
    if style == 0:
        return f"{day} {lexicon_en.MONTHS[month]}"
    if style == 1:
        return f"{lexicon_en.MONTHS[month]} {day}{_ordinal(day)}"
    if style == 2:
        return f"{lexicon_en.SHORT_MONTHS[month]} {day}"
    if style == 3:
        return f"the {day}{_ordinal(day)}"
    return f"{day}/{month + 1}" if style == 4 else f"{lexicon_en.MONTHS[month]} {day}"


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _date_zh(chooser: Chooser) -> str:
    day, month = chooser.between(1, 28), chooser.between(1, 12)
    style = chooser.below(5)
    if style == 0:
        return f"{month}月{day}日"
    if style == 1:
        return f"{day}号"
    if style == 2:
        return f"{month}.{day}"
    return f"{month}月{day}号"


def _phone_en(chooser: Chooser) -> str:
    return f"0{chooser.between(20, 79)}{chooser.between(0, 9)} 555 {chooser.between(0, 9999):04d}"


def _phone_zh(chooser: Chooser) -> str:
    return f"1{chooser.pick((35, 38, 59, 86, 88))}{chooser.between(0, 9999):04d}{chooser.between(0, 9999):04d}"
