"""What the Chinese agent of a dialogue can and cannot do; see `grammar` for the notation."""

from __future__ import annotations

OUTCOMES: dict[str, str] = {
    "done/cancel_order": """
订单{order}已经取消了，不会(发货|扣款)，稍后会给您发通知。
{order}在出库前拦下来了，不收任何费用。
好了，{order}不会再发出，款项原路退回。
{order}已撤销，确认信息马上发给您。
""",
    "fail/cancel_order": """
{order}已经出库，拦不住了。您(拒收|不签收)就行，包裹会退回来。
不好意思，{order}已经交给{courier}了。收到后可以免费退货。
取消不了了，{order}今天早上已由{courier}揽收，退货码放在您账号里了。
{order}已经在路上了，别拆封，退回来我们给您退款。
""",
    "done/change_order": """
{order}已经按您说的改好了，新的订单信息里能看到。
改动已经保存到{order}，金额也更新了。
{order}改好了，送货时间不变。
办好了，{order}里现在是新的商品。
""",
    "fail/change_order": """
{order}已经打包，内容改不了了。要不我帮您(取消|撤掉)，您重新拍一单？
{order}现在没法修改，收到以后可以换货。
仓库已经封箱了，{order}里不想要的退回来，我们退款。
抱歉，{order}改不了了，不过换货是免费的。
""",
    "done/change_address": """
{order}改寄到{address}了，{courier}那边也通知到了。
{order}的新地址是{address}，稍后有短信提醒。
地址换好了，{order}会送到{address}。
没问题，{order}已经转寄{address}。
""",
    "fail/change_address": """
{order}已经在派送了，您可以到{place}(自提|去取)，或者明天再送到{address}。
{order}的面单已经打出来了，改不成{address}，可以在{courier}的网站上转寄。
{order}我这边够不着了。没人签收会退回来，到时再寄{address}。
这次来不及改成{address}了，{order}先放在{place}等您取。
""",
    "done/track_order": """
{order}由{courier}承运，预计{future}送到。
查到了，{order}已经从{place}发出，{future}到。
{order}现在在{place}，{courier}计划{future}派送。
您的包裹{order}在{courier}路上，预计{future}到。
""",
    "fail/track_order": """
{order}还没发出，有一件缺货，{future}应该能发。
{order}到{place}之后就没有更新了，我已经让{courier}去查，有消息马上告诉您。
{order}在{place}卡住了，{courier}说{future}能动。
{order}还在打包，所以没有物流信息，您{future}再看看。
""",
    "done/reschedule_delivery": """
{order}改到{day}送，已经备注给{courier}了。
{order}的派送改成{day}了，送之前会打电话。
已经跟{courier}约好了，{day}送{order}。
好的，{courier}会在{day}送{order}。
""",
    "fail/reschedule_delivery": """
{courier}那天送不了{order}，我先给您放到{place}的自提点。
{order}已经装车，日期改不了，可以让邻居代收，不然就放到{place}。
那天约不上，{courier}会在{future}再送一次{order}。
{courier}那天已经满了，{order}改成{future}送，您看行吗？
""",
    "done/not_received": """
{courier}把{order}放在{place}的自提点了，(写的是您的名字|报名字就能取)。
找到了，{order}是邻居代收的，{courier}说签收人是{person}。
司机提前扫了{order}的签收，{future}会送到。
{order}误放在{place}了，{courier}{future}给您送过去。
""",
    "fail/not_received": """
{courier}也说不清{order}在哪，我已经发起查件，查不到就(补发|重新寄)或者退款。
{order}上的签名不是您的，我给{address}补发一件。
{order}按丢件处理，要重新发一件吗？不要的话就退款。
从今天起{order}算丢失，新的包裹正在打包，还是寄到{address}。
""",
    "done/stock_question": """
{product}有货，今天就能发。
有的，{product}还剩(几件|一些)。
正好，{product}今天早上刚到货。
仓库里还有不少{product}。
""",
    "fail/stock_question": """
{product}目前卖完了，{future}应该会到，到货(通知|告诉)您好吗？
现在没有{product}，下一批{future}到。
{product}不会再进货了，新款的{colour}跟它差不多。
{product}暂时没货，什么时候到还不清楚。
""",
    "done/complaint_service": """
您说的我都记下来了，已经转给(主管|组长)，会有人通过{contact}联系您。
投诉已经登记，我们会给{contact}一个交代。
这件事我来跟进，结果发到{contact}。
谢谢您告诉我们，客服主管会回复{contact}。
""",
    "fail/complaint_service": """
事情已经发生了没法挽回，送您一张{amount}的券，发到{contact}。
那位同事已经离职了，我只能替他道歉，给您账号补了{amount}。
同事的情况我不方便说，投诉会交给管理层，由他们回复{contact}。
更好的解释我也没有，下次下单给您减{amount}。
""",
    "done/wrong_item": """
{order}里正确的那件今天发出，发错的用新箱子里的面单寄回来。
{order}确实发错了，我们补发对的，错的上门取。
{order}的换货安排好了，不收钱，{courier}会来取错的那件。
{order}该发的那件已经在路上了，退回的运费不用您出。
""",
    "fail/wrong_item": """
{order}里您要的那件卖完了，只能退款，麻烦把发错的寄回来。
正确的那件没有库存了，{order}给您退款可以吗？
{order}里您拍的已经没货，收到发错的那件后马上退款。
对的那件没有了，{order}发错的您愿意半价留下吗？
""",
    "done/damaged_item": """
{order}里坏的那件给您换新的，旧的不用寄回来。
新的今天从仓库发出，单号还是{order}，坏的请您处理掉。
{order}的补发安排好了，由{courier}送。
给您重新下了一件，单号不变，还是{order}。
""",
    "fail/damaged_item": """
要先看到损坏的照片才能补发{order}，直接回复图片就行。
没有货可以换了，{order}给您全额退款。
{courier}要先来看{order}的破损情况，他们{future}到。
麻烦拍一下{order}的外箱和商品，我再给您判断。
""",
    "done/missing_part": """
{order}少的配件今天寄出。
已经让仓库补配件了，单号还是{order}。
{order}缺的给您补发，不收费。
配件打包好了，跟着{order}用小盒子寄给您。
""",
    "fail/missing_part": """
这个配件没有单独的，把{order}寄回来换一套完整的吧。
配件要厂家发，得等到{future}，或者{order}直接退款。
单个配件我们不备货，可以整件换{order}。
{order}的这个配件没有了，给您退{amount}可以吗？
""",
    "done/return_item": """
{order}的退货码发您了，(交给|送到){courier}任意网点都行。
{order}可以退，用我刚发的面单寄回来，箱子请封好。
{order}的退货已登记，{courier}{future}上门取。
已经为{order}开通退货，面单在您账号里。
""",
    "fail/return_item": """
{order}已经过了退货时间，我可以给您一张{amount}的券。
{order}是定做的，退不了，可以维修。
这类商品拆封后不能退，{order}也一样。
{order}退不了了，要不送给身边需要的人？
""",
    "done/exchange_item": """
{order}的换货办好了，(新的今天就发|今天给您发新的)，旧的用同一个箱子寄回。
另一件给您留着了，{order}用邮件里的面单寄回来。
{courier}送新的时候，会把{order}的旧的取走。
{order}换货已登记，新的{future}到。
""",
    "fail/exchange_item": """
您想换的那款卖完了，{order}只能退款。
那个尺码我们不做，{order}请退货退款。
{order}是别的商家卖的，换不了，请联系{contact}。
没有{colour}的可以换了，{order}可以退款。
""",
    "done/warranty_repair": """
{product}在保修期内，寄到{place}维修点的面单已经发您了。
{product}免费修，{courier}{future}来取。
保修有效，维修点等您的{product}。
{product}的维修约好了，大概{duration}修好。
""",
    "fail/warranty_repair": """
{product}已经过保，维修要{amount}。
{product}进水不在保修范围，维修点可以给您报价。
您名下查不到{product}的保修，购物小票还在吗？
{product}修不了，买新的可以抵{amount}。
""",
    "done/refund_status": """
{order}的退款{past}已经打出去了，银行那边还要一点时间。
查到{order}有{amount}正在退给您。
{order}的钱{past}已经退了，一共{amount}。
{order}退了{amount}，下期账单能看到。
""",
    "fail/refund_status": """
{order}的包裹还没退到仓库，收到才能退款。
{order}退款失败了，您的卡过期了，请换一个账户。
{order}的退款一直没发起，我现在办好了，抱歉。
财务正在核对{order}，我催一下。
""",
    "done/price_adjustment": """
{order}的差价退给您了，很快到卡上。
{order}按{amount}算，多的退给您。
合理，{order}给您补到{amount}。
{order}的价格已经改成{amount}。
""",
    "fail/price_adjustment": """
{amount}的活动在{order}发货之后才开始，补不了，下次给您一张券。
我们只保自己的价，{amount}是别家的，{order}不能改。
{order}降不到{amount}，那是会员价。
{order}过了太久，{amount}用不上了。
""",
    "done/wrong_charge": """
您说得对，{amount}是扣错了，退回您的卡。
{amount}这笔已经撤销。
{amount}扣了两次，退您一笔。
{amount}给您退，重复的那笔找到了。
""",
    "fail/wrong_charge": """
{amount}只是银行的预授权，过几天自己会消失。
{amount}是您{past}开通的会员费。
我们没有扣过{amount}，请问一下银行是谁扣的。
{amount}是{product}的押金，之后会退。
""",
    "done/payment_failed": """
付款已经重置，用邮件里的链接再试一次。
您的卡试了三次被锁，现在解开了。
是我们这边的问题，已经好了，(现在再付一次|您再试试)。
结算页面给您解锁了，应该可以了。
""",
    "fail/payment_failed": """
您的银行拒付了，请(打电话|问一下)银行，或者转账付款。
您那边的卡我们收不了，货到付款可以吗？
我只看到被拒，原因要问银行。
支付系统要到{future}才恢复，购物车给您留着。
""",
    "done/invoice_request": """
{order}的发票正在发到{contact}。
{order}的发票已经发{contact}，抬头是公司。
{order}的发票在{contact}的邮箱里，您查收。
刚把{order}的发票发到{contact}了。
""",
    "fail/invoice_request": """
{order}发货后才能开票，到时发到{contact}。
发票开了就不能改抬头，{order}原来那张在{contact}。
{order}是合作商家卖的，由他们开票，我已经让他们发{contact}。
没有税号，{order}只能开收据，发到{contact}。
""",
    "done/coupon_problem": """
优惠码给您放开了，现在能用。
优惠我手动减了，刷新一下购物车。
系统里把您的码写错了，已经改好。
给您换一个新码：{order}，旧的作废。
""",
    "fail/coupon_problem": """
这个码{past}就过期了，没法续，抱歉。
特价商品不能用券，其他都可以。
一单只能用一个码，您已经用了一个。
这个码是给新用户的，所以用不了。
""",
    "done/cancel_subscription": """
{contact}的会员这个月到期就停，不再扣费。
已经退订，最后一天是{day}，确认信息发到{contact}。
{contact}的订阅已经结束。
好了，{contact}不会再续费。
""",
    "fail/cancel_subscription": """
{contact}的会员要到{day}才到期，我登记了到期不续。
您是在应用商店订的，只能在那边退，{contact}在我这里查不到。
退订要本人提出，请用{contact}给我们写信。
{day}之前停不了，不过之后不会再扣{contact}的钱。
""",
    "done/pause_subscription": """
{contact}的会员暂停了，{day}恢复。
{day}之前不会再给{contact}发货。
{contact}从今天开始暂停，想恢复时告诉我们。
好的，{contact}到{day}之前什么都不会收到。
""",
    "fail/pause_subscription": """
{contact}这个月的已经打包，下个月开始暂停。
这个套餐不能暂停，只能退订，要帮{contact}办吗？
{contact}今年已经停过一次，只能停一次。
{contact}还有一笔没付，暂时停不了。
""",
    "done/login_problem": """
新的链接发到{contact}了，一小时内有效。
{contact}试错太多次被锁，现在解开了。
看一下{contact}，有一个重设密码的验证码。
{contact}的密码重置了，垃圾箱也看一下。
""",
    "fail/login_problem": """
没有{contact}这个账号，是不是用别的注册的？
{contact}是手机登录的，请点那个按钮。
现在登录系统坏了，{future}再用{contact}试一下。
为了安全，{contact}不能在线解锁，验证码会寄信给您。
""",
    "done/delete_account": """
{contact}这个账号会注销，里面的内容一起删除。
{contact}开始注销了，最后会收到一封邮件。
{contact}的资料正在全部删除。
{contact}从现在起关闭了。
""",
    "fail/delete_account": """
{contact}还有没送到的订单，送到之后才能注销。
按规定发票要保留，{contact}的部分资料会留着，其他都删。
要先从{contact}发邮件确认，我刚给您写信了。
{contact}还有余额{amount}，请先用掉再注销。
""",
}
