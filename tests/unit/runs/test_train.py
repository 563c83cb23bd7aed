"""`fathom train` end to end on a tiny model: every problem, every strategy, and what must be refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import BertConfig, PreTrainedConfig

import fathom
from fathom import files
from fathom.cli.main import main
from fathom.device import probe_machine
from fathom.errors import ArtifactError, ConfigError, FathomError, InputError
from fathom.recipe import dump_recipe
from fathom.runs import prepare
from fathom.runs import train as module
from fathom.runs.evaluations import score_names
from fathom.runs.prepare import prepare_data
from fathom.training.loop import Loop
from runs_for_tests import make_model, make_recipe

dropout = vars(prepare)["_dropout"]
PROBLEMS = ("single", "multi", "regression", "pair", "tags")
ARTIFACTS = ("recipe.yaml", "environment.json", "metrics.jsonl", "metrics.json", "report.md", "checkpoints", "model")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in lines_of(folder) if line["split"] == "train"]


def run(model: Path, folder: Path, problem: str, *edits: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return fathom.train(make_recipe(model, folder, problem, *edits)).folder


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_run_is_complete_and_evaluates_to_its_own_scores(problem: str, model: Path, tmp_path: Path) -> None:
    folder = run(model, tmp_path, problem, *(["training.verify_reload=true"] if problem == "single" else []))
    assert [name for name in ARTIFACTS if not (folder / name).exists()] == []
    metrics = files.read_json(folder / "metrics.json")
    assert metrics["steps"] == 8
    assert metrics["measured"]["trainable_error"] == 0
    if problem == "single":
        assert metrics["reload_difference"] < 1e-4
    lines = lines_of(folder)
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 9))
    assert [line["step"] for line in lines if line["split"] == "validation"] == [0, 4, 8]
    assert not any("second" in name for line in lines for name in line)
    written = fathom.load_recipe(folder)
    assert fathom.resolve(written, probe_machine()) == written
    assert fathom.resolve(make_recipe(model, tmp_path, problem), probe_machine()).data == written.data
    suffix = "conll" if problem == "tags" else "csv"
    scores = fathom.evaluate(str(folder), str(tmp_path / f"validation.{suffix}"))
    assert scores.pop("num_examples") == 16
    same_scores(scores, metrics["validation"])
    same_scores(metrics["test"], metrics["validation"])


def same_scores(found: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            same_scores(found[name], value)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-5, abs=1e-6, nan_ok=True)
    else:
        assert found == wanted


def test_transformers_alone_reaches_the_recorded_accuracy(model: Path, tmp_path: Path) -> None:
    folder = run(model, tmp_path, "single")
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    with open(tmp_path / "validation.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    batch = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = loaded(**batch).logits
    names = [loaded.config.id2label[int(index)] for index in logits.argmax(-1)]
    accuracy = float(np.mean([name == row["label"] for name, row in zip(names, rows, strict=True)]))
    assert accuracy == pytest.approx(files.read_json(folder / "metrics.json")["validation"]["accuracy"])


@pytest.mark.parametrize("tuning", ["lora", "bitfit", "head", "top-layers"])
@pytest.mark.parametrize("problem", ["single", "tags"])
def test_every_strategy(tuning: str, problem: str, model: Path, tmp_path: Path) -> None:
    more = ["tuning.layers=1"] if tuning == "top-layers" else []
    folder = run(model, tmp_path, problem, f"tuning={tuning}", *more)
    metrics = files.read_json(folder / "metrics.json")
    assert 0 < metrics["parameters"]["trainable"] < metrics["parameters"]["total"]
    assert metrics["measured"]["trainable_error"] == 0
    assert (folder / "model" / "adapter_model.safetensors").is_file() == (tuning == "lora")
    suffix = "conll" if problem == "tags" else "csv"
    scores = fathom.evaluate(str(folder), str(tmp_path / f"validation.{suffix}"))
    del scores["num_examples"]
    same_scores(scores, metrics["validation"])
    if tuning in ("bitfit", "head"):
        frozen = "encoder.layer.0.attention.self.query.weight"
        trained = load_file(folder / "model" / "model.safetensors")[f"bert.{frozen}"]
        assert torch.equal(trained, load_file(model / "model.safetensors")[frozen])


@pytest.mark.parametrize(("steps", "told"), [(2, True), (1, False)])
def test_a_warmup_that_never_ends_is_told(
    steps: int, told: bool, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edits = ("training.max_steps=2", f"training.warmup_steps={steps}", "training.verify_reload=false")
    fathom.train(make_recipe(model, tmp_path, "single", *edits))
    assert ("warmup takes all 2 steps" in capsys.readouterr().err) == told


def test_a_finished_run_is_not_repeated_and_another_recipe_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(model, tmp_path, "single")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def no_training(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "prepare_data", no_training)
    again = fathom.train(make_recipe(model, tmp_path, "single"))
    assert "is finished" in capsys.readouterr().err
    assert again.metrics == files.read_json(folder / "metrics.json")
    with pytest.raises(ConfigError, match="another recipe"):
        fathom.train(make_recipe(model, tmp_path, "single", "training.seed=8"))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_unfinished_run_of_another_recipe_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path, "single")
    with pytest.raises(ConfigError):
        run(model, tmp_path, "single", "training.learning_rate=0.001")


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    real = Loop._step

    def stopping(loop: Loop, state: Any) -> Any:
        if state.step == step:
            monkeypatch.setattr(Loop, "_step", real)
            raise KeyboardInterrupt
        return real(loop, state)

    monkeypatch.setattr(Loop, "_step", stopping)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_interrupted_and_run_again_is_the_same(
    tuning: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(model, tmp_path / "whole", "tags", f"tuning={tuning}", "training.save_steps=3")
    stop_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path / "cut", "tags", f"tuning={tuning}", "training.save_steps=3")
    assert not (tmp_path / "cut/run/metrics.json").exists()
    again = run(model, tmp_path / "cut", "tags", f"tuning={tuning}", "training.save_steps=3")
    assert lines_of(again) == lines_of(whole)
    weights = "adapter_model.safetensors" if tuning == "lora" else "model.safetensors"
    assert (again / "model" / weights).read_bytes() == (whole / "model" / weights).read_bytes()


@pytest.mark.parametrize("problem", ["single", "tags"])
def test_micro_batches_and_checkpointing_follow_the_same_curve(problem: str, model: Path, tmp_path: Path) -> None:
    still = "training.dropout=0"
    wanted = losses(run(model, tmp_path / "whole", problem, still))
    cut = run(model, tmp_path / "cut", problem, still, "training.micro_batch_tokens=24")
    assert losses(cut) == pytest.approx(wanted, rel=1e-4)
    padded = run(model, tmp_path / "padded", problem, still, "training.packing=false")
    assert losses(padded) == pytest.approx(wanted, rel=1e-4)
    dropped = losses(run(model, tmp_path / "dropout", problem))
    again = run(model, tmp_path / "checkpointing", problem, "training.activation_checkpointing=true")
    assert losses(again) == pytest.approx(dropped, rel=1e-6)


def test_bf16_stays_near_fp32(model: Path, tmp_path: Path) -> None:
    if not probe_machine().bf16_native:
        with pytest.raises(ConfigError):
            run(model, tmp_path / "refused", "single", "training.precision=bf16")
        return
    wanted = losses(run(model, tmp_path / "fp32", "single"))
    found = losses(run(model, tmp_path / "bf16", "single", "training.precision=bf16"))
    assert found != wanted
    assert found == pytest.approx(wanted, rel=0.05)


def test_an_unseen_label_is_one_error_and_leaves_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(model, tmp_path)
    path = tmp_path / "validation.csv"
    path.write_text(path.read_text(encoding="utf-8") + "the thing3 is odd,lukewarm\n", encoding="utf-8")
    with pytest.raises(InputError, match="lukewarm"):
        fathom.train(recipe)
    assert not (tmp_path / "run").exists()
    (tmp_path / "odd.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["fathom", "train", str(tmp_path / "odd.yaml")])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert told.count("error:") == 1
    assert "lukewarm" in told
    assert "validation.csv" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("problem", "text", "edits"),
    [
        ("single", "text,label\n" + "the thing1 is red,warm\n" * 20, []),
        ("tags", "the\tO\nthing1\tO\n\n" * 20, []),
        ("single", "text,label\n", []),
        ("single", None, ["data.max_length=65"]),
        ("single", None, ["tuning.kind=top-layers", "tuning.layers=9"]),
    ],
)
def test_what_cannot_learn_is_refused_and_leaves_nothing(
    problem: str, text: str | None, edits: list[str], model: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(model, tmp_path, problem, *edits)
    if text is not None:
        Path(recipe.data.train).write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        fathom.train(recipe)
    assert not (tmp_path / "run").exists()


HOLDER = """
import sys
from fathom.locks import only_one
with only_one(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_two_processes_do_not_share_a_run_folder(model: Path, tmp_path: Path) -> None:
    recipe = make_recipe(model, tmp_path, "single", "training.max_steps=1")
    source = str(Path(fathom.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        env={"PYTHONPATH": source},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FathomError, match="another training run"):
            fathom.train(recipe)
        assert list((tmp_path / "run").iterdir()) == []
        holder.stdin.write("\n")
        holder.stdin.flush()
        holder.wait(30)
    assert fathom.train(recipe).metrics["steps"] == 1


@pytest.mark.parametrize("before", ["true", "false"])
def test_a_score_that_does_not_exist_is_told_before_anything_is_written(
    before: str, model: Path, tmp_path: Path
) -> None:
    edits = (f"training.evaluate_before={before}", "training.metric_for_best_model=acuracy")
    with pytest.raises(ConfigError, match=r"no score called 'acuracy', did you mean 'accuracy'\?\n.*one of loss, acc"):
        fathom.train(make_recipe(model, tmp_path, "single", *edits))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("problem", ["single", "multi", "regression", "tags"])
def test_every_score_that_is_named_is_one_an_evaluation_gives(problem: str, model: Path, tmp_path: Path) -> None:
    recipe = make_recipe(model, tmp_path, problem)
    names = score_names(prepare_data(recipe).task)
    metrics = fathom.train(recipe).metrics
    assert names is not None
    assert {name for name, value in metrics["validation"].items() if isinstance(value, float)} == set(names)


def test_a_threshold_is_for_several_labels(model: Path, tmp_path: Path) -> None:
    for problem in ("single", "regression"):
        with pytest.raises(ConfigError, match=r"task\.threshold: .* the problem is "):
            fathom.train(make_recipe(model, tmp_path, problem, "task.threshold=0.3"))
        assert not (tmp_path / "run").exists()
    prepare_data(make_recipe(model, tmp_path, "multi", "task.threshold=0.3"))
    prepare_data(make_recipe(model, tmp_path, "single", "task.threshold=0.5"))


def test_dropout_of_a_model_without_a_rate_is_refused() -> None:
    assert dropout(PreTrainedConfig(), 0.0) == {}
    with pytest.raises(ConfigError, match=r"training\.dropout: the config of .*has no dropout rate to set"):
        dropout(PreTrainedConfig(), 0.1)
    assert dropout(BertConfig(), 0.2)["hidden_dropout_prob"] == 0.2


def test_evaluation_every_two_epochs_is_resumed_as_if_it_had_not_been_stopped(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edits = ("training.max_steps=null", "training.epochs=3", "training.eval_steps=null", "training.eval_epochs=2",
             "training.save_steps=4")  # fmt: skip
    whole = run(model, tmp_path / "whole", "single", *edits)
    assert [line["step"] for line in lines_of(whole) if line["split"] == "validation"] == [0, 12, 18]
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("validation  ")]
    assert [line.split()[1] for line in told] == ["0/18", "12/18", "18/18"]
    assert told[0].endswith("before training")
    assert told[1].endswith("best")
    stop_at(monkeypatch, 14)
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path / "cut", "single", *edits)
    again = run(model, tmp_path / "cut", "single", *edits)
    assert lines_of(again) == lines_of(whole)
    assert (again / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()


def test_a_changed_digit_of_a_finished_run_is_not_told_as_true(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(model, tmp_path, "single") / "metrics.json"
    whole = path.read_text(encoding="utf-8")
    metrics = files.read_json(path)
    shown = f'"accuracy": {metrics["validation"]["accuracy"]}'
    assert shown in whole
    path.write_text(whole.replace(shown, '"accuracy": 0.9999'), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"metrics\.json: damaged"):
        run(model, tmp_path, "single")
    path.unlink()  # as the error says
    again = fathom.train(make_recipe(model, tmp_path, "single")).metrics
    assert again["validation"] == metrics["validation"]
    assert again["steps"] == again["model_step"] == 8 or again["model_step"] == again["best_step"]
    older = {name: value for name, value in again.items() if name != "metrics_digest"}
    files.write_json(path, older)
    assert fathom.train(make_recipe(model, tmp_path, "single")).metrics == older


def test_the_best_weights_are_the_ones_saved(model: Path, tmp_path: Path) -> None:
    folder = run(model, tmp_path, "single", "training.learning_rate=0.05", "training.eval_steps=1",
                 "training.metric_for_best_model=loss")  # fmt: skip
    metrics = files.read_json(folder / "metrics.json")
    scores = {line["step"]: line["loss"] for line in lines_of(folder) if line["split"] == "validation" and line["step"]}
    assert metrics["best_step"] == min(scores, key=lambda step: scores[step])
    assert metrics["validation"]["loss"] == pytest.approx(min(scores.values()), rel=1e-5)


def test_an_output_that_cannot_be_written_is_refused_before_data_are_read(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "prepare_data", lambda recipe: pytest.fail("data were read"))
    (tmp_path / "taken").write_text("", encoding="utf-8")
    for output in (tmp_path / "taken", tmp_path / "taken" / "run"):
        with pytest.raises(InputError, match="is a file") as caught:
            fathom.train(make_recipe(model, tmp_path, "single", f"output={output}"))
        assert caught.value.mend
