"""Ready recipes are short, explained, and complete; that each runs is in `test_ready_recipes`."""

from __future__ import annotations

from importlib import resources

import pytest

from fathom.device import probe_machine
from fathom.recipe import load_recipe, ready_recipes, resolve

FOLDER = resources.files("fathom") / "recipes"


@pytest.mark.parametrize("name", list(ready_recipes()))
def test_ready_recipe_is_short_explained_and_resolves(name: str) -> None:
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith("# ")
    assert max(map(len, lines)) <= 120
    recipe = resolve(load_recipe(name), probe_machine())
    assert recipe.name == name
    assert resolve(recipe, probe_machine()) == recipe


def test_every_file_is_a_ready_recipe() -> None:
    stems = {entry.name.removesuffix(".yaml") for entry in FOLDER.iterdir() if entry.name.endswith(".yaml")}
    assert stems == set(ready_recipes())
