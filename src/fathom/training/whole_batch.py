"""The gradient of a loss that compares the sequences of a batch with each other, where memory cuts the batch.

The loss is a function of what the task reads from the model's output (a vector for each text, say), and that is small.
So every part goes through the model once and only its vectors are kept; the loss of all of them gives the gradient by
each vector; then every part goes through the model again, under the same dropout masks, and its own share of that
gradient is carried on. The result is the gradient of the whole batch, whatever the cut (but for the masks, which are
drawn part by part as everywhere).

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (GradCache), 2021, arXiv
2101.06983.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fathom.model.dropout import DropoutSource
from fathom.tasks.base import Batch
from fathom.training.forward import Runner


class MaskDraws:
    """Lets a part of a batch draw the same dropout masks each time it goes through the model.

    What draws from torch's generators beside the source (gates, PEFT's dropout) draws the same again too.

    Args:
        source: Where masks come from; None where torch's generators are used.
        seed: Of dropout.
        step: Counted from 0.
    """

    def __init__(self, source: DropoutSource | None, seed: int, step: int) -> None:
        self.source, self.seed, self.step = source, seed, step
        self._states: dict[int, list[Tensor]] = {}

    def start(self, index: int) -> None:
        """Begin the forward pass of a part."""
        if self.source is not None:
            self.source.start(self.seed, self.step, index)
        if index not in self._states:
            self._states[index] = [torch.get_rng_state()]
            if torch.cuda.is_available():
                self._states[index].append(torch.cuda.get_rng_state())
            return
        torch.set_rng_state(self._states[index][0])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(self._states[index][1])


def add_gradient_of_whole(runner: Runner, batches: Sequence[Batch], draws: MaskDraws) -> float:
    """Add the gradient of a batch that is cut into parts; returns its loss.

    The last part's graph is kept while the loss is computed, so it goes through the model once.
    """
    task = runner.task
    vectors: list[Tensor] = []
    last = None
    for index, batch in enumerate(batches):
        draws.start(index)
        placed = runner.place(batch)
        last = None  # the graph of the part before goes first
        # with its graph, though it is thrown away: without one, modules read other weights (see model.compute)
        last = runner.read(placed)
        vectors.append(last.detach())
    draws.start(len(batches))
    assert last is not None
    joined = task.join(batches)
    found = torch.cat(vectors).requires_grad_()
    joined = {name: value.to(found.device) for name, value in joined.items()}
    loss = task.loss(found, joined).total / (task.normalizer(joined) or 1.0)
    loss.backward()
    assert found.grad is not None
    shares = found.grad.split([len(part) for part in vectors])
    last.backward(shares[-1])
    for index, batch in enumerate(batches[:-1]):
        draws.start(index)
        placed = runner.place(batch)
        runner.read(placed).backward(shares[index])
    draws.start(len(batches))  # the next step goes on where this one's first passes ended
    return loss.item()
