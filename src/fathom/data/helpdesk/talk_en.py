"""What both sides of an English dialogue say besides its subject."""

from __future__ import annotations

SYSTEM = """
You are a customer service agent of {brand}. {policies} Be friendly and brief.
{brand} support desk. {policies} Answer from these rules only.
You answer customers of the online shop {brand}. {policies} Never invent other rules.
Role: support agent at {brand}. {policies} Ask for what you need, then act.
You work for {brand} and help people who write in. {policies}
"""

AGENT: dict[str, str] = {
    "wish": """
Of course, I can help you with that.
Happy to take care of it.
Sure, (let's do that|let's get that sorted).
No problem, that is quickly done.
Certainly.
Gladly.
Yes, I can do that for you.
All right, let me see to it.
""",
    "sorry": """
I'm sorry (about that|to hear that).
Apologies for the trouble.
That should not have happened, (I'm sorry|please excuse us).
Sorry, that is annoying indeed.
I (understand|see), and I'm sorry.
Please accept our apologies.
I can see why you're upset, sorry.
Oh no, I do apologise.
""",
    "ask/order": """
(Could you give me|May I have|Please send me) the order number?
Which order is it about? The number is in your confirmation mail.
What is the number of (your|the) order?
I'd need the order number for that, please.
Can you tell me the order number, please?
Let me have the number of the order and I'll look it up.
""",
    "ask/address": """
What is the (full|complete) address it should go to?
Where should we send it?
(Please give me|Could you tell me) the address, with street and number.
To which address, please?
Which address should I (note|enter)?
May I ask for the delivery address?
""",
    "ask/day": """
Which day would suit you?
When would you be at home?
(What day|Which date) should I put down?
On what day may the courier come?
Which day do you prefer?
What date works best for you?
""",
    "ask/product": """
Which product is it about?
What item do you mean exactly?
(Could you tell me|Please tell me) which article it is.
Can you name the product, please?
What is the name of the article?
May I ask which of our products you mean?
""",
    "ask/contact": """
What is the (mail address|e-mail) of your account?
Under which address or number are you registered?
(Could you give me|Please send me) the contact you signed up with.
Which mail address belongs to the account?
How are you registered with us, by mail or phone?
May I have the e-mail or phone number we know you by?
""",
    "ask/amount": """
What amount do you see?
How much is it about?
(Which sum|What price) do you mean exactly?
Can you tell me the amount, please?
How much was it?
May I ask for the exact sum?
""",
    "confirm/address": """
Just to be sure: {address}?
So that is {address}, correct?
I have noted {address}. Is that right?
To {address}, did I get that right?
""",
    "confirm/day": """
So {day}, is that right?
Shall I put down {day}?
I've got {day}. Correct?
You mean {day}, yes?
""",
    "confirm/contact": """
That is {contact}, correct?
Did I get {contact} right?
I read {contact}. Is that the one?
So we know you as {contact}, yes?
""",
    "confirm/order": """
Number {order}, correct?
Do you mean {order}?
I see {order} here. Is it that one?
So it's about {order}, right?
""",
    "more": """
Is there anything else (I can do|you need)?
Can I help you with something else?
Anything else?
Do you have another question?
""",
    "close": """
You're welcome. Have a nice day!
My pleasure, (bye|goodbye)!
Glad I could help. Take care.
Any time. All the best!
Thank you for writing to us.
Have a good one!
""",
    "close/fail": """
Thank you for your understanding.
I wish I had better news. Take care.
Sorry again, and thank you for your patience.
I know it isn't what you hoped for. Goodbye.
""",
}

CUSTOMER: dict[str, str] = {
    "give/order": """
it's {order}
{order}
the number is {order}
sure, {order}
order {order} I think
here you go: {order}
one moment... {order}
my mail says {order}
""",
    "give/address": """
{address}
please to {address}
it's {address}
{address}, second floor
my address is {address}
that would be {address}
""",
    "give/day": """
{day} would be good
{day}
{day} please
is {day} possible?
I'm free {day}
best would be {day}
""",
    "give/product": """
the {product}
it's about the {product}
I mean the {product}
the {product} in {colour}
{product}
your {product}, the {colour} one
""",
    "give/contact": """
{contact}
it should be {contact}
I signed up with {contact}
try {contact}
my login is {contact}
probably {contact}
""",
    "give/amount": """
{amount}
it says {amount}
exactly {amount}
{amount} as far as I can see
it was {amount}
I see {amount} here
""",
    "yes": """
yes
yes, that's right
correct
exactly
yep
right
that's it
yes please
""",
    "no/order": """
no, {order}
sorry, I meant {order}
not quite: {order}
wrong one, it's {order}
""",
    "no/address": """
no, {address}
sorry, make it {address}
not there, {address}
oh wait, better {address}
""",
    "no/day": """
no, {day}
sorry, {day} I meant
better {day} after all
hm, make it {day}
""",
    "no/contact": """
no, {contact}
sorry, typo, {contact}
it's {contact} actually
wrong, {contact} it is
""",
    "happy": """
great, thank you
perfect, thanks a lot
that was quick, thanks
wonderful, (bye|thanks)
ok thanks
super, have a nice day
nice, that's all then
good, thank you very much
""",
    "unhappy": """
that's a pity, but thanks
hm, ok
well, I hoped for more
I see. not happy, but thanks for checking
all right then
too bad. thanks anyway
""",
}
