"""States are counted exactly, and each option moves the term it should and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from fathom.model.anatomy import find_anatomy
from fathom.model.chunked_loss import CHUNK_BYTES
from fathom.model.flow import trace
from fathom.model.ledger import Course, Ledger, build_ledger
from fathom.model.load import build_on_meta, load_config
from fathom.model.memory import LIBRARY_BYTES, MEBIBYTE, MicroBatch, Setting
from fathom.model.prepared import MOST_PRODUCTS, PRODUCT_BYTES, Layouts
from fathom.tuning.diff_pruning import DiffPruning
from fathom.tuning.head import Head
from fathom.tuning.ladder import Ladder
from fathom.tuning.random_mask import RandomMask
from fathom.tuning.trial import try_on_meta

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


def test_blocks_below_the_first_that_runs_hold_weights_and_no_more() -> None:
    whole, upper = ledger(), ledger(first_block=1)
    assert upper.memory.weights == whole.memory.weights
    assert upper.memory.activations == whole.memory.activations // 2
    assert upper.memory.attention == whole.memory.attention // 2
    assert {row.depth for row in upper.rows if row.forward_flops} == {1, None}
    assert all(row.activation_bytes == 0 for row in upper.block_rows(0))
    head = ledger(first_block=2)  # the head alone: every block's output was computed once
    assert head.memory.activations == head.memory.attention == head.memory.working == 0
    assert head.memory.outside > 0


def test_prepared_products_grow_with_the_shapes_a_run_meets() -> None:
    low = {"precision": "bf16", "stream": "bf16"}

    def prepared(slots: int, buckets: int) -> int:
        course = Course(Layouts(slots, buckets))
        return build_ledger(model(), BATCH, Setting(**low), course=course).memory.prepared  # type: ignore[arg-type]

    # forward, input and weight products of three shapes, sums over tokens of two widths
    assert prepared(2, 1) - prepared(1, 1) == 11 * PRODUCT_BYTES
    assert prepared(1, 2) - prepared(1, 1) == 6 * PRODUCT_BYTES
    assert prepared(1000, 1000) == MOST_PRODUCTS * PRODUCT_BYTES
    assert build_ledger(model(), BATCH, Setting(), course=Course(Layouts(9, 9))).memory.prepared == 0


def test_shapes_are_counted_once() -> None:
    assert Layouts.of([[9, 4], [9, 4], [4, 9], [10, 3]]) == Layouts(1, 1)
    assert Layouts.of([[9, 4], [40, 4]]) == Layouts(2, 2)
    assert Layouts.of([[9, 4], [40, 4]], packed=False) == Layouts(2, 2)


def test_scoring_more_than_training_holds_is_told_apart() -> None:
    frozen = model()
    frozen = Head().apply(frozen, find_anatomy(frozen))
    scored = MicroBatch.of([16] * 64)
    plain = build_ledger(frozen, BATCH).memory
    found = build_ledger(frozen, BATCH, course=Course(Layouts(), scored=scored)).memory
    assert plain.elsewhere == 0
    assert found.elsewhere > 0
    assert found.total == plain.total + found.elsewhere


def test_a_process_says_what_it_takes_itself() -> None:
    memory = ledger().memory
    resident = memory.states + 100 * MEBIBYTE
    found = memory.in_process(resident, 0)
    assert found.process == 100 * MEBIBYTE + LIBRARY_BYTES
    assert found.total == memory.total - memory.process + found.process
    peak = found.total + 5
    assert memory.in_process(resident, peak).total == peak  # loading took more than training will


def test_a_process_that_worked_before_has_its_libraries_and_prepared_products() -> None:
    memory = replace(ledger().memory, prepared=7 * MEBIBYTE)
    resident = memory.states + 100 * MEBIBYTE
    cold, warm = memory.in_process(resident, 0), memory.in_process(resident, 0, warm=True)
    assert warm.process == 100 * MEBIBYTE
    assert cold.total - warm.total == 7 * MEBIBYTE + LIBRARY_BYTES


def test_a_vocabulary_is_counted_in_chunks() -> None:
    config = load_config("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 2}, from_preset=True)
    language = build_on_meta(config, "AutoModelForCausalLM")
    batch = MicroBatch.of([128] * 64)
    found = build_ledger(language, batch, Setting(labelled_share=1.0)).memory
    everything = build_ledger(language, batch, Setting()).memory
    assert found.outside < everything.outside / 4
    assert found.outside > CHUNK_BYTES
    fewer = build_ledger(language, batch, Setting(labelled_share=0.15)).memory
    assert fewer.outside < found.outside


def test_a_ladder_stands_behind_the_blocks_and_not_in_the_head() -> None:
    """Its rungs keep what they read, and what the head makes logits with is still the vocabulary."""
    config = load_config("gpt2", {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40}, from_preset=True)
    beside = try_on_meta(Ladder(width=6, inner=8), build_on_meta(config, "AutoModelForCausalLM"))
    flow = trace(beside, find_anatomy(beside), 9)
    assert [(unit.path, unit.outputs) for unit in flow.head] == [("lm_head", 40)]
    assert flow.head_gradient and not any(block.gradient for block in flow.stacks[0].blocks)
    setting = Setting(labelled_share=1.0)
    found = build_ledger(beside, BATCH, setting)
    first, second = (next(row for row in found.block_rows(depth) if row.component == "ladder") for depth in (0, 1))
    slots = BATCH.slots
    assert first.activation_bytes == 4 * slots * (16 + 6 + 6 + 2 + 8)
    assert second.activation_bytes == first.activation_bytes + 4 * slots * 2 * 6, "both sides of the mix"
    assert found.memory.activations == first.activation_bytes + second.activation_bytes
    assert found.memory.attention == 0
    assert found.backward_flops < found.forward_flops


def test_gates_keep_four_numbers_for_every_entry() -> None:
    bare, gated = model(), try_on_meta(DiffPruning(), model())
    low = Setting(precision="bf16", stream="bf16")
    entries = sum(
        bare.get_submodule(path).get_parameter("weight").numel()
        for block in find_anatomy(bare).blocks
        for path in (*block.attention, *block.feed_forward)
    )
    few, many = (build_ledger(gated, MicroBatch.uniform(count, 9), low).memory.activations for count in (1, 3))
    kept = {count: build_ledger(bare, MicroBatch.uniform(count, 9), low).memory.activations for count in (1, 3)}
    assert few - kept[1] == many - kept[3] == 16 * entries


def test_gradients_that_pass_are_there_for_one_block_and_the_head() -> None:
    usual, apart = ledger(), ledger(passing_gradients=True)
    block = sum(row.gradient_bytes for row in usual.block_rows(0))
    head = sum(row.gradient_bytes for row in usual.rows if row.component == "head")
    assert block and head
    assert apart.memory.gradients == 0
    assert apart.memory.working == usual.memory.working + block + head
    assert apart.rows == usual.rows
    assert apart.memory.total < usual.memory.total


def test_a_table_of_embeddings_and_head_has_its_gradient_from_the_start() -> None:
    def working(*, tied: bool) -> int:
        config = load_config("bert-base", {**SIZE, "tie_word_embeddings": tied}, from_preset=True)
        built = build_on_meta(config, "AutoModelForMaskedLM")
        found = [
            build_ledger(built, BATCH, Setting(passing_gradients=passes)).memory.working for passes in (False, True)
        ]
        return found[1] - found[0]

    embeddings = 16 * (512 + 2 + 40) + 2 * 16  # positions, types and words; their normalization
    head = 16 * 40 + 40  # the table, and a second bias: transformers ties both or neither
    assert working(tied=True) - working(tied=False) == 4 * (embeddings - head)


def test_the_end_of_the_backward_pass_may_be_the_peak() -> None:
    config = load_config("bert-base", {**SIZE, "vocab_size": 100_000, "num_labels": 3}, from_preset=True)
    built = build_on_meta(config, "AutoModelForTokenClassification")
    memory = build_ledger(built, BATCH, Setting(passing_gradients=True)).memory
    table = 4 * 16 * 100_000
    assert memory.working < table
    assert memory.passing + memory.elsewhere > table


def test_what_is_offloaded_is_not_counted_but_for_one_block() -> None:
    usual, offloaded, checkpointed = ledger(), ledger(offload=True), ledger(checkpointing=True)
    assert offloaded.memory.activations == offloaded.memory.attention == 0
    assert offloaded.memory.working == checkpointed.memory.working
    assert offloaded.backward_flops == usual.backward_flops
    assert ledger(offload=True, checkpointing=True).memory.activations == 0


@pytest.mark.parametrize("kind", [RandomMask, DiffPruning])
def test_weights_that_are_added_up_in_every_pass_have_no_copies(kind: type[RandomMask | DiffPruning]) -> None:
    low = Setting(precision="bf16")
    whole, attention = (
        try_on_meta(kind(share=0.1, targets=targets), model()) for targets in ("all-linear", "attention")
    )
    assert build_ledger(whole, BATCH, low).memory.copies == 0
    assert build_ledger(attention, BATCH, low).memory.copies == 2 * 2 * (16 * 32 + 32 * 16), "the feed-forwards'"
