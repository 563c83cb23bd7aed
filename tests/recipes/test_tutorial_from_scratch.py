"""The tutorial from an empty folder to a chatting model: every command of the page, on a reduced size."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "from-scratch.md"
TRAINING = (
    *("training.max_steps=2", "training.eval_steps=2", "training.threads=1", "training.precision=fp32"),
    *("training.verify_reload=false", "data.max_length=96"),
)
SMALLER: dict[str, tuple[str, ...]] = {
    "tokenizer train": ("--max-documents", "200"),
    "train gpt": (*TRAINING, "data.train=helpdesk:dialogues@en#40", "data.mixture={helpdesk:tickets@en#20: 1}"),
    "train chat": (
        *TRAINING,
        *("data.train=helpdesk:dialogues@en#12", "data.validation=helpdesk:dialogues/validation@en#4"),
        "data.test=helpdesk:dialogues/test@en#4",
    ),
}
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("fathom ")
]


def reduced(command: list[str]) -> list[str]:
    """The command with what makes it small behind it."""
    words = ["600" if word == "4096" else word for word in command]
    more = next((more for begin, more in SMALLER.items() if command[: len(begin.split())] == begin.split()), ())
    return [*words, *more]


def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    assert [command[0] for command in COMMANDS] == [
        *("tokenizer", "tokenizer", "inspect", "train", "predict", "data", "train", "chat")
    ]
    for command in map(reduced, COMMANDS):
        found = CliRunner().invoke(app, command, input="where is my parcel?\n")
        assert found.exit_code == 0, f"fathom {shlex.join(command)}\n{found.output}\n{found.exception}"
    assert (tmp_path / "runs" / "chat" / "model" / "fathom.json").is_file()
