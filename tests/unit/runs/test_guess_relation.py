"""Files of entity pairs are recognised, and others are not taken for them."""

from __future__ import annotations

import json

import pytest

from fathom.config import parse_yaml
from fathom.runs.guess import guess_data
from fathom.runs.init import init

NAMES = ("东航", "上航", "南航", "国航")


def _marked(path):
    rows = [f"{label}\t<e1>a{n}</e1> and <e2>b{n}</e2>" for n in range(30) for label in ("in(e1,e2)", "Other")]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _named(path):
    rows = [
        f"{one}\t{other}\t{('合作', '竞争')[n % 2]}\t第{n}天{one}与{other}签约" + "\n"
        for n in range(15)
        for one, other in (("东航", "上航"), ("南航", "国航"))
    ]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")  # every second line is empty
    return path


def _tacred(path):
    row = {"token": ["a", "likes", "b"], "subj_start": 0, "subj_end": 0, "obj_start": 2, "obj_end": 2,
           "stanford_ner": ["O", "O", "O"]}  # fmt: skip
    path.write_text("".join(json.dumps({**row, "relation": name}) + "\n" for name in ("likes", "NA")), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("make", "name", "columns"),
    [
        (_marked, "train.tsv", {"text": 1, "label": 0}),
        (_named, "train.txt", {"head": 0, "tail": 1, "text": 3, "label": 2}),
        (_tacred, "train.jsonl", None),
    ],
)
def test_pairs_are_recognised(tmp_path, make, name, columns):
    guess = guess_data(str(make(tmp_path / name)))
    assert (guess.form, guess.problem) == ("relation", "relations")
    assert guess.options.get("columns") == columns


def test_helpdesk_relations():
    assert guess_data("helpdesk:relations#10").form == "relation"


def test_texts_and_tags_are_not_taken_for_pairs(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "".join(f"number {n},{'ab'[n % 2]}\n" for n in range(20)), encoding="utf-8")
    assert guess_data(str(path)).form == "text"
    rows = [{"tokens": ["a", "b"], "tags": ["B-X", "O"]}] * 3
    other = tmp_path / "train.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert guess_data(str(other)).form == "spans"


def test_a_bad_row_is_left_out_by_a_recipe_that_says_so(tmp_path):
    path = _marked(tmp_path / "train.tsv")
    with path.open("a", encoding="utf-8") as stream:
        stream.write("Other\t<e1>only</e1> one\n")
    recipe = init(str(path), tmp_path / "recipe.yaml")
    raw = parse_yaml(recipe.read_text(encoding="utf-8"))
    assert raw["task"] == "relation-extraction"
    assert raw["data"]["on_error"] == "skip"
