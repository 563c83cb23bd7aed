"""English sentences of the intents about payment, subscription and account; see `grammar` for the notation."""

from __future__ import annotations

from fathom.data.helpdesk.grammar import Intent

INTENTS: dict[str, Intent] = {
    "wrong_charge": Intent(
        templates="""
I was charged (twice|two times) for {order}
there is a payment of {amount} on my card I don't recognise
you took {amount} but the price was {amount}
why was I billed for the {product}, I never bought one
my bank shows the same {amount} two days in a row
the total on my card is higher than on the order page
shipping was supposed to be free and you still took {amount}
I cancelled {past} and you debited me anyway, what is this
who authorised {amount} on {pastday}?
please explain the extra {amount} on my statement
I only bought one {product}, my card was hit for two
you charged the yearly price for {plan} when I signed up for the monthly one
a subscription fee of {amount} went out although I never joined
my account's been debited in dollars instead of euros, that's {amount} too much
the trial was free, so what is this {amount}
one purchase, three withdrawals, please look into it
customs fee of {amount}? nobody mentioned that at checkout
something's off with what you collected for {order}
I see {amount} from your company {past}, I haven't shopped with you in a year
the deposit of {amount} was taken a second time when the {product} shipped
double billing again, same as last month
how come the amount you pulled from my account isn't the one on the receipt
I paid cash in {place} and was billed online as well
{amount} vanished from my account right after I cancelled {plan}
the discount was on the screen, but the full {amount} went off my card
you're taking money every week, I agreed to once a month
""",
        asides="""
The double charge from {pastday} was corrected.
My card was billed correctly this time.
You explained the extra {amount} to me, thanks.
The strange payment turned out to be my husband's.
""",
    ),
    "payment_failed": Intent(
        templates="""
my card (is|keeps getting) declined at checkout
(can't|I can't) pay for the {product}, it says error at the last step
the payment page freezes when I press confirm
I tried three cards, none works, there's money on all of them
PayPal sends me back to the basket without paying
checkout says 'transaction refused', what should I do to buy the {product}
is your payment system down? I have been trying since {pastday}
the bank text with the code never comes so I can't complete the purchase
{order} is waiting for payment but the link has expired
how can I pay if my card isn't accepted
my bank approved {amount} and your site still says unpaid
it won't take my gift card together with a credit card
I get 'invalid security code' although I typed it correctly
Apple Pay button does nothing on my phone
the purchase doesn't go through, no money has left my account
I'd love to give you my money, but your site refuses it
error 4021 when I want to check out with the {product} in my cart
your form rejects my postcode in {place} so the card check fails
why won't you accept a debit card from abroad
tried paying {amount} four times, each time it bounced
the wheel just spins after I enter my card, and then the session is over
can't finish buying, 3D secure loops forever
nothing has been charged as the payment never succeeded, how do I try again for {order}
instalments were refused by your partner, is there another way to pay for the {product}
my transfer of {amount} came back, did the account number change
it asks me to verify my card, I do, and then it fails
""",
        asides="""
The payment went through without any problem.
My card was declined at first, but then it worked.
I had trouble paying {past}, that's over.
Checkout was smooth.
""",
    ),
    "invoice_request": Intent(
        templates="""
(please send|can you send|could you email) me (the|an) invoice for {order}
I need a (receipt|bill) for the {product} for my tax return
my company wants a VAT invoice with our name on it
the invoice should be made out to {person}, can you redo it
where do I download the receipt of what I bought {past}
please mail the bill to {contact}
I never got any paperwork for my purchase of {amount}
could you add our tax number to the document for {order}
there was no receipt in the box
accounting asks me for proof of payment for the {product}
I paid {amount} {past} and need something in writing to claim it from my employer
can I get copies of all my bills for last year
the PDF in my account won't open, please send the invoice again
our address on the bill is outdated, the payment itself is fine, I only need a corrected document
my boss won't pay me back without an official slip for the {product}
is there a way to get the monthly statement for {plan}
the receipt shows my private name, it has to show the company
need paper, not PDF, for {order}, to {place}
I require a document with the VAT shown separately for the {amount}
for the insurance I have to prove that I bought the {product} from you
send whatever I can hand to the tax office for {order}
the shop in {place} couldn't print my receipt, can I have it by mail
please forward the billing document to our bookkeeper {person}
I returned one item, so I need a corrected invoice, the refund's done already
you charged me correctly, I'm just lacking the paper that goes with it
which page has the tax receipts? I'm doing my expenses for {place}
""",
        asides="""
I have the invoice already.
The receipt was in the box.
You mailed the bill to {contact}, which is right.
Accounting got the document for {order} {past}.
""",
    ),
    "coupon_problem": Intent(
        templates="""
my (discount code|coupon|voucher) doesn't work
the code from your newsletter is 'not valid' when I buy the {product}
I forgot to enter my voucher for {order}, can you apply it now
it says my {amount} coupon has expired, but the mail says until {day}
where do I type in the promo code?
the 20% for new customers wasn't taken off
my gift voucher of {amount} shows a balance of zero
can I use two codes on one order
your app removes my coupon every time I go to checkout
the birthday discount you sent isn't accepted
I got a code as an apology from {person} and it's refused
student discount doesn't apply to the {product}, why
typed the letters exactly like in the mail, still rejected
my points should give {amount} off, the button is missing
the friend I invited bought something, I haven't got my reward code
why is the {product} excluded from the promotion
the basket drops the reduction as soon as I choose delivery to {place}
I entered the voucher, paid, and the full price was charged because the code was ignored
can you extend my coupon, I was ill when it ran out
coupon needs a minimum of {amount}, I'm above it and get an error
is the code on the flyer in {place} for online orders as well
what happened to the {amount} off you promised me for joining {plan}
how do I redeem a gift card, it wants a pin that's not on it
the voucher got used up by an order I cancelled, can I have it back
one letter of the promo is unreadable on my printed card
your banner says spring deal, no deduction at the till though
""",
        asides="""
The coupon worked this time.
I had a voucher too, but I don't need it now.
My code was accepted and took off {amount}.
The discount from the newsletter was applied fine.
""",
    ),
    "cancel_subscription": Intent(
        templates="""
I (want|would like) to cancel my {plan} (subscription|membership)
please end {plan} for me (at the end of the month|right away)
how do I stop the monthly payment for {plan}
don't renew my membership {future}
I signed up for the free trial and want out before it costs anything
I no longer use {plan}, so please close it, but leave my account open
unsubscribe me from the paid plan please
where's the button to quit {plan}?
my membership renews {future}, I don't want that
stop sending the monthly box for good
the {amount} a month is too much, I'd like to leave {plan}
not a pause, I want {plan} gone for ever
can I terminate the yearly contract early
we have two memberships in the family, cancel the one of {person}
I thought it was a one-time purchase, not a subscription, get me off it
turn off auto-renew on my {plan}
after {duration} with {plan} I've decided not to continue
please confirm that my contract ends {future}
I'm switching to another provider, so let {plan} run out
the coffee every four weeks has been great, but we're moving abroad and don't want any more deliveries of it
take me back to the free version
how much notice do I have to give to get out of {plan}
keep my login, keep my orders, just end the thing that costs {amount} each month
do I still get the benefits if I leave {plan} now
I can't afford the plan any longer, what's the way out
my late father {person} had a membership, it has to be ended
""",
        asides="""
I left {plan} {past}, that's done.
My subscription ended last month.
The membership is cancelled already, I got the mail.
I once quit {plan} but came back.
""",
    ),
    "pause_subscription": Intent(
        templates="""
can I (pause|freeze) my {plan} membership for (a month|two months|the summer)?
I'm away until {day}, please skip the next box
hold my subscription, I don't want to cancel it
no deliveries in August please, start again in September
put {plan} on hold until {day}
is it possible to suspend the monthly plan and come back later
we've too much of it at home, leave out one month
I want to keep {plan} but not pay while I'm in hospital
skip one, then carry on as usual
how long can a membership rest at most
please interrupt my plan from {day}, I'll be in {place}
don't end it, just stop it for a while
could I take a break from {plan}
I lost my job, may I stop paying for a bit without losing my member benefits
delay the renewal of {plan} by two months
our office is closed until {day}, so the coffee plan should wait
reactivate {plan} in spring, until then nothing please
rather than cancelling, is there some kind of sleep mode for the plan
my next monthly box isn't needed, the one after that is
stop the charges during my parental leave, I'll resume afterwards
can the subscription be on ice while I travel to {place}
I'll be back {future}, so no {plan} before that
freeze it! not delete, not cancel
the pause button for {plan} is gone, I need four weeks off
would you set my plan to zero for the winter and wake it up in March
every second month is enough for now, the other ones can be left out
""",
        asides="""
My plan was paused over the summer, that worked.
The break from {plan} is over.
I skipped last month's box as planned.
{plan} is on hold until {day}, that's right.
""",
    ),
    "login_problem": Intent(
        templates="""
I can't (log in|sign in) (any more|to my account)
forgot my password and the reset mail doesn't arrive at {contact}
my account is locked after too many tries
it says my email {contact} doesn't exist
the code for signing in goes to my old phone
reset link has expired, send a new one please
I changed my phone and now the app won't let me in
wrong password, it says, but it's the right one
how do I get back into my account? I no longer have access to {contact}
your site logs me out every few seconds
the confirmation code you text me never arrives
I want to look at {order} but can't get past the sign-in page
Google login gives an error since {pastday}
someone changed my password, I'm shut out
the two-factor app was on a phone I've lost
my username isn't recognised on the new website
please unlock {contact}
captcha never ends, I simply wish to enter my account
new password rejected as 'same as old', old one rejected as wrong
I'm asked for a security question I never set
the app opens, wants my credentials, and shows a white page after that
can't see my {plan} benefits as I am thrown out at login
I don't want to delete or change anything, just to be let in
is there something wrong with accounts in {place}? none of us can enter
after the update it no longer knows my fingerprint
I've got two profiles and can only open the empty one
""",
        asides="""
Logging in works again.
I reset my password {past}, no trouble.
My account was locked but your colleague opened it.
I'm signed in now with {contact}.
""",
    ),
    "delete_account": Intent(
        templates="""
please delete my account (and all my data|completely|for good)
I want my profile under {contact} removed
erase everything you have stored about me
how do I close my account with your shop
under data protection law I ask you to wipe my personal data
I no longer want to be a customer, take me out of your system
remove my name, cards and addresses from your database
not just the newsletter and not just {plan}: the entire account should go
I have two accounts, delete the one with {contact}
is it possible to deregister completely
my mother {person} passed away, please close her profile
forget me. legally, I mean, every record
can't find 'close account' in the settings
after {order} arrives I'd like you to delete my user profile
what happens to my points if I shut my account down
I don't trust your security after the leak, so get rid of all my details
please confirm in writing that my data is gone
I want to leave, so my login should stop existing
a stranger opened an account with my mail {contact}, remove it
delete me pls
cancel my registration, I signed up by mistake, never bought anything
how long do you keep my information after I've left, and can that be shortened to zero
take my phone number and everything else off your servers
our firm in {place} is closing, the business profile has to be dissolved
no more account, no more mails, nothing
I'm done with online shopping, please strike me from your customer list
""",
        asides="""
My old account was deleted {past}.
I asked you to erase my data before and it worked.
The second profile with {contact} is gone.
I had closed my account once and opened a new one.
""",
    ),
}
