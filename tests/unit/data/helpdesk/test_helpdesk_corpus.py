from __future__ import annotations

import hashlib
import itertools
import json
import random
import re

import pytest

from fathom.data.conversation import text_of
from fathom.data.helpdesk import DEFAULT_SIZES, KINDS, SPLITS, generate
from fathom.data.helpdesk.grammar import owner
from fathom.data.helpdesk.messages import LABELS
from fathom.errors import DataError

DIGESTS = {
    "intents": "9067a3204d05629e8ed1df95982567a232feb3dcc9593a68ffc10639f3963d49",
    "entities": "55a90630f6bd8b9fad0cfdc5cb09c8d67ea6a320f210a986d549befa378c3839",
    "relations": "ee8fb9d73006c673a34b0d9cd34ebdbe5cec13c681f52eac86b389e463120236",
    "dialogues": "540691860d76c9d6e948f56a1d57921fd578f3c746d9ed7a42507afe180813b7",
    "faq": "fc201ab39adb5a08ce0d3145f04ff17111fd316afb20d3461d0afbe3e5a86d46",
    "questions": "784a91d22e50bae34ec76541ac3a0eb8df24e980f5111cc7dd13896cb1d8d38c",
    "tickets": "84c8f0ca257abad66e4c501650774b255cd623086673716941b8d67f291b53f3",
    "parallel": "b4d06c7cbc1f146d04698a93304442d1b879076a67828db1ff436328f23d173b",
}
NEW = ("dialogues", "faq", "questions", "tickets", "parallel")


@pytest.fixture(scope="module")
def corpus():
    return {kind: {split: generate(kind, split, 600 if kind in NEW else 1200) for split in SPLITS} for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_arguments_give_the_same_examples_on_every_machine(kind):
    rows = [generate(kind, split, 60) for split in SPLITS]
    assert rows == [generate(kind, split, 60) for split in SPLITS]
    assert hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest() == DIGESTS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_smaller_size_gives_the_first_examples_and_nothing_outside_moves_them(kind, corpus):
    random.seed(99)
    assert generate(kind, "test", 50) == corpus[kind]["test"][:50]
    assert generate(kind, "test", 50, seed=8) != corpus[kind]["test"][:50]


@pytest.mark.parametrize("kind", KINDS)
def test_no_template_no_value_and_no_text_is_shared_by_two_splits(kind, corpus):
    for one, other in itertools.combinations(SPLITS, 2):
        for read in (_texts, _values, _templates):
            shared = read(corpus[kind][one]) & read(corpus[kind][other])
            assert not shared, sorted(shared)[:5]


def test_no_value_is_shared_across_kinds_and_splits_either(corpus):
    for one, other in itertools.permutations(SPLITS, 2):
        for first, second in itertools.permutations(["intents", "entities", *NEW[:4]], 2):
            assert not _values(corpus[first][one]) & _values(corpus[second][other])
            assert not _texts(corpus[first][one]) & _texts(corpus[second][other])


@pytest.mark.parametrize("kind", ["intents", "entities"])
def test_every_entity_is_the_text_between_its_offsets(kind, corpus):
    for split in SPLITS:
        for row in corpus[kind][split]:
            end = 0
            for entity in row["entities"]:
                assert row["text"][entity["start"] : entity["end"]] == entity["text"] != ""
                assert entity["start"] >= end
                end = entity["end"]


def test_generated_values_belong_to_their_split(corpus):
    for split in SPLITS:
        for row in corpus["entities"][split]:
            for entity in row["entities"]:
                if entity["label"] in {"ORDER", "AMOUNT", "CONTACT", "DATE"}:
                    assert owner(entity["text"]) == split, entity


def test_words_and_tags_give_the_entities_back(corpus):
    for split in SPLITS:
        for row in corpus["entities"][split]:
            assert len(row["words"]) == len(row["tags"])
            assert all(start < end for start, end in row["words"])
            assert all(left[1] <= right[0] for left, right in itertools.pairwise(row["words"]))
            found = []
            for (start, end), tag in zip(row["words"], row["tags"], strict=True):
                if tag.startswith("B-"):
                    found.append([start, end, tag[2:]])
                elif tag.startswith("I-"):
                    assert found and found[-1][2] == tag[2:]
                    found[-1][1] = end
            assert found == [[item["start"], item["end"], item["label"]] for item in row["entities"]]
            outside = "".join(row["text"][end:start] for (_, end), (start, _) in itertools.pairwise(row["words"]))
            assert not outside.strip()


def test_chinese_is_cut_by_character_and_english_by_word():
    rows = generate("entities", "train", 100)
    for row in rows:
        for start, end in row["words"]:
            word = row["text"][start:end]
            assert len(word) == 1 or not re.search(r"[\u4e00-\u9fff]", word)
            assert not re.search(r"\s", word)


def test_labels_and_languages_are_balanced(corpus):
    rows = generate("intents", "train", 480)
    for label in LABELS:
        for language in ("en", "zh"):
            assert sum(row["label"] == label and row["language"] == language for row in rows) == 10
    only = generate("intents", "validation", 96, language="zh")
    assert {row["language"] for row in only} == {"zh"}
    assert len({row["text"] for row in corpus["intents"]["train"]}) == 1200


def test_every_entity_type_occurs_in_every_split(corpus):
    kinds = {"ORDER", "PRODUCT", "DATE", "PLACE", "AMOUNT", "PERSON", "CONTACT", "COURIER"}
    for split in SPLITS:
        assert {item["label"] for row in corpus["entities"][split] for item in row["entities"]} == kinds


def test_texts_are_noisy_but_clean_at_the_edges(corpus):
    texts = [row["text"] for row in corpus["intents"]["train"]]
    assert all(text == text.strip() and "  " not in text and "{" not in text and "|" not in text for text in texts)
    assert 0.1 < sum(text == text.lower() and text.isascii() for text in texts) / len(texts) < 0.5


def test_answers_stand_where_they_say_and_some_questions_have_none(corpus):
    for split in SPLITS:
        rows = corpus["questions"][split]
        for row in rows:
            assert all(row["text"].startswith(answer["text"], answer["start"]) for answer in row["answers"])
        assert 0.1 < sum(not row["answers"] for row in rows) / len(rows) < 0.3


def test_default_sizes():
    for kind in KINDS:
        assert len(generate(kind, "validation")) == DEFAULT_SIZES[kind]["validation"]
        assert len(generate(kind, "train")) == DEFAULT_SIZES[kind]["train"]
    assert [DEFAULT_SIZES["intents"][split] for split in SPLITS] == [3000, 400, 800]
    assert [DEFAULT_SIZES["entities"][split] for split in SPLITS] == [2400, 400, 600]
    assert [DEFAULT_SIZES["dialogues"][split] for split in SPLITS] == [2000, 200, 400]


def test_wrong_arguments_are_refused_with_a_mend():
    with pytest.raises(DataError, match="known: intents"):
        generate("intent", "train")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="known: train"):
        generate("intents", "dev")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="both, en or zh"):
        generate("intents", "train", language="fr")  # type: ignore[arg-type]


def _texts(rows):
    return {str(row.get("question", text_of(row))).casefold() for row in rows}


def _values(rows):
    return {entity["text"].casefold() for row in rows for entity in row["entities"]}


def _templates(rows):
    return {name for row in rows for name in row["templates"]}
