"""The ledger: what every block and component of a model costs, before a run.

Parameters, trainable parameters, operations and bytes, under the tuning strategy that was applied to the model. Works
on the meta device: a model of 70 billion parameters takes no memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any

from torch import nn

from fathom.model import families
from fathom.model.anatomy import COMPONENTS, Anatomy, find_anatomy
from fathom.model.flops import Flops, Place, count_flops
from fathom.model.flow import ModelFlow, trace
from fathom.model.four_bit import four_bit_weights
from fathom.model.gradients_at_once import gradients_at_once, is_tied
from fathom.model.head_memory import buffer_bytes, table_copy_bytes
from fathom.model.heap import heap_bytes
from fathom.model.kept import Kept, kept_bytes
from fathom.model.memory import (
    LIBRARY_BYTES,
    PROCESS_BYTES,
    RECOMPUTED_SLACK,
    SCORING_SLACK,
    SLACK_SHARE,
    Memory,
    MicroBatch,
    Setting,
)
from fathom.model.prepared import Layouts, micro_batch_layouts, prepared_bytes
from fathom.model.sparse_update import updated_projections
from fathom.model.working import scoring_bytes, working_bytes

StateBytes = Callable[[Sequence[int], Place], int]
"""Bytes an optimizer keeps for a trained parameter of a shape at a place."""


@dataclass(frozen=True)
class Course:
    """What is known of a run beside its largest pass."""

    training: Layouts
    """Shapes of its passes."""
    scoring: Layouts | None = None
    """Shapes of the passes of an evaluation."""
    scored: MicroBatch | None = None
    """The largest pass of an evaluation."""
    slack_share: float | None = None
    """What the allocator keeps of a step without checkpointing; None for what is usual in its precision."""


@dataclass(frozen=True)
class Row:
    """One component of one block, or of what is beside the blocks (depth None)."""

    depth: int | None
    component: str
    parameters: int
    trainable: int
    forward_flops: int
    """For one sequence."""
    backward_flops: int
    weight_bytes: int
    copy_bytes: int
    gradient_bytes: int
    """While they are there."""
    optimizer_bytes: int
    activation_bytes: int

    @property
    def cost(self) -> tuple[int, ...]:
        """Everything but the depth: equal blocks have equal costs."""
        numbers: tuple[int, ...] = astuple(self)[2:]
        return numbers


@dataclass(frozen=True)
class Ledger:
    """Costs of a whole model under one strategy."""

    rows: tuple[Row, ...]
    num_blocks: int
    depth: int
    """Blocks a token passes through, shared ones as often as they run."""
    width: int
    length: int
    micro_batch: MicroBatch
    setting: Setting
    memory: Memory
    heap: int
    """Bytes of a step whose blocks, once freed, leave holes."""

    @property
    def parameters(self) -> int:
        """All parameters, shared ones once."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """Parameters that learn."""
        return sum(row.trainable for row in self.rows)

    @property
    def forward_flops(self) -> int:
        """Operations of one sequence's forward pass."""
        return sum(row.forward_flops for row in self.rows)

    @property
    def backward_flops(self) -> int:
        """Operations of one sequence's backward pass."""
        return sum(row.backward_flops for row in self.rows)

    def block_rows(self, depth: int) -> tuple[Row, ...]:
        """The components of one block."""
        return tuple(row for row in self.rows if row.depth == depth)

    def block_groups(self) -> list[tuple[int, int]]:
        """Runs of neighbouring blocks whose every cost is equal, as (first, last)."""
        groups: list[tuple[int, int]] = []
        for depth in range(self.num_blocks):
            costs = [(row.component, row.cost) for row in self.block_rows(depth)]
            if groups and costs == [(row.component, row.cost) for row in self.block_rows(groups[-1][0])]:
                groups[-1] = (groups[-1][0], depth)
            else:
                groups.append((depth, depth))
        return groups

    def to_text(self) -> str:
        """Return the ledger as an aligned table, equal blocks in one line, and the memory by kind."""
        from fathom.model.ledger_text import ledger_text

        return ledger_text(self)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; FLOPs are of one sequence of `length` tokens."""
        return {
            "blocks": self.num_blocks,
            "depth": self.depth,
            "width": self.width,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "trainable_share": self.trainable / max(self.parameters, 1),
            "length": self.length,
            "flops": {"forward": self.forward_flops, "backward": self.backward_flops},
            "flops_per_token": {
                "forward": self.forward_flops / self.length,
                "backward": self.backward_flops / self.length,
            },
            "memory": self.memory.to_json(),
            "micro_batch": asdict(self.micro_batch),
            "setting": asdict(self.setting),
            "rows": [asdict(row) for row in self.rows],
        }


def build_ledger(
    model: nn.Module,
    micro_batch: MicroBatch,
    setting: Setting | None = None,
    state_bytes: StateBytes | None = None,
    course: Course | None = None,
) -> Ledger:
    """Count the costs of a model as a tuning strategy left it.

    Args:
        model: A transformers model or a PEFT model around one, on any device.
        micro_batch: One micro-batch.
        setting: Precision and what else decides the bytes.
        state_bytes: What the optimizer keeps; left out, `setting.moments` float32 numbers for each parameter.
        course: Of the run; left out, passes like this one and no evaluation.
    """
    setting = setting or Setting()
    course = course or Course(micro_batch_layouts(micro_batch))
    anatomy = find_anatomy(model)
    config = model.get_submodule(anatomy.prefix.rstrip(".")).config
    flow = trace(model, anatomy, micro_batch.length)
    if setting.head_positions is None:
        setting = replace(setting, head_positions=_head_positions(model, anatomy, micro_batch.length))
    head_positions = setting.head_positions or micro_batch.length
    flops = count_flops(flow, config, head_positions=head_positions, recompute=setting.checkpointing)
    flops = {place: found for place, found in flops.items() if runs_at(place, setting)}
    kept = kept_bytes(flow, config, micro_batch, setting)
    states = _states(model, anatomy, (setting, state_bytes), families.vocabulary_size(config))
    states[None, "head"].copies += table_copy_bytes(flow, setting)
    places = sorted({*states, *flops, *kept}, key=_order)
    rows = tuple(_row(place, states.get(place, _State()), flops.get(place), kept.get(place)) for place in places)
    passing = _passing(flow, config, micro_batch, setting, course)
    share = SLACK_SHARE[setting.precision] if course.slack_share is None else course.slack_share
    share *= RECOMPUTED_SLACK if setting.checkpointing else 1.0
    heap = heap_bytes(flow, kept, micro_batch, setting, passing.working)
    if setting.passing_gradients:
        passing = _with_gradients(passing, rows, tied=is_tied(model, anatomy))
    return Ledger(
        rows=tuple(row for row in rows if any(row.cost)),
        num_blocks=len(anatomy.blocks),
        depth=anatomy.depth,
        width=flow.stacks[0].blocks[0].width,
        length=micro_batch.length,
        micro_batch=micro_batch,
        setting=setting,
        memory=_memory(rows, kept, passing, round(share * heap)),
        heap=heap,
    )


@dataclass(frozen=True)
class _Passing:
    """What no place of the model has to itself."""

    working: int
    prepared: int
    scoring: int
    """What scoring takes, or the end of the backward pass, where little else is left."""
    gradients_pass: bool = False


def _passing(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting, course: Course) -> _Passing:
    scoring = 0
    if course.scored is not None:
        buffers = max(buffer_bytes(flow, part, setting) for part in (micro_batch, course.scored))
        scoring = buffers + scoring_bytes(flow, config, course.scored, setting)
    prepared = prepared_bytes(flow, setting, course.training, course.scoring)
    return _Passing(working_bytes(flow, config, micro_batch, setting), prepared, scoring)


def _with_gradients(passing: _Passing, rows: Sequence[Row], *, tied: bool) -> _Passing:
    """Add the gradients that are there at once, where each block's are freed by its update."""
    found = gradients_at_once({(row.depth, row.component): row.gradient_bytes for row in rows}, tied=tied)
    return replace(
        passing, working=passing.working + found.top, scoring=max(passing.scoring, found.end), gradients_pass=True
    )


def runs_at(place: Place, setting: Setting) -> bool:
    """Whether a place runs, or lies below what a cache stands for."""
    depth, component = place
    return depth >= setting.first_block if depth is not None else component != "embeddings" or not setting.first_block


def _head_positions(model: nn.Module, anatomy: Anatomy, length: int) -> int:
    """Positions of a sequence the head runs on: one pooled vector, or all (decoders score every position)."""
    name = type(model.get_submodule(anatomy.prefix.rstrip("."))).__name__
    pooled = "For" not in name or name.endswith(("ForSequenceClassification", "ForImageClassification"))
    only_decoder = len(anatomy.stacks) == 1 and anatomy.stacks[0].name == "decoder"
    return 1 if pooled and not only_decoder else length


@dataclass
class _State:
    """Parameters and the bytes that stay through a run, of one place."""

    parameters: int = 0
    trainable: int = 0
    weights: int = 0
    copies: int = 0
    gradients: int = 0
    optimizer: int = 0


def _states(
    model: nn.Module, anatomy: Anatomy, keeping: tuple[Setting, StateBytes | None], vocabulary: int | None
) -> dict[Place, _State]:
    setting, state_bytes = keeping
    found: dict[Place, _State] = defaultdict(_State)
    packed = four_bit_weights(model)
    updates = updated_projections(model)
    added_up = {f"{path}.base_layer.weight" for path in updates}
    low = setting.precision == "bf16"
    for name, parameter in model.named_parameters():
        depth, component = anatomy.component_of(name)
        state = found[depth, component]
        if name in packed:  # read as it is, without a low-precision copy
            state.parameters += packed[name].numbers
            state.weights += packed[name].weight_bytes
            continue
        count = parameter.numel()
        state.parameters += count
        state.weights += 4 * count
        in_block = depth is not None and depth >= setting.first_block and parameter.dim() >= 2
        if not parameter.requires_grad:
            state.copies += 2 * count if in_block and low and name not in added_up else 0
            continue
        state.trainable += count
        shape: Sequence[int] = parameter.shape
        rows = setting.trainable_vocabulary
        if rows is not None and component == "embeddings" and parameter.dim() == 2 and parameter.shape[0] == vocabulary:
            shape = (rows, parameter.shape[1])
            count = rows * parameter.shape[1]
            state.copies += 4 * count
        state.copies += 2 * count if low and not updates else 0
        state.gradients += 4 * count
        state.optimizer += state_bytes(shape, (depth, component)) if state_bytes else 4 * setting.moments * count
    return found


def _row(place: Place, state: _State, flops: Flops | None, kept: Kept | None) -> Row:
    flops, kept = flops or Flops(), kept or Kept()
    return Row(
        depth=place[0],
        component=place[1],
        parameters=state.parameters,
        trainable=state.trainable,
        forward_flops=flops.forward,
        backward_flops=flops.backward,
        weight_bytes=state.weights,
        copy_bytes=state.copies,
        gradient_bytes=state.gradients,
        optimizer_bytes=state.optimizer,
        activation_bytes=kept.activations + kept.attention,
    )


def _memory(rows: tuple[Row, ...], kept: dict[Place, Kept], passing: _Passing, slack: int) -> Memory:
    blocks = [item for (depth, _), item in kept.items() if depth is not None]
    activations = sum(item.activations for item in blocks)
    attention = sum(item.attention for item in blocks)
    outside = sum(item.activations + item.attention for (depth, _), item in kept.items() if depth is None)
    step = activations + attention + outside + passing.working
    gradients = 0 if passing.gradients_pass else sum(row.gradient_bytes for row in rows)
    states = sum(row.weight_bytes + row.copy_bytes + row.optimizer_bytes for row in rows) + gradients
    # weights are read in float32, and packed afterwards
    loading = 4 * sum(row.parameters for row in rows) - states - step
    return Memory(
        process=PROCESS_BYTES + LIBRARY_BYTES,
        weights=sum(row.weight_bytes for row in rows),
        copies=sum(row.copy_bytes for row in rows),
        gradients=gradients,
        optimizer=sum(row.optimizer_bytes for row in rows),
        activations=activations,
        attention=attention,
        outside=outside,
        working=passing.working,
        prepared=passing.prepared,
        slack=slack,
        elsewhere=max(0, loading, round((1 + SCORING_SLACK) * passing.scoring - step - slack)),
    )


def _order(place: Place) -> tuple[int, int]:
    depth, component = place
    rank = COMPONENTS.index(component) if component in COMPONENTS else len(COMPONENTS)
    if depth is not None:
        return depth + 1, rank
    return (0, rank) if component == "embeddings" else (1 << 30, rank)
