"""What both sides of a Chinese dialogue say besides its subject."""

from __future__ import annotations

SYSTEM = """
你是{brand}的客服。{policies}态度友好，回答简短。
{brand}在线客服。{policies}只按以上规定回答。
你为网店{brand}接待顾客。{policies}不要编造别的规定。
角色：{brand}客服。{policies}先问清楚需要的信息，再处理。
你在{brand}做客服，帮助来咨询的人。{policies}
"""

AGENT: dict[str, str] = {
    "wish": """
好的，我来帮您办。
可以的，我来处理。
没问题，(马上办|这就给您办)。
好的，很快就好。
当然可以。
好嘞，我看一下。
行，这个我能办。
好的，我来安排。
""",
    "sorry": """
非常抱歉(给您添麻烦了|让您费心了)。
不好意思，出了这样的事。
这确实不应该，(抱歉|请您见谅)。
对不起，这个确实让人着急。
(明白|了解)，很抱歉。
实在抱歉，让您久等了。
能理解您的心情，抱歉。
哎呀，真是对不起。
""",
    "ask/order": """
(麻烦|请)您发一下订单号。
是哪个订单呢？单号在确认邮件里。
您的订单号是多少？
需要一下您的单号。
订单号方便说一下吗？
您把单号给我，我查一下。
""",
    "ask/address": """
要寄到哪里？请写(完整|详细)地址。
寄到什么地方呢？
(麻烦给我|请发一下)地址，带路名和门牌号。
送到哪个地址？
我该填哪个地址？
收货地址方便说一下吗？
""",
    "ask/day": """
您哪天方便？
什么时候家里有人？
(哪一天|几号)送合适？
快递哪天来好？
您想约哪天？
您看哪天最合适？
""",
    "ask/product": """
是哪个商品呢？
您说的是哪一件？
(麻烦|请)您说一下是什么商品。
商品名称是什么？
是哪款产品？
请问您指的是哪样东西？
""",
    "ask/contact": """
您的账号(邮箱|手机)是什么？
您是用什么注册的？
(麻烦|请)您发一下注册用的邮箱或手机号。
账号绑定的是哪个邮箱？
您是用邮箱还是手机号注册的，发我一下？
请问您登记的联系方式是什么？
""",
    "ask/amount": """
金额是多少？
是多少钱呢？
(您看到的|具体)是哪个数目？
麻烦说一下金额。
一共多少钱？
请问准确的数目是多少？
""",
    "confirm/address": """
确认一下，是{address}吗？
地址是{address}，对吧？
我记的是{address}，没错吧？
送到{address}，是这样吗？
""",
    "confirm/day": """
{day}，对吗？
那就定在{day}？
我记了{day}，没错吧？
您说的是{day}，是吧？
""",
    "confirm/contact": """
是{contact}，对吗？
{contact}，我没看错吧？
我看到的是{contact}，是这个吗？
那您登记的就是{contact}，是吧？
""",
    "confirm/order": """
单号{order}，对吗？
您指的是{order}吗？
我这边看到{order}，是这个吧？
那就是{order}这单，没错吧？
""",
    "more": """
还有什么可以帮您(的|做的)吗？
还有别的问题吗？
其他还需要什么吗？
请问还有要问的吗？
""",
    "close": """
不客气，祝您愉快！
应该的，(再见|拜拜)！
能帮到您就好，保重。
随时找我们，一切顺利！
感谢您的咨询。
祝您生活愉快！
""",
    "close/fail": """
感谢您的理解。
没能帮上更多，实在抱歉。
再次抱歉，谢谢您的耐心。
我知道这不是您想要的结果，再见。
""",
}

CUSTOMER: dict[str, str] = {
    "give/order": """
是{order}
{order}
单号{order}
好的，{order}
应该是{order}
给你：{order}
等一下……{order}
邮件里写的是{order}
""",
    "give/address": """
{address}
请寄到{address}
是{address}
{address}，二楼
我地址是{address}
寄{address}就行
""",
    "give/day": """
{day}可以
{day}
就{day}吧
{day}行吗？
我{day}有空
最好是{day}
""",
    "give/product": """
{product}
就是{product}
我说的是{product}
{colour}的{product}
那个{product}
你们家的{product}，{colour}那款
""",
    "give/contact": """
{contact}
应该是{contact}
我用{contact}注册的
试试{contact}
登录用的是{contact}
好像是{contact}
""",
    "give/amount": """
{amount}
写的是{amount}
正好{amount}
我看到的是{amount}
当时是{amount}
这里显示{amount}
""",
    "yes": """
对
是的，没错
没错
就是这个
嗯
对的
是
是的，谢谢
""",
    "no/order": """
不是，是{order}
说错了，是{order}
不太对，{order}
搞混了，应该是{order}
""",
    "no/address": """
不对，是{address}
不好意思，还是{address}吧
不是那里，{address}
等等，改成{address}更好
""",
    "no/day": """
不是，{day}
说错了，{day}
还是{day}好
嗯，改{day}吧
""",
    "no/contact": """
不是，{contact}
打错字了，{contact}
其实是{contact}
错了，{contact}才对
""",
    "happy": """
太好了，谢谢
好的，非常感谢
这么快，谢谢
很好，(再见|多谢)
好的谢谢
可以，祝你工作顺利
行，那没别的了
好，太感谢了
""",
    "unhappy": """
那可惜了，还是谢谢
哦，好吧
唉，还以为可以呢
知道了，不太满意，不过谢谢你查
那算了
太遗憾了，还是谢谢
""",
}
