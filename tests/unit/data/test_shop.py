"""The made-up shop: the same on every machine, something follows something, and `init` knows such data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fathom.data.load import load_examples
from fathom.errors import DataError
from fathom.recipe import load_recipe
from fathom.runs.guess import guess_data
from fathom.runs.init import init


def test_the_choices_are_fixed_and_most_follow() -> None:
    examples, notes = load_examples("shop:choices", "interactions")
    assert len(examples) == 800
    assert examples[0]["text"] == " ".join(examples[0]["items"])
    assert examples == load_examples("shop:choices", "interactions")[0]
    assert all(len(set(example["items"])) == len(example["items"]) for example in examples)
    steps = Counter()
    for example in examples:
        for before, after in zip(example["items"], example["items"][1:], strict=False):
            shelf, place = before.split("-")
            steps[after == f"{shelf}-{int(place) + 1}"] += 1
    assert 0.5 < steps[True] / steps.total() < 0.7
    assert "120 items" in notes[0]


@pytest.mark.parametrize(("path", "form"), [("shop:returns", "interactions"), ("shop:choices", "text")])
def test_other_paths_and_tasks_are_refused(path: str, form: str) -> None:
    with pytest.raises(DataError, match=r"shop:choices|what users chose"):
        load_examples(path, form)


def test_a_sample_of_users(tmp_path: Path) -> None:
    assert len(load_examples("shop:choices#50", "interactions")[0]) == 50


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.csv", "user_id,movieId,rating,timestamp\n" + "".join(f"u{n % 9},m{n},3,{n}\n" for n in range(40))),
        ("seen.jsonl", "".join(f'{{"user": "u{n}", "items": ["a", "b{n}", "c"]}}\n' for n in range(20))),
    ],
)
def test_init_knows_what_users_chose(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    guess = guess_data(str(tmp_path / name))
    assert (guess.form, guess.problem) == ("interactions", "interactions")
    recipe = load_recipe(init(str(tmp_path / name), tmp_path / "made.yaml"))
    assert recipe.task.kind == "recommendation"
    assert recipe.model.tokenizer_source == "items"


def test_a_table_of_texts_with_a_user_is_no_list_of_choices(tmp_path: Path) -> None:
    rows = "".join(f"u{n},p{n % 3},this is review number {n},{'ab'[n % 2]}\n" for n in range(40))
    (tmp_path / "reviews.csv").write_text(f"user_id,product_id,text,label\n{rows}", encoding="utf-8")
    assert guess_data(str(tmp_path / "reviews.csv")).form == "text"
