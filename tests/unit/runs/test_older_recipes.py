"""What an older version wrote out whole is read as that version ran it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fathom.errors import ConfigError
from fathom.recipe import deciding, load_recipe
from fathom.runs.older_recipes import deciding_by_this_version, load_stored_recipe, read_stored_recipe
from fathom.training.checkpoint import check_resumable
from fathom.tuning.prefix import Prefix

CORPUS: dict[str, Any] = {"model": "gpt2", "data": {"train": "a.txt"}, "task": {"kind": "causal-lm"}}
TEXTS: dict[str, Any] = {"model": "minilm", "data": {"train": "a.csv"}, "task": {"kind": "text-classification"}}


def written(folder: Path, raw: dict[str, Any]) -> dict[str, Any]:
    """What this version writes out of a recipe, every key of it."""
    (folder / "job.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return deciding(load_recipe(folder / "job.yaml"))


def test_a_key_that_came_later_does_not_forbid_to_go_on(tmp_path: Path) -> None:
    now = written(tmp_path, TEXTS)
    before = {**now, "training": {**now["training"]}}
    del before["training"]["optimizer_in_backward"]
    assert deciding_by_this_version(before, "here") == now
    assert check_resumable({"recipe": deciding_by_this_version(before, "here")}, {"recipe": now}) == []
    assert "optimizer_in_backward" not in before["training"], "what was read is not changed"


def test_what_decided_in_an_older_version_and_does_not_now_forbids_nothing(tmp_path: Path) -> None:
    now = written(tmp_path, TEXTS)
    before = {**now, "data": {**now["data"], "allow_leaks": True, "max_leak_share": 0.2}}
    assert check_resumable({"recipe": deciding_by_this_version(before, "here")}, {"recipe": now}) == []


def test_a_missing_key_means_what_the_older_version_did(tmp_path: Path) -> None:
    now = written(tmp_path, CORPUS)
    before = {**now, "task": {key: value for key, value in now["task"].items() if key != "begin_of_document"}}
    assert now["task"]["begin_of_document"] is True
    assert deciding_by_this_version(before, "here")["task"]["begin_of_document"] is False
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(before), encoding="utf-8")
    assert deciding(load_stored_recipe(tmp_path / "recipe.yaml"))["task"]["begin_of_document"] is False


def test_a_prefix_began_with_random_numbers_or_zeros() -> None:
    for zero, begins in ((False, "random"), (True, "zero")):
        found = read_stored_recipe({**TEXTS, "tuning": {"kind": "prefix", "zero": zero}}, "here").tuning
        assert isinstance(found, Prefix) and found.initialization == begins


def test_the_older_name_is_still_read() -> None:
    assert Prefix.model_validate({"zero": True}).initialization == "zero"
    assert Prefix.model_validate({"zero": False}).initialization is None


def test_a_source_that_mixture_named_too_is_read_as_often_as_it_says(tmp_path: Path) -> None:
    now = written(tmp_path, CORPUS)
    mixture = {"a.txt": 2.0, "b.txt": 1.0}
    before = {**now, "data": {**now["data"], "mixture": mixture}, "training": {**now["training"]}}
    del before["training"]["optimizer_in_backward"]
    read = deciding_by_this_version(before, "here")
    assert read["data"]["mixture"] == mixture
    assert read["training"] == now["training"]
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(yaml.safe_dump(before), encoding="utf-8")
    assert load_stored_recipe(run / "recipe.yaml").data.mixture == mixture
    assert load_recipe(run).data.mixture == mixture
    with pytest.raises(ConfigError, match="leave it out"):
        load_recipe(run / "recipe.yaml")


def test_what_this_version_has_no_word_for_is_left_as_it_is() -> None:
    saved = {**TEXTS, "tuning": {"kind": "magic"}}
    assert deciding_by_this_version(saved, "here") == saved
