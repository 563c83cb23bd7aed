from __future__ import annotations

import pytest

from fathom.tasks.markers import mark, marker_names


def _marked(text, head, tail, style="punctuation", types=(None, None)):
    entities = {}
    for role, name, kind in zip(("head", "tail"), (head, tail), types, strict=True):
        start = text.index(name)
        entities[role] = {"start": start, "end": start + len(name), "type": kind}
    return mark(text, entities, style, None not in types)


@pytest.mark.parametrize(
    ("text", "head", "tail", "options", "expected"),
    [
        ("Bill was born in Rome.", "Bill", "Rome", {}, "@ Bill @ was born in # Rome # ."),
        ("In Rome, Bill", "Bill", "Rome", {}, "In # Rome # , @ Bill @"),
        ("Bill of Rome", "Bill", "Rome", {"style": "tokens"}, "<e1> Bill </e1> of <e2> Rome </e2>"),
        (
            "Bill of Rome",
            "Bill",
            "Rome",
            {"types": ("PERSON", "big_city")},
            "@ * person * Bill @ of # ^ big city ^ Rome #",
        ),
        (
            "Bill of Rome",
            "Bill",
            "Rome",
            {"style": "tokens", "types": ("PERSON", "CITY")},
            "<e1:person> Bill </e1:person> of <e2:city> Rome </e2:city>",
        ),
        ("the new York Times", "new York Times", "York", {}, "the @ new # York # Times @"),
        ("the new York Times", "new", "new York", {}, "the # @ new @ York # Times"),
        ("the new York Times", "York Times", "Times", {}, "the new @ York # Times # @"),
        ("东航与上航合并", "东航", "上航", {}, "@东航@与#上航#合并"),
        ("unhappy cat", "happy", "cat", {}, "un @ happy @ # cat #"),
    ],
)
def test_marked_texts(text, head, tail, options, expected):
    assert _marked(text, head, tail, **options).text == expected


def test_spans_are_the_marks_and_the_entities():
    marked = _marked("In Rome, Bill said", "Bill", "Rome", types=("PER", "CITY"))
    assert [marked.text[start:end].strip() for start, end in marked.spans] == [
        "@ * per *",
        "Bill",
        "@",
        "# ^ city ^",
        "Rome",
        "#",
    ]


def test_names_of_marker_tokens():
    assert marker_names([]) == ["<e1>", "</e1>", "<e2>", "</e2>"]
    assert "</e2:big city>" in marker_names(["big_city"])
