"""Scores of answers equal the official script of GSM8K, and plain counting, on random cases."""

from __future__ import annotations

import itertools
import json
import random
import re

import pytest

from fathom.evaluation.dialogue import Calls, Distinct, ExactAnswer, final_number

CASES = 200


def official_answer(completion):
    """`extract_answer` of openai/grade-school-math, dataset.py."""
    match = re.compile(r"#### (\-?[0-9\.\,]+)").search(completion)
    return match.group(1).strip().replace(",", "") if match else "[invalid]"


def worked(chance):
    number = chance.choice(["5", "1,000", "1000", "-3", "0.5", "12.50", "7."])
    mark = chance.choice(["#### ", "#### ", "#### ", "####", "The answer is "])
    after = chance.choice(["", " dollars", "\n#### 5"])
    return f"So {chance.randint(1, 9)} + 2 = 7\n{mark}{number}{after}"


def scores(part, cases):
    accumulator = part.open(())
    for said, references in cases:
        accumulator.update(said, {"source": "x", "references": references})
    return accumulator.compute()


def test_exact_answers_are_gsm8ks():
    chance = random.Random(3)
    cases = [(worked(chance), f"Thus\n#### {chance.choice(['5', '1,000', '-3', '0.5'])}") for _ in range(CASES)]
    right = [official_answer(said) == official_answer(reference) for said, reference in cases]
    assert 0 < sum(right) < CASES
    found = scores(ExactAnswer(), [(said, [reference]) for said, reference in cases])
    assert found["exact_answer"] == pytest.approx(sum(right) / CASES)
    assert all((final_number(said) or "[invalid]") == official_answer(said) for said, _ in cases)


def test_other_answers_are_compared_whole():
    cases = [("It  is\nTHREE.", ["no", "it is three."]), ("It is", ["It is three."]), ("3", ["3"]), ("", ["3"])]
    assert scores(ExactAnswer(), cases) == {"exact_answer": 0.5}
    assert scores(ExactAnswer(), []) == {}


def test_distinct_ngrams_by_counting():
    chance = random.Random(4)
    texts = [" ".join(chance.choices(["a", "b", "c", "d", "e", "f"], k=chance.randint(0, 9))) for _ in range(CASES)]
    words = [text.split() for text in texts]
    pairs = [pair for line in words for pair in itertools.pairwise(line)]
    every = [word for line in words for word in line]
    found = scores(Distinct(), [(text, ["x"]) for text in texts])
    assert found["distinct_1"] == pytest.approx(len(set(every)) / len(every))
    assert found["distinct_2"] == pytest.approx(len(set(pairs)) / len(pairs))
    assert scores(Distinct(units="chinese"), [("好好学", ["x"])])["distinct_1"] == pytest.approx(2 / 3)
    assert scores(Distinct(), [("", ["x"])]) == {"distinct_1": 0.0, "distinct_2": 0.0}


def call(name, **arguments):
    return json.dumps({"name": name, "arguments": arguments})


def test_calls_and_their_arguments():
    wanted = call("find", city="Rome", day=3)
    cases = [
        ('{"arguments": {"day": 3, "city": "Rome"}, "name": "find"}', wanted),  # right: order says nothing
        (f"<tool_call>\n{wanted}\n</tool_call>", wanted),  # right
        (call("find", city="Rome", day=4), wanted),  # one of two arguments
        (call("book", city="Rome", day=3), wanted),  # another function: no argument counts
        ("I do not know.", wanted),
        (wanted, "Which city?"),  # a call nobody wanted
        ("Which city?", "Which city?"),  # no call: does not count
        (f"{call('b')}\n{call('a')}", f"[{call('a')}, {call('b')}]"),  # right: several, in any order
        ('{"name": "find", "arguments": ', wanted),  # broken JSON
    ]
    found = scores(Calls(), [(said, [reference]) for said, reference in cases])
    assert found["call_accuracy"] == pytest.approx(3 / 8)
    assert found["slot_accuracy"] == pytest.approx(5 / 12)
    assert scores(Calls(), [("Yes", ["No"]), ('[{"name": "Bob"}]', ['[{"name": "Ann"}]'])]) == {}


@pytest.mark.parametrize("part", [ExactAnswer(), Calls()])
def test_counts_sum_to_the_score(part):
    wanted = call("find", city="Rome")
    accumulator = part.open(())
    rows = []
    for said in (wanted, "no", call("find", city="Bonn")):
        reference = {"references": [wanted]}
        accumulator.update(said, reference)
        rows.append(accumulator.counts(said, reference))
    assert accumulator.compute()[accumulator.sums_to] == sum(row[0] for row in rows) / sum(row[1] for row in rows)
