"""Two models in a row: which pairs are asked about, which triples come out, how they are judged."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import pytest

from fathom.errors import DataError, ModelError
from fathom.runs import extract as module
from fathom.runs.extract import evaluate_triples, extract
from fathom.tasks.relation_extraction import RelationExtraction
from tokenizers_for_tests import tokenizer_of

TEXTS = ["A1 costs $5 , B2 costs $7", "hello"]
ENTITIES = {"A1": "ORDER", "B2": "ORDER", "$5": "AMOUNT", "$7": "AMOUNT"}


def _find(text):
    found = [
        {"start": text.index(name), "end": text.index(name) + 2, "label": kind, "text": name, "score": 0.9}
        for name, kind in ENTITIES.items()
        if name in text
    ]
    return {"entities": sorted(found, key=lambda item: item["start"]), "tags": []}


def _example(head, tail, label):
    entity = {role: {"start": TEXTS[0].index(name), "end": TEXTS[0].index(name) + 2, "type": ENTITIES[name]}
              for role, name in (("head", head), ("tail", tail))}  # fmt: skip
    return {"text": TEXTS[0], **entity, "label": label}


class _Relations:
    """Answers as if amounts belonged to the order right before them, but for what it is told to get wrong."""

    def __init__(self, typed=True):
        examples = [_example("A1", "$5", "costs"), _example("A1", "$7", "no-relation")]
        if not typed:
            for example in examples:
                del example["head"]["type"], example["tail"]["type"]
        self.task = RelationExtraction().open(examples, copy.deepcopy(tokenizer_of("minilm")), 64)
        self.asked = []
        self.wrong = set()

    def predict(self, inputs, batch_size):
        for given in inputs:
            names = tuple(given["text"][given[role]["start"] : given[role]["end"]] for role in ("head", "tail"))
            self.asked.append(names)
            right = (names in {("A1", "$5"), ("B2", "$7")}) != (names in self.wrong)
            entities = {role: {**given[role], "text": name} for role, name in zip(("head", "tail"), names, strict=True)}
            yield {**entities, "label": "costs" if right else "no-relation", "score": 0.8}


@pytest.fixture
def relations(monkeypatch):
    entities = SimpleNamespace(
        task=SimpleNamespace(kind="token-classification"),
        predict=lambda texts, batch_size: (_find(text) for text in texts),
    )
    found = _Relations()
    folders = {"entities": entities, "relations": found, "untyped": _Relations(typed=False)}
    monkeypatch.setattr(module.Predictor, "load", folders.__getitem__)
    return found


def test_triples_have_offsets_types_and_scores(relations):
    rows = extract("entities", "relations", TEXTS)
    assert rows[0]["triples"] == [
        {
            "head": {"start": 0, "end": 2, "type": "ORDER", "text": "A1"},
            "label": "costs",
            "tail": {"start": 9, "end": 11, "type": "AMOUNT", "text": "$5"},
            "score": 0.8,
        },
        {
            "head": {"start": 14, "end": 16, "type": "ORDER", "text": "B2"},
            "label": "costs",
            "tail": {"start": 23, "end": 25, "type": "AMOUNT", "text": "$7"},
            "score": 0.8,
        },
    ]
    assert rows[1] == {"text": "hello", "entities": [], "triples": []}
    json.dumps(rows)


def test_only_pairs_of_types_that_were_related_are_asked_about(relations):
    extract("entities", "relations", TEXTS)
    assert relations.asked == [("A1", "$5"), ("A1", "$7"), ("B2", "$5"), ("B2", "$7")]


def test_triples_are_judged_whole(relations, tmp_path):
    path = tmp_path / "test.jsonl"
    entities = [{"start": TEXTS[0].index(name), "end": TEXTS[0].index(name) + 2, "label": kind}
                for name, kind in ENTITIES.items()]  # fmt: skip
    row = {"text": TEXTS[0], "entities": entities,
           "relations": [{"head": 0, "tail": 2, "type": "costs"}, {"head": 1, "tail": 3, "type": "costs"}]}  # fmt: skip
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert evaluate_triples("entities", "relations", str(path)) == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "num_texts": 1,
    }  # fmt: skip
    relations.wrong = {("A1", "$5"), ("A1", "$7"), ("B2", "$5")}  # one missed, two too many
    scores = evaluate_triples("entities", "relations", str(path))
    assert scores["precision"] == pytest.approx(1 / 3)
    assert scores["recall"] == pytest.approx(1 / 2)
    assert scores["f1"] == pytest.approx(2 * 1 / 5)


def test_every_text_is_judged_and_what_cannot_be_formed_is_missed(relations, tmp_path):
    def row(text, names, *stated):
        entities = [{"start": text.index(name), "end": text.index(name) + 2, "label": names[name]} for name in names]
        return {"text": text, "entities": entities, "relations": [list(one) for one in stated]}

    rows = [
        # two are right; the types of the third were never related in training
        row(TEXTS[0], ENTITIES, (0, 2, "costs"), (1, 3, "costs"), (0, 1, "replaces")),
        row("C3 costs $5", {"C3": "ORDER", "$5": "AMOUNT"}, (0, 1, "costs")),  # nobody finds C3
        row("B2 came, and $7", {}),  # nothing is stated, and one is found
        row("hello", {}),
    ]
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    scores = evaluate_triples("entities", "relations", str(path))
    # right 2, found 3, stated 4
    assert scores == {"precision": 2 / 3, "recall": 2 / 4, "f1": 2 * 2 / (3 + 4), "num_texts": 4}
    assert evaluate_triples("entities", "relations", f"{path}#3")["num_texts"] == 3


def test_pairs_without_a_relation_cannot_be_judged(relations, tmp_path):
    path = tmp_path / "test.jsonl"
    pair = {role: [0, 2, "ORDER"] if role == "head" else [9, 11, "AMOUNT"] for role in ("head", "tail")}
    path.write_text(json.dumps({"text": TEXTS[0], **pair}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="the pair has no relation"):
        evaluate_triples("entities", "relations", str(path))


def test_models_of_other_tasks_are_refused(relations):
    with pytest.raises(ModelError, match="finds no entities"):
        extract("relations", "relations", TEXTS)
    with pytest.raises(ModelError, match="finds no relations"):
        extract("entities", "entities", TEXTS)
    with pytest.raises(ModelError, match="without entity types"):
        extract("entities", "untyped", TEXTS)
