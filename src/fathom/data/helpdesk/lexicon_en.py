"""English words and values. Values of entities belong to one split each; plain words (colours, sizes) to all."""

from __future__ import annotations

LISTS: dict[str, str] = {
    "product": """
coffee machine;rain jacket;desk lamp;phone case;rice cooker;mountain bike;office chair;electric kettle;sleeping bag
baby monitor;vacuum cleaner;running watch;garden hose;bluetooth speaker;hair dryer;yoga mat;graphics tablet;bookshelf
winter coat;camping stove;mechanical keyboard;wall clock;air fryer;travel pillow;cordless drill;leather wallet;dog bed
electric toothbrush;picture frame;gaming mouse;wool sweater;standing desk;water bottle;digital camera;hiking backpack
bread maker;shower curtain;laptop stand;denim skirt;fishing rod;ceiling fan;cast iron pan;smart doorbell;tennis racket
linen dress;memory card;bathroom scale;folding ladder;toaster oven;music box;silk scarf;robot mower;car seat;chess set
espresso grinder;swim suit;floor mirror;heated blanket;pressure washer;router;coffee table;webcam;guitar tuner;tent
sewing machine;bike helmet;wine rack;portable heater;training bench;ice cream maker;screen protector;rowing machine
power bank;stroller;dish rack;pocket projector;cotton duvet;bird feeder;e-reader;steam iron;soundbar;patio umbrella
kitchen mixer;mini fridge;snow shovel;foam mattress;tool box;cat tree;weather station;waffle iron;label printer;poncho
noise meter;air purifier;bar stool;fleece vest;jump rope;kids tablet;milk frother;shoe cabinet;wrist brace
paper shredder
""",
    "brand": """
Norvik;Halden;Brightwell;Kestrel;Oakline;Tamaro;Fernley;Lumio;Castrel;Wenford;Pollux;Marlowe;Tessaro;Quillon;Ardent
Velden;Hobarth;Zephyra;Corvane;Dunmore;Elkhart;Sorrel;Vantor;Mirelle;Ostara;Brennic;Calvora;Farrow;Greyson;Iverna
""",
    "first": """
Alice;Omar;Priya;Tomasz;Grace;Diego;Hannah;Kofi;Yuki;Samuel;Leila;Victor;Ingrid;Marcus;Amina;Peter;Sofia;Declan;Nadia
Oliver;Fatima;Henrik;Carla;Joseph;Mei;Andrew;Zoe;Rashid;Emily;Pavel;Ruth;Carlos;Nora;Ahmed;Lucy;Stefan;Ivy;Daniel;Rosa
Gareth;Helen;Kwame;Marta;Simon;Anya;Felix;Joyce;Bruno;Clara;Dmitri;Esther;Gordon;Irene;Jakob;Kirsten;Liam;Mona;Nigel
Paula;Quentin;Rita;Sergei;Tanya;Ulrich;Vera;Walter
""",
    "last": """
Morgan;Okafor;Lindqvist;Sharma;Kowalski;Bennett;Ramirez;Fischer;Haddad;Tanaka;Whitfield;Novak;Osei;Carlsen;Duarte
Pemberton;Rossi;Ibrahim;Sutherland;Moreau;Castillo;Vance;Hoang;Petrov;Gallagher;Abbott;Nakamura;Silva;Brandt;Wallace
Mensah;Eriksen;Farrell;Gupta;Holloway;Ivanova;Jensen;Keller;Lambert;Mwangi;Nolan;Ortega;Pratt;Quinn;Reyes;Sorensen
Thornton;Urban;Vogel;Winslow;Yilmaz;Zeller;Ashworth;Blackwood;Crane;Drummond;Ellis;Forsyth;Grant;Hale
""",
    "place": """
Leeds;Portland;Bristol;Austin;Dublin;Cardiff;Denver;Toronto;Oslo;Norwich;Boston;Perth;Glasgow;Tucson;Brighton;Calgary
Utrecht;York;Memphis;Cork;Ghent;Exeter;Omaha;Malmo;Oxford;Tampa;Zurich;Derby;Halifax;Lisbon;Plymouth;Fresno;Bergen;Bath
Ottawa;Lincoln;Munich;Swansea;Boise;Durham;Vienna;Coventry;Reno;Aarhus;Sheffield;Madison;Prague;Dundee;Tulsa;Ipswich
Hamburg;Spokane;Belfast;Krakow;Savannah;Inverness;Geneva;Raleigh;Preston;Turin;Camden;Northgate;Harlow;Riverside
Eastfield;Millbrook;Ashford;Greenwich;Kingsbury;Oakdale;Fairview;Westport
""",
    "street": """
Elm Street;Harbour Road;Mill Lane;Station Road;Kings Avenue;Orchard Close;Church Street;Park Drive;Victoria Terrace
Maple Avenue;Bridge Street;Hillside Way;Queens Road;Birch Court;Market Square;Garden Lane;Abbey Road;Lakeview Drive
Cedar Crescent;North Parade;Willow Walk;Castle Street;Meadow Rise;Chapel Lane
""",
    "courier": """
SwiftPost;Parcelo;BlueVan;NorthStar Express;QuickDrop;Hermit Logistics;CityRunner;RedKite Couriers;GoParcel;Truckway
EagleShip;PostNow;Boxline;FleetFox;Arrowmail;DoorDart;Penguin Parcels;Metroship
""",
    "domain": """
mailbox.example;postly.example;inboxer.example;webmail.example;quickmail.example;homenet.example;letterbox.example
fastpost.example;myoffice.example;bluemail.example;dayletter.example;northnet.example
""",
}

WORDS: dict[str, list[str]] = {
    "colour": [
        "black",
        "white",
        "red",
        "navy blue",
        "green",
        "grey",
        "beige",
        "dark brown",
        "pink",
        "yellow",
        "silver",
        "purple",
        "orange",
    ],
    "size": ["S", "M", "L", "XL", "38", "40", "42", "44", "medium", "large", "small", "9 and a half"],
    "plan": ["Plus", "Premium", "the Plus plan", "Gold", "the family plan", "Prime Box"],
    "duration": [
        "two weeks",
        "ten days",
        "a month",
        "six months",
        "three weeks",
        "five weeks",
        "nine months",
        "a year",
    ],
    "wait": ["half an hour", "40 minutes", "an hour", "two hours", "25 minutes"],
}

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
SHORT_MONTHS = [month[:3] for month in MONTHS]

PAST = [
    *(f"last {day}" for day in WEEKDAYS),
    *(f"on|{day}" for day in WEEKDAYS),
    *("yesterday", "last week", "last month", "two days ago", "three days ago", "last weekend", "a week ago"),
    *("last night", "this morning", "the day before yesterday", "earlier this week", "ten days ago"),
    *(f"on|{day} morning" for day in WEEKDAYS),
    *(f"on|{day} evening" for day in WEEKDAYS),
]
PASTDAY = [
    *(f"last {day}" for day in WEEKDAYS),
    *WEEKDAYS,
    *(f"{day} morning" for day in WEEKDAYS),
    *("yesterday", "last week", "last month", "last weekend", "last night", "this morning"),
]
FUTURE = [
    *(f"next {day}" for day in WEEKDAYS),
    *(f"on|{day}" for day in WEEKDAYS),
    *(f"this {day}" for day in WEEKDAYS),
    *("tomorrow", "next week", "next month", "this weekend", "the day after tomorrow", "tonight", "next weekend"),
    *(f"on|{day} afternoon" for day in WEEKDAYS),
]
DAY = [
    *(f"next {day}" for day in WEEKDAYS),
    *WEEKDAYS,
    *(f"this {day}" for day in WEEKDAYS),
    *("tomorrow", "next week", "next month", "next weekend", "the day after tomorrow"),
]
