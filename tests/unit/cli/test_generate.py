"""fathom predict for models that write, and fathom chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fathom
from fathom.cli.main import app
from folders_for_tests import make_saved
from writers_for_tests import PROMPTS, make_tokenizer, save_plain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_plain(tmp_path_factory.mktemp("writer") / "llama")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments, **options: runner.invoke(app, [str(item) for item in arguments], **options)


def test_predict_goes_on_with_texts(run: Any, folder: Path) -> None:
    done = run("predict", folder, *PROMPTS, "--max-new-tokens", 5, "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["prompt"] for row in rows] == PROMPTS
    assert all(list(row) == ["prompt", "text", "finish_reason", "tokens"] for row in rows)
    assert rows == [item.row() for item in fathom.generate(folder, PROMPTS, max_new_tokens=5)]
    one = run("predict", folder, PROMPTS[0], "--max-new-tokens", 5)
    assert one.stdout == rows[0]["text"] + "\n"
    assert run("predict", folder, *PROMPTS, "--max-new-tokens", 5).stdout.count("> ") >= 4


def test_predict_takes_settings(run: Any, folder: Path) -> None:
    settings = ("--temperature", 0.9, "--top-k", 9, "--top-p", 0.9, "--min-p", 0.01, "--repetition-penalty", 1.2)
    arguments = ("predict", folder, "a", "--max-new-tokens", 6, *settings, "--seed", 4, "--stop", "\\n", "--json")
    assert run(*arguments).stdout == run(*arguments).stdout
    rows = json.loads(run("predict", folder, "a", "--num-beams", 2, "--max-new-tokens", 3, "--json").stdout)
    assert "score" in rows[0]
    done = run("predict", folder, "a", "--num-beams", 2, "--temperature", 0.5)
    assert done.exit_code == 2
    assert "num_beams searches for the likeliest text" in done.stderr


def test_predict_reads_and_writes_files(run: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS), encoding="utf-8")
    done = run("predict", folder, "in.txt", "--max-new-tokens", 4, "--output", "out.jsonl")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == PROMPTS
    assert run("predict", folder, "in.txt", "--max-new-tokens", 4, "--output", "out.csv").exit_code == 0
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("prompt,text,finish_reason,tokens\n")
    done = run("predict", folder, "-", "--max-new-tokens", 4, "--json", input="the\na\n")
    assert [row["prompt"] for row in json.loads(done.stdout)] == ["the", "a"]


def test_settings_of_generation_are_refused_for_other_models(run: Any, tmp_path: Path) -> None:
    done = run("predict", make_saved(tmp_path).folder, "a", "--top-k", 3)
    assert done.exit_code == 2
    assert "--top-k is for models that generate text" in done.stderr
    done = run("predict", tmp_path / "nowhere", "a", "--top-k", 3)
    assert done.exit_code == 2
    assert "no such folder" in done.stderr
    assert "--top-k" not in done.stderr


def test_the_python_function(folder: Path) -> None:
    generator = fathom.Generator.load(folder)
    (one,) = fathom.generate(generator, "the", max_new_tokens=3)
    assert one.prompt == "the"
    with pytest.raises(ValueError, match="max_new_token"):
        fathom.generate(generator, ["a"], max_new_token=3)
    assert fathom.predict(folder, ["the"], batch_size=2)[0]["prompt"] == "the"


def test_chat_from_a_pipe(run: Any, folder: Path, tmp_path: Path) -> None:
    turns = "the Dr. said\n\n/help\n/nonsense\n/system x\n/save a.jsonl\n北京 大学\n/exit\nnever read\n"
    done = run("chat", folder, "--max-new-tokens", 4, "--json", input=turns)
    assert done.exit_code == 0, done.output
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [turn["user"] for turn in said] == ["the Dr. said", "北京 大学"]
    assert all(turn["finish_reason"] in ("length", "eos") for turn in said)
    assert "no command is called /nonsense" in done.stderr
    assert "a base model has no system prompt" in done.stderr
    assert (tmp_path / "a.jsonl").is_file()


def test_chat_in_turns(run: Any, folder: Path, tmp_path: Path) -> None:
    turns = "one\n/save a.jsonl\n/reset\n/system Sei kurz.\ntwo\n/save b.jsonl\n"
    done = run("chat", folder, "--style", "turns", "--max-new-tokens", 4, "--system", "Be brief.", input=turns)
    assert done.exit_code == 0, done.output
    assert "the tokenizer has no chat template" in done.stderr
    first, second = (json.loads((tmp_path / name).read_text())["messages"] for name in ("a.jsonl", "b.jsonl"))
    assert [turn["role"] for turn in first] == ["system", "user", "assistant"]
    assert [turn["content"] for turn in second[:2]] == ["Sei kurz.", "two"]
    assert len(second) == 3


def test_chat_with_a_template(run: Any, tmp_path: Path) -> None:
    folder = save_plain(tmp_path / "chat")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.role + ':' + m.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    done = run("chat", folder, "--max-new-tokens", 3, input="hello\n")
    assert done.exit_code == 0, done.output
    assert "the tokenizer's own chat template" in done.stderr


def test_ctrl_c_stops_the_answer_and_not_the_chat(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fathom.serving.generate.generator import Generator

    stream = Generator.stream
    calls: list[int] = []

    def interrupted(self: Generator, *arguments: Any) -> Any:
        calls.append(1)
        for number, piece in enumerate(stream(self, *arguments)):
            yield piece
            if len(calls) == 1 and number == 1:
                raise KeyboardInterrupt
        return None

    monkeypatch.setattr(Generator, "stream", interrupted)
    done = run("chat", folder, "--max-new-tokens", 30, input="one\ntwo\n")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("[stopped]") == 1
    assert len(calls) == 2


def test_chat_with_a_model_that_does_not_write(run: Any, tmp_path: Path) -> None:
    done = run("chat", make_saved(tmp_path).folder, input="a\n")
    assert done.exit_code == 2
    assert "does not generate text" in done.stderr
