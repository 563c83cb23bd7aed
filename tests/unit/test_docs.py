"""The documentation against the code: commands parse, recipes validate, links lead somewhere, the tree is the tree."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

import fathom
from fathom.cli.main import app
from fathom.config import apply_edits, read_yaml, validate
from fathom.recipe import Recipe, load_recipe, ready_recipes

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = {"sh", "bash", "shell"}
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
MENTION = re.compile(r"`(?:\.venv/bin/)?fathom ([^`]+)`")
BASE: dict[str, Any] = {"model": "minilm", "data": {"train": "train.csv"}, "task": "text-classification"}
"""What a fragment of a recipe leaves out."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    body: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(path.relative_to(ROOT).as_posix(), line, match["language"], match["body"])


def commands(block: Block) -> Iterator[list[str]]:
    """The arguments of every `fathom` command of a block; pipes and redirections end one."""
    lines = block.body.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    elif block.language not in SHELL:
        return
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words: list[str] = []
        for token in lexer:
            if token.startswith("#"):
                break
            words.append(token)
        yield from _fathom_commands(words)


def _fathom_commands(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in [*words, ";"]:
        if set(word) <= set("|&;<>"):
            if command and Path(command[0]).name == "fathom":
                yield command[1:]
            command = []
        else:
            command.append(word)


COMMANDS = [(block.place, words) for block in blocks() for words in commands(block)]
RECIPES = [block for block in blocks() if block.language in {"yaml", "yml"}]


def parse(words: list[str]) -> list[str]:
    """Parse a command as the command line would, run nothing, and return the names of the command."""
    rest = [word for word in words if word not in {"--help", "-h", "--version"}]
    asks = len(rest) < len(words) or not rest  # for help: nothing else is required then
    current: Any = typer.main.get_command(app)
    context = current.make_context("fathom", list(rest), resilient_parsing=asks)
    names: list[str] = []
    while rest and rest[0] in vars(current).get("commands", {}):
        names.append(rest.pop(0))
        current = vars(current)["commands"][names[-1]]
        group_alone = not rest and "commands" in vars(current)
        context = current.make_context(names[-1], list(rest), parent=context, resilient_parsing=asks or group_alone)
    assert not vars(current).get("commands") or not rest, f"no command '{' '.join(rest[:1])}'"
    return names


@pytest.mark.parametrize(
    ("place", "words"), COMMANDS, ids=[f"{place} {' '.join(words[:2])}" for place, words in COMMANDS]
)
def test_every_command_exists_with_its_options(place: str, words: list[str]) -> None:
    names = parse(words)
    if names and names[-1] in {"train", "check", "preview", "evaluate"}:
        given = [word for word in words[len(names) :] if not word.startswith("--")]
        edits = [word for word in given[1:] if "=" in word]
        assert_keys_exist(given[0], edits, place)


@pytest.mark.parametrize("path", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_every_command_in_a_sentence_exists_with_its_options(path: Path) -> None:
    """Sentences may leave arguments out, so these are looked up, not parsed."""
    for mention in MENTION.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        current: Any = typer.main.get_command(app)
        rest = shlex.split(mention)
        while rest and rest[0] in vars(current).get("commands", {}):
            current = vars(current)["commands"][rest.pop(0)]
        given = {word for word in rest if word.startswith("-")}
        known = {"--help", *(option for one in current.params for option in (*one.opts, *one.secondary_opts))}
        assert given <= known, f"fathom {mention}"
        assert "commands" not in vars(current) or given == set(rest), f"fathom {mention}"


def assert_keys_exist(recipe: str, edits: list[str], place: str) -> None:
    """Recipes and data files of the reader's own stand for a ready recipe."""
    if recipe in ready_recipes():
        load_recipe(recipe, edits)
        return
    sections = ("model", "data", "task", "tuning", "training", "output", "name", "trackers")
    full = [edit if edit.partition("=")[0].partition(".")[0] in sections else f"data.{edit}" for edit in edits]
    validate(Recipe, apply_edits(BASE, full, Recipe), place)


@pytest.mark.parametrize("block", RECIPES, ids=[block.place for block in RECIPES])
def test_every_recipe_validates(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(block.body, encoding="utf-8")
    raw = read_yaml(path)
    if isinstance(raw.get("data"), dict):
        raw["data"].setdefault("train", "train.csv")
    validate(Recipe, {**BASE, **raw}, block.place)


@pytest.mark.parametrize("path", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    targets = [match["target"].partition("#")[0] for match in LINK.finditer(text) if "://" not in match["target"]]
    missing = [target for target in targets if target and not (path.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_tree_of_the_readme_is_the_tree(name: str) -> None:
    tree = next(block.body for block in blocks() if block.page == name and "src/fathom/" in block.body)
    shown = {match for match in re.findall(r"^  ([\w.]+/?)", tree, re.MULTILINE) if match}
    source = ROOT / "src" / "fathom"
    folders = {f"{path.name}/" for path in source.iterdir() if path.is_dir() and path.name != "__pycache__"}
    modules = {path.name for path in source.glob("*.py")}
    assert folders <= shown
    assert shown <= folders | modules


def test_both_readmes_have_the_place_of_the_benchmarks() -> None:
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert 0 < text.find("<!-- benchmarks:begin -->") < text.find("<!-- benchmarks:end -->")


def test_what_inspect_prints_is_copied_from_the_page_whose_tables_are_run() -> None:
    page = (ROOT / "docs" / "concepts" / "depth.md").read_text(encoding="utf-8")
    shown = [block for block in blocks() if block.body.startswith("$ fathom inspect")]
    assert all(block.body in page for block in shown)


def test_the_functions_of_the_python_page_are_the_functions() -> None:
    page = (ROOT / "docs/guides/python.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"`([a-z]\w+)\(([^`]*)\)`", page.partition("```")[0]))
    functions = {name for name in fathom.PUBLIC if inspect.isfunction(getattr(fathom, name))}
    assert told.keys() == functions
    for name, written in told.items():
        parameters = inspect.signature(getattr(fathom, name)).parameters.values()
        arguments = ast.parse(f"def {name}({written}): pass").body[0].args  # type: ignore[attr-defined]
        extra = [arguments.kwarg] if arguments.kwarg else []
        names = [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs, *extra)]
        assert names == [parameter.name for parameter in parameters], name
        defaults = [ast.literal_eval(node) for node in (*arguments.defaults, *arguments.kw_defaults) if node]
        assert defaults == [one.default for one in parameters if one.default is not one.empty], name
    assert {name for name in fathom.PUBLIC if name not in page} == set()
