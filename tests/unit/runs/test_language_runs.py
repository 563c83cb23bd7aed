"""Language models from a text file to a saved, evaluated model, with every objective."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.config import validate
from fathom.data.corpus import build
from fathom.errors import ConfigError, DataError, ModelError
from fathom.model.reload import verify_reload
from fathom.recipe import Recipe
from fathom.runs.evaluate import evaluate
from fathom.runs.predict import predict
from fathom.runs.prepare import prepare_data
from fathom.runs.prepared import PreparedData
from fathom.runs.train import RunResult, train
from fathom.serving.generate.generator import Generator
from fathom.serving.generate.prompts import encode_prompt
from fathom.serving.predictor import Predictor
from fathom.tasks.causal_lm import CausalLm
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
    folder: Path, architecture: str, task: dict[str, Any], *, data: dict[str, Any] | None = None,
    tuning: dict[str, Any] | None = None, tie_embeddings: bool = True, base: Path | None = None, **training: Any,
) -> RunResult:  # fmt: skip
    """Train a tiny new model for two steps; its held-out text is in `held.txt`."""
    make_tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "train.txt").write_text(TEXT, encoding="utf-8")
    (folder / "held.txt").write_text(TEXT[:900], encoding="utf-8")
    sizes = {"depth": 2, "width": 16, "heads": 2, "tokenizer": str(folder / "tokenizer")}
    raw = {
        "model": str(base)
        if base
        else {"kind": "new", "architecture": architecture, **sizes}
        | ({} if tie_embeddings else {"tie_embeddings": False}),
        "data": {"train": str(folder / "train.txt"), "validation": str(folder / "held.txt"), "max_length": 24}
        | {"document_separator": "line", "allow_leaks": True}
        | (data or {}),
        "task": task,
        "tuning": tuning or {"kind": "full"},
        "training": {"max_steps": 2, "batch_size": 4, "threads": 1, "precision": "fp32", "seed": 3, **training},
        "output": str(folder / ("tuned" if base else "run")),
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


@pytest.mark.parametrize(
    "settings", [{}, {"micro_batch_tokens": 30}, {"optimizer_in_backward": True, "max_grad_norm": 0}]
)
def test_both_losses_of_a_sentence_objective_are_told(settings: dict[str, Any], tmp_path: Path) -> None:
    architecture, task = OBJECTIVES["next-sentence"]
    result = run(tmp_path, architecture, task, logging_steps=1, dropout=0, **settings)
    found = [json.loads(row) for row in (result.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    first, second = [row for row in found if row["split"] == "train"]
    for row in (first, second):
        assert row["token_loss"] + row["sentence_loss"] == pytest.approx(row["loss"])
    # a new model knows nothing: it guesses one of two, and one of all words
    assert first["sentence_loss"] == pytest.approx(math.log(2), rel=0.1)
    assert first["token_loss"] == pytest.approx(math.log(len(make_tokenizer())), rel=0.1)
    (tmp_path / "plain").mkdir()
    plain = run(tmp_path / "plain", *OBJECTIVES["masked-lm"], logging_steps=1)
    assert "sentence_loss" not in (plain.folder / "metrics.jsonl").read_text(encoding="utf-8")


def test_a_causal_model_starts_above_its_frozen_blocks(tmp_path: Path) -> None:
    """Windows of several documents; the losses are those of whole passes."""
    losses = {}
    for mode in ("off", "auto"):
        (tmp_path / mode).mkdir()
        edits = {"max_steps": 20, "frozen_cache": mode, "logging_steps": 1}
        tuning = {"kind": "top-layers", "layers": 1}
        result = run(tmp_path / mode, "llama", {"kind": "causal-lm"}, tuning=tuning, tie_embeddings=False, **edits)
        rows = (result.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses[mode] = [json.loads(row)["loss"] for row in rows]
        assert ("frozen_cache" in result.metrics) == (mode == "auto")
    assert losses["auto"] == pytest.approx(losses["off"], rel=1e-5)


@pytest.mark.parametrize("kind", ["prompt", "p-tuning", "prefix"])
def test_virtual_tokens_train_a_decoder_that_writes(kind: str, tmp_path: Path) -> None:
    base = run(tmp_path, "gpt2", {"kind": "causal-lm"}).folder / "model"
    tuning = {"kind": kind, "num_virtual_tokens": 3}
    result = run(tmp_path, "gpt2", {"kind": "causal-lm"}, base=base, tuning=tuning, max_steps=20)
    assert result.metrics["reload_difference"] < 1e-4
    assert result.metrics["validation"]["loss"] < result.metrics["before"]["loss"]
    found = evaluate(str(result.folder), str(tmp_path / "held.txt"))
    assert found["loss"] == pytest.approx(result.metrics["validation"]["loss"], rel=1e-5)
    written = next(iter(predict(str(result.folder), ["w1 w2"])))
    assert written["text"]


@pytest.mark.parametrize("name", ["causal-lm", "text-infilling"])
def test_the_proof_compares_the_beginnings_of_few_windows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole logits of whole windows would take gigabytes with a real vocabulary, when all but the proof is done."""
    seen: list[tuple[int, ...]] = []

    def compare(
        folder: Path, auto_class: str, inputs: dict[str, torch.Tensor], logits: torch.Tensor, **_: object
    ) -> float:
        seen.extend([*(tuple(value.shape) for value in inputs.values()), tuple(logits.shape[:2])])
        return verify_reload(folder, auto_class, inputs, logits)

    monkeypatch.setattr("fathom.runs.finish.verify_reload", compare)
    architecture, task = OBJECTIVES[name]
    data = {"max_length": 100, "document_separator": "file"}
    metrics = run(tmp_path, architecture, task, data=data, evaluate_before=False).metrics
    assert set(seen) == {(2, 64)}
    assert metrics["reload_difference"] < 1e-4


def test_a_model_that_fills_masks(tmp_path: Path) -> None:
    folder = str(run(tmp_path, "bert", {"kind": "masked-lm"}, evaluate_before=False, verify_reload=False).folder)
    [row] = predict(folder, ["w1 [MASK] w3 [MASK]"])
    assert set(row) == {"text", "filled", "masks"}
    assert [row["text"][mask["start"] : mask["end"]] for mask in row["masks"]] == ["[MASK]", "[MASK]"]
    best = [mask["candidates"][0]["token_str"] for mask in row["masks"]]
    assert row["filled"] == f"w1 {best[0]} w3 {best[1]}".replace(" ##", "")
    assert all(len(mask["candidates"]) == 5 for mask in row["masks"])

    (tmp_path / "in.txt").write_text("w1 [MASK]\nw2 [MASK] w3\n", encoding="utf-8")
    (tmp_path / "in.csv").write_text("text,id\nw1 [MASK],7\nw2 [MASK] w3,8\n", encoding="utf-8")
    (tmp_path / "in.jsonl").write_text('{"body": "w1 [MASK]"}\n{"body": "w2 [MASK] w3"}\n', encoding="utf-8")
    wanted = predict(folder, ["w1 [MASK]", "w2 [MASK] w3"])
    assert predict(folder, tmp_path / "in.txt", output=tmp_path / "out.jsonl") == wanted
    assert predict(folder, tmp_path / "in.csv", output=tmp_path / "out.csv") == wanted
    assert predict(folder, tmp_path / "in.jsonl", read={"columns": {"text": "body"}}) == wanted
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()] == wanted
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as stream:
        cells = list(csv.DictReader(stream))
    assert [cell["filled"] for cell in cells] == [one["filled"] for one in wanted]
    assert [json.loads(cell["masks"]) for cell in cells] == [one["masks"] for one in wanted]
    command = ["predict", folder, "-", "--top-k", "2", "--probabilities"]
    said = CliRunner().invoke(app, command, input="w1 [MASK]\n")
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines()[:2] == ["w1 [MASK]", f"    {wanted[0]['filled']}"]
    assert len(said.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("w1 w2", [], r"input 1: the text has no mask to fill\n.*write \[MASK\]"),
        ("w1 " * 30 + "[MASK]", [], "a mask is token 31 of the text, and the model reads 22"),
        ("w1 [MASK]", ["--top-k", "0"], "0 candidates are none"),
        ("w1 [MASK]", ["--top-k", "3", "--seed", "1"], "--seed is for models that generate text"),
    ],
)
def test_what_cannot_be_filled_is_told(text: str, options: list[str], said: str, tmp_path: Path) -> None:
    folder = str(run(tmp_path, "bert", {"kind": "masked-lm"}, evaluate_before=False, verify_reload=False).folder)
    done = CliRunner().invoke(app, ["predict", folder, text, *options])
    assert done.exit_code == 2
    assert re.search(said, done.stderr), done.output


def test_a_line_that_cannot_be_filled_is_told_before_any_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's answers appear together or not at all, so the last line must not cost the work on the others."""
    folder = str(run(tmp_path, "bert", {"kind": "masked-lm"}, evaluate_before=False, verify_reload=False).folder)
    monkeypatch.setattr(Predictor, "predict", lambda *_: pytest.fail("a text was filled"))
    (tmp_path / "in.txt").write_text("w1 [MASK]\nw2 w3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"in\.txt:2: the text has no mask to fill"):
        predict(folder, tmp_path / "in.txt")
    with pytest.raises(DataError, match="input 2: a second text beside one whose masks are to be filled"):
        predict(folder, ["w1 [MASK]", {"text": "w1 [MASK]", "text_pair": "w2"}])


def test_a_long_text_is_filled_where_the_model_reads(tmp_path: Path) -> None:
    result = run(tmp_path, "bert", {"kind": "masked-lm"}, evaluate_before=False, verify_reload=False)
    [row] = predict(result.folder, ["w1 [MASK]" + " w2" * 30])
    assert row["truncated"] and row["filled"].endswith(" w2" * 30)


def test_what_rebuilds_passages_labels_no_text(tmp_path: Path) -> None:
    result = run(tmp_path, "t5", {"kind": "span-denoising"}, evaluate_before=False, verify_reload=False)
    with pytest.raises(ModelError, match="labels no text"):
        next(Predictor.load(result.folder).predict(["w1 w2"]))


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


def _data(folder: Path, architecture: str, task: dict[str, Any], **data: Any) -> PreparedData:
    make_tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "train.txt").write_text(TEXT, encoding="utf-8")
    (folder / "short.txt").write_text("w1", encoding="utf-8")
    raw = {
        "model": {"kind": "new", "architecture": architecture, "depth": 2, "tokenizer": str(folder / "tokenizer")},
        "data": {"train": str(folder / "train.txt"), "max_length": 60, "document_separator": "line", **data},
        "task": task,
    }
    return prepare_data(validate(Recipe, raw))


def test_an_encoder_may_read_the_stream_as_it_stands(tmp_path: Path) -> None:
    windows = _data(tmp_path, "bert", {"kind": "masked-lm"}, pack_documents=False, validation_fraction=0).stores[
        "train"
    ]
    assert max(windows.lengths) <= 60
    first = windows[0]["input_ids"].tolist()
    tokenizer = make_tokenizer()
    pieces = tokenizer.decode(first).split(tokenizer.sep_token)
    lines = [" ".join(piece.replace(tokenizer.cls_token, "").split()) for piece in pieces[:-1]]
    assert len(lines) == 3  # two whole lines, and the beginning of the third
    assert lines[:2] == TEXT.splitlines()[:2]
    assert TEXT.splitlines()[2].startswith(lines[2])


@pytest.mark.parametrize("name", ["next-sentence", "sentence-order", "span-denoising", "text-infilling"])
def test_where_there_is_no_stream_it_is_not_cut(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no stream of documents") as caught:
        _data(tmp_path, *OBJECTIVES[name], pack_documents=False)
    assert caught.value.where == "data.pack_documents"


def test_what_is_too_short_is_named(tmp_path: Path) -> None:
    short = str(tmp_path / "short.txt")
    with pytest.raises(DataError, match="too short for one window") as caught:
        _data(tmp_path, "bert", {"kind": "masked-lm"}, test=short)
    assert caught.value.where == short
    with pytest.raises(DataError, match="too few") as caught:
        _data(tmp_path, "bert", {"kind": "masked-lm"}, mixture={short: 1})
    assert caught.value.where == short


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_that_repeats_the_training_text_is_refused(split: str, tmp_path: Path) -> None:
    train = str(tmp_path / "train.txt")
    with pytest.raises(DataError, match=rf"\d% of the tokens of {split} stand in documents that are also in train"):
        _data(tmp_path, "gpt2", {"kind": "causal-lm"}, **{split: train})
    accepted = _data(tmp_path, "gpt2", {"kind": "causal-lm"}, allow_leaks=True, **{split: train})
    assert any("also in train" in note for note in accepted.splits.notes)


def test_held_out_text_that_is_learnt_from_too_is_told(tmp_path: Path) -> None:
    twice = tmp_path / "twice.txt"
    twice.write_text("\n".join(f"w{number} w{number + 1} w3" for number in range(20)) * 2, encoding="utf-8")
    told = _data(tmp_path, "gpt2", {"kind": "causal-lm"}, train=str(twice)).splits.notes
    assert any("is learnt from too" in note or "are learnt from too" in note for note in told)
    once = _data(tmp_path, "gpt2", {"kind": "causal-lm"}, train=str(twice), filters=["exact-duplicates"]).splits.notes
    assert not any("learnt from too" in note for note in once)


def test_a_source_that_would_never_be_read_is_refused(tmp_path: Path) -> None:
    more = "helpdesk:intents#20"
    with pytest.raises(ConfigError, match=r"0\.001 of the .* windows of helpdesk:intents#20 is none") as caught:
        _data(tmp_path, "gpt2", {"kind": "causal-lm"}, mixture={more: 0.001})
    assert caught.value.where == f"data.mixture.{more}"
    data = _data(tmp_path, "gpt2", {"kind": "causal-lm"}, mixture={more: 2})
    assert data.sampler is not None
    first, second = data.sampler.counts
    assert f"an epoch is {first + second} windows: {first} of {tmp_path / 'train.txt'}, {second} of {more}" in (
        data.splits.notes
    )


def test_each_source_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    own = build.source_key

    def count(source: str, section: Any) -> dict[str, Any]:
        hashed.append(source)
        return own(source, section)

    monkeypatch.setattr(build, "source_key", count)
    train, more = str(tmp_path / "train.txt"), "helpdesk:intents#20"
    _data(tmp_path, "bert", {"kind": "masked-lm"}, mixture={more: 1}, test=train, allow_leaks=True)
    assert hashed == [train, more, train]


def _published(folder: Path) -> Any:
    """Save a plain GPT-2 whose tokenizer puts a token before every text; return the model."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    tokenizer.bos_token = "[CLS]"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", tokenizer.cls_token_id)]
    )
    tokenizer.save_pretrained(folder)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 40}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes)).eval()
    model.save_pretrained(folder)
    return model


def test_a_published_decoder_is_scored_as_transformers_does(tmp_path: Path) -> None:
    model = _published(tmp_path / "model")
    text = tmp_path / "text.txt"
    text.write_text(" ".join(WORDS[:30]), encoding="utf-8")
    ids = make_tokenizer()(text.read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    begin = make_tokenizer().cls_token_id
    pieces = [torch.tensor([[begin, *ids[start : start + 9]]]) for start in range(0, len(ids), 9)]
    with torch.no_grad():
        losses = [float(model(input_ids=piece, labels=piece).loss) * (piece.shape[1] - 1) for piece in pieces]
    found = evaluate(str(tmp_path / "model"), str(text), ["max_length=10"])
    assert found["num_examples"] == len(pieces)
    assert found["loss"] == pytest.approx(sum(losses) / len(ids), rel=1e-5)
    assert "bits_per_byte" in found
    assert evaluate(str(tmp_path / "model"), str(text))["num_examples"] == 1  # as long as the positions allow
    with pytest.raises(ConfigError, match="at most 40 tokens"):
        evaluate(str(tmp_path / "model"), str(text), ["data.max_length=41"])


def test_a_token_without_a_row_is_named_where_a_text_has_it(tmp_path: Path) -> None:
    _published(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    tokenizer.add_tokens(["<image>"])
    tokenizer.save_pretrained(tmp_path / "model")
    for name, said in (("plain", "w1 w2 w3"), ("odd", "w1 <image> w3")):
        (tmp_path / f"{name}.txt").write_text(said, encoding="utf-8")
    assert evaluate(str(tmp_path / "model"), str(tmp_path / "plain.txt"))["num_examples"] == 1
    with pytest.raises(ModelError, match="<image>"):
        evaluate(str(tmp_path / "model"), str(tmp_path / "odd.txt"))


def test_going_on_from_it_puts_its_first_token_before_every_piece(tmp_path: Path) -> None:
    _published(tmp_path / "model")
    begin = make_tokenizer().cls_token_id
    result = run(tmp_path, "gpt2", {"kind": "causal-lm"}, base=tmp_path / "model")
    generator = Generator.load(result.folder)
    assert encode_prompt("w1 w2", 1, generator.tokenizer, generator.facts).ids[0] == begin
    saved = result.folder / "model"
    tokenizer = AutoTokenizer.from_pretrained(saved)
    state = json.loads((saved / "fathom.json").read_text(encoding="utf-8"))["task"]
    task = CausalLm().reopen(state, tokenizer)
    assert task.frame == ([begin], [])
    del state["options"]["begin_of_document"]
    assert CausalLm().reopen(state, tokenizer).frame == ([], [])  # trained by an earlier version
    assert CausalLm(begin_of_document=False).open([], tokenizer, 24).frame == ([], [])
    assert CausalLm().open([], make_tokenizer(), 24).frame == ([], [])  # between two tokens, as BERT's
