"""What the average step of a run takes where parts of the model learn in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fathom.model.ledger import Ledger
from fathom.model.memory import MicroBatch
from fathom.model.steptime import StepWork, mean_work, step_work
from fathom.runs.prepare import PreparedModel
from fathom.training.loop import Plan
from fathom.training.settings import Training
from fathom.training.step import Workload


def average_work(
    prepared: PreparedModel,
    ledger: Ledger,
    again: Callable[[], Ledger],
    steps: Sequence[Sequence[MicroBatch]],
    training: Training,
) -> StepWork:
    """Return the work of an average step; each stage counts by the steps in which it is the lowest that learns.

    Args:
        prepared: The model, ready.
        ledger: Of one of its passes.
        again: Makes the ledger of that pass anew, of the model as it is at that moment.
        steps: Some steps of the run, each given as its passes.
        training: Resolved; says how many steps there are, and what an update takes.
    """
    found = []
    num_steps = Plan.of(training, prepared.work.num_sequences).total_steps
    for lowest, share in stage_shares(prepared.work, num_steps).items():
        with _learning_from(prepared.work, lowest) as fewer:
            updated = [
                (slot.shape, prepared.anatomy.component_of(name))
                for name, slot in prepared.work.parameters.slots.items()
                if slot.parameter.requires_grad
            ]
            work = step_work(
                prepared.model,
                again() if fewer else ledger,
                steps,
                packed=prepared.work.packed.packed,
                update_flops=sum(training.optimizer.update_flops(*parameter) for parameter in updated),
                update_bytes=sum(training.optimizer.update_bytes(*parameter) for parameter in updated),
            )
            found.append((share, work))
    return mean_work(found)


def stage_shares(work: Workload, num_steps: int) -> dict[int, float]:
    """Return the share of all steps in which each stage is the lowest that learns, as it is known before the first.

    Where the gradients will decide (`auto-freezing`) that is all steps for the lowest stage there is now.
    """
    if work.stages is None:
        return {0: 1.0}
    lowest = Counter(work.stages.lowest(step, num_steps) for step in range(num_steps))
    return {stage: count / num_steps for stage, count in lowest.items()}


@contextmanager
def _learning_from(work: Workload, lowest: int) -> Iterator[bool]:
    """Let no parameter below a stage have a gradient for a moment, its buffers untouched; says whether any had one."""
    keys, still = work.parameters.keys, []
    for slot in work.parameters.slots.values():
        if keys[slot.group].stage < lowest and slot.parameter.requires_grad:
            slot.parameter.requires_grad_(False)
            still.append(slot.parameter)
    try:
        yield bool(still)
    finally:
        for parameter in still:
            parameter.requires_grad_()
