"""Sentences in English and Chinese that say the same: the templates of both languages stand line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from fathom.data.helpdesk import chatter, lexicon_en, lexicon_zh, noise
from fathom.data.helpdesk.entities import SENTENCES
from fathom.data.helpdesk.grammar import (
    ASIDE_PATTERN,
    GOAL_PATTERN,
    TEMPLATE_PATTERN,
    Chooser,
    Language,
    Piece,
    Split,
    Template,
    owner,
    share,
    templates,
)
from fathom.data.helpdesk.lexicon import lexicon
from fathom.data.helpdesk.messages import GOALS, INTENTS
from fathom.data.helpdesk.words import join

FRAMES = (
    ("I want to {goal}", "我想{goal}"),
    ("I would like to {goal}", "我希望{goal}"),
    ("could you help me? I want to {goal}", "能帮个忙吗？我想{goal}"),
    ("I am writing to you to {goal}", "我写信给你们是想{goal}"),
    ("how can I {goal}?", "怎么才能{goal}？"),
    ("all I want is to {goal}", "我只想{goal}"),
    ("is it possible to {goal}?", "可以{goal}吗？"),
    ("today I want to {goal}", "我今天想{goal}"),
)
"""What a wish is put into; shared by all splits, as greetings are."""
PEOPLE = """
Wang Xiaoming|王小明;Li Jianguo|李建国;Zhang Lihua|张丽华;Liu Zhiqiang|刘志强;Chen Xiaodong|陈晓东;Yang Haiyan|杨海燕
Zhao Wenjing|赵文静;Huang Siyuan|黄思远;Zhou Meiling|周美玲;Wu Junjie|吴俊杰;Xu Chunmei|徐春梅;Sun Haoran|孙浩然
Hu Jiayi|胡佳怡;Zhu Xuemei|朱雪梅;Gao Tianyu|高天宇;Lin Xiuying|林秀英;He Yifan|何一凡;Guo Hongxia|郭红霞
Ma Zhenhua|马振华;Luo Mengyao|罗梦瑶;Liang Yongping|梁永平;Song Dawei|宋大伟;Zheng Yunfei|郑云飞;Xie Xinran|谢欣然
"""
PLACES = """
Beijing|北京;Shanghai|上海;Hangzhou|杭州;Chengdu|成都;Guangzhou|广州;Nanjing|南京;Wuhan|武汉;Chongqing|重庆;Suzhou|苏州
Tianjin|天津;Changsha|长沙;Qingdao|青岛;Dalian|大连;Xiamen|厦门;London|伦敦;Paris|巴黎;Berlin|柏林;Tokyo|东京;Boston|波士顿
Toronto|多伦多;Dublin|都柏林;Vienna|维也纳;Lisbon|里斯本;Geneva|日内瓦
"""
PAST = """
yesterday|昨天;last Monday|上周一;last Tuesday|上周二;last Wednesday|上周三;last Thursday|上周四;last Friday|上周五
last week|上周;last month|上个月;last weekend|上周末;two days ago|两天前;three days ago|三天前;this morning|今天早上
last night|昨晚;a week ago|一周前;ten days ago|十天前;the day before yesterday|前天
"""
FUTURE = """
tomorrow|明天;next Monday|下周一;next Tuesday|下周二;next Wednesday|下周三;next Thursday|下周四;next Friday|下周五
next week|下周;next month|下个月;next weekend|下周末;this Saturday|这周六;this Sunday|这周日;the day after tomorrow|后天
"""
_SAME = {"pastday": "past", "future": "day"}
"""Slots that may stand for each other between the languages."""
_SKIPPED = frozenset({"address", "size"})
"""Slots without a natural form in both languages."""


@dataclass(frozen=True)
class Pair:
    """One sentence in both languages, with its values and the names of its templates."""

    texts: dict[Language, str]
    entities: list[dict[str, str]]
    templates: tuple[str, ...]


def compose_pair(split: Split, label: str, chooser: Chooser) -> Pair:
    """Compose a pair of clean sentences: three in five are wishes of the intent `label`, the others whole sentences."""
    wish = chooser.chance(0.6)
    english, chinese = chooser.pick(_goals(split)[label] if wish else _sentences(split))
    frames = chooser.pick(FRAMES) if wish else ("{goal}", "{goal}")
    while True:
        told: dict[tuple[str, int], tuple[str, str]] = {}
        used: list[list[str]] = []
        texts: dict[Language, str] = {}
        both: tuple[tuple[Language, Template], ...] = (("en", english), ("zh", chinese))
        for place, (language, template) in enumerate(both):
            slots: list[str] = []
            pieces = template.expand(chooser, partial(_fill, (split, place), told, slots, chooser))
            texts[language] = _finish(frames[place], pieces, language)
            used.append(sorted(_SAME.get(slot, slot) for slot in slots))
        if used[0] == used[1]:  # an optional part with a value may stand in one language only: draw again
            break
    entities = [{"label": slot, "text": value} for (slot, _), pair in told.items() for value in dict.fromkeys(pair)]
    plain = {"colour", "plan", "duration", "wait", "amount"}
    named = [item for item in entities if item["label"] not in plain]
    return Pair(texts, named, (english.name, chinese.name))


@cache
def _goals(split: Split) -> dict[str, list[tuple[Template, Template]]]:
    return {
        label: list(_aligned(f"{label}/goal", GOALS["en"][label], GOALS["zh"][label], split, GOAL_PATTERN))
        for label in GOALS["en"]
    }


@cache
def _sentences(split: Split) -> list[tuple[Template, Template]]:
    found = list(_aligned("context", chatter.CONTEXT["en"], chatter.CONTEXT["zh"], split, TEMPLATE_PATTERN))
    found += _aligned("entities", SENTENCES["en"], SENTENCES["zh"], split, TEMPLATE_PATTERN)
    for label, intent in INTENTS["en"].items():
        found += _aligned(f"{label}/aside", intent.asides, INTENTS["zh"][label].asides, split, ASIDE_PATTERN)
    return found


def _aligned(name: str, english: str, chinese: str, split: Split, pattern: str) -> Iterator[tuple[Template, Template]]:
    """The templates of a block that use the same values in both languages."""
    both = zip(
        templates(f"en/{name}", english, pattern)[split], templates(f"zh/{name}", chinese, pattern)[split], strict=True
    )
    for first, second in both:
        slots = [{_SAME.get(slot, slot) for slot in template.slots} for template in (first, second)]
        if slots[0] == slots[1] and not slots[0] & _SKIPPED:
            yield first, second


def _fill(
    side: tuple[Split, int],
    told: dict[tuple[str, int], tuple[str, str]],
    slots: list[str],
    chooser: Chooser,
    slot: str,
) -> Sequence[Piece]:
    split, place = side
    key = (_SAME.get(slot, slot), sum(_SAME.get(slot, slot) == _SAME.get(other, other) for other in slots))
    slots.append(slot)
    if key not in told:
        told[key] = _value(key[0], split, chooser)
    return [Piece(told[key][place], key[0])]


def _value(slot: str, split: Split, chooser: Chooser) -> tuple[str, str]:
    """Draw a value in both languages."""
    if slot in ("order", "contact", "courier"):
        value = lexicon("en", split).fill(slot, chooser)[-1].text
        return value, value
    if slot in ("past", "day"):
        return _day(slot, split, chooser)
    if slot == "amount":
        number = chooser.between(3, 900)
        return f"{number} yuan", f"{number}元"
    return chooser.pick(_shelf(slot, split))


def _day(slot: str, split: Split, chooser: Chooser) -> tuple[str, str]:
    if chooser.chance(0.5):
        return chooser.pick(_shelf(slot, split))
    while True:
        day, month = chooser.between(1, 28), chooser.between(1, 12)
        english = f"on {lexicon_en.MONTHS[month - 1]} {day}"
        if owner(english) == split:
            return english, f"{month}月{day}日"


@cache
def _shelf(slot: str, split: Split) -> list[tuple[str, str]]:
    """The values of a slot that belong to a split; plain words belong to all."""
    if slot in ("colour", "plan", "duration", "wait"):
        both = zip(lexicon_en.WORDS[slot], lexicon_zh.WORDS[slot], strict=False)
        plans = [("Plus", "Plus"), ("Gold", "黄金"), ("Premium", "高级版"), ("the family plan", "家庭版")]
        return plans if slot == "plan" else list(both)
    if slot == "product":
        nouns = zip(_items(lexicon_en.LISTS[slot]), _items(lexicon_zh.LISTS[slot]), strict=True)
        return share(list(nouns), split)
    block = {"person": PEOPLE, "place": PLACES, "past": PAST, "day": FUTURE}[slot]
    pairs = [(english, chinese) for english, _, chinese in (item.partition("|") for item in _items(block))]
    return share(pairs, split)


def _items(block: str) -> list[str]:
    return [item for line in block.strip().splitlines() for item in line.split(";")]


def _finish(frame: str, pieces: list[Piece], language: Language) -> str:
    before, _, after = frame.partition("{goal}")
    whole = [Piece(before), *pieces, Piece(after)] if after else [Piece(before), *pieces]
    finished = noise.punctuate([piece for piece in whole if piece.text], language)
    return join(noise.capitalize(finished) if language == "en" else finished)[0]
