"""Rows of every form with something odd in them, wherever it stands: examples, or a `DataError` with a mend."""

from __future__ import annotations

import copy
import json
import random

import pytest

from fathom.data.check import CheckOptions, check_splits
from fathom.data.leave_one_out import check_sequences
from fathom.data.load import load_examples
from fathom.data.section import DataSection
from fathom.errors import DataError

CASES = 300
USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
FACT = {"name": "Rome", "attrname": "rivers", "attrvalue": "Tiber"}
FRAME = {"service": "x", "service_call": {"method": "find", "parameters": {"a": 1}}, "service_results": []}
CALL = {"function": {"name": "find", "arguments": "{}"}}
WHOLE = {
    "text": "A costs 5",
    "entities": [{"id": "a", "start": 0, "end": 1, "label": "O"}, {"id": "b", "start": 8, "end": 9, "label": "M"}],
    "relations": [{"head": "a", "tail": "b", "type": "costs"}],
}
TOKENS = {"token": ["Bill", "founded", "MS"], "relation": "founded"}
TACRED = {"subj_start": 0, "subj_end": 0, "obj_start": 2, "obj_end": 2, "subj_type": "P", "obj_type": "O"}
ROWS = {
    "relation": [
        {"text": "Bill founded MS", "head": {"start": 0, "end": 4, "type": "P"}, "tail": [13, 15, "O"], "label": "x"},
        {**TOKENS, "h": {"pos": [0, 1]}, "t": {"pos": [2, 3]}},
        {**TOKENS, **TACRED},
        WHOLE,
        {"text": "The <e1>a</e1> b <e2>c</e2>", "label": "x"},
    ],
    "questions": [
        {"context": "Rome is big", "question": "what?", "answers": {"text": ["Rome"], "answer_start": [0]}},
        {
            "context": "Rome is",
            "question": "what?",
            "answers": [{"text": "Rome", "answer_start": 0}],
            "is_impossible": 0,
        },
    ],
    "chat": [
        {"messages": [USER, {**ASSISTANT, "attrs": [FACT], "frames": [FRAME], "tool_calls": [CALL]}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"instruction": "a", "input": "b", "output": "c", "system": "s"},
        {"instruction": "a", "instances": [{"input": "x", "output": "y"}]},
    ],
    "preference": [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [{**ASSISTANT, "content": "x"}]},
        {"conversations": [USER, ASSISTANT], "kto_tag": True},
    ],
    "pairs": [{"text": "a", "text_pair": "b", "negative": ["c"]}, {"sentence1": "a", "sentence2": "b", "score": 0.5}],
    "writing": [{"source": ["a", "b"], "target": ["c", "d"]}],
    "interactions": [{"user": "u", "item": "i", "timestamp": 3}, {"user": "u", "items": ["a", "b"]}],
    "spans": [{"text": "a b", "entities": [{"start": 0, "end": 1, "label": "X"}]}, {"tokens": ["a"], "tags": ["B-X"]}],
    "text": [{"text": "a", "text_pair": "b", "label": ["x", "y"]}, {"text": "a", "label": 1}],
}
ODD = [
    *(None, True, 0, -1, 3, 10**30, 1.5, float("nan"), "", " ", "a", "\x00", "[1", "[]", '["a"]', "nan", [], {}),
    *([[]], [None], [1, 2], {"a": 1}, {"start": 0}, [{"role": "user"}], {"text": []}, {"id": []}, [[0, 1]]),
]


def places(value, before=()):
    """Every place in a row: keys and positions that lead there."""
    if before:
        yield before
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*before, key))


def spoilt(row, chance):
    row = copy.deepcopy(row)
    found = list(places(row))
    if not found:
        return row
    *inside, last = chance.choice(found)
    holder = row
    for key in inside:
        holder = holder[key]
    kind = chance.random()
    if kind < 0.2 and isinstance(holder, dict):
        del holder[last]
    else:
        holder[last] = [holder[last]] if kind < 0.3 else copy.deepcopy(chance.choice(ODD))
    return row


@pytest.mark.parametrize("form", ROWS)
def test_odd_rows_are_read_or_refused(form, tmp_path):
    chance = random.Random(form)
    path = tmp_path / "data.jsonl"
    refused = 0
    for _ in range(CASES):
        row = chance.choice(ROWS[form])
        rows = [spoilt(spoilt(row, chance), chance), *chance.choice([[], [row]])]
        path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
        columns = {"knowledge": "attrs", "calls": "frames"} if "messages" in row and form == "chat" else {}
        section = DataSection(train=str(path), columns=columns, on_error=chance.choice(["refuse", "skip"]))
        try:
            examples, _ = load_examples(str(path), form, section)
        except DataError as error:
            assert error.mend and "data.jsonl" in str(error.where), rows
            refused += 1
            continue
        assert examples and all("where" in example for example in examples), rows
        checked = (
            check_sequences({"train": examples})
            if form == "interactions"
            else check_splits({"train": examples, "test": examples[:1]}, CheckOptions())
        )
        assert checked
    assert 0 < refused < CASES
