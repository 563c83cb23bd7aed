"""The rules a shop may have, in English: as it states them, as customers ask for them, as the agent tells them."""

from __future__ import annotations

QUESTIONS: dict[str, str] = {
    "return_window": """
how long can I return things?
until when do I have to send something back?
how many days do I have for a return?
what's the deadline for returns?
by when must a return be with you?
how much time do I get to send it back?
""",
    "refund_time": """
how long does a refund take?
when will I see my money?
how many days until the money is back?
when is the refund in my account?
how soon do you pay back?
what's the usual time for refunds?
""",
    "delivery_time": """
how long does delivery take?
when do parcels usually arrive?
how many days is shipping?
what's the normal delivery time?
how soon would it be here?
how fast do you ship?
""",
    "warranty": """
how long is the guarantee?
what guarantee do you give?
for how many months is it covered?
how long do I have warranty?
until when would you repair it for free?
what's the warranty period?
""",
    "free_shipping": """
from what amount is shipping free?
when do I not pay for delivery?
how much must I order for free shipping?
is delivery free?
do you charge for shipping?
what's the minimum for free delivery?
""",
    "express_fee": """
what does express cost?
how much more is express delivery?
can I get it faster, and for how much?
is there a fee for express?
what would you charge for next-day delivery?
how expensive is the fast shipping?
""",
    "opening_hours": """
when can I reach you?
what are your hours?
until when are you there today?
how late is somebody at the desk?
when do you open?
at what times do you answer?
""",
    "price_match": """
for how long do you match a lower price?
what if it gets cheaper next week?
how many days is the price guaranteed?
when is it too late to ask for the difference?
do you pay the difference if the price falls?
how long after buying can I claim a better price?
""",
    "invoice_time": """
when do invoices come?
how long until I get the invoice?
how fast do you send a bill?
how many hours does an invoice take?
when will the invoice be here?
how soon is the bill written?
""",
    "pause_limit": """
how long can a plan be paused?
what's the longest break I can take?
for how many months may I pause?
how long a pause do you allow?
is there a limit for pausing?
up to when can I put it on hold?
""",
    "pickup_time": """
how long does a pickup point keep my parcel?
until when can I collect it?
how many days does it wait for me there?
when is it sent back if I don't fetch it?
how long do you store a parcel?
for how long is it kept?
""",
    "reply_time": """
when will I hear from you?
how long until somebody answers?
how many days do you need for a reply?
when do I get an answer?
how soon will you write back?
how long does it take you to check?
""",
}

ANSWERS: dict[str, str] = {
    "return_window": """
You have {return_window} to send something back.
Returns are possible for {return_window}.
Within {return_window} of delivery you can return anything.
It has to be on its way to us within {return_window}.
""",
    "refund_time": """
A refund takes {refund_time}.
You'll have the money within {refund_time}.
It's in your account after {refund_time}.
We need {refund_time} to pay it back.
""",
    "delivery_time": """
Delivery takes {delivery_time}.
Parcels are with you in {delivery_time}.
You can count on {delivery_time}.
It usually arrives within {delivery_time}.
""",
    "warranty": """
The guarantee is {warranty}.
We repair it free of charge for {warranty}.
You're covered for {warranty}.
It's under warranty for {warranty}.
""",
    "free_shipping": """
Shipping is free from {free_shipping}.
You pay nothing for delivery if you order for {free_shipping} or more.
From {free_shipping} on we ship for free.
Below {free_shipping} we charge for delivery, above it we don't.
""",
    "express_fee": """
Express costs {express_fee} more.
For {express_fee} it comes the next day.
There's a fee of {express_fee} for express.
Next-day delivery is {express_fee}.
""",
    "opening_hours": """
We're here {opening_hours}.
You can reach us {opening_hours}.
Our desk is open {opening_hours}.
Somebody answers {opening_hours}.
""",
    "price_match": """
We match a lower price for {price_match} after you buy.
For {price_match} you get the difference back.
You can ask for it within {price_match}.
If it gets cheaper within {price_match}, we pay the rest.
""",
    "invoice_time": """
Invoices come within {invoice_time} of shipping.
It takes up to {invoice_time}.
You'll have it in {invoice_time}.
We write them within {invoice_time}.
""",
    "pause_limit": """
A plan can be paused for up to {pause_limit}.
The longest pause is {pause_limit}.
You may take a break of {pause_limit}.
Up to {pause_limit}, then it goes on by itself.
""",
    "pickup_time": """
A parcel waits {pickup_time} at the pickup point.
It's kept for {pickup_time}.
You have {pickup_time} to collect it.
After {pickup_time} it comes back to us.
""",
    "reply_time": """
You'll get an answer within {reply_time}.
We reply in {reply_time}.
Please give us {reply_time}.
It takes us {reply_time} to answer.
""",
}

RULES: dict[str, str] = {
    "return_window": "Goods can be returned for {return_window} after delivery.",
    "refund_time": "Refunds are paid within {refund_time}.",
    "delivery_time": "Delivery takes {delivery_time}.",
    "warranty": "All goods have a guarantee of {warranty}.",
    "free_shipping": "Shipping is free from {free_shipping}.",
    "express_fee": "Express delivery costs {express_fee}.",
    "opening_hours": "Support is open {opening_hours}.",
    "price_match": "Lower prices are matched for {price_match} after purchase.",
    "invoice_time": "Invoices are sent within {invoice_time} of shipping.",
    "pause_limit": "Subscriptions can be paused for up to {pause_limit}.",
    "pickup_time": "Pickup points keep parcels for {pickup_time}.",
    "reply_time": "Written questions are answered within {reply_time}.",
}
"""The rules as the system turn states them."""

VALUES: dict[str, str] = {
    "return_window": "14 days;21 days;30 days;45 days;60 days",
    "refund_time": "3 working days;5 working days;7 working days;10 working days",
    "delivery_time": "2 working days;3 working days;4 working days;5 working days;6 working days",
    "warranty": "12 months;18 months;24 months;36 months",
    "free_shipping": "$29;$39;$49;$59;$79;$99",
    "express_fee": "$5;$6;$8;$9;$12",
    "opening_hours": "from 8 to 17;from 8 to 20;from 9 to 18;from 9 to 21;from 10 to 19",
    "price_match": "7 days;10 days;14 days;21 days",
    "invoice_time": "12 hours;24 hours;48 hours;72 hours",
    "pause_limit": "2 months;3 months;4 months;6 months",
    "pickup_time": "5 days;7 days;8 days;10 days",
    "reply_time": "2 working days;3 working days;4 working days;5 working days",
}
"""What a shop's rule may be; plain words, shared by all splits."""
