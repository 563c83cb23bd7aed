"""Every way to cut many words into pieces, as arrays: forward-backward and best paths over all words at once.

A word of n characters has n + 1 nodes; an edge is a piece between two of them. Words are walked together, by the
place within the word, so a step of numpy covers that place of every word.

Letters: E edges, N nodes, R words (runs), P pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

IntArray = np.ndarray[Any, np.dtype[np.int64]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class _Walk:
    """Edges in the order they are walked, cut into steps and, within a step, into the nodes they arrive at."""

    order_E: IntArray
    steps: tuple[tuple[int, int, IntArray, IntArray, IntArray], ...]
    """First edge, last edge, where each node's edges begin, how many there are, and the nodes."""


@dataclass(frozen=True)
class Lattice:
    """The pieces of many words.

    Attributes:
        start_E: Node each edge leaves.
        end_E: Node each edge arrives at.
        piece_E: Piece of each edge.
        first_R: First node of each word.
        last_R: Last node of each word.
        weight_R: How often each word occurs.
    """

    start_E: IntArray
    end_E: IntArray
    piece_E: IntArray
    first_R: IntArray
    last_R: IntArray
    weight_R: FloatArray

    @cached_property
    def run_N(self) -> IntArray:
        """The word of each node."""
        return np.repeat(np.arange(len(self.first_R)), self.last_R - self.first_R + 1)

    @cached_property
    def _forward(self) -> _Walk:
        return _walk(self.end_E, self.end_E - self.first_R[self.run_N[self.end_E]])

    @cached_property
    def _backward(self) -> _Walk:
        return _walk(self.start_E, self.last_R[self.run_N[self.start_E]] - self.start_E)

    def sorted_by_start(self) -> Lattice:
        """Return the same lattice with its edges in the order of the nodes they leave."""
        order_E = np.lexsort((self.end_E, self.start_E))
        edges = (self.start_E[order_E], self.end_E[order_E], self.piece_E[order_E])
        return Lattice(*edges, self.first_R, self.last_R, self.weight_R)

    def keep(self, kept_P: np.ndarray[Any, np.dtype[np.bool_]]) -> Lattice:
        """Return the lattice of the kept pieces, numbered anew in their order."""
        number_P = np.cumsum(kept_P) - 1
        kept_E = kept_P[self.piece_E]
        return Lattice(
            self.start_E[kept_E],
            self.end_E[kept_E],
            number_P[self.piece_E[kept_E]],
            self.first_R,
            self.last_R,
            self.weight_R,
        )

    def expected(self, score_P: FloatArray) -> FloatArray:
        """Return how often each piece is expected, over all ways to cut every word, given log probabilities."""
        score_E = score_P[self.piece_E]
        alpha_N = self._log_sums(self._forward, score_E, self.start_E)
        beta_N = self._log_sums(self._backward, score_E, self.end_E)
        total_E = alpha_N[self.last_R][self.run_N[self.start_E]]
        share_E = np.exp(alpha_N[self.start_E] + score_E + beta_N[self.end_E] - total_E)
        weight_E: FloatArray = share_E * self.weight_R[self.run_N[self.start_E]]
        return np.bincount(self.piece_E, weight_E, minlength=len(score_P)).astype(np.float64)

    def best(self, score_P: FloatArray) -> tuple[IntArray, IntArray]:
        """Return the pieces of the likeliest cut of every word, as (word, piece) pairs."""
        edge_N = self._best_edges(score_P[self.piece_E])
        runs = np.arange(len(self.first_R))
        node = self.last_R.copy()
        found_runs: list[IntArray] = []
        found_pieces: list[IntArray] = []
        while True:
            going = node > self.first_R[runs]
            runs, node = runs[going], node[going]
            if not len(runs):
                break
            edges = edge_N[node]
            found_runs.append(runs)
            found_pieces.append(self.piece_E[edges])
            node = self.start_E[edges]
        if not found_runs:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate(found_runs), np.concatenate(found_pieces)

    def _log_sums(self, walk: _Walk, score_E: FloatArray, from_E: IntArray) -> FloatArray:
        value_N = np.zeros(len(self.run_N))
        ordered_E, source_E = score_E[walk.order_E], from_E[walk.order_E]
        for first, last, bounds, counts, nodes in walk.steps:
            value = value_N[source_E[first:last]] + ordered_E[first:last]
            highest = np.maximum.reduceat(value, bounds)
            total = np.add.reduceat(np.exp(value - np.repeat(highest, counts)), bounds)
            value_N[nodes] = highest + np.log(total)
        return value_N

    def _best_edges(self, score_E: FloatArray) -> IntArray:
        walk = self._forward
        value_N = np.zeros(len(self.run_N))
        edge_N = np.zeros(len(self.run_N), dtype=np.int64)
        ordered_E, source_E = score_E[walk.order_E], self.start_E[walk.order_E]
        for first, last, bounds, counts, nodes in walk.steps:
            value = value_N[source_E[first:last]] + ordered_E[first:last]
            highest = np.maximum.reduceat(value, bounds)
            # Of equally likely edges the first: what comes out must not hang on chance.
            place = np.where(value == np.repeat(highest, counts), np.arange(first, last), last)
            edge_N[nodes] = walk.order_E[np.minimum.reduceat(place, bounds)]
            value_N[nodes] = highest
        return edge_N


def _walk(node_E: IntArray, step_E: IntArray) -> _Walk:
    order_E = np.lexsort((node_E, step_E))
    node_E, step_E = node_E[order_E], step_E[order_E]
    if not len(node_E):
        return _Walk(order_E, ())
    new_node = np.flatnonzero(np.diff(node_E, prepend=-1) != 0)
    ends = np.append(new_node[1:], len(node_E))
    step_of_node = step_E[new_node]
    new_step = np.flatnonzero(np.diff(step_of_node, prepend=-1) != 0)
    steps = []
    for begin, end in zip(new_step.tolist(), [*new_step[1:].tolist(), len(new_node)], strict=True):
        first, last = int(new_node[begin]), int(ends[end - 1])
        bounds = new_node[begin:end] - first
        steps.append((first, last, bounds, ends[begin:end] - new_node[begin:end], node_E[new_node[begin:end]]))
    return _Walk(order_E, tuple(steps))
