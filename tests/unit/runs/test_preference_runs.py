"""Runs that learn from comparisons: the reference once, exact resume, evaluation and prediction of what was saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import fathom
from fathom.cli.predict import _line
from fathom.errors import ConfigError, DataError
from fathom.files import read_json
from fathom.recipe import load_recipe
from fathom.runs.reference import Reference
from folders_for_tests import make_base
from stops_for_tests import stopped_before

PEOPLE = ("Smith", "O'Neill", "张三", "ACME")
PLACES = ("Berlin", "北京", "上海", "May")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "gpt2", "gpt2")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def pairs(count: int, first: int = 0) -> list[dict[str, Any]]:
    """The better answer names the place that was asked for, the worse one says that it does not know."""
    return [
        {
            "prompt": f"{PEOPLE[n % 4]} visited {PLACES[n // 4 % 4]} in {n}",
            "chosen": f"{PLACES[n // 4 % 4]} in {n}",
            "rejected": f"unbelievable {'e-mail ' * (n % 3)}don't",
        }
        for n in range(first, first + count)
    ]


def singly(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"prompt": row["prompt"], "completion": row["chosen"] if good else row["rejected"], "label": good}
        for number, row in enumerate(rows)
        for good in [number % 2 == 0]
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe(base: Path, folder: Path, *edits: str, single: bool = False) -> Any:
    folder.mkdir(exist_ok=True)
    made = singly if single else list
    train = write(folder / "train.jsonl", made(pairs(24)))
    validation = write(folder / "validation.jsonl", made(pairs(8, 24)))
    lines = [
        f"model: '{base}'",
        f"data: {{train: '{train}', validation: '{validation}', max_length: 64}}",
        "task: {kind: preference}",
        "training: {max_steps: 8, batch_size: 6, learning_rate: 0.003, precision: fp32, threads: 1, seed: 7,",
        "  dropout: 0.1, logging_steps: 1, eval_steps: 4, verify_reload: false, load_best_model_at_end: false}",
        f"output: '{folder / 'run'}'",
    ]
    (folder / "job.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_recipe(folder / "job.yaml", list(edits))


def losses_of(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if line["split"] == "train" and "loss" in line]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.name}/{name}": tensor
        for path in sorted((folder / "model").glob("*.safetensors"))
        for name, tensor in load_file(str(path)).items()
    }


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
@pytest.mark.parametrize("tuning", ["full", "{kind: lora, rank: 4}"])
def test_a_run_learns_which_answer_is_better(tuning: str, base: Path, tmp_path: Path) -> None:
    result = fathom.train(recipe(base, tmp_path / "job", f"tuning={tuning}", "training.learning_rate=0.01"))
    before, after = result.metrics["before"], result.metrics["validation"]
    assert before["accuracy"] == 0.5 and before["margin"] == before["kl"] == 0.0, "the model is its own reference"
    assert before["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert after["accuracy"] > 0.9 and after["margin"] > 0 and after["kl"] > 0 and after["loss"] < before["loss"]
    evaluated = fathom.evaluate(str(result.folder), str(tmp_path / "job" / "validation.jsonl"))
    for name, value in after.items():
        assert evaluated[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    given = str(tmp_path / "job" / "validation.jsonl")
    rows = fathom.predict(result.folder, given, output=tmp_path / "judged.csv")
    assert sum(row["preferred"] == "chosen" for row in rows) / len(rows) == pytest.approx(after["accuracy"])
    assert sum(row["margin"] for row in rows) / len(rows) == pytest.approx(after["margin"], rel=1e-4)
    assert rows[0]["chosen"] == pairs(1, 24)[0]["chosen"] and "reward" in _line(rows[0])
    asked = fathom.predict(result.folder, [pairs(1, 24)[0]])
    assert asked[0]["margin"] == pytest.approx(rows[0]["margin"], rel=1e-4)
    assert "finish_reason" in fathom.predict(result.folder, ["Smith visited Berlin"])[0], "it answers, too"


@pytest.mark.parametrize("objective", ["ipo", "orpo", "simpo", "kto"])
def test_every_objective_learns(objective: str, base: Path, tmp_path: Path) -> None:
    edits = [f"task.objective={objective}", "training.max_steps=12", "training.learning_rate=0.01"]
    result = fathom.train(recipe(base, tmp_path / "job", *edits))
    assert result.metrics["validation"]["accuracy"] > 0.9
    assert ("kl" in result.metrics["validation"]) == (objective in ("ipo", "kto"))


def test_single_answers_are_learnt_by_kto(base: Path, tmp_path: Path) -> None:
    edits = ["training.max_steps=12", "training.learning_rate=0.01"]
    result = fathom.train(recipe(base, tmp_path / "job", *edits, single=True))
    after = result.metrics["validation"]
    assert result.metrics["before"]["auc"] == 0.5 and after["auc"] > 0.9
    assert after["reference_point"] != 0.0 and after["desirable_reward"] > after["undesirable_reward"]
    rows = fathom.predict(result.folder, str(tmp_path / "job" / "validation.jsonl"))
    assert rows[0]["reward"] > rows[1]["reward"] and "completion" in _line(rows[0])


def test_the_reference_is_computed_once(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = Reference._score

    def counted(self: Reference, store: Any) -> Any:
        made.append(len(store))
        return original(self, store)

    monkeypatch.setattr(Reference, "_score", counted)
    fathom.train(recipe(base, tmp_path / "first"))
    assert made == [24, 8]
    fathom.train(recipe(base, tmp_path / "second", "tuning={kind: lora, rank: 2}", "training.seed=9"))
    assert made == [24, 8], "another strategy, the same reference"
    other = make_base(tmp_path / "other", "gpt2", seed=1)
    fathom.train(recipe(other, tmp_path / "third"))
    assert made == [24, 8, 24, 8], "another model"
    fathom.train(recipe(base, tmp_path / "fourth", "data.max_length=40"))
    assert made[4:] in ([24, 8], []), "the same tokens may be found again"


def test_a_damaged_reference_is_computed_again(base: Path, tmp_path: Path) -> None:
    first = fathom.train(recipe(base, tmp_path / "first"))
    for path in (tmp_path / "cache" / "tokens").glob("*/reference.bin"):
        path.write_bytes(b"\0" * path.stat().st_size)
    second = fathom.train(recipe(base, tmp_path / "second"))
    assert losses_of(first.folder) == losses_of(second.folder)


def test_a_stopped_run_whose_cache_is_lost_ends_as_one_never_stopped(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = ["task.objective=kto", "training.micro_batch_tokens=200", "training.save_steps=2"]
    whole = fathom.train(recipe(base, tmp_path / "whole", *edits))
    stopped = recipe(base, tmp_path / "stopped", *edits)
    with stopped_before(5):
        fathom.train(stopped)
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "another"))
    resumed = fathom.train(stopped)
    assert losses_of(resumed.folder) == losses_of(whole.folder)
    found = weights(resumed.folder)
    for name, tensor in weights(whole.folder).items():
        assert torch.equal(tensor, found[name]), name


def test_frozen_blocks_are_read_from_the_cache(tmp_path: Path) -> None:
    """Of weights without a head, which is then drawn from the seed, the reference has the same head."""
    base = make_base(tmp_path / "llama", "llama")
    edits = ["tuning={kind: top-layers, layers: 1}", "training.dropout=null"]
    cached = fathom.train(recipe(base, tmp_path / "cached", *edits))
    assert cached.metrics["frozen_cache"]["first_block"] == 1
    assert cached.metrics["before"]["kl"] == pytest.approx(0.0, abs=1e-9)
    plain = fathom.train(recipe(base, tmp_path / "plain", *edits, "training.frozen_cache=off"))
    assert losses_of(cached.folder) == pytest.approx(losses_of(plain.folder), rel=1e-4)
    other = fathom.train(recipe(base, tmp_path / "other", *edits, "training.seed=8", "training.max_steps=1"))
    assert other.metrics["before"]["kl"] == pytest.approx(0.0, abs=1e-9)


def test_without_its_reference_a_saved_model_tells_the_likelihood_only(base: Path, tmp_path: Path) -> None:
    own = make_base(tmp_path / "own", "gpt2")
    result = fathom.train(recipe(own, tmp_path / "job", "training.max_steps=2"))
    own.rename(tmp_path / "moved")
    scores = fathom.evaluate(str(result.folder), str(tmp_path / "job" / "validation.jsonl"))
    assert set(scores) == {"num_examples", "likelihood_accuracy"}
    (row,) = fathom.predict(result.folder, [pairs(1)[0]])
    assert row["preferred"] in ("chosen", "rejected") and "margin" not in row


def test_what_cannot_be_honoured_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="single answers, and dpo learns from pairs"):
        fathom.train(recipe(base, tmp_path / "single", "task.objective=dpo", single=True))
    with pytest.raises(ConfigError, match="gamma is for simpo"):
        recipe(base, tmp_path / "gamma", "task.objective=dpo", "task.gamma=0.5")
    with pytest.raises(ConfigError, match="gamma is for simpo"):
        fathom.train(recipe(base, tmp_path / "auto", "task.gamma=0.5"))
    with pytest.raises(ConfigError, match="length_normalized"):
        recipe(base, tmp_path / "sum", "task.objective=simpo", "task.length_normalized=false")


def test_the_saved_model_is_one_to_chat_with(base: Path, tmp_path: Path) -> None:
    result = fathom.train(recipe(base, tmp_path / "job", "training.max_steps=1"))
    task = read_json(result.folder / "model" / "fathom.json")["task"]
    assert task["template"] == "plain" and isinstance(task["end_of_turn"], int)
    assert task["reference"]["base_model"] == str(base)
