from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fathom.data.batch import collate
from fathom.errors import ConfigError, DataError
from fathom.tasks.question_answering import NOTHING, QuestionAnswering
from tokenizers_for_tests import tokenizer_of

PASSAGE = "Dr. Smith said that O'Neill visited Berlin in May 2021 and the unbelievable ACME-Corp. in Berlin"
CHINESE = "张三昨天去了上海，李四在北京大学。"


def asked(text, passage=PASSAGE, **changes):
    example = {"text": passage, "question": "who said that?", "where": "train.json:1"}
    return {**example, "answers": [{"text": text, "start": passage.index(text)}] if text else [], **changes}


def open_task(examples=None, kind="bpe", max_length=128, **options):
    return QuestionAnswering(**options).open(examples or [asked("Berlin")], tokenizer_of(kind), max_length)


def predict(task, example, wanted, null=0.0):
    """Decode scores that are high where an answer (start, end) begins and ends, in every window that holds it."""
    features = task.encode([{key: value for key, value in example.items() if key != "answers"}])
    raw = []
    for feature in features:
        logits = torch.full((1, len(feature["input_ids"]), 2), -5.0)
        logits[0, 0] = null / 2
        for start, end, score in wanted:
            first = np.flatnonzero((feature["char_start"] <= start) & (feature["char_end"] > start))
            last = np.flatnonzero((feature["char_start"] < end) & (feature["char_end"] >= end))
            if len(first) and len(last):
                logits[0, first[0], 0] = score / 2
                logits[0, last[-1], 1] = score / 2
        raw += task.raw_predictions(logits, {"char_start": torch.from_numpy(feature["char_start"])[None]})
    return task.decode(example, features, raw)


def _frame(example):
    """Tokens of a sequence besides its passage."""
    (feature,) = open_task().encode([example])
    return int((feature["char_start"] < 0).sum())


@pytest.mark.parametrize("kind", ["minilm", "bpe", "unigram", "byte-level", "byte-level-prefix"])
@pytest.mark.parametrize("text", ["Smith", "O'Neill", "Berlin", "May 2021", "ACME-Corp.", PASSAGE])
def test_labels_stand_on_the_tokens_of_the_answer(kind, text):
    (feature,) = open_task(kind=kind).encode([asked(text)])
    first, last = feature["label"]
    start, end = feature["char_start"][first], feature["char_end"][last]
    place = PASSAGE.index(text)
    assert start <= place and end >= place + len(text)
    assert PASSAGE[start:end].strip() == text or kind in ("bpe", "unigram")


@pytest.mark.parametrize("kind", ["minilm", "bpe", "unigram", "byte-level", "byte-level-prefix"])
@pytest.mark.parametrize("text", ["三", "上海", "昨天去了上海", "北京大学", "学"])
def test_chinese_answers_begin_and_end_at_any_character(kind, text):
    task = open_task([asked(text, CHINESE)], kind=kind)
    (feature,) = task.encode([asked(text, CHINESE)])
    first, last = feature["label"]
    assert CHINESE[feature["char_start"][first] : feature["char_end"][last]] == text
    start = CHINESE.index(text)
    assert predict(task, asked(text, CHINESE), [(start, start + len(text), 9.0)])["answer"] == text


def test_a_long_passage_is_read_in_windows_and_joined():
    passage = " ".join(f"{PASSAGE} {number}" for number in range(6))
    start = passage.rindex("ACME-Corp.")
    example = asked("Smith", passage) | {"answers": [{"text": "ACME-Corp.", "start": start}]}
    task = open_task([example], max_length=64, stride=16)
    features = task.encode([example], first_index=5)
    assert len(features) > 3
    assert all(len(feature["input_ids"]) <= 64 and int(feature["example"]) == 5 for feature in features)
    holding = [feature for feature in features if feature["label"][0] != NOTHING]
    assert 1 <= len(holding) < len(features)
    for feature in holding:
        first, last = feature["label"]
        assert (feature["char_start"][first], feature["char_end"][last]) == (start, start + len("ACME-Corp."))
    covered = np.unique(np.concatenate([feature["char_start"] for feature in features]))
    whole = open_task([example], max_length=4096).encode([example])[0]["char_start"]
    assert set(whole.tolist()) <= set(covered.tolist())
    found = predict(task, example, [(start, start + 10, 8.0), (0, 9, 5.0)])
    assert (found["answer"], found["start"], found["end"]) == ("ACME-Corp.", start, start + 10)
    assert found["n_best"][0]["score"] > found["n_best"][1]["score"]
    spans = [(item["start"], item["end"]) for item in found["n_best"]]
    assert len(spans) == len(set(spans))
    assert all(passage[item["start"] : item["end"]] == item["text"] for item in found["n_best"])
    json.dumps(found)


def test_the_same_passage_is_tokenized_once(monkeypatch):
    from fathom.tasks import question_answering

    seen = []
    encode = question_answering.encode_passages
    monkeypatch.setattr(
        question_answering, "encode_passages", lambda t, texts, **o: seen.append(len(texts)) or encode(t, texts, **o)
    )
    task = open_task()
    seen.clear()
    task.encode([asked("Berlin"), asked("Smith"), asked("May")])
    assert seen == [1, 3]


def test_a_question_is_cut_and_the_passage_keeps_its_room():
    task = open_task(max_length=32, max_question_length=8)
    features = task.encode([asked("Berlin", question="who " * 50)])
    assert all(int(feature["truncated"]) == 1 for feature in features)
    assert all(len(feature["input_ids"]) <= 32 for feature in features)
    assert all((feature["char_start"] >= 0).sum() > 8 for feature in features[:-1])


@pytest.mark.parametrize("max_length", [6, 7, 8, 12])
def test_tiny_windows_cover_the_passage(max_length):
    features = open_task(max_length=max_length).encode([asked("Berlin")])
    whole = open_task(max_length=512).encode([asked("Berlin")])[0]["char_start"]
    assert set(whole.tolist()) <= set(np.concatenate([item["char_start"] for item in features]).tolist())


def test_no_room_is_refused():
    with pytest.raises(ConfigError, match="leaves no room"):
        open_task(max_length=5)


def test_answers_longer_than_the_limit_are_not_given():
    task = open_task(max_answer_length=2)
    assert predict(task, asked("Berlin"), [(0, len(PASSAGE), 9.0), (36, 42, 3.0)])["answer"] != PASSAGE
    long = asked(PASSAGE * 2, PASSAGE * 2)
    assert open_task([long]).max_answer_length == len(open_task([long]).encode([long])[0]["input_ids"]) - _frame(long)
    assert open_task().max_answer_length == 30


def test_a_question_without_an_answer():
    task = open_task([asked("Berlin"), asked(None)])
    assert task.unanswerable
    (feature,) = task.encode([asked(None)])
    assert feature["label"].tolist() == [NOTHING, NOTHING]
    found = predict(task, asked(None), [(36, 42, 3.0)], null=4.0)
    assert (found["answer"], found["start"]) == ("", None)
    assert found["margin"] == pytest.approx(1.0)
    assert found["no_answer"] == found["score"] > found["n_best"][0]["score"]
    task.threshold = 2.0
    assert predict(task, asked(None), [(36, 42, 3.0)], null=4.0)["answer"] == "Berlin"


def test_where_every_question_has_an_answer_one_is_always_given():
    task = open_task()
    assert not task.unanswerable
    found = predict(task, asked("Berlin"), [(36, 42, 3.0)], null=40.0)
    assert found["answer"] == "Berlin"
    assert "no_answer" not in found
    with pytest.raises(DataError, match="all training questions have one"):
        task.encode([asked(None)])


def test_the_threshold_is_taken_from_the_validation_split_and_kept():
    task = open_task([asked("Berlin"), asked(None)])
    assert task.settle({"best_f1_threshold": -1.5})
    assert not task.settle({"best_f1_threshold": -1.5})
    again = QuestionAnswering().reopen(json.loads(json.dumps(task.state())), tokenizer_of("bpe"))
    assert again.threshold == -1.5
    assert again.state() == task.state()
    assert not open_task().settle({})


def test_an_answer_that_is_no_literal_part_teaches_nothing_and_is_judged_by():
    example = asked("Berlin") | {"answers": [{"text": "the capital", "start": -1}, {"text": "Berlin", "start": 36}]}
    task = open_task([example])
    (feature,) = task.encode([example])
    assert feature["char_start"][feature["label"][0]] == 36
    answered, references = task.score_pair(example, predict(task, example, [(36, 42, 9.0)]))
    assert answered[:2] == ("Berlin", "Berlin")
    assert references == ["the capital", "Berlin"]


def test_passages_that_become_nothing():
    example = {"text": "\x07", "question": "who?", "where": "t:1"}
    task = open_task(kind="minilm")
    features = task.encode([example])
    raw = task.raw_predictions(torch.zeros(1, len(features[0]["input_ids"]), 2), collate(features, 0))
    found = task.decode(example, features, raw)
    assert (found["answer"], found["start"], found["n_best"]) == ("", None, [])


@pytest.mark.parametrize(
    ("examples", "rule"),
    [
        ([asked("Berlin")], "squad"),
        ([asked("上海", CHINESE)], "cmrc"),
        ([asked("上海", CHINESE), asked("Berlin")], "cmrc"),
    ],
)
def test_the_rule_goes_by_the_language(examples, rule):
    assert open_task(examples).metrics == (rule,)
    assert open_task([*examples, asked(None)], rule="squad").metrics == ("squad-v2",)


def test_what_cannot_be_learnt():
    with pytest.raises(DataError, match="no training question has an answer"):
        open_task([asked(None)])
    with pytest.raises(DataError, match="the question is missing"):
        open_task().encode([{"text": PASSAGE, "where": "t:1"}])
    with pytest.raises(DataError, match="missing here and given elsewhere"):
        open_task().encode([asked("Berlin"), {"text": PASSAGE, "question": "q", "where": "t:2"}])
