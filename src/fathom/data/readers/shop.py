"""What the users of a made-up shop chose, in the order of time: data for recommendation that every machine has."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from fathom.data.example import Example
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.section import DataSection
from fathom.errors import DataError

SHELVES = ("tea", "coffee", "bread", "cheese", "fruit", "spice", "soap", "candle")
"""Each has `PER_SHELF` items, the first the most chosen."""
PER_SHELF = 15
USERS = 800
SHORTEST, LONGEST = 5, 20
FOLLOWS = 0.6
"""How often the next choice is the item after the last one on its shelf."""


class ShopReader(Reader):
    """Choices in a made-up shop, computed: `shop:choices`, 800 users and 120 items.

    A user likes two shelves. The next choice is mostly the item after the last one; otherwise an item of a shelf the
    user likes, the popular ones more often. What follows what can be learnt; popularity alone knows little of it.
    """

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Compute the sequences; nothing in `options` changes them."""
        if path != "shop:choices":
            raise DataError(f"the shop has no '{path.partition(':')[2]}'", where=path, mend="write shop:choices")
        if form != "interactions":
            raise DataError("what users chose is for recommendation", where=path, mend="write task: recommendation")
        examples = [_user(number) for number in range(USERS)]
        total = sum(len(example["items"]) for example in examples)
        notes = (f"format: computed, {USERS:,} users chose {len(SHELVES) * PER_SHELF:,} items, {total:,} times",)
        digest = hashlib.sha256(json.dumps(examples, sort_keys=True).encode()).hexdigest()
        return Reading(examples, notes, digest)


def _user(number: int) -> Example:
    """Return the choices of one user, a pure function of the number."""
    seed = int.from_bytes(hashlib.sha256(f"shop {number}".encode()).digest()[:8], "big")
    chance = np.random.Generator(np.random.Philox(key=seed))
    liked = chance.choice(len(SHELVES), 2, replace=False)
    popular = 1.0 / np.arange(1, PER_SHELF + 1)
    popular /= popular.sum()
    chosen: list[tuple[int, int]] = []
    length = int(chance.integers(SHORTEST, LONGEST + 1))
    while len(chosen) < length:
        shelf, place = chosen[-1] if chosen else (0, PER_SHELF)
        following = (shelf, place + 1)
        if chance.random() < FOLLOWS and following[1] < PER_SHELF and following not in chosen:
            chosen.append(following)
            continue
        found = (int(liked[chance.integers(2)]), int(chance.choice(PER_SHELF, p=popular)))
        if found not in chosen:
            chosen.append(found)
    items = [f"{SHELVES[shelf]}-{place + 1}" for shelf, place in chosen]
    return {"text": " ".join(items), "items": items, "where": f"shop:choices:{number + 1}"}
