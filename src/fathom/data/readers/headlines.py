"""Made-up headlines of a stock market, and what each means for the companies it names."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from fathom.data.example import Example
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.section import DataSection
from fathom.errors import DataError

SIZES = {"train": 1500, "test": 400}
COMPANIES = {
    "train": (
        "Norvia",
        "Bell & Hart",
        "Castor Bank",
        "Lindqvist",
        "Oreon Steel",
        "Pacifica Air",
        "Tamura",
        "Velo Foods",
    ),
    "test": ("Quillon", "Harbour Gas", "Sable Motors", "Ithaca Labs", "Brandt Chemicals", "Mirova"),
}
"""No company is in both splits: the name itself tells nothing."""
PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "positive": (
            "{} jumps {}% after record profit",
            "{} wins a {} million order",
            "analysts raise {} to buy",
            "{} gains as margins widen by {} points",
            "{} lifts its outlook for the year",
            "{} surges {}% on strong sales",
            "{} pays a higher dividend",
            "{} settles its dispute and rallies",
        ),
        "negative": (
            "{} slumps {}% after a profit warning",
            "{} loses a {} million contract",
            "analysts cut {} to sell",
            "{} slides as costs rise {}%",
            "{} lowers its outlook for the year",
            "{} sinks {}% on weak sales",
            "{} suspends its dividend",
            "{} faces a fine and falls",
        ),
        "neutral": (
            "{} to report results on Tuesday",
            "{} names a new head of finance",
            "{} holds its annual meeting",
            "{} shares end flat",
            "{} moves its office to another floor",
            "{} keeps its outlook unchanged",
        ),
    },
    "test": {
        "positive": (
            "{} climbs {}% as orders grow",
            "{} beats forecasts",
            "upgrade lifts {} by {}%",
            "{} posts a strong quarter",
        ),
        "negative": (
            "{} drops {}% as orders shrink",
            "{} misses forecasts",
            "downgrade drags {} down {}%",
            "{} posts a weak quarter",
        ),
        "neutral": (
            "{} confirms the date of its meeting",
            "{} shares little changed",
            "{} publishes its yearly report",
        ),
    },
}
JOINTS = {"train": (", while ", "; ", ", but "), "test": (" as ", "; meanwhile ")}


class HeadlinesReader(Reader):
    """Computed headlines with the companies they name: `headlines:train` 1,500, `headlines:test` 400.

    Each example is a headline, a company (`text_pair`) and what it means for that company: positive, negative or
    neutral. Half of the headlines name two companies, mostly with different meanings. Companies and phrases of the
    test split occur in no other.
    """

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Compute one split; nothing in `options` changes it."""
        split = path.partition(":")[2] or "train"
        if split not in SIZES:
            raise DataError(f"no split '{split}'", where=path, mend="known: headlines:train, headlines:test")
        if form != "text":
            raise DataError("a headline has a company and a label", where=path, mend="write task: text-classification")
        examples: list[Example] = []
        number = 0
        while len(examples) < SIZES[split]:
            number += 1
            examples += _headline(split, number)
        examples = examples[: SIZES[split]]
        digest = hashlib.sha256(json.dumps(examples, sort_keys=True).encode()).hexdigest()
        notes = (f"format: computed, headlines, split {split}",)
        return Reading(examples, notes, digest, ("text", "text_pair", "label"))


def _headline(split: str, number: int) -> list[Example]:
    """Return a headline with each of its companies, a pure function of split and number."""
    seed = int.from_bytes(hashlib.sha256(f"headlines {split} {number}".encode()).digest()[:8], "big")
    chance = np.random.Generator(np.random.Philox(key=seed))
    companies = chance.choice(COMPANIES[split], 1 + number % 2, replace=False)
    labels = [str(label) for label in chance.choice(list(PHRASES[split]), len(companies))]
    said = []
    for company, label in zip(companies, labels, strict=True):
        phrase = str(chance.choice(PHRASES[split][label]))
        said.append(phrase.format(company, int(chance.integers(2, 40))))
    text = str(chance.choice(JOINTS[split])).join(said)
    text = text[0].upper() + text[1:]
    where = f"headlines:{split}:{number}"
    return [
        {"text": text, "text_pair": str(company), "label": label, "where": where}
        for company, label in zip(companies, labels, strict=True)
    ]
