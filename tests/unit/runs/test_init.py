"""Guessing what a data file is for."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.data.load import load_splits
from fathom.errors import ConfigError, DataError, InputError
from fathom.recipe import load_recipe
from fathom.runs.data import check
from fathom.runs.guess import guess_data
from fathom.runs.init import init


def _csv(tmp_path, header, rows, name="data.csv", separator=","):
    path = tmp_path / name
    lines = [separator.join(header)] if header else []
    path.write_text("\n".join(lines + [separator.join(map(str, row)) for row in rows]) + "\n", encoding="utf-8")
    return str(path)


TEXTS = [f"this is sentence number {number} about something" for number in range(40)]


def test_usual_column_names_need_no_mapping(tmp_path):
    path = _csv(tmp_path, ["text", "label"], [(text, "ab"[n % 2]) for n, text in enumerate(TEXTS)])
    guess = guess_data(path)
    assert (guess.form, guess.problem, guess.options) == ("text", "single-label", {})


def test_columns_are_told_by_content(tmp_path):
    rows = [(n, text, "xyz"[n % 3], n * 7) for n, text in enumerate(TEXTS)]
    guess = guess_data(_csv(tmp_path, ["number", "what was said", "kind of thing", "weight"], rows))
    assert guess.options == {"columns": {"text": "what was said", "label": "kind of thing"}, "header": True}


def test_a_file_without_header(tmp_path):
    guess = guess_data(_csv(tmp_path, None, [("ab"[n % 2], text) for n, text in enumerate(TEXTS)]))
    assert guess.options == {"columns": {"text": 1, "label": 0}, "header": False}
    assert len(guess.examples) == len(TEXTS)


def test_fractions_are_regression(tmp_path):
    guess = guess_data(_csv(tmp_path, ["text", "score"], [(text, n / 8) for n, text in enumerate(TEXTS)]))
    assert guess.problem == "regression"


def test_whole_numbers_few_are_classes(tmp_path):
    guess = guess_data(_csv(tmp_path, ["text", "score"], [(text, n % 5) for n, text in enumerate(TEXTS)]))
    assert guess.problem == "single-label"


def test_several_labels_in_a_cell_are_multi_label(tmp_path):
    sets = ["joy", "joy|fear", "anger", "fear|anger", "joy|anger"]
    guess = guess_data(_csv(tmp_path, ["text", "labels"], [(text, sets[n % 5]) for n, text in enumerate(TEXTS)]))
    assert guess.problem == "multi-label"
    assert guess.options == {"label_separator": "|"}
    assert guess.examples[1]["label"] == ["joy", "fear"]


def test_lists_of_labels_are_multi_label(tmp_path):
    path = tmp_path / "data.jsonl"
    rows = [{"text": text, "labels": ["a", "b"][: 1 + n % 2]} for n, text in enumerate(TEXTS)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert guess_data(str(path)).problem == "multi-label"


def test_a_file_of_one_line_is_no_table_of_images(tmp_path):
    path = tmp_path / "all.json"
    path.write_text(json.dumps([{"text": f"number {n}", "label": "ab"[n % 2]} for n in range(20)]), encoding="utf-8")
    assert guess_data(str(path)).problem == "single-label"


def test_tagged_words_are_known_whatever_their_file_is_called(tmp_path):
    (tmp_path / "train.txt").write_text("Ann B-PER\nlives O\n\nBob B-PER\nran O\n\n" * 5, encoding="utf-8")
    assert guess_data(str(tmp_path / "train.txt")).problem == "tokens"


def test_running_text_is_told_what_it_is_for(tmp_path):
    (tmp_path / "docs.txt").write_text("A page of text.\n\nAnother page, and more of it.\n" * 20, encoding="utf-8")
    with pytest.raises(DataError, match=r"running text(.|\n)*fathom train bert data\.train="):
        guess_data(str(tmp_path / "docs.txt"))


def test_users_and_items_are_recommendation(tmp_path):
    rows = [(f"u{n // 4}", f"i{n % 4}", 5, n) for n in range(40)]
    path = _csv(tmp_path, ["user_id", "movie_id", "rating", "timestamp"], rows)
    recipe = load_recipe(init(path, tmp_path / "r.yaml"))
    assert (recipe.task.kind, recipe.model.kind, recipe.model.tokenizer_source) == ("recommendation", "new", "items")
    reviews = [(f"u{n}", f"i{n}", f"a text about number {n}", n % 2) for n in range(40)]
    path = _csv(tmp_path, ["user_id", "item_id", "review", "label"], reviews, "reviews.csv")
    assert guess_data(path).problem == "single-label", "texts with a label are read first"


def test_conll_is_token_classification(tmp_path):
    path = tmp_path / "train.conll"
    path.write_text("Ann\tB-PER\nis\tO\nhere\tO\n\nBob\tB-PER\nleft\tO\n", encoding="utf-8")
    guess = guess_data(str(path))
    assert (guess.form, guess.problem) == ("spans", "tokens")


def test_unusable_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        guess_data(str(tmp_path / "none.csv"))
    empty = tmp_path / "empty.csv"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="empty"):
        guess_data(str(empty))
    with pytest.raises(DataError):
        guess_data(_csv(tmp_path, ["a", "b"], [(n, n) for n in range(9)]))


def test_init_finds_the_files_beside_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [(text, "ab"[n % 2]) for n, text in enumerate(TEXTS)]
    (tmp_path / "mails").mkdir()
    for name in ("train.csv", "dev.csv", "test.csv"):
        _csv(tmp_path / "mails", ["text", "label"], rows, name)
    path = init("mails/train.csv")
    assert path.name == "mails.yaml"
    recipe = load_recipe(path)
    assert (recipe.data.validation, recipe.data.test) == ("mails/dev.csv", "mails/test.csv")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 30


def test_init_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = _csv(tmp_path, ["text", "label"], [(text, "ab"[n % 2]) for n, text in enumerate(TEXTS)])
    assert init(data, "mine.yaml").read_text(encoding="utf-8").startswith("# Written by")
    with pytest.raises(ConfigError, match="exists"):
        init(data, "mine.yaml")


def test_chinese_text_is_told_that_the_model_knows_little(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = _csv(tmp_path, ["文本", "标签"], [(f"我想退掉第{n}件商品", "退货换货"[n % 2 * 2 :][:2]) for n in range(40)])
    assert "chinese" in init(data).read_text(encoding="utf-8")


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_a_csv_file_of_another_separator_gets_a_recipe_that_reads_it(tmp_path, separator, name):
    rows = [(f"{text}, with a comma" if n % 3 else text, "ab"[n % 2]) for n, text in enumerate(TEXTS)]
    path = _csv(tmp_path, ["text", "label"], rows, separator=separator)
    written = init(path, tmp_path / "r.yaml")
    assert f"delimiter: {name}" in written.read_text(encoding="utf-8")
    splits = load_splits(load_recipe(written).data, "text")
    assert len(splits.train) + len(splits.validation) == len(TEXTS)
    assert check(path).exit_code == 0
    assert check(str(written)).splits["train"]["num_examples"] == len(splits.train)


def test_columns_of_another_separator_are_told_by_content(tmp_path):
    rows = [(text, "xyz"[n % 3], n * 7) for n, text in enumerate(TEXTS)]
    path = _csv(tmp_path, ["what was said", "kind of thing", "weight"], rows, separator=";")
    options = guess_data(path).options
    assert options["delimiter"] == "semicolon"
    assert options["columns"] == {"text": "what was said", "label": "kind of thing"}


def test_what_the_user_says_is_read_by_and_written(tmp_path):
    path = tmp_path / "data.csv"
    lines = [
        "text,label",
        *(f"我的訂單第{n}次還沒有到請問什麼時候會發貨呢謝謝,{'物流' if n % 2 else '其他'}" for n in range(40)),
    ]
    path.write_bytes("\n".join(lines).encode("big5"))
    with pytest.raises(DataError, match=r"data\.encoding=") as caught:
        init(str(path), tmp_path / "r.yaml")
    assert "it may be big5" in str(caught.value)
    result = CliRunner().invoke(app, ["init", str(path), "encoding=big5", "--output", str(tmp_path / "r.yaml")])
    assert result.exit_code == 0, result.output
    recipe = load_recipe(tmp_path / "r.yaml")
    assert recipe.data.encoding == "big5"
    assert "encoding=big5" in (tmp_path / "r.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert len(load_splits(recipe.data, "text").train) == 36


def test_stated_columns_say_what_a_file_is_for(tmp_path):
    rows = [(text, "ab"[n % 2], "xyz"[n % 3]) for n, text in enumerate(TEXTS)]
    path = _csv(tmp_path, ["text", "label", "mood"], rows)
    recipe = load_recipe(init(path, tmp_path / "r.yaml", ["columns.label=mood", "data.validation_fraction=0.2"]))
    assert recipe.data.columns == {"label": "mood"}
    assert recipe.data.validation_fraction == 0.2
    assert {example["label"] for example in load_splits(recipe.data, "text").train} == set("xyz")
    path = _csv(tmp_path, ["a", "b"], [(text, text.upper()) for text in TEXTS], "pairs.csv")
    stated = ["columns={source: a, target: b}"]
    assert load_recipe(init(path, tmp_path / "w.yaml", stated)).task.kind == "translation"


@pytest.mark.parametrize("edit", ["encodng=big5", "epochs=3", "columns.text=nowhere", "delimiter=comma and more"])
def test_a_wrong_edit_is_refused(tmp_path, edit):
    path = _csv(tmp_path, ["text", "label"], [(text, "ab"[n % 2]) for n, text in enumerate(TEXTS)])
    with pytest.raises(InputError) as caught:
        init(path, tmp_path / "r.yaml", [edit])
    assert caught.value.mend or ": write " in str(caught.value)
    assert not (tmp_path / "r.yaml").exists()


def test_a_very_long_text_is_no_obstacle(tmp_path):
    rows = [(text, "ab"[n % 2]) for n, text in enumerate(TEXTS)] + [("long " * 40_000, "a")]
    assert guess_data(_csv(tmp_path, ["text", "label"], rows)).problem == "single-label"
