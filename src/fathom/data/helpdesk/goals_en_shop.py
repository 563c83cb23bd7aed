"""English wishes about orders, deliveries and goods: verb phrases that follow 'I want to'."""

from __future__ import annotations

GOALS: dict[str, str] = {
    "cancel_order": """
cancel order {order}
stop the order before it goes out
call off the {product} I ordered {past}
have you drop the whole purchase
undo the order I just placed
make sure {order} never gets shipped
cancel my purchase of the {product}
stop {order} because I no longer need it
take back the order from {pastday} before it ships
have my unshipped order cancelled
drop the order completely, not change it
withdraw the order for the {product}
cancel an order that hasn't been sent yet
stop my purchase before the warehouse packs it
cancel what I ordered {past}
call off my order, because I made a mistake
have {order} stopped, it is still processing
keep the {product} from being shipped, I don't want it any more
""",
    "change_order": """
change what is in order {order}
add one more {product} to the order
have the open order in {colour} instead
correct the quantity before it ships
take the {product} out and keep the rest of the order
switch to size {size} before you pack it
edit the order I placed {past}
put another item into {order} before it is sent
swap one thing in my order that hasn't shipped
order {colour} instead of {colour}, nothing has left yet
reduce the number of items in {order}
modify the order before it leaves the warehouse
change the size in my order before it's packed
add something to an order that is still processing
correct a mistake in the items of {order}
update my order to two of the {product}
remove one item from {order} but not cancel it
get another colour in my order before shipping
""",
    "change_address": """
change the delivery address of {order}
have the parcel sent to {place} instead
correct the street on my order
ship the {product} to my new home
update where my orders go
redirect the box to my office in {place}
deliver {order} to {place}
fix the wrong house number on my order
use another shipping address for the {product}
have {order} go to {place}, as I moved
change where the parcel is delivered
replace the old address with the one in {place}
correct my delivery address
send the order somewhere else, I no longer live in {place}
change the destination of the parcel to {place}
give you a new address for {order}
have it shipped to my work address instead
edit the shipping address, the postcode is wrong
""",
    "track_order": """
know where order {order} is
find out how far the {product} has got
get the current status of my parcel
learn whether {order} has left the warehouse
see some tracking for my delivery
hear when the {product} will show up
track my parcel
ask where the {product} from {pastday} is now
check how long {order} is still on the way
know if my order has been shipped yet
find my package, the tracking doesn't move
see where {courier} has my parcel at the moment
know the delivery status of {order}
find out when my parcel will get here
follow my shipment, the tracking link is dead
hear where my order is, it should have come {past}
ask if the {product} is on its way
know in which city my package is now
""",
    "reschedule_delivery": """
move the delivery to {day}
get a different time slot for {order}
have {courier} come another day
receive the {product} a few days later
pick an evening delivery
ask the driver to try again {future}
have {order} delivered on another date
postpone the delivery of the {product}
change the delivery time, not the address
arrange a new delivery appointment
get {order} later because I'm not at home
choose when {courier} comes
change the date of my delivery
have the driver come in the evening
rearrange the delivery because nobody is home {future}
delay the delivery until {day}
book another delivery slot
receive the parcel on the weekend, not on a working day
""",
    "not_received": """
report that {order} is marked delivered but never came
find the parcel that was supposedly handed over
tell you the {product} never reached me although it shows delivered
know who signed for my package
claim a package stolen from my door
get help with a delivered box I don't have
say I never received {order}, though tracking says delivered
find out where a parcel went that shows as delivered
report a stolen parcel
get the {product} that {courier} says they left here
complain that the parcel was signed for by a stranger
report a delivered order that isn't here
report a parcel that is delivered on paper but not in my hands
know where {courier} left my package, it isn't here
get my {product}, tracking says it was handed over
report a missing delivery, the mailbox is empty
say nobody here signed for {order}
have {courier} explain where they put the delivered box
""",
    "stock_question": """
know whether the {product} is in stock
ask when the {product} is back
find out if you have it in {colour}
check if the shop in {place} carries the {product}
buy a {product} that shows as sold out
hear if size {size} returns
know when the sold-out {product} returns
ask if you sell the {product} in size {size}
know if the {product} is available in {place}
find out how many of the {product} you have left
be told when the {product} can be bought again
ask which sizes and colours are available
ask if the {product} will be restocked
know if there are any {colour} ones left
find out whether the {product} is discontinued
ask about availability of the {product}
know whether you still sell the {product}
check if size {size} is in stock
""",
    "complaint_service": """
complain about {person} from your team
report the rude driver from {courier}
tell a manager how I was treated
make a complaint about your phone support
get an apology for the tone of your staff
say how badly the {place} shop treated me
complain about your customer service
report how rude {person} was to me
talk to a manager about your staff
make a formal complaint about the {courier} driver
complain that nobody answers my messages
give bad feedback on the employee in {place}
complain about a very unfriendly employee
report your agent for hanging up on me
complain about how {person} spoke to me
speak to a supervisor about the rude treatment
complain about waiting {wait} on the phone
file a complaint against the delivery man
""",
    "wrong_item": """
report that you sent me the wrong {product}
say that {order} contained somebody else's item
tell you I got {colour} instead of {colour}
get the item I actually ordered, not this one
let you know two parcels were mixed up
point out that the model in the box isn't what I bought
report that I received the wrong item
get the right {product}, you delivered another one
say that the thing in the box isn't the {product} I ordered
tell you {order} has the wrong size in it
receive what I ordered instead of this {colour} one you sent
report somebody else's parcel in my box
tell you I got the wrong product
report that I ordered {colour} and received {colour}
complain that another model was sent
have the wrong delivery put right, I got a {product} I never ordered
let you know {order} came with the wrong article
say you sent size {size} when I ordered size {size}
""",
    "damaged_item": """
report that the {product} arrived broken
show you photos of the damage to {order}
tell you the box came crushed
get a whole one, because this {product} came cracked
let you know it was dented on arrival
claim for the {product} that broke in transit
report a damaged {product}
say that the {product} was broken when I opened the box
complain about the cracked {product} in {order}
have something done about a parcel that came damaged
report scratches on a new {product}
tell you {courier} delivered it smashed
report that my order came damaged
complain about a broken delivery
tell you the new {product} has a crack
say the parcel was crushed and the {product} inside is broken
report damage from the transport
get help with a {product} that arrived dented
""",
    "missing_part": """
get the missing charger for the {product}
report that {order} was incomplete
tell you one piece of the set isn't in the box
receive the {product} you forgot to pack
ask for the screws that were left out
let you know I am short one item
report missing parts
say that the {product} came without its cable
get the items missing from {order}
have the rest of my incomplete order sent
tell you an accessory is missing from the box
complain that only half of {order} was in the parcel
report an item missing from my parcel
get the cable that should have been in the box
ask why only one of two items came
tell you that parts of the {product} are missing
say the parcel is incomplete
receive the missing accessories of the {product}
""",
    "return_item": """
return the {product}
send back what I bought {past}
get a return label for {order}
give the {product} back and be repaid
bring it back to the shop in {place}
hand back something I don't like
send the {product} back to you for my money
know how returns work for the {product}
start a return for {order}
return an unwanted gift
have {courier} collect the {product} I don't want to keep
find out what it costs to send something back
return my order {order}
send something back and get my money
know how to return a product I don't like
return the {product}, I changed my mind after it came
get a label to send the {product} back
give it back to you within the return period
""",
    "exchange_item": """
exchange the {product} for size {size}
swap the one I got for a {colour} one
get a bigger {product} for this one
trade {order} against another model
have the same thing in {colour} and send this one to you
change what arrived {past} for a smaller one
change the {product} I received for a smaller size
exchange {order} for another colour
get a different size, this one doesn't fit
swap my {product} for the bigger model
exchange it in the shop in {place}
replace the {colour} one I have with a {colour} one
exchange the {product} for another one
exchange clothes that are too small
get another colour instead of the one I received
swap the {product} for a different model
exchange my {product}, not get a refund
change the size of the {product} I have at home
""",
    "warranty_repair": """
have my old {product} repaired
use the guarantee for the {product}
get the {product} fixed after a year of use
find a service point near {place}
know if the warranty still covers it
get a technician to look at the {product}
have the {product} repaired under warranty
repair the {product}, which stopped working
claim the guarantee on the {product} from last year
find out where to send the broken {product} for repair
ask what a repair costs
fix the {product} that broke after {duration}
get my {product} repaired
make a warranty claim for the {product}
have someone fix my {product}, it broke after a few months
know if my {product} is still under guarantee
send in the old {product} for repair
repair the {product} I've used since last year
""",
    "refund_status": """
know where my refund for {order} is
ask when the {amount} comes back
check whether my money has been sent
find out why only part was paid back
see the repayment for the {product} I returned
hear which day you transferred the {amount}
check the status of my refund
know when my refund arrives
ask about the refund of {amount} that hasn't come
know if the refund for the returned {product} was sent
find out why my refund takes so long
track the money you owe me for {order}
know if my refund has been processed
find out where the money for my return is
ask how long the refund still takes
know when I get my {amount} back, the return is done
check on a refund from {pastday}
ask why the refund isn't on my account
""",
    "price_adjustment": """
get the difference now that the {product} is cheaper
have you match a price of {amount}
use the sale price for {order}
be credited because the price dropped
ask for price protection
pay what the other shop asks for the {product}
get a price adjustment for the {product}
have the price difference of {amount} paid back to me
ask for the lower price, it dropped after I bought it
have you match the cheaper price of another shop
use your price guarantee on {order}
pay only {amount}, as it costs now
get money back because the price fell
ask for a refund of the price difference
have my price lowered, the {product} is on sale now
get the {product} at the price of your competitor
claim the sale price for what I bought {past}
adjust the price of {order} after the discount
""",
}
