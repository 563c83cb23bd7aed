"""Which strategies a model of new weights takes, and what the refusal of the others says."""

from __future__ import annotations

from typing import Any

import pytest

from fathom import catalog
from fathom.config import validate
from fathom.errors import ConfigError
from fathom.model.anatomy import find_anatomy
from fathom.recipe import Recipe
from strategies_for_tests import OPTIONS, make_model, make_tuning

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
KINDS = catalog.names("tuning")


def new_recipe(kind: str) -> Recipe:
    raw: dict[str, Any] = {
        "model": {"kind": "new", "architecture": "bert", "tokenizer": "minilm"},
        "data": "a.csv",
        "task": "text-classification",
        "tuning": {"kind": kind, **OPTIONS.get(kind, {})},
    }
    return validate(Recipe, raw)


@pytest.mark.parametrize("kind", KINDS)
def test_a_strategy_says_truly_whether_every_weight_learns(kind: str) -> None:
    model = make_model("bert")
    tuned = make_tuning(kind).apply(model, find_anatomy(model))
    part = catalog.load("tuning", kind)
    assert part.trains_whole == all(tensor.requires_grad for tensor in tuned.parameters())
    assert not (part.trains_whole and part.saves_adapter)


def test_the_refusal_names_what_is_taken_and_why_an_adapter_is_not() -> None:
    accepted = [kind for kind in KINDS if not catalog.load("tuning", kind).saves_adapter]
    assert {"full", "layerwise"} < set(accepted)
    for kind in accepted:
        assert new_recipe(kind).tuning.kind == kind
    for kind in sorted({*KINDS} - {*accepted}):
        with pytest.raises(ConfigError) as caught:
            new_recipe(kind)
        said = str(caught.value)
        assert f"tuning.kind '{kind}'" in said and "model.kind 'new' are random" in said and "model.name" in said
        learn, _, partly = said.partition("Every weight learns under tuning.kind ")[2].partition("; ")
        told = {*learn.split(", "), *partly.partition(" are taken too, and leave the rest random")[0].split(", ")}
        assert told == set(accepted)
        assert {name for name in learn.split(", ")} == {
            name for name in accepted if catalog.load("tuning", name).trains_whole
        }
