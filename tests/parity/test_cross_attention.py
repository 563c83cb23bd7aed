"""Attention between two packed batches equals attention of each sequence by itself: values, gradients, dropout."""

from __future__ import annotations

import pytest
import torch

from fathom.model.attention import AttentionOptions
from fathom.model.cross_attention import CrossAttention, Crossing
from fathom.model.dropout import DropoutSource
from fathom.model.layout import make_layout

HEADS, WIDTH = 3, 4
QUERIES, KEYS = (9, 1, 17, 4, 4, 12, 6, 2, 3, 30, 5), (3, 26, 8, 1, 15, 2, 9, 9, 40, 7, 11)


def layout_of(lengths):
    return make_layout((torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long())


def packed_heads(layout, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(layout.slots, HEADS, WIDTH, generator=generator, requires_grad=True)


def slots_of(layout, lengths):
    """The packed slots of each row."""
    place = {int(row): slot for slot, row in enumerate(layout.rows_T[: layout.filled].tolist())}
    return [[place[number * layout.padded_length + at] for at in range(n)] for number, n in enumerate(lengths)]


def one_by_one(query, key, value, table, sides, causal):
    (queries, query_slots), (_, key_slots) = sides
    output = torch.zeros(queries.slots, HEADS, WIDTH)
    for own, seen in zip(query_slots, key_slots, strict=True):
        scores = torch.einsum("qhk,shk->hqs", query[own], key[seen]) * 0.5
        distance = torch.arange(len(seen)) - torch.arange(len(own))[:, None]
        if table is not None:
            scores = scores + table[:, distance + (table.shape[1] + 1) // 2 - 1]
        if causal:
            scores = scores.masked_fill(distance > 0, float("-inf"))
        output = output.index_put((torch.tensor(own),), torch.einsum("hqs,shk->qhk", scores.softmax(-1), value[seen]))
    return output


@pytest.mark.parametrize(("own", "causal", "biased"), [(False, False, False), (True, False, True), (True, True, True)])
def test_values_and_gradients(own, causal, biased):
    queries = layout_of(QUERIES)
    keys = queries if own else layout_of(KEYS)
    sides = ((queries, slots_of(queries, QUERIES)), (keys, slots_of(keys, QUERIES if own else KEYS)))
    reach = max(bucket.length for bucket in queries.buckets)
    table = torch.randn(HEADS, 2 * reach - 1, generator=torch.Generator().manual_seed(4)) if biased else None
    inputs = [packed_heads(queries, 1), packed_heads(keys, 2), packed_heads(keys, 3)]
    inputs += [table.requires_grad_()] if biased else []
    options = AttentionOptions(0.5, causal)

    def fused(*given):
        return CrossAttention.apply(
            *given[:3], given[3] if biased else None, Crossing.of(queries, keys), (options, None)
        )

    def plain(*given):
        return one_by_one(*given[:3], given[3] if biased else None, sides, causal)

    weight = torch.randn(queries.slots, HEADS, WIDTH, generator=torch.Generator().manual_seed(9))
    weight[queries.filled :] = 0  # nothing asks for what slack slots hold
    found, wanted = fused(*inputs), plain(*inputs)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    mine = torch.autograd.grad((found * weight).sum(), inputs)
    theirs = torch.autograd.grad((wanted * weight).sum(), inputs)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("source", [None, DropoutSource()], ids=["torch", "source"])
def test_dropout_keeps_the_mean_and_its_gradient_is_that_of_the_same_mask(source):
    queries, keys = layout_of(QUERIES), layout_of(KEYS)
    query, key, value = packed_heads(queries, 1), packed_heads(keys, 2), packed_heads(keys, 3)
    options = AttentionOptions(0.5, dropout=0.25)

    def run(value):
        torch.manual_seed(5)
        if source is not None:
            source.start(5, 0, 0)
        return CrossAttention.apply(query, key, value, None, Crossing.of(queries, keys), (options, source))

    found = run(value)
    assert torch.equal(found, run(value))
    (gradient,) = torch.autograd.grad((found * found.detach()).sum(), value)
    # linear in the values: the gradient of <f(v), f(v0)> at v0, along v0 itself, is <f(v0), f(v0)>
    torch.testing.assert_close((gradient * value).sum(), (found * found).sum(), rtol=1e-4, atol=1e-4)
    ones = torch.ones_like(value)
    kept = run(ones)[: queries.filled].detach()
    assert kept.std() > 0.05
    assert abs(kept.mean().item() - 1.0) < 0.05
