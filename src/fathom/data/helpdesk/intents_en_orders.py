"""English sentences of the intents about orders and their delivery; see `grammar` for the notation."""

from __future__ import annotations

from fathom.data.helpdesk.grammar import Intent

INTENTS: dict[str, Intent] = {
    "cancel_order": Intent(
        templates="""
(please cancel|I need to cancel|kindly cancel) [my] order {order}[, I (ordered|bought) it by mistake]
I (clicked|hit) buy (too fast|by accident) and don't want the {product} after all, can you stop it before it ships
my (son|kid|daughter) ordered the {product} on my phone without asking, it hasn't shipped yet, how do I undo that
changed my mind about {order}, (please don't send it|no need to ship it)
is it too late to call off the {product} I ordered {past}?
found the same {product} cheaper (elsewhere|in a shop), so (scrap|drop) my purchase please, nothing has been sent yet
I accidentally placed the order twice, get rid of {order} and keep the other one
can the order still be stopped[?] it says processing
we no longer need the {product}, please make sure it never leaves the warehouse
the delivery date is way too late for me, I'd rather not have the {product} at all, so forget the order
how can I take back an order I made (ten minutes|an hour) ago?
there's no cancel button next to {order} (any more|), can you do it from your side
(hi can u|could you) void the order from {pastday}? my plans changed
don't ship {order} please. I bought one in town today
I put in the wrong {product}, and rather than changing it I'd like the whole order killed
please withdraw my order for the {product}, the wedding is off
ordered {past}, still not packed, and I don't want it any longer
I want out of this purchase before you charge me[, the number is {order}]
hold on, stop {order}, my wife already bought (one|the same thing)
tell the warehouse not to pack the {product}, I won't be needing it
the thing I pre-ordered, I'd like to back out of it before release day
can I still pull the order for the {product} without paying a fee?
pls remove everything I ordered {past}, it was a test by my colleague
you (told|informed) me {order} is delayed again, so I'm done waiting, (call it off|just stop it)
made a mistake at checkout and would rather start over, so please erase {order} first
my boss didn't approve the {product}, so the order we placed must not go out
""",
        asides="""
I cancelled an order {past} and that was quick.
My earlier order was called off already.
Last month I had to cancel something, no problem there.
Someone cancelled {order} for me {past}, that part is settled.
""",
    ),
    "change_order": Intent(
        templates="""
can I (add|still add) a second {product} to order {order} before it ships?
I ordered the wrong (colour|size) by mistake, please make it {colour} instead, it hasn't been sent yet
please (change|switch) the quantity in {order} from two to (three|five|one)
I'd like to swap the {product} in my order for something else before you pack it
{order}: take the {product} off but keep the rest
could you edit my order? I forgot to pick the {size} one
I don't want to cancel, just replace the {colour} one with {colour} in the order I placed (this morning|an hour ago)
is it possible to put one more item into the box you haven't packed yet
my order says size {size}, it should be {size}, nothing has shipped so please correct it
need to amend {order}, one unit too many
we need four instead of two, can the open order be updated
remove the gift wrap from {order} please, everything else stays (as it is|the same)
I selected the {product} without the case, can you add the case to the same order
the order is still being processed, so can you make the {product} a {colour} one
can somebody modify what I bought {past}? I want the bigger version of the {product}
drop one of the items in {order}, I only need the {product}
I left out something, could the {product} go into the same shipment as {order}
how do I alter an order that's already paid but not on its way?
please upgrade the {product} in {order} to the newer model, I'll pay the difference
I typed 10 where I meant 1, fix the number of items before it leaves please
don't cancel {order}! just take out the {product}
could you put a gift message in my order before it goes out, I forgot to write it
I'd prefer the {size} one, the package hasn't left your warehouse as far as I can see
same order, different colour please: {colour} not {colour}
can the cable in {order} be replaced by the longer one before shipping?
I'd like (one|two) more of the {product} on the order from {pastday}
""",
        asides="""
I had the order edited {past}, so the items are right.
Adding the {product} to the order worked, thanks for that.
The quantity was already corrected by your colleague.
You changed the colour in {order} for me, which was great.
""",
    ),
    "change_address": Intent(
        templates="""
please (send|ship) order {order} to {place} instead, I moved
I put in my old address, can you (change|correct) where the {product} goes?
the house number is wrong on {order}, it should be 14 not 41
I won't be at home but at my office in {place}, could the parcel go there instead
we're moving to {place} {future}, where do I update the delivery address
my flat number is missing from the shipping label for {order}
you have the wrong street for me, it's {place} now
can I redirect the {product} to my mother's place in {place}?
just noticed the postcode in my order is from the previous flat
the order is correct but it is going to the wrong city, I live in {place}
how can I have {order} delivered to a different address than the one I typed
I accidentally shipped it to my ex, please use {place}
please deliver to {place}, not to the billing address
is there still time to fix the destination of {order}? I forgot to pick my new home
the parcel should go to {person} at {place}, not to me
don't send it to {place} any more, I no longer live there
could you swap the delivery location to a pickup point near {place}
I selected my work address by habit but I am on leave, please use the home one
update my default shipping address to {place}
autofill entered an address from three years ago, what can we do before {order} leaves
the place where you're about to deliver my {product} was sold last month, here's the right one: {place}
need this going to {place} rather than where I usually get my parcels
street name misspelled on {order}, the driver will never find it, please amend
my company relocated, future orders go to {place}
where the {product} should arrive has changed, we are in {place} from {day}
can you have it dropped at my neighbour's instead, number 12, same street
""",
        asides="""
I updated my address {past}, so that is fine.
The new address in {place} is already in my account.
Your colleague corrected the street, thanks.
The address on {order} was fixed.
""",
    ),
    "track_order": Intent(
        templates="""
where is my (order|parcel|package) {order}?
(any|is there any) news on the {product} I ordered {past}?
the tracking page hasn't moved since {pastday}, is it still on the way
has {order} left the warehouse yet
I'd like to know how far my {product} has got
tracking number doesn't work on the {courier} site, where's the box right now?
can you tell me the status of {order}
you said it shipped {past}, but I see no updates, when will it be here
ordered the {product} (ages|two weeks) ago, what's happening with it
I'm not cancelling anything, just curious where {order} is at the moment
which city is my parcel in now?
did the {product} ship or is it still with you?
I can't find the tracking link in the mail you sent
it's stuck in {place} according to the app, is that normal for {order}?
how long until {order} gets here? it has been in transit for {duration}
waiting for my {product}, {courier} shows nothing, please check
still no sign of the thing I bought {past}, is it coming?
will the {product} make it by {day}? it was dispatched a while ago
what does 'handed over to partner' mean for {order}, is it near {place}?
pls look up {order} for me and say where it sits
who has my package at this point, you or {courier}?
everything else I bought has turned up, only the {product} is still travelling, how far is it
it left {place} {past}, then silence. what's the current state
could I get an update on my delivery, the app only says 'on its way'
when I enter {order} it says label created, so is it moving at all
my {product} was meant to be here {duration} ago, can you see it in your system
""",
        asides="""
The tracking worked fine by the way.
I know where {order} is, it is in {place}.
I already see the status of the other parcel.
{courier} told me where the other box is.
""",
    ),
    "reschedule_delivery": Intent(
        templates="""
I'm not home {future}, can {courier} bring the {product} (another day|later)?
could you deliver {order} (after 6 pm|in the evening|in the morning) instead
please move the delivery from {pastday} to {day}
can you hold the parcel until {day}? we're on holiday
missed the driver today, how do I get a new slot
the slot you gave me doesn't suit, I work until five, (same address|the address stays the same)
I need {order} to come later than planned, we're away until {day}
is it possible to choose a different day for the {product}
nobody will be in when {courier} comes, please try again {future}
rather than {day}, could the driver come on the weekend?
I don't want to cancel the {product}, only have it a week later
please postpone the drop-off, my kitchen isn't ready yet
can I pick a time window for {order}?
you attempted delivery while I was at work, please come back {future}
bring it sooner if you can, I leave town {future}
delay {order} by a few days please, same place
the card says they come again {future}, but I can't be here then
my delivery appointment clashes with a doctor's visit, what other times are there
can the van come before noon? I have to go to {place} later
we'd like the {product} to arrive on the day we move in, {day}, not earlier
arrange another attempt for {order}, the bell was broken
keep it at the depot for a bit, I'm back on {day}
could we agree on a later date for the {product}, the lift in our building is out of order
tomorrow doesn't work for me at all, any chance for {day}?
what do I do if I can't be there at the time {courier} gave me
please tell {courier} mornings only for {order}
""",
        asides="""
The delivery was moved to {day}, which suits me.
I already have a new time slot for the other parcel.
{courier} let me pick another day last time.
The later delivery slot for {order} is booked.
""",
    ),
    "not_received": Intent(
        templates="""
it says {order} was delivered {past}, but (nothing came|I never got it)
your app shows delivered, there's no parcel anywhere
{courier} claims they handed over the {product}, nobody here received it
someone signed for {order} and it wasn't me
tracking is green, mailbox is empty. where did the {product} go
I was home all day, no one rang, yet the status is 'delivered'
I think my package was stolen from the porch in {place}
the photo of the delivery shows a door that isn't mine
neighbours don't have it, the shop downstairs doesn't either, but it's marked as delivered
{courier} left the {product} who knows where, it is not at {place}
according to the mail I picked up {order} {past}. I did not
who is {person}? the parcel was given to that name and I don't know them
my {product} is gone, the driver insists he put it by the door
how can an order be complete if I've never seen the box
delivered to a parcel locker I have no code for, and the locker is empty
proof of delivery has a signature that's not mine, I still don't have the {product}
it was dropped at the wrong building I guess, because I've got nothing and it is ticked as arrived
{order}: delivered? no.
the courier's message says 'left in safe place' but there is nothing in the shed
I want to report a parcel that is shown as handed over but never reached me
they say it's at reception, reception says they have never heard of {courier}
supposedly here since {pastday}, I searched the whole house for the {product}
marked delivered at 3 am which is impossible, I have no box
my order status changed to completed, although the {product} hasn't turned up at all
looks like {courier} scanned {order} as dropped off and kept it in the van
what happens when a parcel vanishes after the last scan in {place}
""",
        asides="""
The lost parcel from last time was found at a neighbour's.
A box once vanished from our porch, but that was solved.
The package that was marked delivered did turn up {past}.
You already replaced the one that got stolen.
""",
    ),
    "stock_question": Intent(
        templates="""
do you (have|still have) the {product} in {colour}?
when will the {product} be (back|available) again?
is size {size} of the {product} coming back
the page says sold out, will there be more of the {product}?
how many of the {product} could I buy at once, do you have twenty
can I (see|check) whether your shop in {place} has the {product}
let me know as soon as the {product} can be ordered again
I want to order the {product} but the button is grey
is the {colour} one discontinued?
do you sell a {product} that fits a small flat
are you getting any more of the {product} before {day}?
before I order, is the {product} on hand or does it come from abroad
looking for the {product}, can't find it on your site (any more|anymore)
which colours does the {product} come in at the moment
can I reserve the {product} in the {place} branch
your site lists the {product} as 'few left', is that real
will you restock size {size} this month
is there a waiting list for the {product}
I'd buy it today if you had {colour}, any left?
does anyone know when the next batch of the {product} lands
I was told by {person} that the {product} returns {future}, true?
planning to purchase three of these, are they there
has the older version of the {product} gone for good
do the shops around {place} carry it, or is it online only
my favourite {product} disappeared from the catalogue, is it finished
could you tell me if something like the {product} will be on offer in {size} again
""",
        asides="""
I saw the {product} is back in stock, nice.
The {colour} one is sold out, I know.
The shop in {place} had none left, so I used the website.
It was the last one you had in size {size}.
""",
    ),
    "complaint_service": Intent(
        templates="""
your (agent|colleague) {person} was (very rude|so unfriendly) to me on the phone
the {courier} driver shouted at my mother
I was kept on hold for {wait} and then cut off
nobody answers my mails, this is no way to treat customers
I want to file a complaint about how I was treated {past}
the man who brought the {product} threw it over the fence and swore at me
I've explained the same thing to four people and each one passed me on
worst support ever, the chat just closed on me
{person} promised to call back {past} and never did
it isn't about the money or the {product}, it's the tone of your staff
who is in charge there? I'd like to talk about the behaviour of your employee
your bot keeps sending me in circles, let me speak to a person about it
the woman at the {place} counter laughed at my question
I don't need a refund, I need an apology for the way {person} spoke to me
three tickets, no reply, is anyone working there?
the delivery guy from {courier} smoked in our hallway and refused to wait
how do I escalate? your team hung up on me twice
I'm appalled by the attitude in your shop in {place}
please pass this on to a manager: {person} called me a liar
being told 'read the website' by support is not acceptable
I have been a customer for ten years and was never spoken to like this
your technician came late, left a mess and didn't say a word
the lady on the phone mocked my accent, I expect someone to respond to this
every time I write I get the same copied answer, it feels like you don't care
the courier parked across our drive in {place} and insulted me when I asked him to move
one hour in the queue only to be told to phone again, that's disgraceful
""",
        asides="""
Your colleague {person} was lovely, by the way.
I complained about the driver {past} and got an apology.
The support line was slow but friendly.
The rude mail from last week is forgotten.
""",
    ),
}
