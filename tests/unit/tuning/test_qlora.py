"""What QLoRA says without its library: a refusal in words, and forecasts."""

from __future__ import annotations

import sys

import pytest
from torch import nn

from fathom import catalog
from fathom.config import validate
from fathom.errors import ConfigError, MissingExtraError, ModelError
from fathom.model.anatomy import find_anatomy
from fathom.runs.inspect import inspect
from strategies_for_tests import make_model


def test_the_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    model = make_model("bert")
    with pytest.raises(MissingExtraError, match=r"(?s)tuning: the package 'bitsandbytes'.*fathom-lm\[bitsandbytes\]"):
        catalog.load("tuning", "qlora")().apply(model, find_anatomy(model))


def test_projections_of_a_familys_own_are_refused() -> None:
    class Own(nn.Linear):
        pass

    model = make_model("bert")
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Own
    with pytest.raises(ModelError, match=r"(?s)the blocks of BertForSequenceClassification have none.*use lora"):
        catalog.load("tuning", "qlora")().apply(model, find_anatomy(model))


def test_options_are_loras() -> None:
    part = validate(catalog.load("tuning", "qlora"), {"kind": "qlora", "rank": 16, "targets": "attention"})
    assert (part.rank, part.alpha, part.targets) == (16, 16.0, "attention")
    with pytest.raises(ConfigError, match="initialization"):
        validate(catalog.load("tuning", "qlora"), {"kind": "qlora", "initialization": "pissa"})


def test_transposed_projections_are_forecast_too() -> None:
    lora, qlora = (item.ledger for item in inspect("gpt2", tuning="lora,qlora", batch_size=2, length=32).strategies)
    assert lora is not None
    assert qlora is not None
    assert (lora.parameters, lora.forward_flops) == (qlora.parameters, qlora.forward_flops)
    assert lora.memory.weights > 2 * qlora.memory.weights


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_forecast_without_the_library(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    report = inspect("bert-base", tuning="lora,qlora", batch_size=4, length=64, precision=precision)
    lora, qlora = (item.ledger for item in report.strategies)
    assert lora is not None
    assert qlora is not None
    assert (lora.parameters, lora.trainable) == (qlora.parameters, qlora.trainable)
    assert (lora.forward_flops, lora.backward_flops) == (qlora.forward_flops, qlora.backward_flops)
    numbers = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    saved = lora.memory.weights - qlora.memory.weights
    assert saved == pytest.approx(numbers * (4 - 4.127 / 8), rel=1e-3)
    assert lora.memory.copies - qlora.memory.copies == (2 * numbers if precision == "bf16" else 0)
    assert lora.memory.activations == qlora.memory.activations
    # reading the weights is the peak
    assert qlora.memory.total - qlora.memory.process - qlora.memory.prepared >= 4 * qlora.parameters
