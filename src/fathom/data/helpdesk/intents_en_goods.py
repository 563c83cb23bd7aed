"""English sentences of the intents about goods that arrived, returns and refunds; see `grammar` for the notation."""

from __future__ import annotations

from fathom.data.helpdesk.grammar import Intent

INTENTS: dict[str, Intent] = {
    "wrong_item": Intent(
        templates="""
I ordered the {product} but (got|received) something completely different
you sent me a {colour} one, I ordered {colour}
the box contains a {product}, which I never ordered
{order} came with somebody else's stuff in it
this isn't the {product} from the picture, it's another model
wrong size in the parcel: {size} on the invoice, {size} in the bag
looks like two orders got mixed up, my parcel is addressed to {person} inside
instead of the {product} there was a phone charger in the box
what I unpacked is not what I paid for
the packing slip says {product}, the thing itself is something else
you shipped the old version, I had chosen the new one
I asked for one with a European plug and this has a UK plug
the {product} that arrived belongs to another customer I think
I bought a left-handed one and this is for right-handed people
opened {order} {past}, it's not my item, the label says {person}
the article number on the carton doesn't match my order {order}
size {size} was delivered although the confirmation clearly says {size}
nice {product}, but it isn't mine, mine was the big one
I've been given the children's version by mistake
your warehouse picked the wrong thing for {order}
not the right one! I chose {colour} for a reason
I got a {product} and I don't even own a house to put it in, I ordered a book
there must be a mix-up, the contents are for {person} in {place}
expected the {product}, found a completely unknown article
the parcel's undamaged but it holds a different brand from the one I picked
this is the 220 volt edition, my order was for 110
""",
        asides="""
Last time you sent the wrong colour, but you fixed it.
The mixed-up parcel was sorted out {past}.
At first I thought it was the wrong item, but it is the right one.
You swapped the wrong model for me already.
""",
    ),
    "damaged_item": Intent(
        templates="""
the {product} arrived (broken|smashed|in pieces)
just unpacked the {product} and the (screen|glass|lid) is cracked
the box was crushed when {courier} brought it, and the {product} has a dent
{order} came soaking wet
there's a big scratch on the brand new {product}
everything is there, but the {product} is bent
the carton was torn open and what's inside is ruined
unboxed it a minute ago, one leg is snapped off
fresh out of the box and it leaks everywhere
the {product} shattered on the way to {place}, see photos
I received {order} {past}, the surface is chipped
it's the right item but it looks like someone drove over it
glass all over the place when I opened your parcel
the packaging was way too thin, the {product} didn't survive
my {product} showed up with a hole in it
is it normal for a new {product} to come with a broken hinge?
the courier dropped the box in front of me and now the {product} rattles
dead on arrival: the {product} came with its casing split
paint is flaking off and the corner is squashed, it got here today
you should see the state of the {product} that {courier} delivered
the handle came off the second I lifted it out of the carton
transport must have been rough, the {product} from {order} is dented on both sides
the seal was broken and the bottle had run out into the box
I took it out of the wrapping and found the {product} cracked down the middle
the lamp is fine but the shade was torn when it got here
water got into the parcel, the {product} is stained
""",
        asides="""
The box had a small dent but the {product} is fine.
Last year one arrived broken and you replaced it.
Nothing was damaged, luckily.
The cracked {product} has been dealt with.
""",
    ),
    "missing_part": Intent(
        templates="""
the {product} came without the (charger|cable|manual|remote)
only one of the two items from {order} was in the box
I (bought|ordered) three, there were two in the parcel
screws are missing, I can't put the {product} together
the lid of the {product} wasn't included
half of my order isn't here: the {product} is missing from the package
the set should have six pieces, I count five
no batteries in the box although the page says included
where's the other glove? the pack has just one
parcel arrived fine but incomplete
the power adapter for the {product} isn't in the package
{order} says complete, I'm short one {product}
you forgot to put the {product} in with the rest
there was an empty space in the box where the cable should be
instructions talk about part C, I have no part C
got the {product}, not the free gift that was advertised with it
the spare filter which belongs to the {product} was left out
I opened {order} {past} and something's lacking, the bag with the bolts
all good except that the {product} has no stand with it
the delivery note lists four articles, I took out three
shelf boards yes, brackets no
is the second half of {order} coming separately? the invoice lists the {product} but I don't have it
one shoe. in the whole box there's one shoe
my {product} has no key, so I can't even open it
the accessories pack promised with the {product} didn't come along
I've looked through all the paper twice, the small adapter simply isn't there
""",
        asides="""
The missing cable arrived {past}, thanks.
All parts are in the box this time.
Nothing is missing from {order}, I counted.
You sent the forgotten screws already.
""",
    ),
    "return_item": Intent(
        templates="""
(how do I|how can I) (return|send back) the {product}?
I'd like to give back the {product} I bought {past}
the {product} doesn't suit me, where do I send it
please send me a return label for {order}
not happy with the {product}, I want my money back, it's unused
how many days do I have to bring back something I don't like
it works fine, I just don't like it and want to return it
can I take the {product} back to the shop in {place} instead of posting it
the gift isn't to her taste, so it needs to go back to you
I don't want another size, I want to hand {order} back
do I pay the postage if I send the {product} back?
opened it, tried it, not for me. what now
is it OK to return the {product} without the original box
my {product} is going back, which courier should I use
can {courier} pick up the {product} from my house, I no longer want to keep it
bought two to compare, I'd like to send one of them home to you
the {product} is nicer in the picture than in real life, I'm not keeping it
the return portal doesn't accept {order}, I need to ship it to you
I received {order} {past} and decided against it
unwanted present, receipt is there, how does this go
too big for our room, and no smaller one please, just take it back
I wish to use my right of withdrawal for the {product} that came {past}
your QR code for dropping off the {product} has run out, can I get a new one
it came late and I had bought another by then, so I'll post the {product} back
the material feels cheap, what do I do to get rid of the {product} and be paid back
where's the form I have to put in the box when I'm not keeping something
""",
        asides="""
I sent back the other one {past}, so that's done.
The return label you gave me worked.
I thought about returning it, but I'll keep it.
The {product} I returned reached you {past}.
""",
    ),
    "exchange_item": Intent(
        templates="""
the {product} is too small, can I (swap|exchange) it for {size}?
I'd like to trade the {colour} one I received for {colour}
fits badly, please send size {size} and I'll give this one back
I don't want my money back, I want the {product} in another colour
can we (swap|change) the {product} we got {past} for the larger one
could I have a different size instead of the one I'm wearing right now, {size} is too tight
how does swapping work if I've had {order} for a week
got it as a present in {size}, need {size}
is a direct swap possible in the {place} shop?
my wife prefers {colour}, so one {product} goes to you and one comes to us
I like the {product} but not in {colour}, it looked different on screen
don't refund {order}, replace it with the {size} please
the shoes pinch, do you take them for half a size up
what I have is fine, I'd just rather have the version with the bigger screen, I'll send this back
will you let me switch the {product} that came {past} for the other model
I picked badly, it should have been {size}. it's here already, tags still on
instead of a refund could you give me the {colour} one
I want to keep shopping with you, just not with this {product}: same price, other design
exchange please, {order}, too long in the sleeves
can the {product} be traded in against the one next to it in your catalogue, I've had it for two days
how soon do I get the {size} if I post the {size} back today
I tried the {product} on and it's a size too big, can I get the next one down
we already unpacked the {product}, would you swap it for a {colour} one
replacement in {colour} wanted, this one does not go with our kitchen
one step smaller please! {order} arrived and hangs on me like a tent
my daughter got the same {product} twice, may we have another game for the second one
""",
        asides="""
The exchange for size {size} went well.
I swapped the {product} for a {colour} one {past}.
You already exchanged it once for me.
The bigger one you sent in exchange fits.
""",
    ),
    "warranty_repair": Intent(
        templates="""
my {product} stopped working after (three months|half a year|eight months)
is the {product} still under (warranty|guarantee)? I bought it {past}
after {duration} of use the battery of the {product} no longer charges
the {product} I've had since last year makes a strange noise, can it be repaired
it worked well for a year and now the screen stays black
where can I have the {product} fixed near {place}?
the motor of my {product} died, I have the receipt from {pastday}
how much is a repair if the two years are over
a button fell off after {duration}, do you mend that
I need a spare part because mine wore out, the {product} is one year old
can a technician look at the {product}, it switches itself off lately
the zip broke after being used a dozen times, does the guarantee cover that
my {product} was repaired by you in {place} and has the same fault again
the {product} gets very hot these days, is that dangerous, can you service it
what do I need to claim warranty for {order}
it fell off the table, does the insurance I bought with the {product} pay
after the last update the {product} won't start any more
I don't want a new one, please fix the {product} I have been using since spring
the hinge on my {product} gave up after a winter
do I send the faulty {product} to the maker or to you? it's eleven months old
used daily for {duration}, now it loses water
the heating in the {product} has gone, it's not two years old yet
is there a service point around {place} for things I bought from you last year
could someone check my old {product}? the display flickers since {pastday}
every few minutes it disconnects, it didn't do that for the first {duration}
serial number is on the back, please tell me if repairing it is free
""",
        asides="""
The repair you did last year holds up well.
My old {product} was fixed under warranty {past}.
I know the guarantee has run out.
The technician from {place} already looked at the other one.
""",
    ),
    "refund_status": Intent(
        templates="""
where is my refund for {order}?
I sent the {product} back {past} and (still have no money|nothing was paid back)
you promised {amount} back, when does it arrive
has my money been transferred yet
the order was cancelled {past} but the {amount} isn't on my account
how long does it take until a refund shows on my card
your mail says refunded, my bank says no
returned {order} {duration} ago, waiting for the cash
did you get the {product} I returned, and when will I be paid
I was told by {person} I'd have the {amount} by {day}, can you check
only part of the refund came, the remaining {amount} is missing
is the reimbursement for the {product} going to my card or to my wallet
{amount} is still owed to me since {pastday}
you cancelled my subscription and said the rest would be paid out, I see nothing
the parcel I sent back reached your warehouse {past}, what about the money?
which day did you issue the repayment for {order}
any update on getting my {amount} back
I closed that bank account, where did my refund go?
five working days you said. it's been twelve
checking on the credit for the {product} I handed in at {place}
after the return was approved nothing happened on my bank statement
who do I ask about the {amount} that should have come back to me for {order}
can you see if the payout to {contact} went through
your system shows 'refund pending' since {pastday}, is it stuck
I don't have to return anything any more, that's done, I only want to see my money
the exchange wasn't possible so you were going to repay me, has this been started
""",
        asides="""
The refund for {order} arrived {past}.
I already got my {amount} back, thanks.
The money for the return is on my account.
You refunded the other one without trouble.
""",
    ),
    "price_adjustment": Intent(
        templates="""
the {product} is (now|suddenly) {amount} cheaper than when I bought it, can I get the difference
I paid {amount} {past} and today it's on sale
do you match prices? another shop has the {product} for {amount}
your competitor sells it for less, would you go down to {amount}
the price dropped one day after my order {order}, that's unfair
can you give me the sale price, I purchased it just before the sale
is there a price guarantee on the {product}?
bought {past} at full price, now 30% off, please adjust
I'll keep the {product}, but pay me back the {amount} it has fallen by
what's your policy when something gets cheaper within two weeks
the app shows {amount}, the website {amount} for the same {product}, which one counts
my friend paid {amount} for the same {product} this week, I paid more
instead of returning and rebuying, could you refund just the gap of {amount}
saw the {product} for {amount} in {place}, can you do that too
you reduced it right after I ordered, would you credit me the rest
I'd order today if you meet the {amount} from the other site
price protection for {order} please
if I had waited until {day} I'd have saved {amount}, can you do something
the sale started hours after I paid, can it be applied afterwards
would you honour the lower price I saw {past}
{amount} less on your own marketplace page, please align
it isn't a mistake on my bill, it simply became cheaper, do I get anything back
the same thing costs a third less at your shop in {place}
my {product} went down in price and the chat told me to ask you for compensation
can the Black Friday rate count for {order} which I placed {past}
why should I pay {amount} when others list the {product} at {amount}
""",
        asides="""
You matched the price for me last time.
I know it is cheaper now, never mind.
The price difference of {amount} was credited {past}.
The sale price was applied correctly.
""",
    ),
}
