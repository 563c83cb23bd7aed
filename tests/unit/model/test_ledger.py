"""States are counted exactly, and each option moves the term it should and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from fathom.model.anatomy import find_anatomy
from fathom.model.ledger import Ledger, build_ledger
from fathom.model.load import build_on_meta, load_config
from fathom.model.memory import MicroBatch, Setting
from fathom.tuning.head import Head

BATCH = MicroBatch.of([9, 4, 4])
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 40}


def model() -> nn.Module:
    config = load_config("bert-base", {**SIZE, "num_labels": 3}, from_preset=True)
    return build_on_meta(config, "AutoModelForTokenClassification")


def ledger(**options: object) -> Ledger:
    return build_ledger(model(), BATCH, replace(Setting(), **options))  # type: ignore[arg-type]


def test_a_batch_of_lengths() -> None:
    assert (
        MicroBatch(sequences=3, length=9, tokens=17, attended=48, pairs=3 * 16 * 16, largest_pairs=3 * 16 * 16) == BATCH
    )
    assert BATCH.positions == 27
    assert MicroBatch.uniform(3, 9) == MicroBatch.of([9, 9, 9])


def test_states_of_full_tuning() -> None:
    found = ledger()
    count = sum(parameter.numel() for parameter in model().parameters())
    assert found.parameters == found.trainable == count
    assert found.memory.weights == found.memory.gradients == 4 * count
    assert found.memory.optimizer == 8 * count
    assert found.memory.copies == 0
    assert found.memory.total == sum(size for kind, size in found.memory.to_json().items() if kind != "total")


def test_low_precision_adds_copies_and_halves_what_products_keep() -> None:
    plain, low = ledger(), ledger(precision="bf16")
    assert low.memory.copies == 2 * low.parameters
    assert low.memory.attention == 2 * plain.memory.attention // 3  # probabilities and masks: 4 + 2 bytes, 2 + 2 bytes
    assert low.memory.activations < plain.memory.activations
    assert low.memory.weights == plain.memory.weights


def test_words_that_do_not_occur_have_no_gradient() -> None:
    found = ledger(trainable_vocabulary=10)
    rows = 30 * 16  # of the 40 words 30 do not occur
    assert found.trainable == ledger().trainable
    assert found.memory.gradients == 4 * (found.parameters - rows)
    assert found.memory.optimizer == 8 * (found.parameters - rows)
    assert found.memory.copies == 4 * 10 * 16


def test_the_head_alone_keeps_nothing_in_the_blocks() -> None:
    frozen = model()
    frozen = Head().apply(frozen, find_anatomy(frozen))
    found = build_ledger(frozen, BATCH)
    assert found.memory.activations == found.memory.attention == 0
    assert found.memory.optimizer == 8 * (16 * 3 + 3)


def test_checkpointing_keeps_the_input_of_each_block() -> None:
    found, plain = ledger(checkpointing=True), ledger()
    assert found.memory.activations == 2 * BATCH.slots * 16 * 4
    assert found.memory.attention == 0
    assert found.memory.working > plain.memory.working
    assert found.backward_flops > plain.backward_flops
    assert found.forward_flops == plain.forward_flops


@pytest.mark.parametrize("moments", [0, 1, 2])
def test_optimizers_keep_what_they_say(moments: int) -> None:
    found = ledger(moments=moments)
    assert found.memory.optimizer == 4 * moments * found.trainable


def test_equal_blocks_are_one_line() -> None:
    text = ledger().to_text()
    assert "blocks 0-1, each" in text
    assert text.count("attention ") >= 1
    assert "2 blocks of width 16" in text
