"""The frozen-prefix cache: the same run with and without it, and never a stale or damaged state."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.runs_for_tests import make_model, make_recipe

from fathom import files
from fathom.data import hidden
from fathom.data.hidden import DESCRIPTION, FOLDER, VALUES
from fathom.data.row_file import RowFile
from fathom.errors import ConfigError
from fathom.recipe import Recipe
from fathom.runs import frozen_prefix
from fathom.runs.train import train
from stops_for_tests import stopped_before

LINES = ("loss", "grad_norm", "accuracy", "entity_f1")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    return make_model(tmp_path / "tiny")


def lines(recipe: Recipe) -> list[dict[str, Any]]:
    train(recipe)
    assert recipe.output is not None
    said = (Path(recipe.output) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key in LINES} for line in said]


def recipe_of(tiny: Path, folder: Path, problem: str, *edits: str) -> Recipe:
    """Sixteen steps: the training split is read more than twice."""
    return make_recipe(tiny, folder, problem, "training.max_steps=16", *edits)


def entries() -> list[Path]:
    return sorted((files.cache_folder() / FOLDER).glob("*"))


def metrics(recipe: Recipe) -> dict[str, Any]:
    return json.loads((Path(recipe.output or "") / "metrics.json").read_text(encoding="utf-8"))


def test_no_file_stays_open(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[RowFile] = []

    class Kept(RowFile):
        def __init__(self, path: Path, dtype: str, shape: tuple[int, int]) -> None:
            super().__init__(path, dtype, shape)
            opened.append(self)

    monkeypatch.setattr(hidden, "RowFile", Kept)
    train(
        recipe_of(tiny, tmp_path, "single", "tuning=head", "training.frozen_cache=int8", f"output={tmp_path / 'run'}")
    )
    assert len(opened) == 4  # values and scales of train and validation
    for file in opened:
        with pytest.raises(ValueError, match="closed"):
            file.read(np.array([0]), np.array([1]))


def close(first: list[dict[str, Any]], second: list[dict[str, Any]], tolerance: float) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert other[key] == pytest.approx(value, rel=tolerance, abs=tolerance), key


@pytest.mark.parametrize("problem", ["single", "pair", "tags", "regression"])
@pytest.mark.parametrize("tuning", ["head", "{kind: top-layers, layers: 1}"])
def test_the_same_losses_with_and_without(tiny: Path, tmp_path: Path, problem: str, tuning: str) -> None:
    edits = [f"tuning={tuning}", "training.frozen_cache=off", f"output={tmp_path / 'off'}"]
    without = lines(recipe_of(tiny, tmp_path, problem, *edits))
    assert not entries()
    recipe = recipe_of(tiny, tmp_path, problem, f"tuning={tuning}", f"output={tmp_path / 'on'}")
    close(without, lines(recipe), 1e-5)
    assert len(entries()) == 2  # train, validation
    facts = metrics(recipe)["frozen_cache"]
    assert facts["first_block"] == (2 if tuning == "head" else 1)
    assert facts["format"] == "float32" and facts["error"] == 0
    assert facts["reads"] == ("first" if tuning == "head" and problem != "tags" else "all")


@pytest.mark.parametrize("kept,tolerance", [("bfloat16", 0.02), ("int8", 0.02)])
def test_smaller_formats_lose_what_they_say(tiny: Path, tmp_path: Path, kept: str, tolerance: float) -> None:
    exact = lines(recipe_of(tiny, tmp_path, "single", "tuning=head", f"output={tmp_path / 'exact'}"))
    edits = ("tuning=head", f"training.frozen_cache={kept}", f"output={tmp_path / 'small'}")
    recipe = recipe_of(tiny, tmp_path, "single", *edits)
    close(exact, lines(recipe), tolerance)
    assert 0 < metrics(recipe)["frozen_cache"]["error"] < 0.01


def test_a_second_run_finds_the_states_of_the_first(tiny: Path, tmp_path: Path) -> None:
    train(recipe_of(tiny, tmp_path, "single", "tuning=head", f"output={tmp_path / 'a'}"))
    before = {path: (path / VALUES).stat().st_mtime_ns for path in entries()}
    recipe = recipe_of(tiny, tmp_path, "single", "tuning=head", "training.seed=8", f"output={tmp_path / 'b'}")
    train(recipe)
    assert {path: (path / VALUES).stat().st_mtime_ns for path in entries()} == before
    assert metrics(recipe)["frozen_cache"]["computed_seconds"] == 0


def test_nothing_is_kept_where_everything_learns(tiny: Path, tmp_path: Path) -> None:
    for kind in ("full", "lora", "bitfit"):
        recipe = recipe_of(tiny, tmp_path, "single", f"tuning={kind}", f"output={tmp_path / kind}")
        train(recipe)
        assert "frozen_cache" not in metrics(recipe)
    assert not entries()


@pytest.mark.parametrize(
    "edits,reason",
    [
        (["tuning=full"], "lowest block"),
        (["tuning=head", "training.frozen_dropout=true"], "dropout"),
        (["tuning=head", "training.packing=false"], "padded"),
        (["tuning=head", "training.frozen_cache_gb=0.0000001"], "frozen_cache_gb"),
    ],
)
def test_asked_for_where_it_cannot_be(tiny: Path, tmp_path: Path, edits: list[str], reason: str) -> None:
    recipe = recipe_of(tiny, tmp_path, "single", *edits, "training.frozen_cache=int8")
    with pytest.raises(ConfigError, match=reason):
        train(recipe)


def test_a_head_over_one_token_needs_room_for_that_token_only(tiny: Path, tmp_path: Path) -> None:
    free = recipe_of(tiny, tmp_path, "single", "tuning=head", f"output={tmp_path / 'free'}")
    train(free)
    limit = f"training.frozen_cache_gb={metrics(free)['frozen_cache']['bytes'] * 1.1 / frozen_prefix.GIGABYTE:.9f}"
    head = recipe_of(tiny, tmp_path, "single", "tuning=head", limit, f"output={tmp_path / 'head'}")
    train(head)
    assert metrics(head)["frozen_cache"]["reads"] == "first"
    # two blocks read every token, which is more than the limit: they run in every pass, and run right
    results = []
    for mode in (limit, "training.frozen_cache=off"):
        top = recipe_of(tiny, tmp_path, "single", "tuning={kind: top-layers, layers: 1}", mode, f"output={tmp_path}/x")
        results.append(lines(top))
        assert "frozen_cache" not in metrics(top)
        files.remove_folder(tmp_path / "x")
    assert results[0] == results[1]


def test_dropout_of_frozen_blocks_is_off_unless_wanted(tiny: Path, tmp_path: Path) -> None:
    for dropout in (0.0, 0.5):
        edits = (f"training.dropout={dropout}", "training.frozen_cache=off", f"output={tmp_path / str(dropout)}")
        train(recipe_of(tiny, tmp_path, "tags", "tuning=head", *edits))
    # the head's own dropout still acts: the losses differ, but not the states below it
    wanted = ("training.dropout=0.5", "training.frozen_dropout=true", f"output={tmp_path / 'wanted'}")
    recipe = recipe_of(tiny, tmp_path, "tags", "tuning=head", *wanted)
    train(recipe)
    assert "frozen_cache" not in metrics(recipe)
    first = [line["loss"] for line in map(json.loads, (tmp_path / "0.5/metrics.jsonl").open()) if "loss" in line]
    second = [line["loss"] for line in map(json.loads, (tmp_path / "wanted/metrics.jsonl").open()) if "loss" in line]
    assert first != second


def damage(path: Path, how: int) -> None:
    data = bytearray((path / VALUES).read_bytes())
    if how == 0:
        data[len(data) // 2] ^= 1
    elif how == 1:
        del data[-7:]
    else:
        data[-64:] = bytes(64)
    (path / VALUES).write_bytes(bytes(data))


@pytest.mark.parametrize("how", range(3))
def test_a_damaged_cache_is_computed_again(tiny: Path, tmp_path: Path, how: int) -> None:
    sound = lines(recipe_of(tiny, tmp_path, "tags", "tuning=head", f"output={tmp_path / 'a'}"))
    for path in entries():
        damage(path, how)
    assert lines(recipe_of(tiny, tmp_path, "tags", "tuning=head", f"output={tmp_path / 'b'}")) == sound


def test_a_full_disk_is_no_reason_to_stop(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = lines(
        recipe_of(tiny, tmp_path, "tags", "tuning=head", "training.frozen_cache=off", f"output={tmp_path / 'a'}")
    )

    def full(*_: object, **__: object) -> None:
        raise files.FathomError("the disk is full")

    monkeypatch.setattr(frozen_prefix, "write_states", full)
    close(without, lines(recipe_of(tiny, tmp_path, "tags", "tuning=head", f"output={tmp_path / 'b'}")), 1e-6)
    assert not entries()


def test_the_least_recently_used_goes_first(tiny: Path, tmp_path: Path) -> None:
    train(recipe_of(tiny, tmp_path, "tags", "tuning=head", f"output={tmp_path / 'a'}"))
    old = entries()
    for path in old:
        os.utime(path / DESCRIPTION, (1, 1))
    size = sum(item.stat().st_size for path in old for item in path.iterdir())
    kept = [f"training.frozen_cache_gb={size * 1.2 / 1e9:.9f}", f"output={tmp_path / 'b'}"]
    train(recipe_of(tiny, tmp_path, "tags", "tuning={kind: top-layers, layers: 1}", *kept))
    assert len(entries()) == 2 and not set(old) & set(entries())


def test_stopped_and_resumed_it_is_the_same_run(tiny: Path, tmp_path: Path) -> None:
    whole = recipe_of(tiny, tmp_path, "tags", "tuning={kind: top-layers, layers: 1}", f"output={tmp_path / 'whole'}")
    train(whole)
    edits = ("tuning={kind: top-layers, layers: 1}", "training.save_steps=3", f"output={tmp_path / 'cut'}")
    recipe = recipe_of(tiny, tmp_path, "tags", *edits)
    with stopped_before(5):
        train(recipe)
    for path in entries():
        files.remove_folder(path)  # it is computed again when the run goes on
    train(recipe)
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def mutations(tiny: Path, folder: Path) -> list[tuple[str, list[str], Callable[[], None]]]:
    """Fifty ways in which what the cache was made of may have changed."""
    weights_file = tiny / "model.safetensors"
    generator = np.random.default_rng(5)

    def change_weight(name: str, place: int) -> None:
        weights = load_file(weights_file)
        weights[name].view(-1)[place] += 1e-3
        save_file(weights, weights_file, {"format": "pt"})

    def change_config(key: str, value: Any) -> None:
        config = json.loads((tiny / "config.json").read_text(encoding="utf-8"))
        config[key] = value
        (tiny / "config.json").write_text(json.dumps(config), encoding="utf-8")

    def change_tokenizer(change: Callable[[dict[str, Any]], None]) -> None:
        said = json.loads((tiny / "tokenizer.json").read_text(encoding="utf-8"))
        change(said)
        (tiny / "tokenizer.json").write_text(json.dumps(said), encoding="utf-8")

    def swap(said: dict[str, Any]) -> None:
        words = said["model"]["vocab"]
        words["thing1"], words["thing2"] = words["thing2"], words["thing1"]

    def change_line(number: int, text: str) -> None:
        path = folder / "train.csv"
        rows = path.read_text(encoding="utf-8").splitlines()
        rows[number] = f"{text},{rows[number].rpartition(',')[2]}"
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")

    found: list[tuple[str, list[str], Callable[[], None]]] = []
    below = [n for n in load_file(weights_file) if n.startswith(("embeddings.", "encoder.layer.0."))]
    for name in [below[int(i)] for i in generator.choice(len(below), 16, replace=False)]:
        found.append((f"weight {name}", [], lambda name=name: change_weight(name, 0)))  # type: ignore[misc]
    for number in range(1, 18):
        text = f"the thing{number} thing{(number * 7) % 30} is red"
        found.append((f"line {number}", [], lambda n=number, t=text: change_line(n, t)))  # type: ignore[misc]
    for name, edit in (
        ("two words swapped", swap),
        ("a word gone", lambda said: said["model"]["vocab"].pop("is")),
        ("no token at the end", lambda said: said["post_processor"]["single"].pop()),
    ):
        found.append((f"tokenizer: {name}", [], lambda edit=edit: change_tokenizer(edit)))  # type: ignore[misc]
    for length in range(4, 12):
        found.append((f"length {length}", [f"data.max_length={length}"], lambda: None))
    found.append(("norm", [], lambda: change_config("layer_norm_eps", 1e-3)))
    found.append(("activation", [], lambda: change_config("hidden_act", "relu")))
    found.append(("block", ["tuning=head"], lambda: None))
    found.append(("format", ["training.frozen_cache=int8"], lambda: None))
    found.append(("fewer rows", [f"data.train={folder / 'train.csv'}#24"], lambda: None))
    found.append(("dropout alone", ["training.dropout=0.3"], lambda: None))
    return found


def test_a_stale_state_is_never_used(tiny: Path, tmp_path: Path) -> None:
    """Fifty mutations, one on top of the other: each run with the cache gives what a run without it gives."""
    base = [
        "tuning={kind: top-layers, layers: 1}",
        "training.max_steps=2",
        "training.evaluate_before=false",
        "data.test=null",
    ]
    recipe_of(tiny, tmp_path, "single")
    changes = mutations(tiny, tmp_path)
    assert len(changes) == 50
    seen = 0
    for number, (name, edits, change) in enumerate(changes):
        change()
        kept = (tmp_path / "train.csv").read_bytes()
        results = []
        for mode in ("float32", "off"):
            wanted = [f"training.frozen_cache={mode}"] if "frozen_cache" not in str(edits) or mode == "off" else []
            edit = [*base, *edits, *wanted, f"output={tmp_path / f'{number}-{mode}'}"]
            recipe = recipe_of(tiny, tmp_path, "single", *edit)
            (tmp_path / "train.csv").write_bytes(kept)
            results.append(lines(recipe))
        close(results[0], results[1], 2e-2 if name == "format" else 1e-5)
        new = len(entries())
        assert new > seen or name == "dropout alone", f"{name} was not noticed"
        seen = new
