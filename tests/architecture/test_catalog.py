"""Every part in the catalog imports, validates by its own name, and documents itself."""

from __future__ import annotations

import importlib
import inspect

import pytest

from fathom import catalog
from fathom.config import Part

BASES = {
    "model": "fathom.model.section:ModelSection",
    "task": "fathom.tasks.base:Task",
    "tuning": "fathom.tuning.base:Tuning",
    "reader": "fathom.data.readers.base:Reader",
    "image_augmentation": "fathom.data.image_augmentation:ImageAugmentation",
    "sound_augmentation": "fathom.data.sound_augmentation:SoundAugmentation",
    "corpus_filter": "fathom.data.corpus.filters.base:CorpusFilter",
    "metric": "fathom.evaluation.base:Metric",
    "optimizer": "fathom.training.optimizers.base:Optimizer",
    "lr_scheduler": "fathom.training.schedule:Schedule",
    "tokenizer_algorithm": "fathom.tokenization.algorithm:Algorithm",
    "tracker": "fathom.tracking.base:Tracker",
}
ENTRIES = [(family, name) for family, parts in catalog.CATALOG.items() for name in parts]
entries = pytest.mark.parametrize(("family", "name"), ENTRIES, ids=[f"{family}-{name}" for family, name in ENTRIES])


@entries
def test_part_imports_and_is_a_part(family, name):
    part = catalog.load(family, name)
    assert issubclass(part, Part)
    assert not inspect.isabstract(part)


@entries
def test_part_honours_its_family(family, name):
    module, _, attribute = BASES[family].partition(":")
    base = vars(importlib.import_module(module))[attribute]
    assert issubclass(catalog.load(family, name), base)


@entries
def test_part_documents_itself(family, name):
    part = catalog.load(family, name)
    assert part.__doc__, "the class has no docstring"
    assert "\n" not in part.__doc__.strip().split("\n\n")[0], "the summary is one line"
    silent = [key for key, field in part.model_fields.items() if not field.description and key != "kind"]
    assert not silent


@entries
def test_part_is_frozen_and_strict(family, name):
    part = catalog.load(family, name)
    assert part.model_config.get("frozen")
    assert part.model_config.get("extra") == "forbid"


def test_names_are_lower_case_words():
    wrong = [name for parts in catalog.CATALOG.values() for name in parts if name != name.lower() or "_" in name]
    assert not wrong


def test_every_family_has_a_base():
    assert set(BASES) == set(catalog.families())
