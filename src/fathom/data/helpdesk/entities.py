"""Messages full of values, for named entity recognition; with numbers and names that are *not* entities as traps.

Types: ORDER, PRODUCT, DATE (days, not durations), PLACE, AMOUNT, PERSON, CONTACT (mail, phone), COURIER.
"""

from __future__ import annotations

from functools import cache, partial

from fathom.data.helpdesk import noise
from fathom.data.helpdesk.grammar import Chooser, Language, Piece, Split, Template, templates
from fathom.data.helpdesk.lexicon import lexicon
from fathom.data.helpdesk.messages import Message, Speech, compose

SENTENCES: dict[Language, str] = {
    "en": """
my name is {person}, order {order} from {past}, please call me on {contact}
{person} bought the {product} for {amount} {past} and it should go to {address}
I paid {amount} for the {product} and {amount} for shipping with {courier}
{courier} will bring {order} to {address} {future}, is that right?
order {order}: one {product}, one {product}, total {amount}
please write to {contact} and not to {contact}
I live at {address}, {courier} always rings at number 12
{person} from your shop in {place} sold me the {product} {past}
error 5023 when I open {order}, and error 17 when I pay {amount}
I waited 40 minutes on the phone until {person} told me to mail {contact}
can the {product} ({amount}) be picked up in {place} {future}?
both {order} and {order} are late, the first was promised for {day}
there are 3 people called {person} in our building at {address}
it's 2 metres long and weighs 14 kilos, the {product} I mean, not the {product}
from: {person}, {address}, {contact}
{amount} came back {past}, but I paid {amount}
the {product} left {place} {past} and is due in {place} {future}
{courier} or {courier}, which one carries {order}
we need 12 of the {product} by {day}, ship to {address}
version 4.2 of your app shows {order} twice
tell {person} that the {product} can be collected from {address} after 6
on page 3 of the manual of the {product} there's a mistake, signed {person}
I'm {person}, born and raised in {place}, customer for 11 years, never had a problem until {pastday}
invoice over {amount} to {person}, {address}, please
the driver of {courier} called from {contact} {past}
not {order} but {order}, I mixed up the numbers
{person} and {person} both say the {product} costs {amount}
24 hours later still nothing: {order}, {courier}, {place}
between {day} and {day} nobody is at {address}
is {contact} really your address? someone asked me for {amount}
my {product} has serial 00-17 and a 2 year guarantee, I bought it in {place}
I gave {amount} to the {courier} man {past}, he had no change
room 204, second floor, ask for {person}
the {product} is {amount} in {place} and {amount} online
order placed {past}, order shipped {past}, order lost in {place}
if {person} isn't there, hand the {product} to {person}
size 42, colour {colour}, the {product}, before {day}
got a text from {contact} saying {order} waits at {address}
the 5 star reviews of the {product} are from {place} only
please block {contact}, it isn't mine, mine is {contact}
no order number, no receipt, just a card with the name {person}
100 percent sure I ordered the {product}, the mail from {pastday} says so
""",
    "zh": """
我叫{person}，{past}下的单，单号{order}，请打{contact}
{person}{past}花{amount}买了{product}，要寄到{address}
{product}付了{amount}，{courier}的运费又付了{amount}
{courier}{future}把{order}送到{address}，对吗
订单{order}：一个{product}，一个{product}，一共{amount}
请发到{contact}，不要发到{contact}
我住{address}，{courier}每次都按12号的门铃
你们{place}店的{person}{past}卖给我的{product}
打开{order}报错5023，付{amount}的时候报错17
电话等了40分钟，{person}才告诉我写信到{contact}
{product}（{amount}）{future}能在{place}自提吗
{order}和{order}都晚了，第一个说好{day}到
我们{address}这栋楼有3个人叫{person}
长2米，重14公斤，我说的是{product}，不是{product}
寄件人：{person}，{address}，{contact}
{past}退回来{amount}，可我付的是{amount}
{product}{past}从{place}发出，{future}到{place}
{order}是{courier}送还是{courier}送
{day}之前要12个{product}，送到{address}
你们软件4.2版里{order}显示了两遍
跟{person}说，6点以后可以到{address}拿{product}
{product}说明书第3页有个错，{person}留
我是{person}，{place}人，11年老客户，{pastday}之前从没出过问题
开{amount}的票给{person}，寄{address}
{courier}的司机{past}用{contact}打过来
不是{order}，是{order}，我把号弄混了
{person}和{person}都说{product}卖{amount}
过了24小时还是没有：{order}，{courier}，{place}
{day}到{day}之间{address}没人
{contact}真的是你们的吗？有人跟我要{amount}
我的{product}序列号00-17，保两年，在{place}买的
{past}给了{courier}的人{amount}，他没零钱找
204房，二楼，找{person}
{product}在{place}卖{amount}，网上卖{amount}
{past}下单，{past}发货，在{place}丢了
{person}不在的话，{product}交给{person}
42码，{colour}，{product}，{day}之前要
收到{contact}的短信，说{order}在{address}等我
{product}的五星好评全是{place}的
{contact}不是我的，请屏蔽，我的是{contact}
没有单号，没有小票，只有一张写着{person}的卡
百分之百确定买的是{product}，{pastday}的邮件上写着
""",
}


@cache
def sentences(language: Language, split: Split) -> list[Template]:
    """Return the sentences one split may use, parsed once."""
    return templates(f"{language}/entities", SENTENCES[language])[split]


def compose_entities(source: Speech, label: str, chooser: Chooser) -> Message:
    """Compose one message: half of them dense in values, half ordinary requests of the intent `label`."""
    if chooser.chance(0.5):
        return compose(source, label, chooser)
    language: Language = source.language
    fill = partial(lexicon(language, source.split).fill, chooser=chooser)
    template = chooser.pick(sentences(language, source.split))
    pieces = noise.punctuate(template.expand(chooser, fill), language)
    names = [template.name]
    if chooser.chance(0.25):
        context = chooser.pick(source.contexts)
        names.append(context.name)
        gap = [Piece(" ")] if language == "en" else []
        pieces = [*pieces, *gap, *noise.punctuate(context.expand(chooser, fill), language)]
    if language == "en":
        pieces = noise.capitalize(pieces)
    return Message(noise.roughen(pieces, language, chooser), tuple(names))
