"""Language models from a text file to a saved, evaluated model, with every objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fathom.config import validate
from fathom.errors import ModelError
from fathom.recipe import Recipe
from fathom.runs.evaluate import evaluate
from fathom.runs.predict import predict
from fathom.runs.train import RunResult, train
from languages_for_tests import WORDS, make_tokenizer

TEXT = "\n".join(" ".join(WORDS[(7 * line + word * word) % len(WORDS)] for word in range(23)) for line in range(24))
OBJECTIVES: dict[str, tuple[str, dict[str, Any]]] = {
    "causal-lm": ("gpt2", {"kind": "causal-lm"}),
    "masked-lm": ("bert", {"kind": "masked-lm"}),
    "next-sentence": ("bert", {"kind": "masked-lm", "sentence_objective": "next-sentence"}),
    "sentence-order": ("bert", {"kind": "masked-lm", "sentence_objective": "sentence-order"}),
    "span-denoising": ("t5", {"kind": "span-denoising"}),
    "text-infilling": ("bart", {"kind": "text-infilling"}),
    "prefix-lm": ("t5", {"kind": "prefix-lm"}),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def run(
    folder: Path, architecture: str, task: dict[str, Any], *, data: dict[str, Any] | None = None, **training: Any
) -> RunResult:
    """Train a tiny new model for two steps; its held-out text is in `held.txt`."""
    make_tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "train.txt").write_text(TEXT, encoding="utf-8")
    (folder / "held.txt").write_text(TEXT[:900], encoding="utf-8")
    sizes = {"depth": 2, "width": 16, "heads": 2, "tokenizer": str(folder / "tokenizer")}
    raw = {
        "model": {"kind": "new", "architecture": architecture, **sizes},
        "data": {"train": str(folder / "train.txt"), "validation": str(folder / "held.txt"), "max_length": 24}
        | {"document_separator": "line"}
        | (data or {}),
        "task": task,
        "training": {"max_steps": 2, "batch_size": 4, "threads": 1, "precision": "fp32", "seed": 3, **training},
        "output": str(folder / "run"),
    }
    return train(validate(Recipe, raw))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains_is_proved_and_scored_again(name: str, tmp_path: Path) -> None:
    architecture, task = OBJECTIVES[name]
    result = run(tmp_path, architecture, task)
    assert result.metrics["reload_difference"] < 1e-4
    wanted = result.metrics["validation"]
    found = evaluate(str(result.folder), str(tmp_path / "held.txt"))
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    assert found["perplexity"] == pytest.approx(wanted["perplexity"], rel=1e-5)
    # bits per byte compare models of all tokenizers; that means something only where the whole text is predicted
    assert ("bits_per_byte" in wanted) == (name == "causal-lm")
    judges_pairs = name in ("next-sentence", "sentence-order")
    assert ("sentence_accuracy" in wanted) == judges_pairs
    if judges_pairs:
        assert 0 <= wanted["sentence_accuracy"] <= 1
        assert found["sentence_accuracy"] == wanted["sentence_accuracy"]
        assert found["sentence_loss"] == pytest.approx(wanted["sentence_loss"], rel=1e-5)


def test_what_fills_gaps_labels_no_text(tmp_path: Path) -> None:
    result = run(tmp_path, "bert", {"kind": "masked-lm"}, evaluate_before=False, verify_reload=False)
    with pytest.raises(ModelError, match="labels no text"):
        predict(result.folder, ["w1 w2"])


def test_what_would_be_seen_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="reads a text from both sides"):
        run(tmp_path, "bert", {"kind": "causal-lm"})


def test_pairs_are_judged_only_by_a_head_for_pairs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no head for pairs"):
        run(tmp_path, "roberta", {"kind": "masked-lm", "sentence_objective": "next-sentence"})


def test_each_source_of_a_mixture_is_scored_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "general.txt").write_text("\n".join(reversed(TEXT.splitlines())), encoding="utf-8")
    general = str(tmp_path / "general.txt")
    data = {"mixture": {general: 0.5}, "validation": None, "validation_fraction": 0.3}
    metrics = run(tmp_path, "gpt2", {"kind": "causal-lm"}, data=data, verify_reload=False).metrics
    for scores in (metrics["before"], metrics["validation"]):
        assert list(scores["per_source"]) == [str(tmp_path / "train.txt"), general]
        losses = [part["loss"] for part in scores["per_source"].values()]
        assert min(losses) < scores["loss"] < max(losses)
    assert f"| {general} | " in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
