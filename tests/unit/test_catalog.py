from __future__ import annotations

from importlib import metadata

import pytest

from fathom import catalog
from fathom.errors import ConfigError


def test_contents_names_every_family():
    contents = catalog.contents()
    assert list(contents) == catalog.families()
    assert "lora" in contents["tuning"]


def test_a_part_is_loaded_by_name():
    assert catalog.load("tuning", "lora").__name__ == "Lora"


def test_an_unknown_name_gets_the_nearest_known_one():
    with pytest.raises(ConfigError, match="no tuning is called 'lorra'") as caught:
        catalog.load("tuning", "lorra")
    assert "did you mean 'lora'?" in str(caught.value)
    assert "bitfit" in str(caught.value)


def test_outside_packages_add_parts(monkeypatch):
    point = metadata.EntryPoint(name="tuning.mine", value="fathom.tuning.full:Full", group=catalog.ENTRY_POINT_GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == catalog.ENTRY_POINT_GROUP else [])
    assert "mine" in catalog.names("tuning")
    assert "mine" not in catalog.names("task")
    assert catalog.load("tuning", "mine").__name__ == "Full"
