from __future__ import annotations

import re

import pytest

from fathom.data.helpdesk import SPLITS, generate
from fathom.data.helpdesk.dialogues import NEEDS, RULES, talk
from fathom.data.helpdesk.lexicon import LABELS as VALUES
from fathom.data.helpdesk.lexicon import lexicon
from fathom.data.helpdesk.messages import LABELS
from fathom.data.helpdesk.passages import PASSAGES
from fathom.data.helpdesk.records import titles
from fathom.data.readers.helpdesk import HelpdeskReader
from fathom.data.section import DataSection
from fathom.errors import DataError


@pytest.fixture(scope="module")
def dialogues():
    return {language: generate("dialogues", "train", 480, language=language) for language in ("en", "zh")}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_act_can_be_said_in_every_split_and_names_known_slots(language):
    for split in SPLITS:
        said = talk(language, split)
        words = {*VALUES, *lexicon(language, split)._words, *said.values, "brand", "policies"}
        for name, act in said.acts.items():
            assert act, (split, name)
            assert all(set(template.slots) <= words for template in act), name
        for label in LABELS:
            assert {f"done/{label}", f"fail/{label}"} <= set(said.acts)
            assert {f"ask/{slot}" for slot in NEEDS[label]} <= set(said.acts)
            assert set(RULES[label]) <= set(said.rules)
        assert all(found for found in titles(language, split).values())
    assert set(PASSAGES[language]) == set(LABELS)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_dialogues_are_conversations_in_order(language, dialogues):
    lengths = set()
    for row in dialogues[language]:
        roles = [turn["role"] for turn in row["messages"]]
        roles = roles[1:] if roles[0] == "system" else roles
        assert len(roles) % 2 == 0
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        lengths.add(len(roles))
        for turn in row["messages"]:
            text = turn["content"]
            assert text == text.strip() and text and not re.search(r"[{}|]|  ", text)
    assert len(lengths) >= 5


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_agent_never_asks_twice_and_acts_on_what_was_said(language, dialogues):
    for row in dialogues[language]:
        users = " ".join(turn["content"].lower() for turn in row["messages"] if turn["role"] == "user")
        agent = [turn["content"] for turn in row["messages"] if turn["role"] == "assistant"]
        orders = [item["text"] for item in row["entities"] if item["label"] == "ORDER"]
        if row["intent"] in ("cancel_order", "return_item", "track_order") and orders:
            assert orders[0].lower() in users
            assert any(order in " ".join(agent) for order in orders)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_rules_are_answered_as_the_system_turn_states_them(language, dialogues):
    answered = 0
    for row in dialogues[language]:
        names = [name.split("/")[-2] for name in row["templates"] if "/dialogue/answer/" in name]
        system = row["messages"][0]["content"] if row["messages"][0]["role"] == "system" else ""
        agent = " ".join(turn["content"] for turn in row["messages"] if turn["role"] == "assistant")
        for name in names:
            values = [value for value in talk(language, "train").values[name] if value in agent and value in system]
            assert values, (name, row["messages"])
            answered += 1
    assert answered > 50


def test_questions_share_the_page_that_answers_them():
    rows = generate("faq", "test", 240)
    for row in rows:
        assert row["text_pair"] == PASSAGES[row["language"]][row["label"]]
        assert len({row["text"], *row["paraphrases"]}) == 4


def test_titles_name_only_what_the_ticket_names():
    for row in generate("tickets", "train", 480):
        for code in re.findall(r"[A-Z#]*-?\d{4,}(?:-\d+)?", row["target"]):
            assert code.lower() in row["text"].lower()


def test_parallel_sentences_hold_the_same_numbers_on_both_sides():
    rows = generate("parallel", "train", 600)
    for row in rows:
        english, chinese = (row["text"], row["target"]) if row["language"] == "en" else (row["target"], row["text"])
        assert english.isascii()
        assert re.search(r"[\u4e00-\u9fff]", chinese)
        codes = r"[A-Z]{0,3}-?\d{4,}"
        assert sorted(re.findall(codes, english)) == sorted(re.findall(codes, chinese))
    assert {row["language"] for row in generate("parallel", "test", 50, language="zh")} == {"zh"}


def test_paths_give_the_form_of_the_task():
    def read(path, form):
        return HelpdeskReader().read(path, form, DataSection(train=path))

    reading = read("helpdesk:dialogues/test@zh#20", "chat")
    assert len(reading.examples) == 20
    assert set(reading.examples[0]) == {"messages", "language", "where"}
    assert read("helpdesk:faq#5", "text").examples[0]["text_pair"]
    assert read("helpdesk:tickets#5", "text").examples[0]["target"]
    assert "assistant: " in read("helpdesk:dialogues#5", "corpus").examples[0]["text"]
    with pytest.raises(DataError, match="write helpdesk:dialogues"):
        read("helpdesk:intents", "chat")
    with pytest.raises(DataError, match="do not fit this task"):
        read("helpdesk:dialogues", "text")
