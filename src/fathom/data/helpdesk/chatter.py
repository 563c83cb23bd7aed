"""What people write around their request: greetings, thanks, context that does not matter, and contrasts.

Context sentences and contrast frames belong to one split each, like templates. Greetings and thanks are shared by all.
"""

from __future__ import annotations

from fathom.data.helpdesk.grammar import Language

GREETINGS: dict[Language, list[str]] = {
    "en": [
        "Hi,",
        "Hello,",
        "Hey,",
        "Dear team,",
        "Good morning,",
        "Hi there,",
        "hello??",
        "Good evening,",
        "Excuse me,",
    ],
    "zh": [
        "你好，",
        "您好，",
        "在吗？",
        "亲，",
        "客服你好，",
        "哈喽，",
        "请问一下，",
        "有人吗？",
        "早上好，",
        "打扰一下，",
    ],
}
THANKS: dict[Language, list[str]] = {
    "en": [
        "Thanks.",
        "Thank you!",
        "Thanks in advance.",
        "Cheers.",
        "Please advise.",
        "Best regards",
        "Thx",
        "Many thanks!",
    ],
    "zh": ["谢谢。", "谢谢！", "麻烦了。", "辛苦了。", "多谢。", "等回复。", "急！", "尽快回复，谢谢。", "拜托了。"],
}
MIXED: dict[Language, list[str]] = {
    "en": ["你好,", "不好意思,", "请问,"],
    "zh": ["hi，", "hello，", "sorry，", "excuse me，"],
}
"""A word of the other language in front, as bilingual users write."""

CONTEXT: dict[Language, str] = {
    "en": """
I've been shopping with you for {duration}[, mostly from {place}].
I'm writing from my phone, sorry for the spelling.
My {product} is a birthday present for {person}.
I already asked on the chat {past}, nobody answered.
English isn't my first language.
The weather in {place} has been awful, by the way.
I ordered a {colour} one because it matches the sofa.
I am asking for my neighbour {person}, who doesn't use the internet.
We're a small office in {place}.
Your website is nice, I have to say.
I tried calling but the line was busy.
I read the help page twice and found nothing.
{person} told me to write here.
Usually everything works with you.
I bought it with my first salary.
My wife uses the {product} every day.
This is my second message, the first was {past}.
We have a baby and very little time.
I paid {amount} in total, with delivery.
I'm on a train right now, so the connection is bad.
The {product} was recommended by a friend in {place}.
You can reach me at {contact}.
I don't know if I'm in the right place with this.
It came with {courier}, I believe.
Nothing urgent, but I'd like to know.
My account name is {contact}, in case you need it.
I looked at the reviews for {duration} before choosing.
Maybe it's a stupid question.
Last year I had a {product} from another brand.
I'm {person}, we spoke {past}.
The number is {order} if that helps.
I have to leave the house in ten minutes.
There are two people with my name in {place}.
My dog is scared of couriers.
I'll be travelling {future}.
I searched for a phone number for ages.
""",
    "zh": """
我在你们家买了{duration}东西了[，一般寄到{place}]。
手机打字，有错别字见谅。
{product}是送给{person}的生日礼物。
{past}已经问过在线客服，没人回。
我中文不太好，请多包涵。
{place}这几天一直下雨。
买{colour}是因为跟沙发配。
我是帮邻居{person}问的，他不会上网。
我们是{place}的一个小公司。
说实话你们网站做得挺好。
打过电话，一直占线。
帮助页面看了两遍没找到。
{person}让我来这里问的。
平时在你们家买都挺好的。
这是用我第一个月工资买的。
我老婆每天都用{product}。
这是第二次留言了，第一次是{past}。
家里有小孩，没什么时间。
一共付了{amount}，含运费。
我在高铁上，信号不好。
{product}是{place}的朋友推荐的。
联系我可以用{contact}。
不知道问这里对不对。
应该是{courier}送的。
不着急，就是想知道一下。
我的账号是{contact}，需要的话可以查。
买之前看了{duration}的评价。
可能问得有点傻。
去年用的是别的牌子的{product}。
我是{person}，{past}跟你们说过话。
单号是{order}，看看有没有用。
十分钟之后我要出门。
{place}有两个跟我同名的人。
我家狗怕快递员。
我{day}要出差。
找电话找了半天。
""",
}

WISHES: dict[Language, str] = {
    "en": """
I (want|need) to {goal}
I'd like to {goal}
I'm (writing|here) to {goal}
could I {goal}?
can I {goal} here?
what I need is to {goal}
I was hoping to {goal}
I just want to {goal}
please, I have to {goal}
is this the right place to {goal}?
need help: I want to {goal}
I wish to {goal}
my question: how can I {goal}?
am I able to {goal}?
I would (really|very much) like to {goal}
basically I (need|have) to {goal}
may I {goal}?
could somebody help, I want to {goal}
I am contacting you to {goal}
all I want is to {goal}
in short: I'd like to {goal}
it is time for me to {goal}
I'm trying to {goal}
how would I {goal}?
as soon as possible I'd like to {goal}
I'd appreciate it if I could {goal}
""",
    "zh": """
我想{goal}
麻烦帮忙，我想{goal}
我是来问的，想{goal}
怎么才能{goal}？
可以{goal}吗
我来是想{goal}
请问能不能{goal}
(想|就想){goal}，怎么弄
现在想{goal}
我希望{goal}
求助：我想{goal}
我现在就想{goal}
问个事，我想{goal}
在这里可以{goal}吗
有没有办法{goal}
其实我就是想{goal}
越快越好，我想{goal}
哪位能帮一下，我想{goal}
联系你们是想{goal}
我就想{goal}
简单说，想{goal}
能{goal}吗
我打算{goal}
我特别想{goal}，拜托
方便的话，我想{goal}
是这样的，我想{goal}
""",
}
"""Frames that make a request of a wish; also said after the story, to sum it up."""

CONTRASTS: dict[Language, str] = {
    "en": """
I don't want to {other}, I (want|need) to {goal}
I'm not trying to {other}. I('d just like| only want) to {goal}
Your bot thinks I want to {other}, but I want to {goal}
I wanted to {other} at first, but now I'd rather {goal}
please don't get me wrong, I have no plan to {other}, my wish is to {goal}
This isn't a message to {other}. Somebody please help me to {goal}
no need to {other}. what I do need is to {goal}
I was told I could {other}, I said no, because all I want is to {goal}
I need to {goal}, (not to|rather than) {other}
I pressed the button to {other} by mistake, what I meant was to {goal}
would like to {goal}. I do NOT want to {other}
It's my friend who wants to {other}; I'm here to {goal}
I'd like to {goal}, but the menu only lets me {other}
I'd like to {goal}, and please don't make me {other}
I am writing to {goal}. The reply I got told me how to {other}, useless
Forget what I said about wanting to {other}, I've decided to {goal}
""",
    "zh": """
我不是想{other}，我是想{goal}
没打算{other}，就是想{goal}
机器人以为我想{other}，其实我想{goal}
本来想{other}，现在还是想{goal}
别误会，我没有想{other}的意思，我希望{goal}
我来不是为了{other}，麻烦帮我{goal}
不用{other}了，我只是想{goal}
你同事说我可以{other}，我没同意，我只想{goal}
我想{goal}，不是想{other}
我点错了，点成{other}了，我的意思是想{goal}
想{goal}，(不要|千万别)给我弄成{other}
想{other}的是我朋友，我来是想{goal}
我想{goal}，可菜单里只能{other}
我想{goal}，别再叫我{other}了
我写信是想{goal}，你们回的却是怎么{other}，没用
之前说想{other}不算数，我决定{goal}
""",
}

NEAR: dict[str, tuple[str, ...]] = {
    "cancel_order": ("change_order", "return_item", "cancel_subscription"),
    "change_order": ("cancel_order", "exchange_item", "change_address"),
    "change_address": ("reschedule_delivery", "change_order", "track_order"),
    "track_order": ("reschedule_delivery", "not_received", "refund_status"),
    "reschedule_delivery": ("change_address", "cancel_order", "track_order"),
    "not_received": ("track_order", "missing_part", "refund_status"),
    "stock_question": ("exchange_item", "track_order", "price_adjustment"),
    "complaint_service": ("track_order", "refund_status", "return_item"),
    "wrong_item": ("damaged_item", "missing_part", "return_item"),
    "damaged_item": ("wrong_item", "warranty_repair", "missing_part"),
    "missing_part": ("wrong_item", "damaged_item", "warranty_repair"),
    "return_item": ("exchange_item", "refund_status", "warranty_repair", "cancel_order"),
    "exchange_item": ("return_item", "warranty_repair", "refund_status"),
    "warranty_repair": ("return_item", "exchange_item", "refund_status"),
    "refund_status": ("return_item", "exchange_item", "track_order"),
    "price_adjustment": ("return_item", "coupon_problem", "cancel_order"),
    "wrong_charge": ("payment_failed", "invoice_request", "cancel_subscription"),
    "payment_failed": ("coupon_problem", "cancel_order", "invoice_request"),
    "invoice_request": ("wrong_charge", "refund_status", "track_order"),
    "coupon_problem": ("price_adjustment", "payment_failed", "stock_question"),
    "cancel_subscription": ("pause_subscription", "delete_account", "cancel_order"),
    "pause_subscription": ("cancel_subscription", "delete_account", "reschedule_delivery"),
    "login_problem": ("delete_account", "cancel_subscription", "track_order"),
    "delete_account": ("cancel_subscription", "login_problem", "pause_subscription"),
}
"""The intents a request may be taken for: what a contrast or an aside mentions without asking for it."""
