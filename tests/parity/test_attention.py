"""Fused attention's gradients equal autograd's, torch's kernels the plain form; slack has no influence."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fathom.model.attention import AttentionOptions, FusedAttention, attend
from fathom.model.attention_form import attend_packed
from fathom.model.dropout import DropoutSource, apply_mask
from fathom.model.flash_attention import LONG, attend_long, attend_varlen
from fathom.model.layout import Layout, cut_buckets, make_layout

LENGTHS = (11, 3, 1, 8, 8, 5)


def layout_of(lengths: tuple[int, ...] = LENGTHS) -> Layout:
    longest = max(lengths)
    return make_layout(torch.tensor([[1] * n + [0] * (longest - n) for n in lengths]))


def heads(layout: Layout, number: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(layout.slots, number, 8, generator=generator, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize(("causal", "window"), [(False, None), (True, None), (False, 3), (True, 3)])
def test_fused_gradients_equal_autograd(key_heads: int, causal: bool, window: int | None) -> None:
    layout = layout_of()
    options = AttentionOptions(scaling=0.3, causal=causal, window=window)
    inputs = [heads(layout, 4), heads(layout, key_heads), heads(layout, key_heads)]
    real = real_slots(layout)
    weight = torch.randn(layout.slots, 4, 8, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    weight[~real] = 0
    expected = attend(inputs[0], inputs[1], inputs[2], layout, options)
    expected_grads = torch.autograd.grad((expected * weight).sum(), inputs)
    actual = FusedAttention.apply(*inputs, layout, options, None)
    actual_grads = torch.autograd.grad((actual * weight).sum(), inputs)
    # the softmax of both is float32, as in every transformers model
    torch.testing.assert_close(actual[real], expected[real], rtol=1e-6, atol=1e-6)
    for got, wanted in zip(actual_grads, expected_grads, strict=True):
        torch.testing.assert_close(got[real], wanted[real], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lengths", [LENGTHS, (8, 8, 8), (24, 24)])
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize(("causal", "window"), [(False, None), (True, None), (False, 3), (True, 3)])
def test_flash_forms_equal_the_plain_one(
    lengths: tuple[int, ...], key_heads: int, causal: bool, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.model.flash_attention.varlen_attn", reference_varlen)
    layout = layout_of(lengths)
    options = AttentionOptions(scaling=0.3, causal=causal, window=window)
    inputs = [heads(layout, 4), heads(layout, key_heads), heads(layout, key_heads)]
    real = real_slots(layout)
    weight = torch.randn(layout.slots, 4, 8, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    weight[~real] = 0
    expected = attend(inputs[0], inputs[1], inputs[2], layout, options)
    expected_grads = torch.autograd.grad((expected * weight).sum(), inputs)
    for form in (attend_long, attend_varlen):
        actual = form(inputs[0], inputs[1], inputs[2], layout, options)
        grads = torch.autograd.grad((actual * weight).sum(), inputs)
        torch.testing.assert_close(actual[real], expected[real], rtol=1e-6, atol=1e-6)
        for got, wanted in zip(grads, expected_grads, strict=True):
            torch.testing.assert_close(got[real], wanted[real], rtol=1e-5, atol=1e-6)


def reference_varlen(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, keys: Tensor, longest: int, longest_key: int, **how: Any
) -> Tensor:
    """What torch documents of `varlen_attn`, one sequence after another."""
    assert torch.equal(bounds, keys) and bounds.dtype == torch.int32 and bounds[-1] == len(query)
    assert longest == longest_key == bounds.diff().max()
    left, right = how["window_size"]
    outputs = []
    for start, stop in pairwise(bounds.tolist()):
        q, k, v = (tensor[start:stop].transpose(0, 1) for tensor in (query, key, value))
        ahead = torch.arange(stop - start) - torch.arange(stop - start)[:, None]
        seen = (ahead <= right if right >= 0 else ahead == ahead) & (ahead >= -left if left >= 0 else ahead == ahead)
        found = scaled_dot_product_attention(
            q, k, v, attn_mask=seen, scale=how["scale"], enable_gqa=how.get("enable_gqa", False)
        )
        outputs.append(found.transpose(0, 1))
    return torch.cat(outputs)


def test_long_sequences_keep_no_probabilities() -> None:
    layout = layout_of((LONG, LONG - 7))
    query, key, value = (heads(layout, 2, torch.float32) for _ in range(3))
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    options = AttentionOptions(scaling=0.3, causal=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        long = attend_packed((query, key, value), layout, options, DropoutSource())
    assert max(kept) < LONG * LONG
    expected = FusedAttention.apply(query, key, value, layout, options, None)
    torch.testing.assert_close(long[: layout.filled], expected[: layout.filled], rtol=1e-5, atol=1e-6)
    short = layout_of((LONG - 1, 3))
    heads_of_short = [heads(short, 2, torch.float32) for _ in range(3)]
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attend_packed(heads_of_short, short, options, DropoutSource())
    assert max(kept) >= (LONG - 1) ** 2


def test_fused_dropout_is_the_masked_formula() -> None:
    layout = layout_of((8, 8))
    options = AttentionOptions(scaling=0.5, dropout=0.25)
    query, key, value = (heads(layout, 2, torch.float32) for _ in range(3))
    source = DropoutSource()
    source.start(1, 2, 3)
    output = FusedAttention.apply(query, key, value, layout, options, source)
    grads = torch.autograd.grad(output.sum(), (query, key, value))
    source.start(1, 2, 3)
    keep = source.mask((2 * 2 * 8 * 8,), 0.25).ne(0).view(2, 2, 8, 8)
    split = [tensor[:16].unflatten(0, (2, 8)).transpose(1, 2) for tensor in (query, key, value)]
    weights = torch.softmax(split[0] @ split[1].transpose(-1, -2) * 0.5, -1) * keep / 0.75
    wanted = (weights @ split[2]).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(output[:16], wanted)
    assert output[16:].abs().sum() == 0
    for got, expected in zip(grads, torch.autograd.grad(wanted.sum(), (query, key, value)), strict=True):
        torch.testing.assert_close(got, expected)


def test_a_sequence_is_blind_to_its_neighbours() -> None:
    layout = layout_of()
    options = AttentionOptions(scaling=0.3)
    query, key, value = (heads(layout, 2) for _ in range(3))
    before = attend(query, key, value, layout, options)
    changed = value.detach().clone()
    first = layout.buckets[0]
    changed[: first.lengths[0]] += 100.0
    after = attend(query, key, changed, layout, options)
    assert not torch.equal(before[: first.lengths[0]], after[: first.lengths[0]])
    torch.testing.assert_close(before[first.lengths[0] :], after[first.lengths[0] :], rtol=0, atol=0)


def test_dropout_rate_scale_and_repeatability() -> None:
    source = DropoutSource()
    source.start(7, 11, 0)
    keep = source.mask((1000, 1000), 0.1)
    assert abs(keep.eq(0).float().mean().item() - 0.1) < 5e-4
    for dtype in (torch.float32, torch.bfloat16):
        values = torch.full((1000, 1000), 3.0, dtype=dtype)
        dropped = apply_mask(values, keep, 0.1)
        assert torch.equal(dropped.eq(0), keep.eq(0))
        torch.testing.assert_close(dropped[keep.ne(0)].float().mean().item(), 3.0 / 0.9, rtol=1e-2, atol=0)
    source.start(7, 11, 0)
    assert torch.equal(source.mask((1000, 1000), 0.1), keep)
    source.start(7, 12, 0)
    assert not torch.equal(source.mask((1000, 1000), 0.1), keep)


def test_every_token_has_one_slot_and_every_head_one_row() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        lengths = random.integers(1, 90, random.integers(1, 40))
        layout = layout_of(tuple(int(n) for n in lengths))
        wanted = [row * layout.padded_length + j for row, n in enumerate(lengths) for j in range(n)]
        assert sorted(layout.rows_T[: layout.filled].tolist()) == wanted
        assert layout.filled == lengths.sum() < layout.slots
        index = layout.head_index(3, 3)
        packed = torch.arange(layout.slots * 3)
        rows = torch.cat([packed.index_select(0, index.into_R), torch.tensor([-1])])
        back = rows.index_select(0, index.back_TH)
        assert torch.equal(back[: layout.filled * 3], packed[: layout.filled * 3])
        assert (back[layout.filled * 3 :] == -1).all()


def test_buckets_cover_the_batch_in_order_of_length() -> None:
    random = np.random.default_rng(1)
    for batch in (1, 7, 8, 9, 32, 100):
        lengths = np.sort(random.integers(1, 40, batch))[::-1]
        buckets = cut_buckets(lengths)
        assert [n for bucket in buckets for n in bucket.lengths if n] == lengths.tolist()
        assert all(bucket.lengths[0] <= bucket.length < bucket.lengths[0] + 8 for bucket in buckets)
        assert len(buckets) <= 16
        assert all(bucket.sequences % 4 == 0 for bucket in buckets[1:]), "few distinct shapes"


def test_padded_lengths_are_few_and_never_much_longer() -> None:
    padded = {length: cut_buckets(np.array([length]))[0].length for length in range(1, 2049)}
    assert all(length <= longer < max(length * 1.25, length + 8) for length, longer in padded.items())
    assert len(set(padded.values())) <= 30


@pytest.mark.parametrize("mask", [[[1, 1], [0, 0]], [[0, 1], [1, 1]], [[1, 0, 1]]])
def test_layout_refuses_empty_rows_and_left_padding(mask: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="right-padded"):
        make_layout(torch.tensor(mask))


def real_slots(layout: Layout) -> torch.Tensor:
    return torch.arange(layout.slots) < layout.filled
