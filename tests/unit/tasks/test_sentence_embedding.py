"""Sentence embedding: what is read, what counts as a negative, what is left out, what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from fathom import catalog
from fathom.config import validate
from fathom.data.draw import EVALUATION, PREDICTION, Draw
from fathom.data.load import load_examples
from fathom.data.section import DataSection
from fathom.errors import ConfigError, DataError
from fathom.recipe import Recipe
from fathom.runs.prepare import prepare_data
from fathom.tasks import contrastive
from fathom.tasks.embedding_texts import PairSet
from fathom.tasks.sentence_embedding import split_texts
from runs_for_tests import make_model
from tokenizers_for_tests import tokenizer_of


def read(folder, name, text, **options):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_examples(str(path), "pairs", DataSection(train=str(path), **options))


def open_task(examples, **options):
    return catalog.load("task", "sentence-embedding")(**options).open(examples, tokenizer_of("wordpiece"), 32)


def pairs(*texts):
    return [{"text": a, "text_pair": b, "where": f"x:{n}"} for n, (a, b) in enumerate(texts)]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "anchor,positive,negative\nq,p,n\n", {"text": "q", "text_pair": "p", "negatives": ["n"]}),
        ("a.tsv", "query\tpassage\nq\tp\n", {"text": "q", "text_pair": "p"}),
        ("b.csv", "sentence1,sentence2,score\nq,p,2.5\n", {"text": "q", "text_pair": "p", "score": 2.5}),
        ("c.csv", "text,category\nq,red\n", {"text": "q", "label": "red"}),
        ("d.csv", "text\nq\n", {"text": "q"}),
        (
            "e.jsonl",
            json.dumps({"query": "q", "positive": "p", "negatives": ["n", "m"]}) + "\n",
            {"text": "q", "text_pair": "p", "negatives": ["n", "m"]},
        ),
        ("f.jsonl", json.dumps({"sentence1": "q", "sentence2": "p", "score": 1}) + "\n",
         {"text": "q", "text_pair": "p", "score": 1.0}),
    ],
)  # fmt: skip
def test_formats(tmp_path, name, text, expected):
    examples, _ = read(tmp_path, name, text)
    assert [{key: value for key, value in example.items() if key != "where"} for example in examples] == [expected]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("anchor,positive,negative\na,b,n\nq,p, P \n", ":3 column 'negative'.*the very text"),
        ("sentence1,sentence2,score\nq,p,near\n", "not a number"),
        ("sentence1,sentence2,score\nq,p,nan\n", "not a number"),
        ("anchor,positive\nq,\n", "empty text"),
        ("text,label\nq,\na,red\n", "the label is ''"),
        ("one,two\nq,p\n", "which of the 2 columns"),
    ],
)
def test_bad_rows_are_named(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, "a.csv", text)


def test_a_text_that_is_its_own_pair_is_told(tmp_path):
    _, notes = read(tmp_path, "a.csv", "anchor,positive\nq, Q\na,b\n")
    assert any(note.startswith("1 rows hold the same text twice") for note in notes)


def test_rows_of_different_kinds_are_refused():
    mixed = [*pairs(("a", "b")), {"text": "c", "where": "x:9"}]
    with pytest.raises(DataError, match=r"x:9.*different kinds"):
        open_task(mixed)


@pytest.mark.parametrize(("objective", "scored"), [("contrastive", True), ("cosent", False), ("cosine", False)])
def test_objectives_that_learn_nothing_are_refused(objective, scored):
    examples = [{**pair, "score": 1.0} if scored else pair for pair in pairs(("a", "b"))]
    with pytest.raises(ConfigError, match=r"task\.objective"):
        open_task(examples, objective=objective)


def test_every_text_is_encoded_by_itself():
    examples = [{**pairs(("the cat", "a dog"))[0], "negatives": ["the house"]}]
    task = open_task(examples)
    (feature,) = task.encode(examples)
    ids = [task.tokenizer(text)["input_ids"] for text in ("the cat", "a dog", "the house")]
    assert [list(piece) for piece in split_texts(feature)] == ids


def test_each_labelled_text_is_the_positive_of_one_other():
    examples = [{"text": f"t{n}", "label": "ab"[n % 2] if n else "alone", "where": f"x:{n}"} for n in range(9)]
    task = open_task(examples)
    features = task.encode(examples)
    batch = task.make_batch(features, Draw(1, 0, np.arange(9)))
    place, identity, group = (batch[name].tolist() for name in ("place", "identity", "group"))
    row = batch["row"].tolist()
    assert place.count(1) == 8
    positives = [(identity[n - 1], identity[n]) for n, where in enumerate(place) if where == 1]
    assert sorted(second for _, second in positives) == sorted(first for first, _ in positives)
    label_of = {example["text"]: example["label"] for example in examples}
    names = [label_of[text] for text in PairSet(examples, None).distinct]
    assert all(first != second and names[first] == names[second] for first, second in positives)
    assert group[row[0]] != group[row[1]]
    assert task.normalizer(batch) == 8.0


def test_a_split_has_each_text_once_and_a_prediction_all_it_was_given():
    examples = pairs(("a", "page one"), ("b", "page one"), ("page two", "c"), ("d", "page two"))
    task = open_task(examples)
    features = task.encode(examples)

    def texts(step):
        return len(task.make_batch(features, Draw(1, step, np.arange(4)))["place"])

    assert (texts(0), texts(EVALUATION), texts(PREDICTION)) == (8, 7, 8)
    alone = [{"text": "a", "where": "x:1"}, {"text": "b", "where": "x:2"}]
    features = open_task(alone).encode(alone)
    counts = [len(task.make_batch(features, Draw(1, step, np.arange(2)))["place"]) for step in (0, PREDICTION)]
    assert counts == [4, 2], "SimCSE reads a text twice, an answer once"


def loss_of(vectors, examples, **options):
    task = open_task(examples, **options)
    batch = task.make_batch(task.encode(examples), Draw(1, 0, np.arange(len(examples))))
    return task.loss(vectors, batch).total.item() / task.normalizer(batch)


def test_false_negatives_are_left_out():
    """Equal pages, texts of one label, and the anchor itself are no negatives; the rest are."""
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(6, 5), dim=-1)
    cosines = (vectors @ vectors.T / 0.05).double()

    def expected(candidates):
        terms = []
        for anchor, (own, others) in candidates.items():
            row = cosines[anchor, [own, *others]]
            terms.append(float(row.logsumexp(0) - row[0]))
        return sum(terms) / len(terms)

    apart = pairs(("a", "p"), ("b", "q"), ("c", "r"))
    assert loss_of(vectors, apart) == pytest.approx(
        expected({0: (1, [3, 5]), 2: (3, [1, 5]), 4: (5, [1, 3])}), rel=1e-5
    )
    same_page = pairs(("a", "p"), ("b", " P"), ("c", "r"))
    assert loss_of(vectors, same_page) == pytest.approx(expected({0: (1, [5]), 2: (3, [5]), 4: (5, [1, 3])}), rel=1e-5)
    asked_and_answer = pairs(("a", "p"), ("b", "a"), ("c", "r"))
    assert loss_of(vectors, asked_and_answer) == pytest.approx(
        expected({0: (1, [5]), 2: (3, [1, 5]), 4: (5, [1, 3])}), rel=1e-5
    )
    asked_twice = pairs(("a", "p"), (" A", "q"), ("c", "r"))
    assert loss_of(vectors, asked_twice) == pytest.approx(
        expected({0: (1, [5]), 2: (3, [5]), 4: (5, [1, 3])}), rel=1e-5
    )
    labelled = [{**pair, "label": label} for pair, label in zip(apart, "xxy", strict=True)]
    assert loss_of(vectors, labelled) == pytest.approx(expected({0: (1, [5]), 2: (3, [5]), 4: (5, [1, 3])}), rel=1e-5)


def test_negatives_of_one_example_are_candidates_of_all():
    examples = pairs(("a", "p"), ("b", "q"))
    examples[1]["negatives"] = ["n", "p"]
    task = open_task(examples)
    batch = task.make_batch(task.encode(examples), Draw(1, 0, np.arange(2)))
    allowed = contrastive.allowed_candidates(*(batch[name] for name in ("place", "row", "identity", "group")))
    assert allowed.tolist() == [[True, True, True, False], [True, True, True, True]], "the second 'p' is a's own page"
    assert open_task(examples, max_negatives=1).encode(examples)[1]["needless"].tolist() == [0, 0, 0]


def test_a_negative_of_the_same_anchor_stays_one():
    examples = pairs(("a", "p"), ("a", "q"))
    examples[1]["negatives"] = ["n"]
    task = open_task(examples)
    batch = task.make_batch(task.encode(examples), Draw(1, 0, np.arange(2)))
    allowed = contrastive.allowed_candidates(*(batch[name] for name in ("place", "row", "identity", "group")))
    assert allowed.tolist() == [[True, False, True], [False, True, True]]


def test_pooling():
    hidden = torch.tensor([[[1.0, 0], [3, 0], [math.nan, math.inf]], [[1, 2], [3, 4], [5, 6]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert contrastive.pool(hidden, mask, "mean").tolist() == [[2, 0], [3, 4]]
    assert contrastive.pool(hidden, mask, "cls").tolist() == [[1, 0], [1, 2]]
    assert contrastive.pool(hidden, mask, "last").tolist() == [[3, 0], [5, 6]]


def test_sizes_beyond_the_vector_are_refused():
    with pytest.raises(ConfigError, match=r"have 5 numbers, (.|\n)*smaller"):
        loss_of(torch.randn(2, 5), pairs(("a", "p")), matryoshka=[2, 5])


def test_sizes_beyond_the_models_width_are_refused_before_anything_is_encoded(tmp_path):
    (tmp_path / "pairs.csv").write_text("anchor,positive\na,b\nc,d\n", encoding="utf-8")
    raw = {
        "model": str(make_model(tmp_path / "tiny")),
        "data": {"train": str(tmp_path / "pairs.csv"), "validation_fraction": 0},
        "task": {"kind": "sentence-embedding", "matryoshka": [8, 16]},
    }
    with pytest.raises(ConfigError, match=r"vectors have 16 numbers, and 16 are no beginning of one\n.*smaller"):
        prepare_data(validate(Recipe, raw))
    assert prepare_data(validate(Recipe, {**raw, "task": {"kind": "sentence-embedding", "matryoshka": [8, 15]}}))


def test_a_split_without_truth_is_refused():
    examples = [{"text": "a", "where": "x:1"}]
    with pytest.raises(DataError, match=r"x:1.*no partner"):
        open_task(examples).score_pair(examples[0], {"embedding": [1.0]})


def test_scores_are_brought_to_one():
    examples = [{**pair, "score": score} for pair, score in zip(pairs(("a", "b"), ("c", "d")), (2.0, 5.0), strict=True)]
    task = open_task(examples)
    assert [float(feature["score"]) for feature in task.encode(examples)] == pytest.approx([0.4, 1.0])
    again = catalog.load("task", "sentence-embedding")().reopen(task.state(), task.tokenizer)
    assert (again.highest_score, again.objective, again.main_metric) == (5.0, "cosent", "spearman")
