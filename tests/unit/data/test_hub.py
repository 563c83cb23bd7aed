"""Hub data sets: names, and numbers that become class names. Nothing is downloaded."""

from __future__ import annotations

import pytest

from fathom.data.load import load_examples
from fathom.data.readers import hub


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("imdb", ("imdb", None, None)),
        ("hub:imdb", ("imdb", None, None)),
        ("owner/name", ("owner/name", None, None)),
        ("owner/name/test", ("owner/name", None, "test")),
        ("nyu-mll/glue:sst2", ("nyu-mll/glue", "sst2", None)),
        ("nyu-mll/glue:sst2/validation", ("nyu-mll/glue", "sst2", "validation")),
    ],
)
def test_names(path, parts):
    match = hub.HUB_NAME.match(path)
    assert (match["name"], match["config"], match["split"]) == parts


def test_class_numbers_get_their_names(monkeypatch):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "tokens": datasets.Sequence(datasets.Value("string")),
            "ner_tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER", "I-PER"])),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["neg", "pos"]),
        }
    )
    rows = {"tokens": [["Anna", "left"]] * 2, "ner_tags": [[1, 0]] * 2, "text": ["a", "b"], "label": [1, 0]}
    dataset = datasets.Dataset.from_dict(rows, features=features)
    asked = []
    monkeypatch.setattr(hub, "_load", lambda path, name, config, split: asked.append((name, config, split)) or dataset)
    examples, notes = load_examples("hub:owner/name:small/dev", "text")
    assert [(e["text"], e["label"], e["where"]) for e in examples] == [
        ("a", "pos", "hub:owner/name:small/dev:1"),
        ("b", "neg", "hub:owner/name:small/dev:2"),
    ]
    assert asked == [("owner/name", "small", "dev")]
    tagged, _ = load_examples("hub:owner/name", "spans")
    assert tagged[0]["tags"] == ["B-PER", "O"]
    assert any("split dev" in note for note in notes)
