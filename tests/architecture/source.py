"""The source files of the project, parsed once."""

from __future__ import annotations

import ast
import functools
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = {"runs", "build", "dist"}
PACKAGE = ROOT / "src" / "fathom"


@functools.cache
def package_files() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


@functools.cache
def python_files() -> tuple[Path, ...]:
    folders = [PACKAGE, ROOT / "tests", ROOT / "benchmarks", ROOT / "docs"]
    return tuple(sorted(path for folder in folders for path in folder.rglob("*.py")))


@functools.cache
def project_files() -> tuple[Path, ...]:
    """Every file of the project; what is built, downloaded or cached left out."""
    found: list[Path] = []
    for folder, children, names in os.walk(ROOT):
        built = BUILT if Path(folder) == ROOT else set()
        children[:] = [name for name in children if name == ".ci" or (name[0] not in "._" and name not in built)]
        found += [Path(folder, name) for name in names]
    return tuple(sorted(found))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def place(path: Path, node: ast.AST | None = None) -> str:
    line = f":{node.lineno}" if isinstance(node, ast.stmt | ast.expr | ast.ExceptHandler) else ""
    return f"{path.relative_to(ROOT)}{line}"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
