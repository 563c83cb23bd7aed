"""The work of a step is the ledger's, at any length; time is work at the machine's rates."""

from __future__ import annotations

import pytest
from torch import nn

from fathom.model.anatomy import find_anatomy
from fathom.model.ledger import build_ledger
from fathom.model.load import build_on_meta, load_config
from fathom.model.memory import MicroBatch, Setting
from fathom.model.steptime import length_cost, step_work
from fathom.tuning.head import Head
from fathom.tuning.lora import Lora

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 40}


def model(name: str = "bert-base", auto_class: str = "AutoModelForTokenClassification") -> nn.Module:
    return build_on_meta(load_config(name, {**SIZE, "num_labels": 3}, from_preset=True), auto_class)


@pytest.mark.parametrize("auto_class", ["AutoModelForTokenClassification", "AutoModelForSequenceClassification"])
@pytest.mark.parametrize("length", [1, 8, 40])
def test_the_cost_of_a_length_is_what_the_ledger_counts(auto_class: str, length: int) -> None:
    built = model("bert-base", auto_class)
    ledger = build_ledger(built, MicroBatch.uniform(4, length))
    cost = length_cost(built, ledger)
    counted = ledger.forward_flops + ledger.backward_flops
    assert cost.constant + cost.per_token * length + cost.per_pair * length**2 == counted


def test_a_packed_pass_pays_for_tokens_a_padded_one_for_positions() -> None:
    built = model()
    uneven = MicroBatch.of([40, 2, 2, 2])
    ledger = build_ledger(built, uneven)
    packed = step_work(built, ledger, [[uneven]], packed=True)
    padded = step_work(built, ledger, [[uneven]], packed=False)
    assert packed.tokens == padded.tokens == 46
    assert packed.flops < padded.flops


def test_steps_are_averaged_and_passes_summed() -> None:
    built = model()
    one, two = MicroBatch.uniform(2, 8), MicroBatch.uniform(2, 16)
    ledger = build_ledger(built, two)
    both = step_work(built, ledger, [[one, two]], packed=True, update_bytes=1000)
    apart = step_work(built, ledger, [[one], [two]], packed=True, update_bytes=1000)
    assert both.flops == pytest.approx(2 * apart.flops)
    assert both.tokens == 2 * apart.tokens == 48
    assert both.moved_bytes == pytest.approx(2 * apart.moved_bytes - 1000)  # one update instead of two


def test_what_is_frozen_takes_no_time() -> None:
    whole, frozen = model(), model()
    frozen = Head().apply(frozen, find_anatomy(frozen))
    batch = MicroBatch.uniform(4, 16)
    full = step_work(whole, build_ledger(whole, batch), [[batch]], packed=True)
    head = step_work(frozen, build_ledger(frozen, batch), [[batch]], packed=True)
    assert head.flops < full.flops / 2
    assert head.moved_bytes < full.moved_bytes / 2


def test_recomputed_blocks_are_counted() -> None:
    built = model()
    batch = MicroBatch.uniform(4, 16)
    plain = step_work(built, build_ledger(built, batch), [[batch]], packed=True)
    again = step_work(built, build_ledger(built, batch, Setting(checkpointing=True)), [[batch]], packed=True)
    assert plain.flops < again.flops < 1.5 * plain.flops


def test_blocks_below_the_cache_take_no_time() -> None:
    built = model()
    batch = MicroBatch.uniform(4, 16)
    whole = step_work(built, build_ledger(built, batch), [[batch]], packed=True)
    upper = step_work(built, build_ledger(built, batch, Setting(first_block=1)), [[batch]], packed=True)
    assert (whole.block_passes, upper.block_passes) == (4, 2)
    ledger = build_ledger(built, MicroBatch.uniform(1, 16), Setting(first_block=1))
    cost = length_cost(built, ledger)
    counted = ledger.forward_flops + ledger.backward_flops
    assert cost.constant + cost.per_token * 16 + cost.per_pair * 256 == counted


def test_a_vocabulary_head_runs_on_labelled_positions() -> None:
    built = model("bert-base", "AutoModelForMaskedLM")
    batch = MicroBatch.uniform(4, 20)
    every, some = (
        step_work(built, build_ledger(built, batch, Setting(labelled_share=share)), [[batch]], packed=True)
        for share in (1.0, 0.15)
    )
    head = 3 * 2 * batch.slots * (16 * 16 + 16 * 40)  # the transform and the table, forward and twice backward
    assert every.flops - some.flops == pytest.approx(0.85 * head, rel=1e-3)


def test_what_a_strategy_adds_is_started_too() -> None:
    built = model()
    built = Lora(rank=2).apply(built, find_anatomy(built))
    batch = MicroBatch.uniform(4, 16)
    found = step_work(built, build_ledger(built, batch), [[batch]], packed=True)
    assert (found.block_passes, found.added_operations) == (4, 3 * 2 * 2 * 6)
