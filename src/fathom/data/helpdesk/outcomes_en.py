"""What the English agent of a dialogue can and cannot do; see `grammar` for the notation."""

from __future__ import annotations

OUTCOMES: dict[str, str] = {
    "done/cancel_order": """
Order {order} is (cancelled|called off), nothing will be (shipped|charged). You'll get a mail about it.
I have stopped {order} before it left the warehouse. It costs you nothing.
Done: {order} will not be sent, and the payment is released.
{order} has been withdrawn. The confirmation is on its way to you.
""",
    "fail/cancel_order": """
{order} has left the warehouse, I can't stop it. (Simply refuse the parcel|Just don't accept it) and it comes back.
I'm afraid {order} is with {courier} by now. You can send it back free of charge once it arrives.
It's too late to cancel {order}: it was handed to {courier} this morning. I've put a return label in your account.
Unfortunately {order} is on its way. Return it unopened and we take it back.
""",
    "done/change_order": """
I opened {order} and made the change. You'll see it in the new confirmation.
Your change to {order} is saved, and the total is updated.
{order} is changed as you wished. The delivery day stays the same.
That's done, {order} now has the new contents.
""",
    "fail/change_order": """
{order} is packed, so its contents are fixed. I can (cancel|stop) it and you order again, if you like.
I can no longer edit {order}. What I can offer is an exchange after delivery.
The warehouse has closed the box of {order}. Send back what you don't want and we refund it.
Sorry, {order} can't be edited any more, but an exchange is free.
""",
    "done/change_address": """
{order} now goes to {address}. {courier} knows about it.
The new address of {order} is {address}. You'll get a mail shortly.
I've replaced the address: {order} will be delivered to {address}.
All set, {order} is redirected to {address}.
""",
    "fail/change_address": """
{order} is in the van already. You can (pick it up|collect it) in {place} or have it sent to {address} again tomorrow.
The label of {order} is printed, so I can't put {address} on it. {courier} can redirect it on their site.
I can't reach {order} any more. If nobody is there, it comes back and we send it to {address}.
It's too late for {address} this time; the parcel {order} waits for you in {place} instead.
""",
    "done/track_order": """
{order} is with {courier} and should arrive {future}.
I found it: {order} left {place} and comes {future}.
{courier} has {order} in {place}. They plan to deliver {future}.
Your parcel {order} is on its way with {courier}, expected {future}.
""",
    "fail/track_order": """
{order} hasn't left us yet, because one item is late. It should go out {future}.
I see no scan of {order} since {place}. I've asked {courier} to look for it and will write to you.
There is a delay: {order} is stuck in {place}. {courier} says it will move {future}.
{order} is still being packed, so there's no tracking yet. Please look again {future}.
""",
    "done/reschedule_delivery": """
The delivery of {order} is now planned for {day}. {courier} has the note.
I moved {order} to {day}. The driver calls before.
{day} is booked for {order} with {courier}.
Done, the new day for {order} is {day}. {courier} knows.
""",
    "fail/reschedule_delivery": """
{courier} doesn't offer that day for {order}. I've left it for you at the pickup point in {place}.
The van with {order} is loaded, so the day can't be moved. A neighbour may take it, or it goes to {place}.
I couldn't get that day for {order}. {courier} will try a second time {future}.
That day is full at {courier}. {order} comes {future} instead, I hope that's fine.
""",
    "done/not_received": """
{courier} left {order} at the pickup point in {place}. (Your name is on it|It's kept for you there).
I've found {order}: a neighbour signed for it. {courier} sent me the name, it's {person}.
The driver scanned {order} too early. It's delivered {future}.
{order} was put down in {place} by mistake; {courier} brings it {future}.
""",
    "fail/not_received": """
{courier} can't say where {order} is, so I've opened a search. You'll get (a new one|a replacement) or your money.
I see a signature for {order} that isn't yours. I'm sending a replacement to {address}.
{order} counts as lost. Shall I send it again? Otherwise the money goes back.
We treat {order} as lost from today, and a new parcel to {address} is being packed.
""",
    "done/stock_question": """
The {product} is in stock, and we ship it today.
Yes, we have (a few|some) of the {product} left.
Good news: the {product} came in this morning.
There is plenty of the {product} in the warehouse.
""",
    "fail/stock_question": """
The {product} is sold out right now. It should be back {future}; shall I (write to|inform) you then?
We have no {product} at the moment. The next delivery comes {future}.
I'm afraid the {product} won't come back. The {colour} one of the new series is similar.
At present there's no {product} left, and I have no date yet.
""",
    "done/complaint_service": """
I've written down everything and passed it to (my manager|the team lead). Somebody will write to {contact}.
Your complaint is filed, and you'll get an honest answer at {contact}.
I've taken this up myself and will come back to you at {contact}.
Thank you for telling us. The head of support answers you at {contact}.
""",
    "fail/complaint_service": """
I can't undo what happened, but here is a voucher of {amount}, sent to {contact}.
The colleague has left already, so I can only apologise. We've added {amount} to your account.
I can't discuss staff here. The complaint goes to the management, which writes to {contact}.
I have no better explanation for you. Please take {amount} off your next order.
""",
    "done/wrong_item": """
The right item of {order} leaves today. Keep the label in the new box for the wrong one.
I see the mix-up in {order}. We send the correct one and collect the other.
A replacement for {order} is booked, free of charge. {courier} picks up the wrong item.
The item that belongs to {order} is on its way to you, and you needn't pay for the return.
""",
    "fail/wrong_item": """
The right item of {order} is sold out, so you get your money back. Please send us the wrong one.
I can't find the correct one in stock. Shall I refund {order}?
We have none left of what you ordered in {order}; the refund is made as soon as the wrong item is here.
Unfortunately the right article is gone. You may keep the wrong one from {order} for half the price.
""",
    "done/damaged_item": """
We'll replace the broken item of {order}. You don't have to send it back.
A new one leaves the warehouse today under {order}. Please throw the broken one away safely.
The replacement for {order} is booked and comes with {courier}.
I've ordered a new one for you, the number stays {order}.
""",
    "fail/damaged_item": """
I need a photo of the damage before I can replace anything from {order}. Just answer this message with it.
There's none left to replace it, so I refund {order} in full.
{courier} has to look at the damage of {order} first. They come {future}.
Please send us a picture of the box and the item of {order}; then I can decide.
""",
    "done/missing_part": """
The missing part of {order} goes out today as a letter.
I've asked the warehouse for the part. It comes under the same number, {order}.
We send you what was missing from {order}, at no cost.
The part is packed and follows {order} in a small box.
""",
    "fail/missing_part": """
We don't have that part alone. Send back {order} and you'll get a complete one.
The part has to come from the maker, which takes until {future}. Or I refund {order}.
Single parts aren't kept here. I can exchange the whole item of {order}.
There's no such part in stock for {order}; shall I offer you {amount} off instead?
""",
    "done/return_item": """
The return label for {order} is in your mail. (Hand it in at any shop of|Give the parcel to) {courier}.
You can send {order} back with the label I've just sent. Tape the box well, please.
I registered the return of {order}. {courier} collects it {future}.
A return for {order} is open now, and the label is in your account.
""",
    "fail/return_item": """
The time for returning {order} is over, I'm afraid. I can offer you {amount} as a voucher.
{order} was made to measure, so it can't be returned. A repair is possible.
Opened goods of this kind can't come back to us. That holds for {order}, too.
We can't take back {order} any more. Maybe somebody around you can use it?
""",
    "done/exchange_item": """
The exchange for {order} is booked, (the new one leaves today|we send it today). Put the old one in the same box.
I've reserved the other one for you. Return {order} with the label in your mail.
{courier} brings the new item and takes the old one of {order} along.
Your exchange of {order} is registered, the new item comes {future}.
""",
    "fail/exchange_item": """
The one you want instead is sold out. I can only refund {order}.
We don't make it in that size. Please return {order} for a refund.
I can't exchange {order}, as it comes from another seller. They answer at {contact}.
There's no other {colour} one left to swap {order} for; a refund is possible.
""",
    "done/warranty_repair": """
The {product} is covered. I've sent you a label for our workshop in {place}.
We repair the {product} free of charge. {courier} picks it up {future}.
Your guarantee is valid, and the workshop expects the {product}.
A repair of the {product} is booked; it will be back in about {duration}.
""",
    "fail/warranty_repair": """
The guarantee of the {product} has run out. A repair would cost {amount}.
Damage by water isn't covered for the {product}. The workshop can make you an offer.
I find no guarantee for the {product} under your name. Do you have the receipt?
We can't repair the {product}, but you get {amount} towards a new one.
""",
    "done/refund_status": """
The refund for {order} was made {past}. Your bank needs a little longer.
I see {amount} for {order} on its way to you.
Your money for {order} left us {past}, {amount} in all.
We paid back {amount} for {order}; look for it on your next statement.
""",
    "fail/refund_status": """
The parcel of {order} isn't back with us yet, so the refund waits for it.
The refund of {order} failed, because the card has expired. Please give us an account.
I see that the refund for {order} was never started. I've done that now, sorry.
Our accounts are checking {order}; I've asked them to hurry.
""",
    "done/price_adjustment": """
I've credited the difference for {order}. It's back on your card soon.
You get the lower price of {amount} for {order}, the rest is refunded.
That's fair: we match {amount} for {order}.
The price of {order} is corrected to {amount}.
""",
    "fail/price_adjustment": """
The offer of {amount} began after {order} was sent, so I can't match it. Here's a voucher for next time.
We match our own prices only, and {amount} is from another shop. {order} stays as it is.
I'm not able to lower {order} to {amount}; the sale was for members.
Too many days have passed since {order}, so {amount} can't be applied.
""",
    "done/wrong_charge": """
You're right, {amount} was taken by mistake. It goes back to your card.
I've cancelled the charge of {amount}.
The {amount} were booked twice, and one is being returned.
We refund {amount}; I've found the double entry.
""",
    "fail/wrong_charge": """
The {amount} are only reserved by your bank and will disappear by themselves.
I see that {amount} belong to the subscription you took out {past}.
We have no charge of {amount} from you. Please ask your bank who took it.
The charge of {amount} is the deposit for the {product}; you get it back later.
""",
    "done/payment_failed": """
I've reset the payment. Please try once more with the link in your mail.
Your card was blocked after three tries; it's free again.
The error was on our side and is gone. (Just pay again|Please try again) now.
I unlocked the checkout for you, it should work.
""",
    "fail/payment_failed": """
Your bank declines the card. Please (call them|ask them), or pay by transfer.
We can't take this card in your country. Would an invoice do?
I see the refusal, but not its reason; only your bank can tell.
The payment service is down until {future}. I'll keep your basket.
""",
    "done/invoice_request": """
The invoice for {order} is on its way to {contact}.
I've sent the invoice of {order} to {contact}, with your company on it.
You'll find the invoice for {order} in your mail at {contact}.
Invoice {order} was mailed to {contact} a minute ago.
""",
    "fail/invoice_request": """
The invoice of {order} can only be made after shipping. It then goes to {contact}.
I can't change the name on an invoice once it's booked. The old one for {order} is at {contact}.
{order} was sold by a partner, who writes the invoice. I've asked them to mail {contact}.
We have no tax number from you, so {order} gets a receipt only, sent to {contact}.
""",
    "done/coupon_problem": """
The code works now; I've freed it for your account.
I've taken the discount off by hand. Please reload the basket.
Your voucher had a typo in our system. It's mended.
Here's a new code for you: {order}. It replaces the old one.
""",
    "fail/coupon_problem": """
That code ran out {past}. I can't renew it, sorry.
The voucher isn't valid for goods on sale. It works for everything else.
Only one code can be used per order, and you have one in it.
This code was made for new customers, so it's refused here.
""",
    "done/cancel_subscription": """
Your subscription under {contact} ends with this month. Nothing more will be charged.
I've cancelled it. The last day is {day}, and {contact} gets the confirmation.
The subscription of {contact} is ended.
Done, no more renewals for {contact}.
""",
    "fail/cancel_subscription": """
The subscription of {contact} has a term until {day}; I've noted that it ends then.
You booked through an app store, so only they can end it. I find nothing under {contact} here.
The notice has to come from the owner of {contact}. Please write to us from there.
I can't end it before {day}, but {contact} won't be charged after that.
""",
    "done/pause_subscription": """
Your plan under {contact} is paused. It goes on {day}.
I've stopped deliveries for {contact} until {day}.
The pause for {contact} begins today; write to us when you want to go on.
All right, {contact} gets nothing more until {day}.
""",
    "fail/pause_subscription": """
The box of this month for {contact} is packed. The pause starts after it.
Your plan can't be paused, only ended. Shall I do that for {contact}?
{contact} had a pause this year already, and one is the limit.
There's an unpaid bill for {contact}, so I can't pause it yet.
""",
    "done/login_problem": """
I've sent a new link to {contact}. It's good for one hour.
The account {contact} was locked after too many tries. It's open again.
Please look at {contact}, there's a code to set a new password.
I reset the password of {contact}; check the spam folder, too.
""",
    "fail/login_problem": """
There's no account under {contact}. Maybe you signed up with another address?
{contact} uses a login by phone; please take that button.
Our login is down for everybody at the moment. Please try with {contact} again {future}.
For safety I can't open {contact} by chat. A letter with a code is on its way.
""",
    "done/delete_account": """
The account {contact} will be erased, with everything in it.
I've started the deletion of {contact}. You'll get one last mail.
All data of {contact} are being removed.
Your account {contact} is closed from now on.
""",
    "fail/delete_account": """
There's still an open order under {contact}. I can delete the account once it's delivered.
The law makes us keep invoices, so some data of {contact} stay. The rest is deleted.
We need your consent by mail from {contact} first; I've just written to you.
{contact} has credit of {amount}. Please use it before I delete the account.
""",
}
