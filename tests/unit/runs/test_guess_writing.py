"""`fathom init` and `fathom data preview` on pairs."""

from __future__ import annotations

import json

import pytest

from fathom.config import read_yaml
from fathom.runs.data import check, preview
from fathom.runs.guess import guess_data
from fathom.runs.init import init
from writing_for_tests import make_writer, write_pairs


def test_init_tells_translation_and_summarization(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert guess_data("helpdesk:parallel#60").problem == "translation"
    rows = [
        {"document": f"Number {n} is a long story about many things and more of them.", "summary": f"Story {n}."}
        for n in range(40)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, rows[:3])), encoding="utf-8")
    raw = read_yaml(init("train.jsonl", "job.yaml"))
    assert raw["task"] == "summarization"
    assert raw["data"]["validation"] == "dev.jsonl"
    assert raw["model"] == "runs/t5/model"


def test_parallel_files_are_guessed_and_labels_are_not_taken_for_targets(tmp_path):
    (tmp_path / "a.en").write_text("".join(f"good day {n}\n" for n in range(9)), encoding="utf-8")
    (tmp_path / "a.de").write_text("".join(f"guten Tag {n}\n" for n in range(9)), encoding="utf-8")
    assert guess_data(f"{tmp_path / 'a.en'},{tmp_path / 'a.de'}").form == "writing"
    (tmp_path / "b.tsv").write_text("".join(f"good day {n}\t{'yes' if n % 2 else 'no'}\n" for n in range(60)), "utf-8")
    assert guess_data(str(tmp_path / "b.tsv")).form == "text"


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_preview_and_check_of_a_recipe(family, tmp_path):
    data = write_pairs(tmp_path / "train.jsonl", 60)
    recipe = tmp_path / "job.yaml"
    recipe.write_text(
        f"model: '{make_writer(tmp_path / 'model', family)}'\n"
        f"data: {{train: '{data}', max_length: 14}}\ntask: {{kind: translation, max_target_length: 8}}\n"
    )
    shown = preview(str(recipe))
    labels = [token.token for token in shown.windows[0] if token.label == "loss"]
    assert labels == [*shown.example["references"][0].split(), "</s>"]
    assert "target: " in shown.to_text()
    report = check(str(recipe), ["task.max_target_length=3", "data.max_length=5"])
    assert report.exit_code == 0
    found = {finding.kind: finding for finding in report.findings if finding.count}
    assert "have more than 3 tokens" in found["target-truncation"].message
    assert ("truncation" in found) == (family == "gpt2")  # a decoder has source and target within max_length
