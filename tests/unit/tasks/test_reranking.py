"""Reranking: which documents a query is judged among, and what is refused."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from fathom import catalog
from fathom.errors import DataError
from fathom.runs.init import init
from fathom.runs.predict import _one_of_two
from fathom.tasks.reranking import OpenReranking, in_mixed_order
from tokenizers_for_tests import tokenizer_of


def rows(*triples):
    keys = ("text", "text_pair", "score")
    return [{**dict(zip(keys, triple, strict=False)), "where": f"x:{n}"} for n, triple in enumerate(triples)]


def open_task(examples, **options):
    return catalog.load("task", "reranking")(**options).open(examples, tokenizer_of("wordpiece"), 32)


def test_rows_with_relevance_are_taken_as_they_are():
    examples = rows(("the cat", "the house", 0.0), ("the cat", "the dog", 2.0), ("the dog", "the car", 4.0))
    task = open_task(examples)
    features = task.encode(examples)
    assert [float(feature["label"]) for feature in features] == [0.0, 0.5, 1.0]
    wanted = [task.tokenizer(item["text"], item["text_pair"])["input_ids"] for item in examples]
    assert [list(feature["input_ids"]) for feature in features] == wanted
    assert [int(f["example"]) for f in features] == [0, 1, 2]


def test_negatives_are_drawn_from_documents_that_answer_neither_the_query_nor_its_label():
    examples = rows(("q1", "d1"), ("Q1", "d2"), ("q2", "d3"), ("q3", "d4"), ("q4", "d5"))
    examples[2]["label"] = examples[3]["label"] = "same"
    examples[4]["negatives"] = ["n9"]
    task = open_task(examples, num_negatives=2)
    candidates = task._candidates(examples)
    assert [own[0] for own in candidates] == [(f"d{n}", 1.0) for n in range(1, 6)]
    assert all(len(own) == 3 and all(relevance == 0 for _, relevance in own[1:]) for own in candidates)
    drawn = [{text for text, _ in own[1:]} for own in candidates]
    assert not drawn[0] & {"d1", "d2"}
    assert not drawn[1] & {"d1", "d2"}
    assert not (drawn[2] | drawn[3]) & {"d3", "d4"}
    assert "n9" in drawn[4]
    assert candidates == task._candidates(examples), "the draw is the same each time"


def test_an_input_is_judged_alone():
    examples = rows(("q1", "d1"), ("q2", "d2"))
    task = open_task(examples)
    assert len(task.encode(examples)) == 4
    features = task.encode_inputs(examples)
    assert len(features) == 2
    found = task.decode(examples[0], features[:1], task.raw_predictions(torch.tensor([[0.0]]), {}))
    assert found["score"] == 0.5
    with pytest.raises(DataError, match="the document is missing"):
        task.encode_inputs([{"text": "q", "where": "input 1"}])


def test_two_texts_by_themselves_are_a_query_and_a_document():
    assert OpenReranking.reads_two_texts
    assert _one_of_two(["q", "d"]) == [{"text": "q", "text_pair": "d", "where": "input 1"}]
    for other in (["q"], ["q", "d", "e"], [{"text": "q", "text_pair": "d"}, {"text": "r", "text_pair": "d"}]):
        assert _one_of_two(other) == other


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        (rows(("q", "d", 1.0), ("q", "e", 1.0)), "equally relevant"),
        (rows(("q", "d", 0.0)), "equally relevant"),
        ([{"text": "q", "where": "x:0"}], r"x:0.*no document"),
        (rows(("q", "d", 1.0), ("q", "e", 0.0), ("q", "f")), r"x:2: the row has no relevance, and 2 of 3"),
    ],
)
def test_what_teaches_nothing_is_refused(examples, said):
    with pytest.raises(DataError, match=said):
        open_task(examples)


def test_a_mixed_order_holds_every_number_once_and_costs_what_is_taken_of_it():
    seen = set()
    for seed in range(40):
        order = list(in_mixed_order(np.random.default_rng(seed), 4))
        assert sorted(order) == [0, 1, 2, 3]
        seen.add(order[0])
    assert seen == {0, 1, 2, 3}
    few = list(islice(in_mixed_order(np.random.default_rng(0), 10**15), 5))
    assert len(set(few)) == 5, "of a list of this length nothing else could be made"


def test_the_loss_is_that_of_each_pair():
    examples = rows(("q", "d", 0.0), ("q", "e", 3.0))
    task = open_task(examples)
    logits, batch = torch.tensor([[0.3], [-0.2]]), {"label": torch.tensor([0.0, 1.0])}
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], batch["label"])
    torch.testing.assert_close(task.loss(logits, batch).total / task.normalizer(batch), expected)


def test_init_knows_queries_with_relevance(tmp_path):
    path = tmp_path / "judged.csv"
    path.write_text("query,passage,relevance\n" + "".join(f"q{n},d{n},{n % 2}\n" for n in range(20)), encoding="utf-8")
    recipe = init(str(path), tmp_path / "r.yaml").read_text(encoding="utf-8")
    assert "task: reranking" in recipe


def test_scores_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(5)
    for _ in range(200):
        accumulator = catalog.load("metric", "reranking")().open(())
        gains, firsts, everything = [], [], []
        for query in range(int(generator.integers(1, 6))):
            size = int(generator.integers(2, 15))
            scores, relevance = generator.standard_normal(size), generator.integers(0, 4, size).astype(float)
            relevance[0] = 1.0
            accumulator.update(scores[:1], (f"q{query}", relevance[:1]))
            accumulator.update(scores[1:], (f"q{query}", relevance[1:]))
            gains.append(sklearn.ndcg_score(relevance[None], scores[None], k=10))
            order = sorted(range(size), key=lambda place, scores=scores: -scores[place])
            firsts.append(1 / next(rank for rank, place in enumerate(order, 1) if relevance[place] > 0))
            everything += list(zip(scores, relevance > 0, strict=True))
        found = accumulator.compute()
        assert found["ndcg@10"] == pytest.approx(np.mean(gains), abs=1e-12)
        assert found["mrr"] == pytest.approx(np.mean(firsts), abs=1e-12)
        values, truth = zip(*everything, strict=True)
        if len(set(truth)) == 2:
            assert found["auc"] == pytest.approx(sklearn.roc_auc_score(truth, values), abs=1e-12)
