"""Every error tells how to mend what it is about."""

from __future__ import annotations

import ast
import inspect

from architecture import source
from fathom import errors

FAMILY = {
    name
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, errors.FathomError) and kind is not errors.MissingExtraError
}
"""`MissingExtraError` makes its mend itself."""
REASONS = {"model/many_lora.py", "runs/together.py", "training/together.py"}
"""What these raise is caught and told as the reason of an error whose mend is to train the runs alone."""


def test_every_error_has_a_mend():
    without = [
        f"{source.place(path, node)} {ast.unparse(node)[:100]}"
        for path in source.package_files()
        if path.relative_to(source.PACKAGE).as_posix() not in REASONS
        for node in ast.walk(source.tree_of(path))
        if isinstance(node, ast.Call) and _is_error(node) and not _has_mend(node)
    ]
    assert not without


def test_the_errors_without_a_mend_are_still_there():
    for name in REASONS:
        tree = source.tree_of(source.PACKAGE / name)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_error(node)]
        assert any(not _has_mend(node) for node in calls), f"{name} needs no exception any more"


def _is_error(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in FAMILY


def _has_mend(node: ast.Call) -> bool:
    given = next((keyword.value for keyword in node.keywords if keyword.arg == "mend"), None)
    if given is None:
        return False
    ends = [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]
    return not any(isinstance(end, ast.Constant) and not end.value for end in ends)
