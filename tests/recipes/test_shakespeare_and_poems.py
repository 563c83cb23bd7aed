"""The page on Shakespeare and poems: every command of it, on a reduced size."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "recipes" / "shakespeare-and-poems.md"
DATA = ROOT.parent / "shared" / "data"
SHAKESPEARE = DATA / "tinyshakespeare" / "input.txt"
POEMS = DATA / "chinese_poetry" / "全唐诗" / "唐诗三百首.json"
TRAINING = (
    *("training.max_steps=2", "training.threads=1", "training.precision=fp32", "training.verify_reload=false"),
    *("training.batch_size=4", "data.max_length=48", "model.depth=1"),
)
SMALLER: dict[str, tuple[str, ...]] = {
    "train gpt": (*TRAINING, "training.eval_steps=2"),
    "train bert": (*TRAINING, "training.eval_steps=2", "data.train=helpdesk:dialogues@en#20"),
    "compare": (
        *("training.max_steps=2", "training.epochs=1", "training.threads=1", "training.precision=fp32"),
        *("data.train=helpdesk:intents@en#60", "data.validation=helpdesk:intents/validation@en#20"),
        *("data.test=helpdesk:intents/test@en#20", "training.verify_reload=false"),
    ),
}
REPLACED = {"4096": "400", "8000": "2500", "training.seed=[1,2,3]": "training.seed=[1]", "200": "20", "80": "20"}
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def reduced(command: list[str]) -> list[str]:
    """The command with what makes it small behind it."""
    words = [REPLACED.get(word, word).replace("depth: 4", "depth: 1") for word in command]
    more = next((more for begin, more in SMALLER.items() if command[: len(begin.split())] == begin.split()), ())
    return [*words, *more]


@pytest.mark.skipif(not SHAKESPEARE.is_file() or not POEMS.is_file(), reason="../shared/data is not there")
def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    Path("shakespeare.txt").write_text(SHAKESPEARE.read_text(encoding="utf-8")[:40_000], encoding="utf-8")
    Path("poems").mkdir()
    poems = json.loads(POEMS.read_text(encoding="utf-8"))[:40]
    Path("poems/tang.json").write_text(json.dumps(poems, ensure_ascii=False), encoding="utf-8")
    assert [command[0] for command in COMMANDS] == [
        *(
            "tokenizer",
            "tokenizer",
            "tokenizer",
            "train",
            "train",
            "predict",
            "predict",
            "tokenizer",
            "train",
            "compare",
        )
    ]
    for command in map(reduced, COMMANDS):
        found = CliRunner().invoke(app, command)
        assert found.exit_code == 0, f"fathom {shlex.join(command)}\n{found.output}\n{found.exception}"
    scores = json.loads(Path("runs/bert/metrics.json").read_text(encoding="utf-8"))["validation"]
    assert sorted(scores["per_source"]) == ["helpdesk:dialogues@en#20", "helpdesk:intents", "poems", "shakespeare.txt"]
    report = Path("runs/compare-two-languages/report.md").read_text(encoding="utf-8")
    assert "runs/bert/model" in report
    assert "{architecture: bert, depth: 1, kind: new" in report
