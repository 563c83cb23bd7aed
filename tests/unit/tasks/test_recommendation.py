"""Recommendation: sequences in the order of time, what is asked of them, ranks among all items, cold items."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from fathom import catalog
from fathom.data.draw import EVALUATION, PREDICTION, Draw
from fathom.data.leave_one_out import check_sequences, leave_one_out
from fathom.data.load import load_examples, load_splits
from fathom.data.section import DataSection
from fathom.errors import ConfigError, DataError
from fathom.recipe import load_recipe
from fathom.runs.evaluate import evaluate
from fathom.runs.predict import predict
from fathom.runs.train import train

ROWS = "user,item,rating,timestamp\nu,c,5,30\nu,a,5,10\nv,x,1,5\nu,b,4,20\nu,a,5,40\nv,y,2,6\nv,z,2,7\nw,a,1,1\n"


def read(tmp_path, text, name="ratings.csv", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_examples(str(path), "interactions", DataSection(train=str(path), **options))


def sequences(*texts):
    return [{"items": text.split(), "text": text, "where": f"x:{n}"} for n, text in enumerate(texts)]


def open_task(examples, max_length=8, **options):
    part = catalog.load("task", "recommendation")(**options)
    return part.open(examples, part.make_tokenizer(examples), max_length)


def test_ratings_are_grouped_sorted_and_counted_once(tmp_path):
    examples, notes = read(tmp_path, ROWS)
    assert [example["items"] for example in examples] == [["a", "b", "c"], ["x", "y", "z"], ["a"]]
    assert any(note.startswith("1 rows name a user's item again") for note in notes)
    assert any(note.startswith("the rows of 1 users were not in the order of time") for note in notes)
    assert "3 users chose 6 items, 7 times" in notes


def test_of_an_item_that_comes_again_the_earliest_time_counts(tmp_path):
    rows = "user,item,timestamp\nu,a,40\nu,b,20\nu,a,10\nu,c,30\n"
    examples, notes = read(tmp_path, rows)
    assert examples[0]["items"] == ["a", "b", "c"]
    assert "1 rows name a user's item again; the earliest counts" in notes


def test_sequences_of_json_lines(tmp_path):
    examples, _ = read(tmp_path, json.dumps({"user": "u", "items": ["a", 2]}) + "\n", "s.jsonl")
    assert examples[0]["items"] == ["a", "2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user,item,timestamp\nu,a,soon\n", "timestamp is 'soon'"),
        ("user,item,timestamp\nu,a b,1\n", "no name of one word"),
        ("user,item,timestamp\n,a,1\n", "no name of one word"),
        ("name,thing\nu,a\n", "columns holds the user and the item"),
    ],
)
def test_bad_rows_are_named(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, text)


def test_the_last_items_are_kept_for_the_splits(tmp_path):
    (tmp_path / "r.csv").write_text(ROWS, encoding="utf-8")
    splits = load_splits(DataSection(train=str(tmp_path / "r.csv")), "interactions")
    named = [[e["items"] for e in part] for part in (splits.train, splits.validation, splits.test)]
    assert named[0] == [["a"], ["x"], ["a"]]
    assert named[1] == [["a", "b"], ["x", "y"]]
    assert named[2] == [["a", "b", "c"], ["x", "y", "z"]]
    parts = leave_one_out(sequences("a b c", "a b"), test=False)
    assert [e["items"] for e in parts["train"]] == [["a", "b"], ["a", "b"]]
    _, findings = check_sequences({"train": sequences("a b c d", "a")})
    assert {finding.kind for finding in findings} == {"cold-item", "short-sequence"}


def asked(task, texts, step):
    features = task.encode(sequences(*texts))
    batch = task.make_batch(features, Draw(1, step, np.arange(len(features))))
    names = task.tokenizer.convert_ids_to_tokens
    labels = [[names(i) if i >= 0 else "" for i in row] for row in batch["labels"].tolist()]
    return [names(row) for row in batch["input_ids"].tolist()], labels


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_what_is_asked(objective):
    task = open_task(sequences("a b c", "b c"), objective=objective, mask_probability=0.5)
    causal = objective == "causal"
    inputs, labels = asked(task, ["a b c", "b c"], EVALUATION)
    assert inputs == (
        [["a", "b", "c"], ["b", "c", "[PAD]"]] if causal else [["a", "b", "[MASK]"], ["b", "[MASK]", "[PAD]"]]
    )
    assert labels == ([["", "c", ""], ["c", "", ""]] if causal else [["", "", "c"], ["", "c", ""]])
    inputs, labels = asked(task, ["a b c"], PREDICTION)
    assert inputs == [["a", "b", "c", "[MASK]"]]
    assert labels == [["", "", "[MASK]", ""]] if causal else [["", "", "", "[MASK]"]]
    inputs, labels = asked(task, ["a b c"] * 20, 3)
    if causal:
        assert labels == [["b", "c", ""]] * 20
    else:
        assert all(any(row) for row in labels), "something is always asked"
        for tokens, names in zip(inputs, labels, strict=True):
            assert [name or token for name, token in zip(names, tokens, strict=True)] == ["a", "b", "c"]
            assert [token == "[MASK]" for token in tokens] == [name != "" for name in names]


def test_a_score_that_is_no_number_ranks_nowhere():
    examples = sequences("a b c", "c a b")
    task = open_task(examples, max_length=8)
    features = task.encode(examples)
    batch = task.make_batch(features, Draw(0, EVALUATION, np.arange(2)))
    for rank, _, _ in task.raw_predictions(torch.full((2, len(task.tokenizer)), torch.nan), batch):
        assert math.isinf(rank)


def test_ranks_are_among_all_items_but_those_the_user_has():
    generator = np.random.default_rng(0)
    names = [f"i{n}" for n in range(30)]
    examples = sequences(*(" ".join(generator.choice(names, 6, replace=False)) for _ in range(12)), " ".join(names))
    task = open_task(examples, max_length=40)
    for _ in range(200 // 12):
        features = task.encode(examples[:12])
        batch = task.make_batch(features, Draw(0, EVALUATION, np.arange(12)))
        logits = torch.randn(12, len(task.tokenizer))
        for example, score, record in zip(examples, logits, task.raw_predictions(logits, batch), strict=False):
            *history, target = example["items"]
            rest = {name: float(score[task._vocabulary[name]]) for name in names if name not in history}
            order = sorted(rest, key=lambda name, rest=rest: -rest[name])
            found = task.decode(example, features, [record])
            assert found["rank"] == order.index(target) + 1
            assert [item["item"] for item in found["items"]] == order[:10]


def test_items_before_the_window_are_not_recommended_again_either():
    generator = np.random.default_rng(1)
    names = [f"i{n}" for n in range(20)]
    examples = sequences(*(" ".join(generator.choice(names, 8, replace=False)) for _ in range(30)), " ".join(names))
    task = open_task(examples, max_length=4, num_recommendations=5)
    moved = 0
    for example in examples[:30]:
        features = task.encode([example])
        assert [int(feature["earlier"]) for feature in features] == [0, 2, 5]
        batch = task.make_batch(features, Draw(0, EVALUATION, np.arange(3)))
        logits = torch.randn(3, len(task.tokenizer))
        records = task.raw_predictions(logits, batch)
        *history, target = example["items"]
        rest = {name: float(logits[-1][task._vocabulary[name]]) for name in names if name not in history}
        order = sorted(rest, key=lambda name, rest=rest: -rest[name])
        found = task.decode(example, features, records)
        moved += records[-1][0] != found["rank"]
        assert found["rank"] == order.index(target) + 1
        assert [item["item"] for item in found["items"]] == order[:5]
    assert moved, "some item of an earlier piece ranked before the one asked"


def test_popularity_and_cold_items():
    task = open_task(sequences("a b", "a c", "a b d"))
    assert task.score_pair(sequences("a b")[0], {"rank": 3.0}) == (3.0, 1.0), "b is the first besides a"
    assert task.score_pair(sequences("c a")[0], {"rank": 1.0})[1] == 1.0
    assert math.isinf(task.score_pair(sequences("a new")[0], {"rank": math.inf})[1])
    features = task.encode(sequences("a new"))
    batch = task.make_batch(features, Draw(0, EVALUATION, np.arange(1)))
    logits = torch.randn(1, len(task.tokenizer))
    assert math.isinf(task.raw_predictions(logits, batch)[0][0])
    assert task.normalizer(batch) == 0.0
    assert task.loss(logits, batch).total.item() == 0.0
    accumulator = catalog.load("metric", "recommendation")().open(())
    accumulator.update(3.0, 1.0)
    accumulator.update(math.inf, math.inf)
    scores = accumulator.compute()
    assert scores["cold"] == 0.5
    assert scores["ndcg@10"] == pytest.approx(0.25)
    assert scores["popularity/mrr"] == 0.5


def test_long_sequences_are_cut_from_their_end():
    task = open_task(sequences("a b c d e f g"), max_length=4)
    pieces = [task.tokenizer.convert_ids_to_tokens(f["input_ids"]) for f in task.encode(sequences("a b c d e f g"))]
    assert pieces == [["a"], ["b", "c", "d"], ["e", "f", "g"]]


@pytest.mark.parametrize(
    ("objective", "architecture", "least"),
    [("causal", "gpt2", 0.9), ("masked", "bert", 0.6)],  # the longest ask at a position that training never masked
)
def test_a_run_learns_what_follows(tmp_path, objective, architecture, least):
    """Items go round in a circle; a model that learnt it finds the next, which popularity does not."""
    names = [f"i{n:02}" for n in range(12)]
    chance = np.random.default_rng(0)
    with (tmp_path / "s.jsonl").open("w", encoding="utf-8") as stream:
        for user in range(200):
            start, size = int(chance.integers(12)), int(chance.integers(4, 8))
            items = [names[(start + step) % 12] for step in range(size)]
            stream.write(json.dumps({"user": f"u{user}", "items": items}) + "\n")
    text = f"""
model:
  {{kind: new, architecture: {architecture}, depth: 1, width: 32, heads: 2, dropout: 0, tokenizer: items}}
data: {{train: {tmp_path / "s.jsonl"}}}
task: {{kind: recommendation, objective: {objective}}}
training: {{epochs: 12, batch_size: 20, learning_rate: 5e-3, threads: 1, precision: fp32, evaluate_before: false}}
output: {tmp_path / "run"}
"""
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    result = train(load_recipe(tmp_path / "r.yaml"))
    scores = result.metrics["test"]
    assert scores["recall@1"] > least > scores["popularity/recall@1"]
    (row,) = predict(result.folder / "model", ["i03 i04 i05"])
    assert row["items"][0]["item"] == "i06"
    again = evaluate(str(result.folder / "model"), str(tmp_path / "s.jsonl"))
    assert again["ndcg@10"] == pytest.approx(scores["ndcg@10"])


def test_words_are_no_items(tmp_path):
    (tmp_path / "r.csv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "r.yaml").write_text(
        f"model: minilm\ndata: {{train: {tmp_path / 'r.csv'}}}\ntask: recommendation\noutput: {tmp_path / 'run'}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="starts from new weights"):
        train(load_recipe(tmp_path / "r.yaml"))
