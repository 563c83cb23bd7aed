"""Every preset is the published architecture: its parameters are counted on the model built from it."""

from __future__ import annotations

import pytest

from fathom.model import presets
from fathom.model.anatomy import find_anatomy
from fathom.model.load import build_on_meta, load_config


@pytest.mark.parametrize("name", presets.names())
def test_parameters_are_the_published_ones(name: str) -> None:
    preset = presets.PRESETS[name]
    model = build_on_meta(load_config(name, {}, from_preset=True), preset.auto_class)
    assert sum(parameter.numel() for parameter in model.parameters()) == preset.parameters
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_the_blocks_of_bert_base_are_all_of_one_size() -> None:
    model = build_on_meta(load_config("bert-base", {}, from_preset=True), "AutoModel")
    blocks = [model.get_submodule(block.path) for block in find_anatomy(model).blocks]
    assert [sum(p.numel() for p in block.parameters()) for block in blocks] == [7_087_872] * 12


def test_other_spellings_are_known() -> None:
    assert presets.find("BERT-base-uncased") is presets.PRESETS["bert-base"]
    assert presets.find("bert-bas") is None
