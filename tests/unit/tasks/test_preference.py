"""Pairs as tokens: both answers after the same prompt, whatever is left out of it; which options go together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from chats_for_tests import chat_tokenizer
from fathom.data.draw import Draw
from fathom.errors import ConfigError, DataError
from fathom.tasks.preference import OpenPreference, Preference
from fathom.tasks.preference_encoding import split_answers

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi there"},
    {"role": "assistant", "content": "Hello, how can I help?"},
    {"role": "user", "content": "Where is Berlin?"},
]
PAIR = {"messages": TURNS, "chosen": "In the north.", "rejected": "I do not know, and never did.", "where": "x:1"}


def opened(max_length: int = 1000, **options: Any) -> OpenPreference:
    return Preference(**options).open([PAIR], chat_tokenizer(), max_length)


def texts(task: OpenPreference, feature: Any) -> list[tuple[str, str]]:
    """Each conversation of a sequence, and what of it is learned."""
    found = []
    for side in split_answers(feature):
        learned = side["input_ids"][side["labels"] >= 0]
        assert np.array_equal(side["labels"][side["labels"] >= 0], learned)
        found.append((task.tokenizer.decode(side["input_ids"]), task.tokenizer.decode(learned)))
    return found


def test_both_answers_follow_the_whole_prompt() -> None:
    task = opened()
    (feature,) = task.encode([PAIR])
    (chosen, learned), (rejected, other) = texts(task, feature)
    reference = task.tokenizer.apply_chat_template(
        [*TURNS, {"role": "assistant", "content": PAIR["chosen"]}], tokenize=False
    )
    assert chosen == reference
    assert learned == "In the north.<|im_end|>" and other == "I do not know, and never did.<|im_end|>"
    prompt = chosen.partition("In the north.")[0]
    assert rejected.startswith(prompt)
    assert not int(feature["truncated"])


def test_exchanges_are_left_out_of_both_sides_alike() -> None:
    whole = opened()
    (feature,) = whole.encode([PAIR])
    longest = max(np.bincount(feature["segment"]))
    task = opened(int(longest) - 1)  # the chosen side alone would fit
    (chosen, _), (rejected, _) = texts(task, task.encode([PAIR])[0])
    for said in (chosen, rejected):
        assert "Be brief." in said and "Hi there" not in said and "Where is Berlin?" in said


@pytest.mark.parametrize("max_length", [4, 9, 16, 24])
def test_a_long_exchange_loses_its_beginning_and_then_the_answers_end(max_length: int) -> None:
    task = opened(max_length)
    pair = {**PAIR, "messages": TURNS[3:]}
    (feature,) = task.encode([pair])
    sides = split_answers(feature)
    (whole,) = opened().encode([pair])
    for side, full in zip(sides, split_answers(whole), strict=True):
        assert len(side["input_ids"]) <= max_length
        labelled = side["labels"] >= 0
        assert labelled.sum() >= min(max_length // 2, (full["labels"] >= 0).sum())
        answer = full["input_ids"][full["labels"] >= 0]
        assert np.array_equal(side["input_ids"][labelled], answer[: labelled.sum()]), "an answer is cut at its end only"
    prompts = [side["input_ids"][: int(np.argmax(side["labels"] >= 0))] for side in sides]
    assert np.array_equal(*prompts) and len(prompts[0]) >= 1
    assert int(feature["truncated"])


def test_too_long_pairs_are_refused_where_asked() -> None:
    with pytest.raises(DataError, match="max_length is 16") as caught:
        opened(16, too_long="refuse").encode([PAIR])
    assert caught.value.where == "x:1"


def test_a_batch_has_a_row_for_each_answer() -> None:
    task = opened()
    features = task.encode([PAIR, {**PAIR, "chosen": "Yes."}])
    for number, feature in enumerate(features):
        feature["reference"] = np.where(feature["labels"] >= 0, -np.arange(len(feature["labels"])) - number, 0.0)
    batch = task.make_batch(features, Draw(7, 0, np.arange(2)))
    assert batch["row"].tolist() == [0, 0, 1, 1] and batch["side"].tolist() == [0, 1, 0, 1]
    for row, side in enumerate(side for feature in features for side in split_answers(feature)):
        places = (batch["labels"][row] >= 0).nonzero()[:, 0]
        assert batch["labels"][row, places].tolist() == batch["input_ids"][row, places + 1].tolist()
        assert batch["reference"][batch["answer"] == row].tolist() == side["reference"][side["labels"] >= 0].tolist()
    assert task.normalizer(batch) == 2.0


def test_kto_sets_an_answer_to_another_prompt_beside_each() -> None:
    other = {"messages": [{"role": "user", "content": "When?"}], "chosen": "Now.", "rejected": "Then.", "where": "x:2"}
    task = opened(objective="kto")
    features = task.encode([PAIR, other])
    assert [int(feature["example"]) for feature in features] == [0, 0, 1, 1]
    assert [int(feature["desirable"]) for feature in features] == [1, 0, 1, 0]
    learned = [[text for _, text in texts(task, feature)] for feature in features]
    for (own, beside), expected in zip(learned, ("In the north.", "I do not know", "Now.", "Then."), strict=True):
        assert own.startswith(expected) and not own.startswith(beside[:4])
    assert all(beside.startswith(("Now.", "Then.")) for _, beside in learned[:2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "orpo", "length_normalized": False}, "length_normalized"),
        ({"objective": "ipo", "label_smoothing": 0.1}, "label_smoothing is for dpo, simpo"),
        ({"objective": "kto", "sft_weight": 1.0}, "sft_weight is for"),
        ({"objective": "dpo", "desirable_weight": 2.0}, "desirable_weight is for kto"),
    ],
)
def test_options_an_objective_does_not_know_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preference(**options)


def test_what_rows_hold_decides() -> None:
    single = [
        {"messages": TURNS, "completion": "Yes.", "label": label, "where": f"x:{n}"}
        for n, label in enumerate(["desirable", "undesirable"])
    ]
    tokenizer = chat_tokenizer()
    assert Preference().open([PAIR], tokenizer, 100).objective == "dpo"
    assert Preference().open(single, tokenizer, 100).main_metric == "auc"
    with pytest.raises(DataError, match="some rows are pairs"):
        Preference().open([PAIR, *single], tokenizer, 100)
    with pytest.raises(DataError, match="every answer is desirable"):
        Preference().open(single[:1], tokenizer, 100)
    with pytest.raises(DataError, match="one answer, and the model compares two"):
        Preference().open([PAIR], tokenizer, 100).encode(single)
    with pytest.raises(ConfigError, match="the objective is kto"):
        Preference(label_smoothing=0.1).open(single, tokenizer, 100)


def test_a_reopened_task_is_the_same() -> None:
    task = opened(objective="simpo", gamma=0.4)
    again = Preference().reopen(task.state(), chat_tokenizer())
    assert again.state() == task.state() and again.cache_key() == task.cache_key()
    assert again.beta == 2.0 and again.by_mean


def test_without_a_reference_there_is_no_loss_and_no_reward() -> None:
    task = opened()
    batch = task.make_batch(task.encode([PAIR]), Draw(7, 0, np.arange(1)))
    said = torch.full((len(batch["answer"]),), -1.0)
    said[: int((batch["answer"] == 0).sum())] = -0.5
    assert task.normalizer(batch) == 0.0 and task.loss(said, batch).total.item() == 0.0
    answer = task.decode(PAIR, task.encode([PAIR]), task.raw_predictions(said, batch))
    assert answer["preferred"] == "chosen" and "margin" not in answer and "chosen_reward" not in answer
