"""A head trained for some labels keeps them where the next task has them too, and is never relabelled silently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fathom.log import get_console
from fathom.model.load import load_model
from folders_for_tests import FAMILIES, make_base

SEQUENCE = "AutoModelForSequenceClassification"
IDS = torch.tensor([[5, 6, 7, 8], [9, 8, 7, 6]])


def labels(names: Sequence[str]) -> dict[str, Any]:
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {name: row for row, name in enumerate(names)},
    }


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=IDS).logits
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(get_console(), "warn", said.append)
    return said


def saved(folder: Path, names: Sequence[str], family: str = "bert", auto_class: str = SEQUENCE) -> tuple[str, Tensor]:
    model = load_model(str(make_base(folder / "base", family)), auto_class, labels(names), seed=3)
    model.save_pretrained(folder / "finished")
    return str(folder / "finished"), logits(model)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_same_labels_in_another_order_keep_their_rows(tmp_path: Path, told: list[str], family: str) -> None:
    name, before = saved(tmp_path, ["cat", "dog", "ox"], family)
    model = load_model(name, SEQUENCE, labels(["ox", "cat", "dog"]), seed=4)
    torch.testing.assert_close(logits(model), before[:, [2, 0, 1]])
    assert model.config.id2label == {0: "ox", 1: "cat", 2: "dog"}
    assert told == []


def test_tags_too(tmp_path: Path) -> None:
    auto_class = "AutoModelForTokenClassification"
    name, before = saved(tmp_path, ["O", "B-X", "I-X"], auto_class=auto_class)
    model = load_model(name, auto_class, labels(["B-X", "I-X", "O"]), seed=4)
    torch.testing.assert_close(logits(model), before[..., [1, 2, 0]])


def test_other_labels_are_warned_of_by_name(tmp_path: Path, told: list[str]) -> None:
    name, before = saved(tmp_path, ["cat", "dog", "ox"])
    model = load_model(name, SEQUENCE, labels(["cat", "late", "lost"]), seed=4)
    torch.testing.assert_close(logits(model), before)
    assert len(told) == 1
    assert "'dog' now stands for 'late', 'ox' now stands for 'lost'" in told[0]
    assert "'cat'" not in told[0]


def test_rows_without_names_are_warned_of(tmp_path: Path, told: list[str]) -> None:
    name, _ = saved(tmp_path, ["LABEL_0", "LABEL_1"])
    load_model(name, SEQUENCE, labels(["bad", "good"]), seed=4)
    assert len(told) == 1
    assert "without names of labels" in told[0]


def test_nothing_is_said_of_equal_labels_nor_of_a_new_head(tmp_path: Path, told: list[str]) -> None:
    name, before = saved(tmp_path, ["cat", "dog", "ox"])
    torch.testing.assert_close(logits(load_model(name, SEQUENCE, labels(["cat", "dog", "ox"]), seed=4)), before)
    torch.testing.assert_close(logits(load_model(name, SEQUENCE, {}, seed=4)), before)
    load_model(name, SEQUENCE, labels(["a", "b"]), seed=4)  # another size: a new head
    load_model(str(tmp_path / "base"), SEQUENCE, labels(["a", "b"]), seed=4)
    assert told == []
