"""How real users write: typos, casing, missing punctuation, abbreviations, slang. Entity values keep their letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from fathom.data.helpdesk.grammar import Chooser, Language, Piece

_ABBREVIATIONS = {
    "please": ("pls", "plz"),
    "you": ("u",),
    "your": ("ur",),
    "are": ("r",),
    "because": ("bc", "cuz"),
    "thanks": ("thx",),
    "could": ("cud",),
    "about": ("abt",),
    "without": ("w/o",),
    "with": ("w/",),
    "don't": ("dont",),
    "can't": ("cant",),
    "isn't": ("isnt",),
    "i'd": ("id",),
    "i'm": ("im",),
    "and": ("&", "n"),
    "before": ("b4",),
    "message": ("msg",),
    "tomorrow": ("tmrw",),
    "password": ("pw",),
    "account": ("acct",),
    "delivery": ("delivry",),
    "received": ("recieved",),
    "address": ("adress",),
    "return": ("retrun",),
    "refund": ("re-fund",),
    "subscription": ("subscripton",),
    "really": ("rly",),
    "something": ("sth",),
    "order": ("ordr",),
    "package": ("pkg",),
}

_NEIGHBOURS = {
    "a": "sq",
    "b": "vn",
    "c": "xv",
    "d": "sf",
    "e": "wr",
    "f": "dg",
    "g": "fh",
    "h": "gj",
    "i": "uo",
    "j": "hk",
    "k": "jl",
    "l": "k",
    "m": "n",
    "n": "bm",
    "o": "ip",
    "p": "o",
    "q": "w",
    "r": "et",
    "s": "ad",
    "t": "ry",
    "u": "yi",
    "v": "cb",
    "w": "qe",
    "x": "zc",
    "y": "tu",
    "z": "x",
}

_CHINESE_SLIPS = (
    ("账号", "帐号"),
    ("登录", "登陆"),
    ("麻烦", "麻煩"),
    ("怎么", "咋"),
    ("什么", "啥"),
    ("没有", "木有"),
    ("不知道", "不造"),
    ("的时候", "得时候"),
    ("在哪", "再哪"),
    ("已经", "己经"),
    ("收到", "收倒"),
    ("我们", "咱们"),
    ("为什么", "为啥"),
    ("就是", "就事"),
    ("订单", "定单"),
    ("知道", "只道"),
    ("地址", "地扯"),
    ("快递", "快第"),
    ("一下", "一哈"),
)

_CHINESE_TO_ENGLISH = (
    ("订单", "order"),
    ("退款", "refund"),
    ("邮件", "email"),
    ("软件", "APP"),
    ("优惠码", "code"),
    ("发票", "invoice"),
    ("会员", "VIP"),
    ("尺码", "size"),
    ("颜色", "color"),
    ("账号", "ID"),
    ("好吗", "OK吗"),
    ("取消", "cancel"),
)

_WORD = re.compile(r"[A-Za-z']+")
_QUESTION_EN = re.compile(
    r"^(how|can|could|where|when|is|do|does|will|which|what|why|who|would you|did|has|are|should|may|whose|any)\b", re.I
)
_QUESTION_AFTER_COMMA = re.compile(
    r"^(how (do|can|long|much)|can|could|where (is|are|do)|when (is|will|do)|is|do|does|will|what|why|did|has)\b",
    re.I,
)
_QUESTION_ZH = re.compile(r"吗|怎么|能不能|行不行|够不够|多少|什么时候|为什么|为啥|多久|^谁|哪[里儿天个]|[在到]哪$|呢$")


def punctuate(pieces: Sequence[Piece], language: Language) -> list[Piece]:
    """End a sentence with a full stop or a question mark where it has none yet."""
    text = "".join(piece.text for piece in pieces)
    if text[-1] in ".?!。？！…":
        return list(pieces)
    if language == "en":
        sentence = re.split(r"[.?!:]\s", text)[-1].lstrip()
        clause = sentence.rpartition(",")[2].lstrip()
        asks = _QUESTION_EN.match(sentence) or _QUESTION_AFTER_COMMA.match(clause)
        return [*pieces, Piece("?" if asks else ".")]
    clause = re.split("[，。？！：；]", text)[-1]
    return [*pieces, Piece("？" if _QUESTION_ZH.search(clause) else "。")]


def capitalize(pieces: Sequence[Piece]) -> list[Piece]:
    """Begin a sentence with a capital, unless it begins with a value."""
    first = pieces[0]
    if first.label is not None or not first.text:
        return list(pieces)
    return [replace(first, text=first.text[0].upper() + first.text[1:]), *pieces[1:]]


def roughen(pieces: Sequence[Piece], language: Language, chooser: Chooser) -> list[Piece]:
    """Write a message as one of many users would: a third carefully, a third fast, a third carelessly."""
    level = chooser.below(3)
    if level == 0:
        return list(pieces)
    rough = _english if language == "en" else _chinese
    return rough(pieces, chooser, 0.02 if level == 1 else 0.06)


def _english(pieces: Sequence[Piece], chooser: Chooser, rate: float) -> list[Piece]:
    lower = chooser.chance(0.5)
    shout = not lower and chooser.chance(0.04)
    bare = chooser.chance(0.4)
    short = chooser.chance(0.4)
    result = []
    for piece in pieces:
        text = piece.text
        if piece.label is None:
            if bare:
                text = text.replace("'", "") if chooser.chance(0.5) else text
                text = text.replace(",", "").rstrip(".") if chooser.chance(0.7) else text
            text = _WORD.sub(lambda match: _word(match.group(), chooser, rate, short), text)
            text = _repeat(text, chooser)
        if lower:
            text = text.lower()
        elif shout:
            text = text.upper()
        result.append(Piece(text, piece.label))
    return result


def _word(word: str, chooser: Chooser, rate: float, short: bool) -> str:
    key = word.lower()
    if short and key in _ABBREVIATIONS and chooser.chance(0.3):
        return chooser.pick(_ABBREVIATIONS[key])
    if len(word) < 4 or not chooser.chance(rate * 1.5):
        return word
    place = chooser.between(1, len(word) - 2)
    style = chooser.below(4)
    if style == 0:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if style == 1:
        return word[:place] + word[place + 1 :]
    if style == 2:
        return word[:place] + word[place] + word[place:]
    return word[:place] + chooser.pick(_NEIGHBOURS.get(key[place], key[place])) + word[place + 1 :]


def _repeat(text: str, chooser: Chooser) -> str:
    if text[-1:] in {"?", "!", "."} and chooser.chance(0.15):
        return text + text[-1] * chooser.between(1, 2)
    return text


def _chinese(pieces: Sequence[Piece], chooser: Chooser, rate: float) -> list[Piece]:
    punctuation = chooser.below(4)
    mix = chooser.chance(0.15)
    result = []
    for piece in pieces:
        text = piece.text
        if piece.label is None:
            if mix:
                text = _swap(text, _CHINESE_TO_ENGLISH, chooser, 0.5)
            text = _swap(text, _CHINESE_SLIPS, chooser, rate * 2)
            text = _chinese_punctuation(text, punctuation, chooser)
        result.append(Piece(text, piece.label))
    return result


def _swap(text: str, pairs: tuple[tuple[str, str], ...], chooser: Chooser, probability: float) -> str:
    for old, new in pairs:
        if old in text and chooser.chance(probability):
            text = text.replace(old, new, 1)
    return text


def _chinese_punctuation(text: str, style: int, chooser: Chooser) -> str:
    if style == 0:
        return text.replace("，", " ").replace("。", " ").replace("？", " ")
    if style == 1:
        return text.replace("，", ",").replace("。", ".").replace("？", "?")
    if style == 2 and text[-1:] in {"。", "？", "！"}:
        return text[:-1] + chooser.pick(
            (" ", "~", text[-1] * 2, "..", "哈", "！", " ") if text[-1] == "。" else ("??", "？？", " ")
        )
    return text
