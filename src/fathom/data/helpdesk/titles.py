"""Titles of tickets: what the desk writes over a customer's message; see `grammar` for the notation."""

from __future__ import annotations

from fathom.data.helpdesk.grammar import Language

TITLES: dict[Language, dict[str, str]] = {
    "en": {
        "cancel_order": """
Cancel order[ {order}]
Customer wants to cancel before shipping[: {order}]
Stop order[ {order}] before it ships
Cancellation of an unshipped order[, {order}]
""",
        "change_order": """
Change contents of order[ {order}]
Edit an open order[: {order}]
Items of order[ {order}] to be changed
Order[ {order}] needs other items
""",
        "change_address": """
New delivery address[ for {order}]
Redirect parcel[ {order}]
Change address[ of order {order}]
Deliver elsewhere[: {order}]
""",
        "track_order": """
Where is order[ {order}]?
Asks for the state of a parcel[, {order}]
Tracking of parcel[ {order}]
Delivery date unknown[: {order}]
""",
        "reschedule_delivery": """
Other delivery day[ for {order}]
Move the delivery[ of {order}]
Delivery[ of {order}] on another day
Wants another date for the courier[, {order}]
""",
        "not_received": """
Parcel marked delivered but missing[: {order}]
Nothing arrived[ of {order}]
Delivered parcel[ {order}] not received
Lost after delivery[: {order}]
""",
        "stock_question": """
Availability[ of the {product}]
Is it in stock[: {product}]?
Question about stock[ of the {product}]
Back in stock when[: {product}]?
""",
        "complaint_service": """
Complaint about service
Unhappy with our support
Complains about the support desk
Bad service reported
""",
        "wrong_item": """
Wrong item in the box[ of {order}]
Received another article[ than the {product}]
Got the wrong article[: {order}]
Mix-up in the warehouse[, {order}]
""",
        "damaged_item": """
Arrived broken[: {product}]
Damaged on arrival[: {order}]
Damaged delivery[ of the {product}]
Item defective when unpacked[, {product}]
""",
        "missing_part": """
Part missing[ from the {product}]
Incomplete delivery[ of {order}]
Delivery incomplete[: {product}]
Something lacks in the box[ of the {product}]
""",
        "return_item": """
Return[ of the {product}]
Wants to send goods back[: {order}]
Send back[ the {product}]
Return label wanted[ for {order}]
""",
        "exchange_item": """
Exchange[ of the {product}]
Swap for another size or colour[: {product}]
Exchange for another one[: {product}]
Other variant wanted[, {product}]
""",
        "warranty_repair": """
Repair under guarantee[: {product}]
Guarantee case[, {product}]
Repair[ of the {product}]
Stopped working, wants a repair[: {product}]
""",
        "refund_status": """
Where is the refund[ for {order}]?
Money not back yet[: {order}]
Refund overdue[, {order}]
Waiting for a refund[ of {amount}]
""",
        "price_adjustment": """
Lower price after purchase[: {product}]
Price match wanted[ for the {product}]
Wants the difference back[: {product}]
Cheaper now, asks for credit[: {product}]
""",
        "wrong_charge": """
Wrong charge[ of {amount}]
Unknown debit[: {amount}]
Charged wrongly[: {amount}]
Disputes a payment[ of {amount}]
""",
        "payment_failed": """
Payment fails
Card declined at checkout
Cannot pay
Checkout refuses the payment
""",
        "invoice_request": """
Invoice[ for {order}]
Needs a bill[ for {order}]
Invoice wanted[: {order}]
Send invoice[ of {order}]
""",
        "coupon_problem": """
Voucher code does not work
Discount refused
Problem with a coupon
Code rejected at checkout
""",
        "cancel_subscription": """
End the subscription
Cancel membership
Subscription to be ended
No renewal wanted
""",
        "pause_subscription": """
Pause the subscription
Membership on hold
Subscription to be paused
Break in deliveries wanted
""",
        "login_problem": """
Cannot sign in
Locked out of the account
Login problem
Password does not work
""",
        "delete_account": """
Delete account and data
Erase the customer's data
Account to be deleted
Close the account for good
""",
    },
    "zh": {
        "cancel_order": """
取消订单[{order}]
发货前要求取消[{order}]
拦截未发货订单[{order}]
未发货，申请撤单[{order}]
""",
        "change_order": """
修改订单[{order}]内容
订单[{order}]要换里面的商品
未发货订单[{order}]要改
更改订单商品[{order}]
""",
        "change_address": """
修改[{order}]收货地址
包裹[{order}]转寄
[{order}]换个地址送
收货地址变更[{order}]
""",
        "track_order": """
查询订单[{order}]物流
包裹[{order}]到哪了
[{order}]什么时候到
询问发货进度[{order}]
""",
        "reschedule_delivery": """
[{order}]改送货日期
另约时间派送[{order}]
[{order}]换一天送
送货改期[{order}]
""",
        "not_received": """
显示签收但没收到[{order}]
签收异常[{order}]
已签收未收到包裹[{order}]
包裹丢失[{order}]
""",
        "stock_question": """
询问[{product}]库存
[{product}]有没有货
[{product}]是否有货
到货时间咨询[{product}]
""",
        "complaint_service": """
投诉服务态度
对客服不满
投诉客服
服务差评反馈
""",
        "wrong_item": """
发错货[{order}]
收到的不是所买商品[{product}]
[{order}]商品发错
仓库配错货[{order}]
""",
        "damaged_item": """
[{product}]收到时已损坏
到货破损[{order}]
[{product}]运输损坏
开箱发现坏了[{product}]
""",
        "missing_part": """
[{product}]缺配件
少发东西[{order}]
[{product}]配件不全
箱子里少了配件[{product}]
""",
        "return_item": """
[{product}]退货
申请退货[{order}]
要退[{product}]
退货面单[{order}]
""",
        "exchange_item": """
[{product}]换货
更换尺码或颜色[{product}]
要换一个[{product}]
换其他款[{product}]
""",
        "warranty_repair": """
[{product}]保修
维修申请[{product}]
[{product}]坏了要修
保修期内故障[{product}]
""",
        "refund_status": """
[{order}]退款进度
退款未到账[{order}]
[{order}]的退款还没收到
催退款[{amount}]
""",
        "price_adjustment": """
[{product}]降价补差
申请差价[{product}]
[{product}]买后降价
要求保价[{product}]
""",
        "wrong_charge": """
扣款有误[{amount}]
不明扣费[{amount}]
多扣钱[{amount}]
对扣款有异议[{amount}]
""",
        "payment_failed": """
付款失败
银行卡被拒
无法付款
结算付不了款
""",
        "invoice_request": """
开[{order}]发票
索取发票[{order}]
[{order}]要发票
补开发票[{order}]
""",
        "coupon_problem": """
优惠码用不了
折扣没减
优惠券问题
结算时优惠码无效
""",
        "cancel_subscription": """
退订会员
取消续费
会员退订
不再续订
""",
        "pause_subscription": """
暂停会员
会员停一段时间
会员暂停申请
暂时不要发货
""",
        "login_problem": """
登录不了
账号被锁
登录问题
密码无效
""",
        "delete_account": """
注销账号并删除资料
删除个人信息
账号注销
永久关闭账号
""",
    },
}
