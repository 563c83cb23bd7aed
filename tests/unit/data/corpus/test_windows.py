"""Windows over a corpus: every token once, documents known, splits without overlap, mixtures in a fixed order."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.corpus.mixture import JoinedWindows, MixtureSampler
from fathom.data.corpus.store import CorpusStore
from fathom.data.corpus.windows import CorpusWindows, Spans, all_spans, cut_windows, pack_windows, split_spans
from fathom.errors import ConfigError, DataError

LENGTHS = st.lists(st.integers(0, 60), min_size=1, max_size=40).filter(any)
PLANS = pytest.mark.parametrize("plan", [cut_windows, pack_windows])


def store_of(lengths, shard_tokens=37):
    """A store whose n-th token is n, in shards that cut documents."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(offsets[-1], dtype=np.uint32)
    cuts = np.append(np.arange(0, len(ids), shard_tokens), len(ids))
    shards = [ids[begin:end] for begin, end in itertools.pairwise(cuts)]
    return CorpusStore(shards, cuts, offsets, np.ones(len(ids), np.int64), {})


@PLANS
@settings(max_examples=80, deadline=None)
@given(lengths=LENGTHS, size=st.integers(1, 50))
def test_every_token_once_and_no_window_above_its_length(plan, lengths, size):
    store = store_of(lengths)
    windows = CorpusWindows(store, plan(all_spans(store), size))
    seen = []
    for index in range(len(windows)):
        features = windows[index]
        ids, segment = features["input_ids"], features["segment"]
        assert ids.dtype == segment.dtype == np.int32
        assert 0 < len(ids) == len(segment) == windows.lengths[index] <= size
        documents = np.searchsorted(store.document_offsets, ids, side="right") - 1
        # A segment is one stretch of one document.
        for part in range(segment[-1] + 1):
            inside = ids[segment == part]
            assert len(inside) and (np.diff(inside) == 1).all()
            assert len(set(documents[segment == part])) == 1
        seen += ids.tolist()
    assert sorted(seen) == list(range(sum(lengths)))
    assert windows.num_tokens == sum(lengths)


@settings(max_examples=80, deadline=None)
@given(lengths=LENGTHS, room=st.integers(1, 40), overhead=st.integers(1, 3))
def test_cut_windows_leave_room_for_what_stands_around_pieces(lengths, room, overhead):
    store = store_of(lengths)
    plan = cut_windows(all_spans(store), room + overhead, overhead)
    windows = CorpusWindows(store, plan)
    assert np.concatenate([windows[index]["input_ids"] for index in range(len(windows))]).tolist() == list(
        range(sum(lengths))
    )
    taken = plan.lengths + np.diff(plan.window_offsets) * overhead
    assert (taken <= room + overhead).all() and (plan.piece_length > 0).all()
    # No window but the last ends before it is full: one more piece would hold no token.
    assert (taken[:-1] >= room).all()


def one_piece_after_another(sizes, length, overhead):
    """What the cut says, told step by step: (span, tokens) of the pieces of each window."""
    windows, room = [[]], length
    for span, size in enumerate(sizes):
        left = size
        while left:
            if room <= overhead:
                windows.append([])
                room = length
            piece = min(left, room - overhead)
            windows[-1].append((span, piece))
            left -= piece
            room -= piece + overhead
    return [window for window in windows if window]


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(0, 60), max_size=40), room=st.integers(1, 40), overhead=st.integers(1, 5))
def test_windows_are_those_of_one_piece_after_another(lengths, room, overhead):
    sizes = np.array(lengths, dtype=np.int64)
    spans = Spans(np.arange(len(sizes)), np.arange(len(sizes)) * 3, sizes)
    plan = cut_windows(spans, room + overhead, overhead)
    pairs = list(zip(plan.piece_document.tolist(), plan.piece_length.tolist(), strict=True))
    found = [pairs[begin:end] for begin, end in itertools.pairwise(plan.window_offsets.tolist())]
    assert found == one_piece_after_another(lengths, room + overhead, overhead)
    for document in range(len(sizes)):
        mine = plan.piece_document == document
        taken = plan.piece_length[mine]
        assert (plan.piece_start[mine] == document * 3 + np.cumsum(taken) - taken).all()


def test_contiguous_windows_keep_the_order():
    store = store_of([5, 0, 3, 10, 1])
    windows = CorpusWindows(store, cut_windows(all_spans(store), 4))
    assert [windows[index]["input_ids"].tolist() for index in range(len(windows))] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18]
    ]  # fmt: skip
    assert windows[1]["segment"].tolist() == [0, 1, 1, 1]
    assert windows[4]["segment"].tolist() == [0, 0, 1]
    plan = windows.plan
    assert plan.piece_document.tolist() == [0, 0, 2, 3, 3, 3, 4]
    assert plan.piece_start.tolist() == [0, 4, 0, 0, 4, 8, 0]
    assert plan.window_offsets.tolist() == [0, 1, 3, 4, 5, 7]


def test_packing_keeps_short_documents_whole():
    store = store_of([30, 70, 20, 200, 50])
    plan = pack_windows(all_spans(store), 100)
    whole = plan.piece_document[plan.piece_length < 100]
    assert sorted(whole.tolist()) == [0, 1, 2, 4]
    assert sorted(plan.lengths.tolist()) == [70, 100, 100, 100]


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60), fraction=st.sampled_from([0.05, 0.1, 0.3]))
def test_split_is_disjoint_and_near_its_share(lengths, fraction):
    store = store_of(lengths)
    spans = all_spans(store)
    total = sum(lengths)
    if int(total * fraction) < 1:
        with pytest.raises(DataError, match="too few"):
            split_spans(spans, fraction, 7)
        return
    train, held = split_spans(spans, fraction, 7)
    tokens = [
        {token for w in range(len(part)) for token in part[w]["input_ids"].tolist()}
        for part in (CorpusWindows(store, cut_windows(half, 16)) for half in (train, held))
    ]
    assert not tokens[0] & tokens[1]
    assert len(tokens[0]) + len(tokens[1]) == total
    assert int(total * fraction) <= held.num_tokens <= 2 * total * fraction


def test_split_takes_whole_documents_where_there_are_many():
    spans = all_spans(store_of([10] * 100))
    train, held = split_spans(spans, 0.1, 7)
    assert (held.length == 10).all() and len(held.length) == 10
    assert (np.diff(held.document) > 0).all()
    again = split_spans(spans, 0.1, 7)[1]
    assert (again.document == held.document).all()
    assert (split_spans(spans, 0.1, 8)[1].document != held.document).any()
    assert len(train.length) == 90


def test_no_split():
    spans = all_spans(store_of([10, 3]))
    train, held = split_spans(spans, 0, 7)
    assert train is spans and len(held.length) == 0


def test_split_of_one_document_is_its_end():
    train, held = split_spans(all_spans(store_of([1000])), 0.1, 7)
    assert (train.start[0], train.length[0], held.start[0], held.length[0]) == (0, 900, 900, 100)


def test_tokens_across_shards():
    store = store_of([100], shard_tokens=7)
    assert store.tokens(3, 40).tolist() == list(range(3, 40))
    assert store.tokens(7, 14).tolist() == list(range(7, 14))
    assert store.tokens(99, 100).tolist() == [99]
    assert store.tokens(5, 5).tolist() == []


class TestMixture:
    SAMPLER = MixtureSampler(sizes=(10, 7, 40), weights=(2.0, 1.0, 0.25), batch_size=4, seed=3)

    def epoch(self, number, sampler=SAMPLER):
        steps = range(number * sampler.steps_per_epoch, (number + 1) * sampler.steps_per_epoch)
        return np.concatenate([sampler.batch(step) for step in steps])

    def test_counts(self):
        assert self.SAMPLER.counts == (20, 7, 10)
        assert self.SAMPLER.steps_per_epoch == 10
        counts = Counter(self.epoch(0).tolist())
        assert all(counts[index] == 2 for index in range(10))
        assert all(counts[index] == 1 for index in range(10, 17))
        assert sum(counts[index] for index in range(17, 57)) == 10

    def test_epochs_go_on_where_the_one_before_stopped(self):
        seen = np.concatenate([self.epoch(number) for number in range(4)])
        assert sorted(index for index in seen.tolist() if index >= 17) == list(range(17, 57))

    def test_a_step_is_a_function_of_seed_and_step(self):
        steps = [self.SAMPLER.batch(step).tolist() for step in range(40)]
        assert [self.SAMPLER.batch(step).tolist() for step in reversed(range(40))] == steps[::-1]
        assert steps[0] != steps[10]

    def test_joined(self):
        stores = [store_of([20, 3]), store_of([5, 9])]
        joined = JoinedWindows(tuple(CorpusWindows(store, cut_windows(all_spans(store), 8)) for store in stores))
        assert joined.sizes == (3, 2) and len(joined) == 5
        assert joined[3]["input_ids"].tolist() == list(range(8))
        assert joined.lengths.tolist() == [8, 8, 7, 8, 6]
        assert joined.num_tokens == 37
        assert joined.used_ids().tolist() == list(range(23))
        with pytest.raises(IndexError):
            joined[5]

    @pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (-1.0, 1.0), (float("inf"), 1.0)])
    def test_bad_weights(self, weights):
        with pytest.raises(ConfigError, match="weights"):
            MixtureSampler((3, 4), weights, 2, 1)
