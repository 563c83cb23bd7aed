"""The written-out backward of fused attention equals autograd's; slack slots and neighbours have no influence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fathom.model.attention import AttentionOptions, FusedAttention, attend
from fathom.model.dropout import DropoutSource, apply_mask
from fathom.model.layout import Layout, make_layout, plan_buckets

LENGTHS = (11, 3, 1, 8, 8, 5)


def layout_of(lengths: tuple[int, ...] = LENGTHS) -> Layout:
    longest = max(lengths)
    return make_layout(torch.tensor([[1] * n + [0] * (longest - n) for n in lengths]))


def heads(layout: Layout, number: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(number, layout.slots, 8, generator=generator, dtype=dtype).requires_grad_()


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
        torch.testing.assert_close(got[:, real], wanted[:, real], rtol=1e-5, atol=1e-6)


def test_fused_dropout_is_the_masked_formula() -> None:
    layout = layout_of((4, 4))
    options = AttentionOptions(scaling=0.5, dropout=0.25)
    query, key, value = (heads(layout, 2, torch.float32) for _ in range(3))
    source = DropoutSource()
    source.start(1, 2, 3)
    output = FusedAttention.apply(query, key, value, layout, options, source)
    grads = torch.autograd.grad(output.sum(), (query, key, value))
    source.start(1, 2, 3)
    keep = source.mask((4, 4, 4), 0.25).ne(0).view(2, 2, 4, 4)
    split = [tensor[:, :8].unflatten(1, (2, 4)).transpose(0, 1) for tensor in (query, key, value)]
    weights = torch.softmax(split[0] @ split[1].transpose(-1, -2) * 0.5, -1) * keep / 0.75
    wanted = (weights @ split[2]).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(output[:8], wanted)
    assert output[8:].abs().sum() == 0
    for got, expected in zip(grads, torch.autograd.grad(wanted.sum(), (query, key, value)), strict=True):
        torch.testing.assert_close(got, expected)


def test_a_sequence_is_blind_to_its_neighbours() -> None:
    layout = layout_of()
    options = AttentionOptions(scaling=0.3)
    query, key, value = (heads(layout, 2) for _ in range(3))
    before = attend(query, key, value, layout, options)
    changed = value.detach().clone()
    first = layout.buckets[0]
    changed[:, first.start : first.start + first.length] += 100.0
    after = attend(query, key, changed, layout, options)
    assert not torch.equal(before[: first.length], after[: first.length])
    torch.testing.assert_close(before[first.length :], after[first.length :], rtol=0, atol=0)


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


def test_buckets_hold_every_token_once_and_cost_least() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        lengths = random.integers(1, 90, random.integers(1, 20))
        layout = layout_of(tuple(int(n) for n in lengths))
        rows = layout.rows_T[real_slots(layout)]
        wanted = [row * layout.padded_length + j for row, n in enumerate(lengths) for j in range(n)]
        assert sorted(rows.tolist()) == wanted
        assert layout.tokens == lengths.sum()


def test_bucket_plan_equals_exhaustive_search() -> None:
    random = np.random.default_rng(1)
    for _ in range(30):
        lengths = np.sort(random.integers(1, 40, 8))[::-1]

        def cost(runs: list[tuple[int, int]], lengths: np.ndarray = lengths) -> int:
            return sum(int(lengths[a]) * (b - a) + 12 for a, b in runs)

        best = min(
            cost(list(zip([0, *cuts], [*cuts, 8], strict=True)))
            for bits in range(128)
            for cuts in [[i + 1 for i in range(7) if bits >> i & 1]]
        )
        assert cost(plan_buckets(lengths)) == best


@pytest.mark.parametrize("mask", [[[1, 1], [0, 0]], [[0, 1], [1, 1]], [[1, 0, 1]]])
def test_layout_refuses_empty_rows_and_left_padding(mask: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="right-padded"):
        make_layout(torch.tensor(mask))


def real_slots(layout: Layout) -> torch.Tensor:
    parts = []
    for bucket in layout.buckets:
        lengths = torch.tensor(bucket.lengths)
        parts.append((torch.arange(bucket.length) < lengths[:, None]).flatten())
    return torch.cat([*parts, torch.zeros(layout.slots - layout.filled, dtype=torch.bool)])
