"""Messages that say what belongs together: facts hold by the template, splits share nothing, all pairs are given."""

from __future__ import annotations

import pytest

from fathom.data.helpdesk import generate
from fathom.data.helpdesk.relations import PAIRS, TYPES
from fathom.data.load import load_examples

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def rows():
    return {split: generate("relations", split, 200) for split in SPLITS}


def test_relations_hold_between_the_types_they_are_for(rows):
    for split in SPLITS:
        for row in rows[split]:
            assert row["relations"]
            for entity in row["entities"]:
                assert row["text"][entity["start"] : entity["end"]] == entity["text"]
            for relation in row["relations"]:
                types = tuple(row["entities"][relation[role]]["label"] for role in ("head", "tail"))
                assert types in TYPES[relation["type"]]


def test_no_template_text_or_value_is_in_two_splits(rows):
    for key in (
        lambda row: row["templates"],
        lambda row: [row["text"]],
        lambda row: [
            item["text"].lower() for item in row["entities"] if item["label"] in ("ORDER", "AMOUNT", "CONTACT")
        ],
    ):
        seen = [{value for row in rows[split] for value in key(row)} for split in SPLITS]
        assert not seen[0] & seen[1]
        assert not seen[0] & seen[2]
        assert not seen[1] & seen[2]


def test_training_states_every_relation(rows):
    assert {item["type"] for row in rows["train"] for item in row["relations"]} == set(TYPES)


def test_a_message_gives_every_pair_its_types_allow(rows):
    pairs, _ = load_examples("helpdesk:relations/train#200", "relation")
    assert {pair["where"] for pair in pairs} == {row["where"] for row in rows["train"]}
    assert {(pair["head"]["type"], pair["tail"]["type"]) for pair in pairs} <= PAIRS
    assert sum(pair["label"] != "no-relation" for pair in pairs) == sum(len(row["relations"]) for row in rows["train"])
    assert sum(pair["label"] == "no-relation" for pair in pairs) > 100


def test_the_same_messages_are_read_for_their_entities():
    examples, _ = load_examples("helpdesk:relations/test#20", "spans")
    assert all(any(tag.startswith("B-") for tag in example["tags"]) for example in examples)
