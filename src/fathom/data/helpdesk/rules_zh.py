"""The rules a shop may have, in Chinese: as it states them, as customers ask for them, as the agent tells them."""

from __future__ import annotations

QUESTIONS: dict[str, str] = {
    "return_window": """
多少天之内可以退货？
最晚什么时候要寄回去？
退货有几天时间？
退货期限是多久？
过了多少天就不能退了？
我有多长时间可以退回去？
""",
    "refund_time": """
退款要多久？
钱什么时候能到？
几天能退回来？
退款哪天到账？
你们多快退钱？
一般退款要几天？
""",
    "delivery_time": """
送货要多久？
包裹一般什么时候到？
运输要几天？
正常几天能到？
到我这里要多长时间？
你们发货快吗，几天到？
""",
    "warranty": """
保修多久？
你们保几年？
保修期是几个月？
质保有多长时间？
到什么时候还能免费修？
保修期限是多少？
""",
    "free_shipping": """
满多少包邮？
怎样才不用付运费？
买多少可以免运费？
包邮吗？
运费怎么算？
免运费最低要多少？
""",
    "express_fee": """
加急要多少钱？
加急送要加多少？
能快点吗，要加多少钱？
加急要收费吗？
次日达怎么收费？
最快的那种运费多少？
""",
    "opening_hours": """
什么时候能找到你们？
你们几点上班？
今天到几点有人？
客服到几点下班？
你们几点开始？
什么时间有人回复？
""",
    "price_match": """
降价了多久之内可以补差？
下周便宜了怎么办？
保价几天？
过多久就不能要差价了？
降价了退差价吗？
买了以后多久内可以申请补差价？
""",
    "invoice_time": """
发票什么时候开？
多久能拿到发票？
开票要多长时间？
发票要等几个小时？
发票什么时候能到？
你们多久开一次票？
""",
    "pause_limit": """
会员最多能停多久？
最长可以停多长时间？
能停几个月？
你们允许停多久？
暂停有期限吗？
最晚停到什么时候？
""",
    "pickup_time": """
自提点保管多久？
最晚什么时候去取？
包裹能放几天？
不去取的话什么时候退回？
你们包裹存多久？
一般保留多长时间？
""",
    "reply_time": """
什么时候能给我答复？
多久有人回我？
你们几天能回复？
什么时候有结果？
你们多快回信？
查清楚要多久？
""",
}

ANSWERS: dict[str, str] = {
    "return_window": """
您有{return_window}可以退货。
{return_window}内都可以退。
收货后{return_window}之内什么都能退。
要在{return_window}内寄出。
""",
    "refund_time": """
退款需要{refund_time}。
{refund_time}内到账。
{refund_time}后就在您账户里了。
我们{refund_time}退完。
""",
    "delivery_time": """
送货要{delivery_time}。
包裹{delivery_time}到。
一般算{delivery_time}。
通常{delivery_time}内送到。
""",
    "warranty": """
保修{warranty}。
{warranty}内免费修。
您有{warranty}的质保。
质保期是{warranty}。
""",
    "free_shipping": """
满{free_shipping}包邮。
买够{free_shipping}就不收运费。
{free_shipping}起免运费。
不到{free_shipping}收运费，到了就不收。
""",
    "express_fee": """
加急另收{express_fee}。
加{express_fee}第二天到。
加急费是{express_fee}。
次日达{express_fee}。
""",
    "opening_hours": """
我们{opening_hours}都在。
{opening_hours}可以找到我们。
客服时间是{opening_hours}。
{opening_hours}有人回复。
""",
    "price_match": """
买后{price_match}内降价可以补。
{price_match}之内给您退差价。
要在{price_match}内申请。
{price_match}内便宜了，差的我们补。
""",
    "invoice_time": """
发货后{invoice_time}内开票。
最多{invoice_time}。
{invoice_time}内您能收到。
我们{invoice_time}内开好。
""",
    "pause_limit": """
最多可以停{pause_limit}。
最长{pause_limit}。
可以停{pause_limit}。
停满{pause_limit}会自动恢复。
""",
    "pickup_time": """
自提点保管{pickup_time}。
给您留{pickup_time}。
您有{pickup_time}时间去取。
过了{pickup_time}就退回来了。
""",
    "reply_time": """
{reply_time}内给您答复。
我们{reply_time}内回复。
请等{reply_time}。
我们需要{reply_time}回您。
""",
}

RULES: dict[str, str] = {
    "return_window": "收货后{return_window}内可以退货。",
    "refund_time": "退款{refund_time}内到账。",
    "delivery_time": "送货需要{delivery_time}。",
    "warranty": "所有商品保修{warranty}。",
    "free_shipping": "满{free_shipping}包邮。",
    "express_fee": "加急送货另收{express_fee}。",
    "opening_hours": "客服时间是{opening_hours}。",
    "price_match": "购买后{price_match}内降价可补差价。",
    "invoice_time": "发货后{invoice_time}内开发票。",
    "pause_limit": "会员最多可暂停{pause_limit}。",
    "pickup_time": "自提点保管包裹{pickup_time}。",
    "reply_time": "留言{reply_time}内答复。",
}
"""The rules as the system turn states them."""

VALUES: dict[str, str] = {
    "return_window": "7天;14天;15天;30天;60天",
    "refund_time": "3个工作日;5个工作日;7个工作日;10个工作日",
    "delivery_time": "2天;3天;4天;5天;6天",
    "warranty": "12个月;18个月;两年;三年",
    "free_shipping": "39元;59元;88元;99元;129元;199元",
    "express_fee": "8元;10元;12元;15元;20元",
    "opening_hours": "8点到17点;8点到20点;9点到18点;9点到21点;10点到22点",
    "price_match": "7天;10天;15天;30天",
    "invoice_time": "12小时;24小时;48小时;72小时",
    "pause_limit": "两个月;三个月;四个月;半年",
    "pickup_time": "3天;5天;7天;10天",
    "reply_time": "2个工作日;3个工作日;4个工作日;5个工作日",
}
"""What a shop's rule may be; plain words, shared by all splits."""
