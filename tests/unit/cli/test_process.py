"""The command line as a process: exit codes, streams, signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"


def _run(*arguments, cwd, **options):
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "fathom", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_done_is_0_and_output_is_json(tmp_path):
    done = _run("list", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "tuning" in json.loads(done.stdout)


@pytest.mark.parametrize("arguments", [["train", "none.yaml"], ["nonsense"], ["predict", "no-such-model", "a text"]])
def test_wrong_input_is_2_without_traceback_and_leaves_nothing(arguments, tmp_path):
    done = _run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_closes_early_is_no_error(tmp_path):
    command = f"'{sys.executable}' -m fathom list | true"
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr
