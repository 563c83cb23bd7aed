"""Messages that say what belongs together: which amount to which order, who is reached where.

A line is a sentence and what it states: `order {order#a} cost {amount#b} => a costs b`. Values that stand beside each
other without belonging together are the point: of two orders and two amounts, a reader must say which is whose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fathom.data.helpdesk import noise
from fathom.data.helpdesk.grammar import Chooser, Language, Piece, Split, Template, templates
from fathom.data.helpdesk.lexicon import lexicon
from fathom.data.helpdesk.words import join

TYPES: dict[str, tuple[tuple[str, str], ...]] = {
    "costs": (("ORDER", "AMOUNT"), ("PRODUCT", "AMOUNT")),
    "contains": (("ORDER", "PRODUCT"),),
    "placed-on": (("ORDER", "DATE"),),
    "due-on": (("ORDER", "DATE"),),
    "carried-by": (("ORDER", "COURIER"),),
    "goes-to": (("ORDER", "PLACE"),),
    "belongs-to": (("ORDER", "PERSON"),),
    "reached-at": (("PERSON", "CONTACT"),),
    "replaces": (("ORDER", "ORDER"),),
}
"""The types of head and tail of each relation."""
PAIRS = frozenset(pair for pairs in TYPES.values() for pair in pairs)

SENTENCES: dict[Language, str] = {
    "en": """
order {order#a} was {amount#b} and order {order#c} was {amount#d} => a costs b; c costs d
I paid {amount#b} for {order#a}, then you took another {amount#c} => a costs b
{order#a} replaces {order#b}, right? => a replaces b
you cancelled {order#b} and sent {order#a} in its place => a replaces b
please send {order#a} to {address#b}, and {order#c} stays as it is => a goes-to b
the {product#a} is {amount#b}, not {amount#c} => a costs b
order {order#a} with the {product#b} is still missing, the {product#c} came => a contains b
{courier#b} has {order#a}, {courier#d} has {order#c} => a carried-by b; c carried-by d
{order#a} was ordered {past#b} and should be here {future#c} => a placed-on b; a due-on c
{person#a} can be reached at {contact#b}, {person#c} at {contact#d} => a reached-at b; c reached-at d
the {product#b} in {order#a} cost {amount#c}, the {product#d} only {amount#e} => a contains b; b costs c; d costs e
write to {contact#b} if you need {person#a}, my own address is {contact#c} => a reached-at b
{order#a} is mine, {order#b} belongs to {person#c} => b belongs-to c
{person#b} ordered {order#a} {past#c}, it comes with {courier#d} => a belongs-to b; a placed-on c; a carried-by d
instead of {order#b} I want {order#a}, keep the {amount#c} => a replaces b
{order#a} goes to {place#b}, {order#c} to {place#d} => a goes-to b; c goes-to d
where is {order#a}? {courier#b} says {future#c}, {courier#d} knows nothing => a carried-by b; a due-on c
ask {person#a} ({contact#b}) about order {order#c}, it is for {person#d} => a reached-at b; c belongs-to d
{amount#b} for the {product#a} is too much, in {place#c} it was {amount#d} => a costs b
in {order#a} there was one {product#b}, in {order#c} one {product#d} => a contains b; c contains d
{order#a}, placed {past#b}: total {amount#c}, paid {past#d} => a placed-on b; a costs c
{order#a} from {past#b} was replaced by {order#c}, due {future#d} => a placed-on b; c replaces a; c due-on d
my colleague {person#a} gave you {contact#b}, but that is the number of {person#c} => c reached-at b
I have {order#a} for {person#b} here, {person#c} never ordered anything => a belongs-to b
the {product#a}, {amount#b}, and the {product#c}, both in {order#d} => a costs b; d contains a; d contains c
{courier#b} tried to deliver {order#a} {past#c}, the next try is {future#d} => a carried-by b; a due-on d
refund {amount#b} for {order#a}, not for {order#c} => a costs b
{order#a} to {address#b} with {courier#c}, please => a goes-to b; a carried-by c
""",
    "zh": """
订单{order#a}是{amount#b}，订单{order#c}是{amount#d} => a costs b; c costs d
{order#a}我付了{amount#b}，后来又扣了{amount#c} => a costs b
{order#a}是换{order#b}的，对吗 => a replaces b
你们取消了{order#b}，换成{order#a}发来 => a replaces b
{order#a}请送到{address#b}，{order#c}不用改 => a goes-to b
{product#a}是{amount#b}，不是{amount#c} => a costs b
装着{product#b}的订单{order#a}还没到，{product#c}到了 => a contains b
{order#a}在{courier#b}，{order#c}在{courier#d} => a carried-by b; c carried-by d
{order#a}是{past#b}下的单，说好{future#c}到 => a placed-on b; a due-on c
{person#a}的联系方式是{contact#b}，{person#c}的是{contact#d} => a reached-at b; c reached-at d
订单{order#a}里的{product#b}花了{amount#c}，{product#d}只要{amount#e} => a contains b; b costs c; d costs e
找{person#a}请发{contact#b}，我自己的是{contact#c} => a reached-at b
{order#a}是我的，{order#b}是{person#c}的 => b belongs-to c
{person#b}{past#c}下的{order#a}，{courier#d}送 => a belongs-to b; a placed-on c; a carried-by d
不要{order#b}，我要{order#a}，{amount#c}不用退 => a replaces b
{order#a}寄{place#b}，{order#c}寄{place#d} => a goes-to b; c goes-to d
{order#a}到哪了？{courier#b}说{future#c}，{courier#d}什么都不知道 => a carried-by b; a due-on c
{order#c}的事问{person#a}（{contact#b}），单子是{person#d}的 => a reached-at b; c belongs-to d
{product#a}要{amount#b}太贵了，{place#c}才{amount#d} => a costs b
{order#a}里是一个{product#b}，{order#c}里是一个{product#d} => a contains b; c contains d
{order#a}，{past#b}下单，一共{amount#c}，{past#d}付的 => a placed-on b; a costs c
{past#b}的{order#a}换成了{order#c}，{future#d}到 => a placed-on b; c replaces a; c due-on d
同事{person#a}给了你们{contact#b}，可那是{person#c}的 => c reached-at b
{order#a}是给{person#b}的，{person#c}什么都没买 => a belongs-to b
{product#a}{amount#b}，跟{product#c}都在{order#d}里 => a costs b; d contains a; d contains c
{courier#b}{past#c}送过{order#a}，{future#d}再送 => a carried-by b; a due-on d
{order#a}退{amount#b}，{order#c}不退 => a costs b
{order#a}用{courier#c}寄到{address#b} => a goes-to b; a carried-by c
""",
}


@dataclass(frozen=True)
class Stated:
    """A message: its text, entities, relations (positions in entities), and the template it was made from."""

    text: str
    entities: list[dict[str, Any]]
    relations: list[dict[str, Any]]
    template: str


@cache
def _sentences(language: Language, split: Split) -> list[tuple[Template, tuple[tuple[str, str, str], ...]]]:
    """Return the sentences one split may use, each with what it states as (head, relation, tail)."""
    lines = [line.partition(" => ") for line in SENTENCES[language].strip().splitlines()]
    prefix = f"{language}/relations"
    stated = {
        f"{prefix}/{index:02d}": tuple(_fact(fact) for fact in facts.split(";"))
        for index, (_, _, facts) in enumerate(lines)
    }
    own = templates(prefix, "\n".join(sentence for sentence, _, _ in lines))[split]
    return [(template, stated[template.name]) for template in own]


def _fact(text: str) -> tuple[str, str, str]:
    head, relation, tail = text.split()
    return head, relation, tail


def compose_relations(language: Language, split: Split, chooser: Chooser) -> Stated:
    """Compose one message and what it states."""
    template, facts = chooser.pick(_sentences(language, split))
    values = lexicon(language, split)

    def fill(slot: str) -> Sequence[Piece]:
        name, _, key = slot.partition("#")
        pieces = values.fill(name, chooser)
        return [Piece(piece.text, f"{piece.label}#{key}" if piece.label else None) for piece in pieces]

    pieces = noise.punctuate(template.expand(chooser, fill), language)
    if language == "en":
        pieces = noise.capitalize(pieces)
    text, marked = join(noise.roughen(pieces, language, chooser))
    places: dict[str, int] = {}
    entities = []
    for number, entity in enumerate(marked):
        label, _, key = str(entity["label"]).partition("#")
        places[key] = number
        entities.append({**entity, "label": label})
    relations = [{"head": places[head], "tail": places[tail], "type": relation} for head, relation, tail in facts]
    return Stated(text, entities, relations, template.name)
