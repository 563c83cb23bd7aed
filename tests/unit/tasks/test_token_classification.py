from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from fathom.errors import ConfigError, DataError
from fathom.tasks.token_classification import TokenClassification
from tokenizers_for_tests import tokenizer_of

TEXT = "Ann went to New York yesterday"
WORDS = [(0, 3), (4, 8), (9, 11), (12, 15), (16, 20), (21, 30)]
TAGS = ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"]


def _example(**changes):
    return {"text": TEXT, "words": WORDS, "tags": TAGS, "where": "train.conll:1", **changes}


def _open(kind="bpe", max_length=64, **options):
    return TokenClassification(**options).open([_example()], tokenizer_of(kind), max_length)


def _predict(task, example, tags):
    """Decode perfect logits for the given tag of each word."""
    features = task.encode([{key: value for key, value in example.items() if key != "tags"}])
    raw = []
    for feature in features:
        logits = torch.zeros(1, len(feature["input_ids"]), len(task.labels))
        for place, word in enumerate(feature["word_index"]):
            if word >= 0:
                logits[0, place, task.labels.index(tags[word])] = 10.0
        raw += task.raw_predictions(logits, {"word_index": torch.from_numpy(feature["word_index"])[None]})
    return task.decode(example, features, raw)


def test_labels_have_both_tags_of_each_type():
    assert _open().labels == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (_example(tags=None), "no training example has tags"),
        (_example(tags=["O"] * 6), "every tag of the training split is O"),
        (_example(tags=["O"] * 5), r"train.conll:1: 5 tags for 6 words"),
        (_example(tags=["PER", *TAGS[1:]]), "'PER' is not an IOB2 tag"),
        (_example(tags=["B-", *TAGS[1:]]), "'B-' is not an IOB2 tag"),
    ],
)
def test_tags_that_cannot_be_learnt(example, message):
    with pytest.raises(DataError, match=message):
        TokenClassification().open([example], tokenizer_of("bpe"), 64)


def test_unknown_tags_name_the_nearest():
    with pytest.raises(DataError, match="did you mean 'B-PER'"):
        _open().encode([_example(tags=["B-PERS", *TAGS[1:]])])


def test_mixed_labelled_and_bare_rows():
    with pytest.raises(DataError, match="dev:7"):
        _open().encode([_example(), _example(tags=None, where="dev:7")])


def test_only_first_subwords_carry_labels():
    task = _open()
    (feature,) = task.encode([_example()])
    labelled = feature["labels"] != -100
    assert labelled.sum() == len(WORDS)
    words = feature["word_index"]
    assert (labelled == ((words >= 0) & (words != np.roll(words, 1)))).all()
    (everywhere,) = _open(all_subwords=True).encode([_example()])
    assert ((everywhere["labels"] != -100) == (words >= 0)).all()
    inside = everywhere["labels"][(words == 4) & ~labelled]
    assert set(inside.tolist()) <= {task.labels.index("I-LOC")}
    assert set(everywhere["labels"][(words == 0) & ~labelled].tolist()) <= {task.labels.index("I-PER")}


def test_entities_have_offsets_into_the_text():
    prediction = _predict(_open(), _example(), TAGS)
    assert [(item["label"], item["text"]) for item in prediction["entities"]] == [("PER", "Ann"), ("LOC", "New York")]
    assert all(TEXT[item["start"] : item["end"]] == item["text"] for item in prediction["entities"])
    assert all(0.99 < item["score"] <= 1 for item in prediction["entities"])
    assert prediction["tags"] == TAGS
    json.dumps(prediction)


def test_bio_is_repaired():
    prediction = _predict(_open(), _example(), ["I-PER", "O", "B-PER", "I-LOC", "I-LOC", "I-PER"])
    assert prediction["tags"] == ["B-PER", "O", "B-PER", "B-LOC", "I-LOC", "B-PER"]
    assert [item["text"] for item in prediction["entities"]] == ["Ann", "to", "New York", "yesterday"]


def test_texts_without_words_are_split():
    task = _open("minilm")
    text = "Ann's 北京, x"
    prediction = _predict(task, {"text": text}, ["B-PER", "O", "O", "B-LOC", "I-LOC", "O", "O"])
    assert [text[start:end] for start, end in prediction["words"]] == ["Ann", "'", "s", "北", "京", ",", "x"]
    assert [item["text"] for item in prediction["entities"]] == ["Ann", "北京"]


def test_chinese_words_are_tagged_by_character():
    text = "张三在北京5号"
    example = {
        "text": text,
        "words": [(0, 2), (2, 3), (3, 5), (5, 7)],
        "tags": ["B-PER", "O", "B-LOC", "O"],
        "where": "x",
    }
    task = _open("minilm")
    (feature,) = task.encode([example])
    labels = [task.labels[i] for i in feature["labels"] if i >= 0]
    assert labels == ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O", "O"]
    prediction = _predict(task, example, labels)
    assert prediction["tags"] == example["tags"]
    found, reference = task.score_pair(example, prediction)
    assert found == reference == {(0, 2, "PER"), (3, 5, "LOC")}


@pytest.mark.parametrize("stride", [0, 3, 100])
def test_long_texts_are_cut_and_joined(stride):
    generator = np.random.default_rng(0)
    text = " ".join(generator.choice(["the", "visited", "unbelievable", "Berlin"], 200))
    places = np.cumsum([0, *(len(word) + 1 for word in text.split())])
    words = [(int(a), int(b) - 1) for a, b in itertools.pairwise(places)]
    tags = [str(tag) for tag in generator.choice(["O", "B-PER", "B-LOC"], 200)]
    example = {"text": text, "words": words, "tags": tags, "where": "x"}
    task = _open(max_length=24, stride=stride)
    features = task.encode([example], first_index=3)
    assert len(features) >= 10
    assert max(len(feature["input_ids"]) for feature in features) <= 24
    assert {int(feature["example"]) for feature in features} == {3}
    supervised = np.concatenate([feature["word_index"][feature["labels"] != -100] for feature in features])
    assert sorted(supervised.tolist()) == list(range(200))
    assert _predict(task, example, tags)["tags"] == tags


def test_a_word_longer_than_a_window_is_cut():
    text = "go " + "x" * 300 + " Berlin"
    example = {"text": text, "words": [(0, 2), (3, 303), (304, 310)], "tags": ["O", "B-PER", "B-LOC"], "where": "x"}
    task = _open(max_length=16)
    features = task.encode([example])
    assert max(len(feature["input_ids"]) for feature in features) <= 16
    assert _predict(task, example, example["tags"])["tags"] == example["tags"]


def test_words_the_tokenizer_drops_are_reported():
    text = "Ann \u200b York"
    example = {"text": text, "words": [(0, 3), (4, 5), (6, 10)], "tags": ["B-PER", "I-PER", "I-PER"], "where": "x"}
    task = _open("minilm")
    prediction = _predict(task, example, example["tags"])
    assert prediction["untokenised"] == [[4, 5]]
    assert [item["text"] for item in prediction["entities"]] == [text]


def test_an_empty_text():
    task = _open()
    example = {"text": "", "words": [], "tags": [], "where": "x"}
    (feature,) = task.encode([example])
    assert (feature["labels"] == -100).all()
    assert _predict(task, example, []) == {"entities": [], "tags": []}


def test_reopened_tasks_do_the_same():
    task = _open(class_weights="balanced", stride=5)
    again = TokenClassification().reopen(json.loads(json.dumps(task.state())), task.tokenizer)
    assert again.state() == task.state()
    assert again.part.stride == 5
    assert again.cache_key() == json.loads(json.dumps(again.cache_key()))


def test_wrong_options():
    with pytest.raises(ConfigError, match="did you mean"):
        _open(class_weights={"PERS": 2.0})
    with pytest.raises(ConfigError, match="leaves no room"):
        _open(max_length=2)
