from __future__ import annotations

import numpy as np
import pytest

from chats_for_tests import CONVERSATIONS, chat_tokenizer
from fathom.errors import DataError
from fathom.tasks.chat import Chat

EXAMPLES = [{"messages": turns, "where": f"a.jsonl:{number}"} for number, turns in enumerate(CONVERSATIONS, 1)]


def open_task(max_length=500, **options):
    return Chat(**options).open(EXAMPLES, chat_tokenizer(), max_length)


def learned(task, features):
    ids = features["input_ids"][features["labels"] >= 0]
    return task.tokenizer.decode(ids)


def test_only_the_answers_are_learned_with_their_ends():
    task = open_task()
    features = task.encode(EXAMPLES, first_index=5)
    assert [int(item["example"]) for item in features] == [5, 6, 7]
    assert learned(task, features[0]) == "Hello, how can I help?<|im_end|>"
    assert learned(task, features[2]) == '{"name": "find"}<|im_end|>It is 3<|im_end|>3<|im_end|>'
    for item in features:
        chosen = item["labels"] >= 0
        assert item["input_ids"].dtype == item["labels"].dtype == np.int32
        assert (item["labels"][chosen] == item["input_ids"][chosen]).all()


def test_the_last_answer_or_everything():
    last, everything = open_task(train_on="last"), open_task(train_on="all")
    assert learned(last, last.encode(EXAMPLES)[2]) == "3<|im_end|>"
    features = everything.encode(EXAMPLES)[1]
    assert (features["labels"] == features["input_ids"]).all()


def test_a_question_left_open_is_left_out():
    task = open_task()
    longer = [{"messages": [*CONVERSATIONS[0], {"role": "user", "content": "and?"}], "where": "a:1"}]
    assert (task.encode(longer)[0]["input_ids"] == task.encode(EXAMPLES[:1])[0]["input_ids"]).all()


def test_unlabelled_conversations_have_no_labels():
    task = open_task()
    features = task.encode([{"messages": CONVERSATIONS[0][:1], "where": "a:1"}])[0]
    assert len(features["input_ids"]) and (features["labels"] < 0).all()


def long_example(exchanges=30):
    turns = [{"role": "system", "content": "Be brief."}]
    for number in range(exchanges):
        turns += [{"role": "user", "content": f"Question {number}?"}, {"role": "assistant", "content": f"yes {number}"}]
    return {"messages": turns, "where": "long.jsonl:1"}


@pytest.mark.parametrize("max_length", [60, 100, 101, 250])
def test_long_conversations_lose_as_few_first_exchanges_as_possible(max_length, capsys):
    task = open_task(max_length)
    item = task.encode([long_example()])[0]
    text = task.tokenizer.decode(item["input_ids"])
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert text.rstrip().endswith("yes 29<|im_end|>")
    kept = text.count("Question")
    assert len(item["input_ids"]) <= max_length
    whole = open_task(10_000)
    turns = long_example()["messages"]
    more = whole.encode([{"messages": [turns[0], *turns[1 + 2 * (29 - kept) :]], "where": "x"}])[0]
    assert len(more["input_ids"]) > max_length
    assert "1 of 1 conversations are longer" in "".join(capsys.readouterr())


def test_an_only_exchange_that_does_not_fit_is_cut_at_its_end():
    task = open_task(60)
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "word " * 100}]
    item = task.encode([{"messages": turns, "where": "a:1"}])[0]
    assert len(item["input_ids"]) == len(item["labels"]) == 60
    assert (item["labels"] >= 0).any()


def test_long_conversations_can_be_refused():
    with pytest.raises(DataError, match="this conversation has") as caught:
        open_task(50, too_long="refuse").encode([long_example()])
    assert caught.value.where == "long.jsonl:1"


def test_the_saved_state_opens_the_same_task(tmp_path):
    task = open_task(train_on="last")
    task.tokenizer.save_pretrained(tmp_path)
    from fathom.tokenization.load import load_tokenizer

    again = Chat().reopen(task.state(), load_tokenizer(tmp_path))
    assert again.state() == task.state() and again.cache_key() == task.cache_key()
    assert task.state()["end_of_turn"] == task.tokenizer.convert_tokens_to_ids("<|im_end|>")
    for one, other in zip(task.encode(EXAMPLES), again.encode(EXAMPLES), strict=True):
        assert (one["input_ids"] == other["input_ids"]).all() and (one["labels"] == other["labels"]).all()


def test_what_changes_the_features_changes_the_key():
    keys = [str(open_task(**options).cache_key()) for options in ({}, {"train_on": "all"}, {"too_long": "refuse"})]
    assert len(set(keys)) == 3


def test_every_answer_is_asked_for_after_the_turns_before_it():
    task = open_task(generated_examples=5)
    parts = task.asked_to_write(EXAMPLES[2])
    assert [part["answer"] for part in parts] == ['{"name": "find"}', "It is 3", "3"]
    assert [len(task.written_prompt(part)) for part in parts] == [1, 3, 5]
    reference = task.written_reference(parts[1])
    assert reference == {"source": "3", "turn": 4, "references": ["It is 3"]}
    last = open_task(generated_examples=5, train_on="last")
    assert [part["answer"] for part in last.asked_to_write(EXAMPLES[2])] == ["3"]


@pytest.mark.parametrize("max_length", [90, 101, 250])
def test_prompts_leave_room_for_the_answer(max_length):
    task = open_task(max_length, generated_examples=5, max_target_length=20)
    assert task.generation == {"max_new_tokens": 20}
    part = task.asked_to_write(long_example())[-1]
    kept = task.written_prompt(part)
    assert kept[0]["role"] == "system" and kept[-1]["content"] == "Question 29?"

    def length(turns):
        return len(task.tokenizer(task.template.prompt(turns), add_special_tokens=False)["input_ids"])

    assert length(kept) <= max_length - 20
    turns = part["messages"]
    if len(kept) < len(turns):
        assert length([turns[0], *turns[len(turns) - len(kept) - 1 :]]) > max_length - 20
    huge = {"messages": [{"role": "user", "content": "word " * 300}], "answer": "x", "where": "a:1"}
    assert task.written_prompt(huge) is None


def test_nothing_is_written_unless_asked_for():
    task = open_task()
    assert not task.writing_metrics and not task.generation
    assert task.part.reopen(task.state(), task.tokenizer).part == task.part
    written = open_task(generated_examples=5)
    assert written.writing_metrics["bleu"] == {"units": "words"}
    assert written.part.reopen(written.state(), written.tokenizer).writing_metrics == written.writing_metrics
    with pytest.raises(ValueError, match="max_target_length is for written answers"):
        Chat(max_target_length=50)
