"""The pages of the help centre: one answer for each intent, which many questions ask for."""

from __future__ import annotations

from fathom.data.helpdesk.grammar import Language

PASSAGES: dict[Language, dict[str, str]] = {
    "en": {
        "cancel_order": (
            "Open 'My orders' and press 'Cancel' next to the order. This works until the parcel leaves the "
            "warehouse. After that, refuse the parcel or send it back. What you have paid is released at once."
        ),
        "change_order": (
            "As long as an order is not packed you can add or remove items, and choose another size or colour, "
            "under 'My orders' and 'Edit'. A packed order cannot be edited any more; exchange it after delivery."
        ),
        "change_address": (
            "The delivery address of an open order is changed under 'My orders', 'Delivery'. Once the courier "
            "has the parcel, redirect it with the link in the shipping mail."
        ),
        "track_order": (
            "The shipping mail holds a tracking link, and 'My orders' shows where each parcel is. New scans "
            "appear with a delay of some hours. No link means that the parcel has not left yet."
        ),
        "reschedule_delivery": (
            "Choose another delivery day with the link in the courier's message, up to the evening before. If "
            "you miss the courier, there is a second attempt on the next working day."
        ),
        "not_received": (
            "If a parcel counts as delivered but is not there, ask your neighbours and look for a card first. "
            "Then report it to us; we start a search with the courier and send a replacement if it stays lost."
        ),
        "stock_question": (
            "The product page shows whether an article is available. If it is sold out, press 'Tell me' and you "
            "get a mail as soon as it is back in the warehouse."
        ),
        "complaint_service": (
            "We want to know when something was unfriendly or slow. Use the form 'Feedback'; every complaint is "
            "read by the head of the support desk, who answers you in person."
        ),
        "wrong_item": (
            "If the box holds another article than you ordered, keep it unused and report it. We send the right "
            "one and have the wrong one collected at our cost."
        ),
        "damaged_item": (
            "Take photos of the box and of the broken article and send them to us. You get a new one, or the "
            "money if none is left. Keep the packaging until the case is closed."
        ),
        "missing_part": (
            "Screws, cables and other missing parts are sent as a letter, free of charge. Tell us which part it "
            "is; the manual has its number."
        ),
        "return_item": (
            "Unused goods can be sent back. Register the return under 'My orders', print the label and hand the "
            "parcel in at any shop of the courier. Goods made to measure are excluded."
        ),
        "exchange_item": (
            "To swap an article for another size or colour, choose 'Exchange' when you register the return. The "
            "new one is sent at once, so that nobody else buys it meanwhile."
        ),
        "warranty_repair": (
            "Articles that stop working within the guarantee are repaired in our workshop. Register the repair, "
            "enclose a copy of the receipt and describe the fault."
        ),
        "refund_status": (
            "A refund starts when the parcel is back in the warehouse. You get a mail then; the bank needs some "
            "days more. 'My orders' shows the state of each refund."
        ),
        "price_adjustment": (
            "If an article gets cheaper in our own shop shortly after you bought it, we pay the difference on "
            "request. Offers of other shops and clearance sales are excluded."
        ),
        "wrong_charge": (
            "If there is a payment on your card that you do not know, look at 'Payments' first: each is listed "
            "with its order. Reservations vanish by themselves. Report what remains unclear."
        ),
        "payment_failed": (
            "A declined card usually means that the bank wants a confirmation in its app. Check limit and expiry "
            "date, or pay by transfer or on account. The basket is kept for a day."
        ),
        "invoice_request": (
            "Invoices are in your account under 'Documents' as a PDF. To have a company name and tax number on "
            "them, enter both before you order."
        ),
        "coupon_problem": (
            "A voucher code is typed in at the last step of the checkout, without blanks. Each can be used once, "
            "not together with others, and not for reduced goods."
        ),
        "cancel_subscription": (
            "You end a subscription under 'Membership', 'End'. It runs until the end of the period that is paid, "
            "and then no further amount is debited."
        ),
        "pause_subscription": (
            "If you need a break, choose 'Pause' under 'Membership'. Nothing is sent or debited until the day "
            "you pick, and your advantages are kept."
        ),
        "login_problem": (
            "If you cannot sign in, ask for a new password with 'Forgotten?'. The link comes by mail and is good "
            "for an hour. After five wrong tries the account is locked for thirty minutes."
        ),
        "delete_account": (
            "Your account and all personal data are erased under 'Settings', 'Delete account'. Open orders must "
            "be finished first. Invoices are kept as long as the law demands."
        ),
    },
    "zh": {
        "cancel_order": (
            "打开“我的订单”，点订单旁边的“取消”即可，包裹出库之前都可以操作。出库后请拒收或退货。已付的款项会马上解冻。"
        ),
        "change_order": (
            "订单没有打包之前，可以在“我的订单”的“修改”里增减商品、换尺码或颜色。打包之后不能再改，请收货后换货。"
        ),
        "change_address": ("未发货的订单在“我的订单”的“配送”里改地址。包裹交给快递以后，请用发货短信里的链接转寄。"),
        "track_order": (
            "发货邮件里有查询链接，“我的订单”里也能看到包裹到了哪里，信息会晚几个小时。没有链接说明还没有发出。"
        ),
        "reschedule_delivery": (
            "在快递发来的短信里点链接可以另选送货日期，最晚到前一天晚上。没人在家的话，下一个工作日会再送一次。"
        ),
        "not_received": (
            "显示已签收却没收到时，先问问邻居，看看门口有没有留言条，然后告诉我们。我们会请快递查找，找不到就补发。"
        ),
        "stock_question": ("商品页上写着有没有货。卖完的商品点“到货提醒”，一到仓库就会给您发邮件。"),
        "complaint_service": ("服务不周或回复太慢，请填“意见反馈”。每一条投诉客服主管都会看，并亲自回复您。"),
        "wrong_item": ("收到的不是您买的那件，请不要使用，并告诉我们。我们补发正确的，错的由我们付费上门取回。"),
        "damaged_item": ("请拍下外箱和损坏的商品发给我们，给您换新，没有货就退款。处理完之前请保留包装。"),
        "missing_part": ("螺丝、电线之类少了的配件免费补寄。请告诉我们是哪一个，说明书上有编号。"),
        "return_item": ("没用过的商品可以退。在“我的订单”里登记，打印面单，把包裹交到快递的任意网点。定做的商品除外。"),
        "exchange_item": ("想换尺码或颜色，登记退货时选“换货”。新的会马上发出，免得被别人买走。"),
        "warranty_repair": ("保修期内坏了的商品由我们的维修点免费修理。请登记维修，附上小票复印件，并写明故障。"),
        "refund_status": (
            "包裹退回仓库后开始退款，届时会有邮件通知，银行还需要几天。“我的订单”里能看到每笔退款的进度。"
        ),
        "price_adjustment": ("买后不久本店自己降价的，您提出申请就退差价。别家的价格和清仓商品不算。"),
        "wrong_charge": (
            "卡上有不认识的扣款，请先看“支付记录”，每一笔都写着订单。预授权会自动消失，仍不清楚的请告诉我们。"
        ),
        "payment_failed": (
            "付款被拒多半是银行要您在手机上确认。请检查额度和有效期，也可以转账或货到付款。购物车保留一天。"
        ),
        "invoice_request": ("发票在账号的“单据”里，可以下载PDF。要写公司抬头和税号，请在下单前填好。"),
        "coupon_problem": ("优惠码在结算最后一步填写，中间不要有空格。每个码用一次，不能叠加，特价商品不能用。"),
        "cancel_subscription": ("在“会员”里点“退订”。已付的这一期用完为止，之后不再扣款。"),
        "pause_subscription": ("想停一阵子，在“会员”里点“暂停”。到您选的日期之前不发货也不扣款，权益保留。"),
        "login_problem": ("登录不了请点“忘记密码”，链接会发到邮箱，一小时内有效。连续输错五次，账号会锁定三十分钟。"),
        "delete_account": (
            "在“设置”的“注销账号”里可以删除账号和全部个人资料。先要完成未结束的订单，发票按法律规定的期限保留。"
        ),
    },
}
