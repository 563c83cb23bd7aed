"""Runs that train in one pass: which can, how they are stopped and go on, and what a comparison makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.errors import ConfigError
from fathom.model.many_lora import SharedBase
from fathom.recipe import Recipe, dump_recipe
from fathom.runs import trial_groups, trial_process
from fathom.runs.compare import compare
from fathom.runs.comparison_report import markdown_report
from fathom.runs.comparison_tables import FORECAST, SHARED
from fathom.runs.together import shared_base, train_together
from fathom.runs.train import train
from fathom.runs.trial_groups import group_trials
from fathom.runs.trial_process import Ended
from fathom.runs.trials import Trial, plan_trials
from fathom.training.loop import Loop, LoopState
from runs_for_tests import make_model, make_recipe

SMALL = ("training.max_steps=4", "training.verify_reload=false", "training.evaluate_before=false")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    return make_model(tmp_path / "tiny")


def pair(tiny: Path, folder: Path, *edits: str) -> list[Recipe]:
    varied = (("tuning.rank=2", "training.seed=1"), ("tuning.rank=4", "training.seed=2"))
    return [
        make_recipe(tiny, folder, "single", "tuning=lora", *edits, *own, f"output={folder / str(number)}")
        for number, own in enumerate(varied)
    ]


def losses(folder: Path) -> list[float]:
    said = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line["loss"] for line in said if line["split"] == "train" and "loss" in line]


@pytest.mark.parametrize(
    ("edits", "alike"),
    [
        (["tuning.rank=2", "tuning.alpha=1", "training.seed=5", "training.learning_rate=1"], True),
        (["training.batch_size=3", "training.epochs=9", "training.optimizer=lion", "tuning.targets=attention"], True),
        (["data.max_length=9"], False),
        (["training.dropout=0"], False),
        (["training.threads=2"], False),
    ],
)
def test_what_runs_share_a_pass_over(tiny: Path, tmp_path: Path, edits: list[str], alike: bool) -> None:
    first = shared_base(make_recipe(tiny, tmp_path, "single", "tuning=lora"))
    assert first is not None
    assert (shared_base(make_recipe(tiny, tmp_path, "single", "tuning=lora", *edits)) == first) is alike


@pytest.mark.parametrize(
    "edits",
    [
        ["tuning=full"],
        ["tuning=dora"],
        ["tuning=lora", "tuning.bias=all"],
        ["tuning=lora", "tuning.initialization=pissa"],
        ["tuning=lora", "training.packing=false"],
        ["tuning=lora", "training.activation_checkpointing=true"],
        ["tuning=lora", "training.log_gradients=layers"],
    ],
)
def test_what_trains_alone(tiny: Path, tmp_path: Path, edits: list[str]) -> None:
    recipe = make_recipe(tiny, tmp_path, "single", *edits)
    assert shared_base(recipe) is None
    with pytest.raises(ConfigError, match="one process"):
        train_together([recipe, recipe])


def test_what_the_model_cannot_share_is_told_and_nothing_is_trained(tiny: Path, tmp_path: Path) -> None:
    above = "tuning.targets=[encoder.layer.1.attention.self.query]"
    with pytest.raises(ConfigError, match="never change"):
        train_together(pair(tiny, tmp_path, above))
    assert not list(tmp_path.glob("[01]/metrics.jsonl"))


def test_blocks_that_answer_otherwise_in_one_pass_are_found_out(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SharedBase.run
    monkeypatch.setattr(
        SharedBase, "run", lambda self, batches: {n: hidden * 1.5 for n, hidden in real(self, batches).items()}
    )
    with pytest.raises(ConfigError, match="in one pass a loss is"):
        train_together(pair(tiny, tmp_path))


def test_stopped_and_run_again_it_is_the_same(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    train_together(pair(tiny, tmp_path / "whole"))
    original = Loop.follow

    def stopping(self: Loop, state: LoopState, result: Any) -> None:
        if state.step == 6 and self.settings.seed == 2:
            raise KeyboardInterrupt
        original(self, state, result)

    monkeypatch.setattr(Loop, "follow", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_together(pair(tiny, tmp_path / "cut", "training.save_steps=3"))
    monkeypatch.setattr(Loop, "follow", original)
    again = pair(tiny, tmp_path / "cut", "training.save_steps=3")
    train(again[0])  # alone, from the checkpoint it has
    assert not (tmp_path / "cut" / "1" / "metrics.json").exists()
    train_together(again)
    for number in ("0", "1"):
        assert losses(tmp_path / "cut" / number) == pytest.approx(losses(tmp_path / "whole" / number), abs=1e-5)


def test_the_command_trains_recipes_beside_each_other(tiny: Path, tmp_path: Path) -> None:
    first, second = (tmp_path / f"{number}.yaml" for number in range(2))
    for path, recipe in zip((first, second), pair(tiny, tmp_path, *SMALL), strict=True):
        path.write_text(dump_recipe(recipe), encoding="utf-8")
    found = CliRunner().invoke(app, ["train", str(first), "--beside", str(second), "--json"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)["runs"]
    assert [run["folder"] for run in told] == [str(tmp_path / "0"), str(tmp_path / "1")]
    assert all((Path(run["model"]) / "adapter_model.safetensors").exists() for run in told)
    again = CliRunner().invoke(app, ["train", str(first), "--beside", str(second)])
    assert again.exit_code == 0 and "accuracy" in again.output


@pytest.mark.parametrize("tuning", ["lora", "head"])
def test_runs_that_are_given_a_time_are_left_and_go_on_as_if_they_had_not_been(
    tiny: Path, tmp_path: Path, tuning: str
) -> None:
    def recipes(folder: Path) -> list[Recipe]:
        folder.mkdir(exist_ok=True)
        return [
            make_recipe(tiny, folder, "single", f"tuning={tuning}", f"training.seed={seed}", f"output={folder / seed}")
            for seed in ("1", "2")
        ]

    train_together(recipes(tmp_path / "whole"))
    paths = [str(tmp_path / f"{number}.yaml") for number in range(2)]
    for path, recipe in zip(paths, recipes(tmp_path / "cut"), strict=True):
        Path(path).write_text(dump_recipe(recipe), encoding="utf-8")
    command = ["train", paths[0], "--beside", paths[1]]
    found = CliRunner().invoke(app, [*command, "--time-limit", "0.000001s", "--json"])
    assert found.exit_code == 0, found.output
    left = [run["paused"] for run in json.loads(found.stdout)["runs"]]
    assert [(one["step"], one["total_steps"]) for one in left] == [(1, 8), (1, 8)]
    assert all(0 <= one["score"] <= 1 for one in left)
    assert (
        CliRunner().invoke(app, [*command, "--time-limit", "0.000001s"]).stdout.count("time is up at step 2 of 8") == 2
    )
    assert CliRunner().invoke(app, command).exit_code == 0
    for seed in ("1", "2"):
        assert losses(tmp_path / "cut" / seed) == pytest.approx(losses(tmp_path / "whole" / seed), abs=1e-5)


def in_this_process(trials: Sequence[Trial], _: Path) -> Ended:
    """What the process of a group says, without the process; the last run fails."""
    results = train_together([trial.recipe for trial in trials])
    told = [{"folder": str(result.folder)} for result in results if not isinstance(result, Exception)]
    return Ended(said={"runs": [*told[:-1], {"error": "it went wrong"}]})


def test_a_comparison_trains_in_one_pass_what_can_be(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_recipe(tiny, tmp_path)
    monkeypatch.setattr(trial_groups, "train_group", in_this_process)
    edits = ["tuning=lora", "tuning.rank=[2,3,4]", *SMALL]
    found = compare(str(tmp_path / "job.yaml"), edits, tmp_path / "out")
    assert sorted(group.settings["tuning.rank"] for group in found.groups) == ["2", "3"]
    assert [(item.settings["tuning.rank"], item.error) for item in found.failures] == [("4", "it went wrong")]
    assert all(group.figures["together"] == 3 for group in found.groups)
    for group in found.groups:
        alone, process = group.figures["own_memory_bytes"], group.figures["forecast_memory_bytes"]
        assert 0.3 * process < alone < process
        [place] = (tmp_path / "out" / "trials").glob(f"*rank-{group.settings['tuning.rank']}/metrics.json")
        assert alone == json.loads(place.read_text(encoding="utf-8"))["forecast"]["alone_peak_memory_bytes"]
    page = markdown_report(found, "job.yaml")
    assert f"B{SHARED} |" in page and f"- {SHARED} These trials" in page
    assert f"| {FORECAST}" in page and f"- {FORECAST} What the trial would have taken" in page
    assert not group_trials(plan_trials(str(tmp_path / "job.yaml"), edits, tmp_path / "out").trials)


def test_trials_that_share_nothing_are_left_alone(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_recipe(tiny, tmp_path)
    job = str(tmp_path / "job.yaml")
    groups = group_trials(plan_trials(job, ["tuning=[head,lora,dora]", "training.seed=[1,2]"], tmp_path / "a").trials)
    assert [[trial.settings["tuning"] for trial in group] for group in groups] == [["head", "head"], ["lora", "lora"]]
    assert not group_trials(plan_trials(job, ["tuning=[head,lora,dora]"], tmp_path / "b").trials)
    with pytest.raises(ConfigError, match="auto or never"):
        compare(job, ["tuning=[head,lora]"], tmp_path / "c", together="always")


def test_what_cannot_train_in_one_pass_is_left_to_be_trained_one_by_one(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_recipe(tiny, tmp_path)
    trials = plan_trials(str(tmp_path / "job.yaml"), ["tuning=lora", "tuning.rank=[2,3]"], tmp_path / "out").trials
    monkeypatch.setattr(trial_groups, "train_group", lambda *_: Ended(error="its blocks are in two stacks"))
    assert trial_groups.train_groups(trials, tmp_path / "out") == {}
    told = capsys.readouterr().err
    assert "2 trials share a frozen base and train in one pass: rank-2, rank-3" in told.replace("tuning-lora_", "")
    assert "trained one by one: its blocks are in two stacks" in told


def test_trials_above_the_same_frozen_blocks_have_one_process(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_recipe(tiny, tmp_path)
    monkeypatch.setattr(trial_groups, "train_group", in_this_process)
    edits = ["tuning=head", "training.learning_rate=[0.01,0.02]", "training.seed=[1,2]", *SMALL]
    found = compare(str(tmp_path / "job.yaml"), edits, tmp_path / "out")
    assert [len(group.scores) for group in found.groups] == [2, 1]
    assert [item.error for item in found.failures] == ["it went wrong"]
    assert "4 trials begin above the same frozen blocks and train in one process" in capsys.readouterr().err
    assert not group_trials(plan_trials(str(tmp_path / "job.yaml"), edits, tmp_path / "out").trials)


def test_a_process_of_several_runs_tells_of_each_whatever_it_ends_with(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_recipe(tiny, tmp_path)
    (tmp_path / "out" / "trials").mkdir(parents=True)
    trials = plan_trials(str(tmp_path / "job.yaml"), ["tuning=lora", "tuning.rank=[2,3]"], tmp_path / "out").trials
    program = tmp_path / "program"
    said = json.dumps({"runs": [{"folder": "a"}, {"error": "it is not finite"}]})
    program.write_text(f"#!/bin/sh\necho '{said}'\necho \"$@\" > {tmp_path / 'asked'}\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(trial_process.sys, "executable", str(program))
    ended = trial_process.train_group(trials, tmp_path / "out")
    assert ended.error is None and ended.said["runs"][1] == {"error": "it is not finite"}
    asked = (tmp_path / "asked").read_text(encoding="utf-8").split()
    assert asked[:3] == ["-m", "fathom", "train"] and asked.count("--beside") == 1
    program.write_text('#!/bin/sh\necho \'{"error": "no room", "mend": null}\'\nexit 2\n', encoding="utf-8")
    assert trial_process.train_group(trials, tmp_path / "out").error == "no room"
    program.write_text("#!/bin/sh\necho killed >&2\nexit 137\n", encoding="utf-8")
    assert "killed" in str(trial_process.train_group(trials, tmp_path / "out").error)
