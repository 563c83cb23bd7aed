"""English wishes about payment, subscription and account: verb phrases that follow 'I want to'."""

from __future__ import annotations

GOALS: dict[str, str] = {
    "wrong_charge": """
dispute a charge of {amount}
report that I was billed twice for {order}
ask why you took {amount} from my card
have an unknown payment explained
get the extra {amount} looked into
tell you the sum debited is wrong
complain about a double charge
know why my card was charged {amount}
report an unknown charge on my statement
have the wrong amount on my card corrected
ask about a charge of {amount} from {pastday}
tell you I was charged too much for {order}
know why I was charged twice
report a wrong payment on my card
dispute the bill, you took too much money
ask about an extra fee of {amount}
tell you money was taken without my permission
find out what this charge from {pastday} is for
""",
    "payment_failed": """
pay for {order}, but the card is declined
finish a payment that keeps failing
find out why checkout refuses my card
retry the payment for the {product}
know how to pay when the code never comes
get past the payment error
pay, but my payment fails
know why my card is declined
complete checkout, which gives an error
buy the {product} although the payment is refused
fix a problem with paying for {order}
pay with another card because mine isn't accepted
solve a problem with my payment at checkout
know why my payment doesn't go through
pay for the {product}, but my card isn't working
find out why I get an error when I pay
place an order, but the payment page crashes
try the payment of {amount} again
""",
    "invoice_request": """
get the invoice for {order}
have a receipt sent to {contact}
receive a bill with our company name
download the tax document for the {product}
have the name on the invoice corrected
get proof of payment over {amount}
have an invoice for the {product}
get a VAT invoice for my company
ask for a copy of my receipt
have the bill for {order} sent by mail
get an invoice made out to {person}
download my receipt from {pastday}
get a receipt for {order}
have an invoice emailed to me
get a copy of the bill from {pastday}
receive a proper invoice with VAT
ask for a receipt for my taxes
get an invoice with a different name on it
""",
    "coupon_problem": """
use my voucher of {amount}
get the promo code to work
have the discount applied to {order}
redeem a gift card that is refused
ask why my coupon isn't accepted
bring back an expired code
apply a discount code to {order}
know why my discount code isn't valid
use a coupon that gives an error
get the {amount} off from my voucher
find out where to enter my coupon
redeem my gift card
use my discount code at checkout
find out why the voucher doesn't work
get the discount from your newsletter
add a forgotten promo code to {order}
ask about a coupon that has expired
know why I don't get the promised discount
""",
    "cancel_subscription": """
cancel my {plan} membership
end the monthly plan for good
stop {plan} from renewing
get out of the subscription
quit {plan} before {day}
turn off the renewal
unsubscribe from {plan}
cancel the membership that renews {future}
terminate my subscription
stop paying for {plan} every month, for good
not renew {plan}
end my free trial before it costs money
cancel my subscription to {plan}
stop my monthly subscription
quit my membership completely
end the contract for {plan}
unsubscribe from the monthly box for ever
cancel the automatic renewal of {plan}
""",
    "pause_subscription": """
pause {plan} until {day}
skip the next monthly box
put my membership on hold
freeze the plan while I'm in {place}
take a break from {plan} and come back
suspend the payments for two months
pause my subscription for a month
freeze {plan} for a while
suspend {plan} and continue later
hold my membership until {day}
stop the boxes for two months and then resume
pause the plan, not cancel it
pause my membership while I'm away
put the subscription on hold for a few weeks
skip a month of {plan}
have a pause of two months and then go on
interrupt the monthly box until {day}
stop the plan for a while, without losing it
""",
    "login_problem": """
get back into my account
reset the password for {contact}
sign in without the old phone
have my account unlocked
receive the login code
log in, which fails since {pastday}
log in to my account
reset my password
get a new login code
sign in, but my password isn't accepted
unlock my account
recover my account, as I can't sign in
log in again, the site rejects me
access my account, the password doesn't work
get a password reset email
sign in to the app on my new phone
get help with logging in
fix a locked login for {contact}
""",
    "delete_account": """
delete my account
have all my data erased
close the profile under {contact}
remove myself from your system
shut down my login for ever
have every record about me wiped
delete my profile and my personal data
have my account closed for good
remove my account {contact}
ask you to erase my personal data
close my customer account
cancel my registration and delete everything
delete my account permanently
have my customer profile removed
have my data deleted under privacy law
close my account and leave no data behind
get my account and history erased
delete the account registered with {contact}
""",
}
