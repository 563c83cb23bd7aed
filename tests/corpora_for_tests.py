"""Small corpora for tokenizers: English, Chinese, emoji, marks; deterministic, and rich enough to learn pieces from."""

from __future__ import annotations

import functools
import random

from fathom.tokenization.corpus import Corpus

SYLLABLES = [
    "ba", "ber", "con", "de", "for", "gra", "hel", "in", "ka", "lo", "mi", "no", "or", "pa", "ra", "ser", "ta", "un",
    "ver", "wo",
]  # fmt: skip
HAN = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏"
EMOJI = ["😀", "👩‍👩‍👧", "❤️"]


@functools.cache
def texts(count: int = 400, seed: int = 3) -> tuple[str, ...]:
    generator = random.Random(seed)
    words = ["".join(generator.choices(SYLLABLES, k=generator.randint(1, 4))) for _ in range(150)]
    phrases = ["".join(generator.choices(HAN, k=generator.randint(2, 4))) for _ in range(60)]
    made = []
    for _ in range(count):
        parts = [*generator.choices(words, k=6), *generator.choices(phrases, k=2)]
        generator.shuffle(parts)
        end = generator.choice([".", "!", "。", "，", " " + generator.choice(EMOJI), "\n"])
        made.append((parts[0].capitalize() + " " + " ".join(parts[1:])) + end)
    return tuple(made)


def corpus(count: int = 400, seed: int = 3) -> Corpus:
    return Corpus(lambda: texts(count, seed))


def random_strings(count: int, seed: int = 11) -> list[str]:
    """Strings of every kind of character: ASCII, controls, marks, Chinese, emoji, the ends of the planes."""
    generator = random.Random(seed)
    ranges = [(0, 0x7F), (0x80, 0x24F), (0x300, 0x36F), (0x4E00, 0x9FFF), (0x1F300, 0x1FAFF), (0xE000, 0x10FFFF)]
    made = []
    for _ in range(count):
        characters = []
        for _ in range(generator.randint(0, 24)):
            first, last = generator.choice(ranges)
            characters.append(chr(generator.randint(first, last)))
        made.append("".join(characters) + generator.choice(["", " ", "  \n", "\r\n\t"]))
    return made
