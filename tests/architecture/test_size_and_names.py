"""Files, functions and parameter lists stay small; names say what a thing is."""

from __future__ import annotations

import ast
import re

from architecture import source

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
EMPTY_WORDS = {"utils", "util", "common", "helpers", "helper", "misc", "stuff", "base_utils"}


def test_files_are_short():
    long = {
        source.place(path): lines
        for path in source.python_files()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert not long


def test_functions_are_short():
    long = [
        f"{source.place(path, node)} {node.name}: {lines} lines"
        for path, node in _functions()
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not long


def test_functions_take_few_parameters():
    crowded = []
    for path, node in _functions():
        if path.parts[-2] == "cli" and node.name.endswith("_command"):
            continue  # a command's parameters are its options
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = sum(argument.arg not in {"self", "cls", "ctx"} for argument in arguments)
        if count > MAX_PARAMETERS:
            crowded.append(f"{source.place(path, node)} {node.name}: {count} parameters")
    assert not crowded


def test_no_module_has_an_empty_name():
    empty = [source.place(path) for path in source.python_files() if EMPTY_WORDS & {path.stem, *path.parts}]
    assert not empty


def test_everything_public_has_a_docstring():
    bare = []
    for path in source.package_files():
        tree = source.tree_of(path)
        if not ast.get_docstring(tree):
            bare.append(source.place(path))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                if not first or first[-1] not in ".:;?!)":
                    bare.append(f"{source.place(path, node)} {node.name}: '{first}'")
    assert not bare


def test_docstrings_carry_no_types():
    typed = [
        f"{source.place(path, node)} {node.name}"
        for path, node in _functions()
        if re.search(
            r"^\s+\w+ \((?:int|str|float|bool|list|dict|Tensor|torch\.Tensor)", ast.get_docstring(node) or "", re.M
        )
    ]
    assert not typed


def _functions():
    for path in source.package_files():
        for node in ast.walk(source.tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node
