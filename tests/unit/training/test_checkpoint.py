"""Checkpoints: everything comes back bit for bit, damage falls back and says so, pruning keeps what is needed."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file

from fathom import files
from fathom.errors import ArtifactError, ConfigError, FathomError, TrainingError
from fathom.training import checkpoint
from fathom.training.checkpoint import TrainingState


def make_state(step: int = 3) -> TrainingState:
    generator = torch.Generator().manual_seed(step)
    weight_VD = torch.randn(50, 8, generator=generator)
    tensors = {
        "model/embedding.weight": weight_VD,
        "model/head.weight": weight_VD,  # tied
        "model/transposed": torch.randn(4, 6, generator=generator).t(),
        "model/half": torch.randn(5, generator=generator).bfloat16(),
        "model/empty": torch.empty(0, 3),
        "model/mask": torch.tensor([True, False]),
        "optimizer/embedding.weight/exp_avg": torch.randn(50, 8, generator=generator),
        "optimizer/embedding.weight/step": torch.tensor(float(step)),
        "rng/torch": torch.get_rng_state(),
    }
    return TrainingState(step, tensors, {"sampler": {"epoch": 1, "index": 7}, "best": 0.1 + 0.2, "name": "标签"})


def assert_equal(left: TrainingState, right: TrainingState) -> None:
    assert (left.step, left.values) == (right.step, right.values)
    assert set(left.tensors) == set(right.tensors)
    for name, tensor in left.tensors.items():
        assert tensor.dtype == right.tensors[name].dtype
        assert torch.equal(tensor, right.tensors[name]), name


def test_round_trip_is_exact(tmp_path: Path) -> None:
    state = make_state()
    folder = checkpoint.save_checkpoint(tmp_path, state)
    assert folder == tmp_path / "checkpoints" / "step-3"
    loaded = checkpoint.load_latest(tmp_path)
    assert loaded is not None
    assert_equal(loaded, state)
    assert (tmp_path / "checkpoints" / "LATEST").read_text() == "step-3\n"


def test_files_are_plain_safetensors_and_json_with_tied_weights_once(tmp_path: Path) -> None:
    folder = checkpoint.save_checkpoint(tmp_path, make_state())
    assert sorted(os.listdir(folder)) == [
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "rng.safetensors",
        "values.json",
    ]
    names = set(load_file(folder / "model.safetensors"))
    assert "model/embedding.weight" in names
    assert "model/head.weight" not in names
    loaded = checkpoint.load_checkpoint(folder).tensors
    assert loaded["model/head.weight"].data_ptr() == loaded["model/embedding.weight"].data_ptr()


def test_no_run_yet(tmp_path: Path) -> None:
    assert checkpoint.load_latest(tmp_path / "nowhere") is None
    assert checkpoint.checkpoint_steps(tmp_path) == []
    assert checkpoint.prune(tmp_path, 2) == []


def test_the_newest_that_verifies_is_taken_whatever_the_pointer_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (3, 6, 12):
        checkpoint.save_checkpoint(tmp_path, make_state(step))
    (tmp_path / "checkpoints" / "LATEST").write_text("step-999\n")
    victim = tmp_path / "checkpoints" / "step-12" / "optimizer.safetensors"
    data = bytearray(victim.read_bytes())
    data[-3] ^= 4
    victim.write_bytes(data)
    loaded = checkpoint.load_latest(tmp_path)
    assert loaded is not None
    assert_equal(loaded, make_state(6) if loaded.step == 6 else make_state(3))
    assert loaded.step == 6
    said = capsys.readouterr().err
    assert "optimizer.safetensors" in said
    assert "step-12.damaged" in said
    assert (tmp_path / "checkpoints" / "step-12.damaged").is_dir()


def test_all_damaged_says_that_the_run_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # twice: the name of the first one set aside is taken
        folder = checkpoint.save_checkpoint(tmp_path, make_state())
        (folder / "values.json").unlink()
        assert checkpoint.load_latest(tmp_path) is None
    assert "from the beginning" in capsys.readouterr().err
    assert (tmp_path / "checkpoints" / "step-3.damaged-2").is_dir()


def test_a_checkpoint_under_the_name_of_another_step_is_refused(tmp_path: Path) -> None:
    folder = checkpoint.save_checkpoint(tmp_path, make_state(3))
    shutil.copytree(folder, folder.with_name("step-9"))
    with pytest.raises(ArtifactError, match="of step 3"):
        checkpoint.load_checkpoint(folder.with_name("step-9"))


def test_files_of_another_step_are_refused(tmp_path: Path) -> None:
    first = checkpoint.save_checkpoint(tmp_path, make_state(3))
    second = checkpoint.save_checkpoint(tmp_path, make_state(6))
    for name in ("model.safetensors", "optimizer.safetensors", "values.json"):
        shutil.copy(second / name, second / f"{name}.kept")
        shutil.copy(first / name, second / name)
        with pytest.raises(ArtifactError, match=name):
            checkpoint.load_checkpoint(second)
        shutil.move(second / f"{name}.kept", second / name)
    checkpoint.load_checkpoint(second)


def test_a_later_schema_is_refused_and_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SCHEMA", 2)
    checkpoint.save_checkpoint(tmp_path, make_state())
    monkeypatch.undo()
    with pytest.raises(FathomError, match="schema 2"):
        checkpoint.load_latest(tmp_path)
    assert checkpoint.checkpoint_steps(tmp_path) == [3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["model/embedding.weight", "optimizer/embedding.weight/exp_avg"])
def test_no_non_finite_checkpoint_is_published(tmp_path: Path, bad: float, name: str) -> None:
    checkpoint.save_checkpoint(tmp_path, make_state(3))
    state = make_state(6)
    state.tensors[name].view(-1)[17] = bad
    with pytest.raises(TrainingError, match="not finite"):
        checkpoint.save_checkpoint(tmp_path, state)
    assert checkpoint.checkpoint_steps(tmp_path) == [3]


def test_saving_the_same_step_again_takes_its_place(tmp_path: Path) -> None:
    checkpoint.save_checkpoint(tmp_path, make_state())
    state = make_state()
    state.values["best"] = 0.9
    checkpoint.save_checkpoint(tmp_path, state)
    loaded = checkpoint.load_latest(tmp_path)
    assert loaded is not None
    assert loaded.values["best"] == 0.9


@pytest.mark.parametrize(
    ("keep", "best", "left"),
    [(1, None, [15]), (2, None, [12, 15]), (2, 3, [3, 12, 15]), (9, None, [3, 6, 9, 12, 15]), (1, 15, [15])],
)
def test_prune_keeps_the_newest_and_the_best(tmp_path: Path, keep: int, best: int | None, left: list[int]) -> None:
    for step in (3, 6, 9, 12, 15):
        checkpoint.save_checkpoint(tmp_path, make_state(step))
    removed = checkpoint.prune(tmp_path, keep, best)
    assert checkpoint.checkpoint_steps(tmp_path) == left
    assert sorted([*removed, *left]) == [3, 6, 9, 12, 15]


def test_prune_never_removes_the_last_good_one(tmp_path: Path) -> None:
    for step in (3, 6, 9):
        checkpoint.save_checkpoint(tmp_path, make_state(step))
    for step in (6, 9):
        (tmp_path / "checkpoints" / f"step-{step}" / "model.safetensors").write_bytes(b"")
    assert checkpoint.prune(tmp_path, 1) == [6]
    loaded = checkpoint.load_latest(tmp_path)
    assert loaded is not None
    assert loaded.step == 3


def test_prune_removes_nothing_while_none_is_good(tmp_path: Path) -> None:
    for step in (3, 6):
        folder = checkpoint.save_checkpoint(tmp_path, make_state(step))
        (folder / "model.safetensors").write_bytes(b"")
    assert checkpoint.prune(tmp_path, 1) == []


def test_random_state_of_every_library_comes_back(tmp_path: Path) -> None:
    def draw() -> list[float]:
        return [random.random(), random.gauss(0, 1), numpy.random.randn(), *torch.rand(5).tolist()]

    draw()
    random.gauss(0, 1)  # leaves a second value waiting, which is part of the state
    tensors, values = checkpoint.capture_rng()
    checkpoint.save_checkpoint(tmp_path, TrainingState(1, tensors, values))
    expected = [draw() for _ in range(3)]
    loaded = checkpoint.load_latest(tmp_path)
    assert loaded is not None
    checkpoint.restore_rng(loaded)
    assert [draw() for _ in range(3)] == expected


def test_what_is_drawn_in_between_moves_no_random_state() -> None:
    with checkpoint.kept_rng():
        expected = [random.random(), float(numpy.random.randn()), torch.rand(1).item()]
    with pytest.raises(ZeroDivisionError), checkpoint.kept_rng():
        random.random(), numpy.random.randn(), torch.rand(1)
        raise ZeroDivisionError
    assert [random.random(), float(numpy.random.randn()), torch.rand(1).item()] == expected


def test_values_json_lacks_come_back(tmp_path: Path) -> None:
    values = {"best": float("-inf"), "scores": [float("inf"), {"f1": 0.1}], "pearson": float("nan")}
    checkpoint.save_checkpoint(tmp_path, TrainingState(1, {}, values))
    loaded = checkpoint.load_latest(tmp_path)
    assert loaded is not None
    assert str(loaded.values) == str(dict(sorted(values.items())))


def saved_values() -> dict[str, Any]:
    recipe = {"training": {"learning_rate": 5e-5, "epochs": 3}, "task": {"kind": "text-classification"}}
    return {**checkpoint.machine_facts(), "recipe": recipe, "seed": 7, "data_digests": {"train": "aa"}, "best": 0.5}


def test_nothing_changed_is_silent() -> None:
    assert checkpoint.check_resumable(saved_values(), saved_values()) == []


def test_a_changed_machine_is_named_and_allowed() -> None:
    current = saved_values()
    current |= {"threads": 64, "torch": "9.9", "best": 0.5, "new": 1}
    notes = checkpoint.check_resumable(saved_values(), current)
    assert [note.split(":")[0] for note in notes] == ["threads", "torch"]
    assert "64 now" in notes[0]


def mend_of(saved: dict[str, Any], current: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        checkpoint.check_resumable(saved, current)
    return caught.value.mend or ""


def test_the_mend_says_how_to_go_on() -> None:
    saved, current = saved_values(), saved_values()
    assert checkpoint.check_resumable(saved, {**current, "base_model": "b1"}) == []  # an older checkpoint names no base
    assert "weights" in mend_of({**saved, "base_model": "b1"}, {**current, "base_model": "b2"})
    assert checkpoint.check_resumable(saved, {**current, "tokenizer": "t1"}) == []  # nor a tokenizer
    assert "tokenizer" in mend_of({**saved, "tokenizer": "t1"}, {**current, "tokenizer": "t2"})
    saved["recipe"]["training"]["precision"], current["recipe"]["training"]["precision"] = "bf16", "fp32"
    assert "write training.precision=bf16 to go on" in mend_of(saved, current)
    assert mend_of(saved_values(), {**saved_values(), "seed": 8}).startswith("restore the recipe")


def test_what_decides_the_result_is_refused_with_every_difference() -> None:
    current = saved_values()
    current["recipe"] = {"training": {"learning_rate": 1e-4, "epochs": 3}, "task": {"kind": "token-classification"}}
    current["seed"] = 8
    current["data_digests"] = {"train": "bb"}
    with pytest.raises(ConfigError) as caught:
        checkpoint.check_resumable(saved_values(), current)
    text = str(caught.value)
    for part in (
        "training.learning_rate: 5e-05 before, 0.0001 now",
        "task.kind",
        "seed: 7 before, 8 now",
        "data_digests.train",
    ):
        assert part in text
    assert "epochs" not in text
    assert "mend" in text


def test_digests_taken_while_writing_are_those_of_the_disk(tmp_path: Path) -> None:
    folder = checkpoint.save_checkpoint(tmp_path, make_state())
    for name, record in files.verify(folder)["files"].items():
        assert files.sha256_file(folder / name) == record["sha256"]
