"""What Fathom never does: pickle, eval, guessing by getattr, catching everything, naming one machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from architecture import source

MAY_GUESS = {"model/families.py", "model/anatomy.py"}
"""The only files that may ask an object for an attribute it may not have."""
UNSAFE_IMPORTS = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_METHODS = {("torch", "load"), ("torch", "save"), ("np", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}
MAY_PRINT = {"cli/", "log.py"}


def test_no_pickle_and_no_eval():
    found = []
    for path, node in _nodes():
        if isinstance(node, ast.Import):
            found += [source.place(path, node) for name in node.names if name.name.partition(".")[0] in UNSAFE_IMPORTS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNSAFE_IMPORTS:
            found.append(source.place(path, node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
            found.append(f"{source.place(path, node)} {node.func.id}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_unsafe_method(node):
            found.append(f"{source.place(path, node)} {ast.unparse(node.func)}")
    assert not found


def test_attributes_are_guessed_in_two_files_only():
    guesses = [
        f"{source.place(path, node)} {node.func.id}"
        for path, node in _nodes()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"getattr", "hasattr", "setattr", "delattr"}
        and path.relative_to(source.PACKAGE).as_posix() not in MAY_GUESS
    ]
    assert not guesses


def test_no_broad_except():
    broad = []
    for path, node in _nodes():
        if isinstance(node, ast.ExceptHandler):
            caught = {ast.unparse(name) for name in _names(node.type)} if node.type else {""}
            # A handler that ends in a bare `raise` catches nothing: it cleans up.
            lets_go = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if caught & {"", "Exception", "BaseException"} and not lets_go:
                broad.append(source.place(path, node))
    assert not broad


def test_only_the_command_line_and_the_log_print():
    prints = [
        source.place(path, node)
        for path, node in _nodes()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and not path.relative_to(source.PACKAGE).as_posix().startswith(tuple(MAY_PRINT))
    ]
    assert not prints


def test_no_file_names_a_machine():
    machine = re.compile(r"""(?<![\w.<])/(?:work|root|home|Users|mnt|workspace)/\w""")
    suffixes = {".py", ".md", ".yaml", ".toml", ".txt", ".json", ".html", ""}
    found = []
    for path in source.project_files():
        if path == Path(__file__) or path.name == ".git" or path.suffix not in suffixes:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{source.place(path)}: {match.group()}" for match in machine.finditer(text)]
    assert not found


def test_trust_in_remote_code_comes_from_the_recipe():
    trusting = [
        source.place(path, node)
        for path, node in _nodes()
        if isinstance(node, ast.keyword)
        and node.arg == "trust_remote_code"
        and isinstance(node.value, ast.Constant)
        and node.value.value is True
    ]
    assert not trusting


def _nodes():
    for path in source.package_files():
        for node in ast.walk(source.tree_of(path)):
            yield path, node


def _names(node):
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _is_unsafe_method(node):
    owner = node.func.value
    if not isinstance(owner, ast.Name) or (owner.id, node.func.attr) not in UNSAFE_METHODS:
        return False
    # numpy reads pickles only when told to.
    return owner.id != "np" or any(keyword.arg == "allow_pickle" for keyword in node.keywords)
