"""Few examples of each label: what is drawn, by which seed, and where a recipe cannot ask for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fathom.data.load import load_splits
from fathom.data.section import DataSection
from fathom.data.split import few_shots
from fathom.errors import ConfigError, DataError
from fathom.recipe import load_recipe
from fathom.runs.data import check


def write(folder: Path) -> str:
    lines = ["text,label", *(f"text {n} of {n % 3},{'abc'[n % 3]}" for n in range(90)), "only one,rare"]
    (folder / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder / "train.csv")


def test_so_many_of_each_label_are_drawn_and_the_validation_split_stays(tmp_path: Path) -> None:
    path = write(tmp_path)
    draws = [load_splits(DataSection(train=path, shots=4, shots_seed=seed), "text") for seed in (1, 1, 2)]
    for splits in draws:
        assert Counter(example["label"] for example in splits.train) == {"a": 4, "b": 4, "c": 4, "rare": 1}
        lines = [int(example["where"].rpartition(":")[2]) for example in splits.train]
        assert lines == sorted(lines), "the order of the file"
        assert any("13 of 82 examples, 4 of each of 4 labels" in note for note in splits.notes)
        assert any("1 have fewer: rare" in note for note in splits.notes)
    texts = [[example["text"] for example in splits.train] for splits in draws]
    assert texts[0] == texts[1] != texts[2]
    whole = load_splits(DataSection(train=path), "text")
    kept = {example["text"] for example in whole.validation}
    assert all({example["text"] for example in splits.validation} == kept for splits in draws)
    assert not kept & set(texts[0])


def test_other_labels_do_not_change_what_is_drawn_of_one() -> None:
    rows = [{"text": f"t{n}", "label": "ab"[n % 2], "where": "x"} for n in range(40)]
    both = [row for row in few_shots(rows, 5, 3) if row["label"] == "a"]
    alone = few_shots([row for row in rows if row["label"] == "a"], 5, 3)
    assert both == alone


def test_check_tells_what_is_learnt_from(tmp_path: Path) -> None:
    report = check(write(tmp_path), ["shots=2"])
    assert report.splits["train"]["num_examples"] == 7


def test_rows_and_tasks_without_one_label_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this row has none"):
        few_shots([{"text": "a", "where": "x:1"}], 1, 0)
    with pytest.raises(DataError, match="a list of them"):
        few_shots([{"text": "a", "label": ["a"], "where": "x:1"}], 1, 0)
    (tmp_path / "r.yaml").write_text(
        "model: minilm\ndata: {train: c.txt, shots: 3}\ntask: causal-lm\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"data\.shots counts the examples of each label, and causal-lm has none"):
        load_recipe(tmp_path / "r.yaml")
