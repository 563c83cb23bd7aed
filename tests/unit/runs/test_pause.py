"""A run that is left when its time is up and goes on ends as if it had not been left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.errors import ConfigError
from fathom.runs.duration import Budget, parse_duration
from fathom.runs.train import train
from runs_for_tests import make_model, make_recipe


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_run_paused_after_every_step_is_the_run(tmp_path: Path, tuning: str) -> None:
    base = make_model(tmp_path / "base")
    edits = [f"tuning={tuning}", "training.load_best_model_at_end=false"]
    whole = train(make_recipe(base, tmp_path, "single", *edits, f"output={tmp_path / 'whole'}"))
    recipe = make_recipe(base, tmp_path, "single", *edits, f"output={tmp_path / 'parts'}")
    places = []
    result = train(recipe, time_limit=0)
    while result.paused is not None:
        places.append(result.paused)
        assert not (result.folder / "model").exists()
        result = train(recipe, time_limit=0)
    assert [place.step for place in places] == list(range(1, 8))
    assert {place.total_steps for place in places} == {8}
    assert [place.best_score is None for place in places] == [True] * 3 + [False] * 4
    assert (result.folder / "metrics.jsonl").read_bytes() == (whole.folder / "metrics.jsonl").read_bytes()
    [name] = [path.relative_to(whole.folder) for path in whole.folder.glob("model/*.safetensors")]
    there, here = load_file(whole.folder / name), load_file(result.folder / name)
    assert there.keys() == here.keys()
    differing = [key for key in there if not np.array_equal(there[key], here[key])]
    # Rows of words that never occur only decay, and are brought up to date when they are saved: rounded more often.
    assert set(differing) <= {key for key in there if "word_embeddings" in key}
    for key in differing:
        np.testing.assert_allclose(there[key], here[key], rtol=1e-6)
    assert result.metrics["validation"] == whole.metrics["validation"]


def test_the_command_says_where_the_run_stands(tmp_path: Path) -> None:
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    command = ["train", str(tmp_path / "job.yaml"), "--time-limit", "1s"]
    said = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert said["paused"]["step"] == 1  # this process is older than a second
    assert 0 <= said["paused"]["score"] <= 1
    assert "time is up at step 2 of 8" in CliRunner().invoke(app, command).output
    assert CliRunner().invoke(app, ["train", str(tmp_path / "job.yaml"), "--time-limit", "soon"]).exit_code == 2


def test_times_are_written_in_several_ways() -> None:
    assert [parse_duration(text) for text in ("90s", "10m", "1h30m", "2h", "1.5m", "45", 12)] == [
        *(90.0, 600.0, 5400.0, 7200.0, 90.0, 45.0, 12.0)
    ]
    for text in ("", "soon", "-5m", "10x", "0", 0, -1):
        with pytest.raises(ConfigError, match="no time to spend"):
            parse_duration(text)
    assert Budget(None).left == float("inf")
    assert 0 < Budget(5).left <= 5
    assert Budget(1e-9).left == 0
