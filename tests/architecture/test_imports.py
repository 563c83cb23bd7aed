"""Imports point down; importing does no work; the command line starts fast because it imports nothing heavy."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys

import pytest

from architecture import source

RUN_MAIN = """
import sys
from fathom.cli.main import main
sys.argv = ["fathom", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
"""
FACTS = """
import importlib, json, os, random, threading
import numpy, torch, transformers

def facts():
    settings = [torch.get_num_threads(), torch.is_grad_enabled(), str(torch.get_default_dtype())]
    seeds = [torch.initial_seed(), hash(random.getstate()), numpy.random.get_state()[2]]
    # Torch's own compiler names its cache folder when transformers is imported.
    variables = sorted(item for item in os.environ.items() if not item[0].startswith("TORCHINDUCTOR_"))
    return [*settings, *seeds, threading.active_count(), variables]

before = facts()
for name in {names!r}:
    importlib.import_module(name)
print(json.dumps([f"{{a}} -> {{b}}" for a, b in zip(before, facts()) if a != b]))
"""
HEAVY = ("torch", "transformers", "numpy", "peft", "pyarrow", "rich", "datasets")


def test_layers_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=source.ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import fathom",
        "import fathom.cli.main",
        RUN_MAIN.format(arguments=["--help"]),
        RUN_MAIN.format(arguments=["train", "--help"]),
        RUN_MAIN.format(arguments=["list", "--json"]),
    ],
    ids=["import fathom", "import cli", "fathom --help", "fathom train --help", "fathom list"],
)
def test_starting_imports_nothing_heavy(code):
    loaded = _loaded_after(code)
    assert not loaded & set(HEAVY)


def test_modules_do_no_work_at_import():
    working = []
    for path in source.package_files():
        for node in source.tree_of(path).body:
            if isinstance(node, ast.For | ast.While | ast.With | ast.Try | ast.Delete):
                working.append(source.place(path, node))
            elif isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
                if not _is_command_registration(path, node):
                    working.append(f"{source.place(path, node)} {ast.unparse(node)[:60]}")
            elif isinstance(node, ast.If) and not _is_guard(node.test):
                working.append(source.place(path, node))
    assert not working


def test_importing_everything_changes_nothing(tmp_path):
    names = [source.module_name(path) for path in source.package_files() if path.stem != "__main__"]
    done = subprocess.run(
        [sys.executable, "-c", FACTS.format(names=names)],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert list(tmp_path.iterdir()) == []


def test_public_names_exist():
    fathom = importlib.import_module("fathom")
    assert sorted(fathom.PUBLIC) == sorted(set(fathom.__all__) - {"__version__"})
    missing = []
    for name, target in fathom.PUBLIC.items():
        module, _, attribute = target.partition(":")
        try:
            if attribute not in vars(importlib.import_module(module)):
                missing.append(name)
        except ModuleNotFoundError as error:
            missing.append(f"{name} ({error})")
    assert not missing


def _is_guard(test):
    return ast.unparse(test) in {"TYPE_CHECKING", "__name__ == '__main__'"}


def _is_command_registration(path, node):
    return path.parts[-2:] == ("cli", "main.py") and ast.unparse(node).split("(")[0].split(".")[-1] in {
        "command",
        "add_typer",
    }


def _loaded_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n' + ' '.join(sys.modules))"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def _environment():
    path = os.pathsep.join([str(source.ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
