"""Where gradients flow in a model: what each linear layer reads, makes, and must hand back.

Nothing below the lowest trainable parameter has a backward pass. FLOPs and saved activations are both counted from
this one description.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fathom.model import families
from fathom.model.added import Added, find_added
from fathom.model.anatomy import VIRTUAL, Anatomy, Block, Stack, is_linear
from fathom.model.four_bit import four_bit
from fathom.model.ladder import MODULE, LadderSpec, attached
from fathom.model.virtual_tokens import IN_ATTENTION, peft_type


@dataclass(frozen=True)
class Factor:
    """One matrix: a linear layer's own, an adapter's, or one tap of a convolution."""

    inputs: int
    outputs: int
    trains: bool
    input_gradient: bool
    """Whether the backward pass computes the gradient of what it reads."""


@dataclass(frozen=True)
class Unit:
    """One linear layer with the adapters beside it."""

    path: str
    factors: tuple[Factor, ...]
    learns: bool
    """Whether any of its parameters, a bias included, is trainable."""
    uses: float = 1.0
    """Share of the tokens it runs on (experts), or positions per token."""
    added: Added | None = None
    """What a strategy put beside it."""

    @property
    def inputs(self) -> int:
        """Width it reads."""
        return self.factors[0].inputs

    @property
    def outputs(self) -> int:
        """Width it makes."""
        return self.factors[0].outputs

    @property
    def keeps_input(self) -> bool:
        """Whether what it reads must be kept for the backward pass."""
        return any(factor.trains and factor.inputs == self.inputs for factor in self.factors)


@dataclass(frozen=True)
class AttentionFlow:
    """One attention: projections in, two batched products, projection out."""

    projections: tuple[Unit, ...]
    output: Unit
    heads: int
    cross: bool
    """Whether keys and values come from another stack."""
    gradient: bool
    """Whether the products have a backward pass."""

    @property
    def width(self) -> int:
        """Width of all heads together."""
        return self.output.inputs


@dataclass(frozen=True)
class BlockFlow:
    """One block."""

    index: int
    attentions: tuple[AttentionFlow, ...]
    feed_forward: tuple[Unit, ...]
    num_norms: int
    width: int
    gradient: bool
    """Whether its output needs a gradient: something in it or below it learns."""

    @property
    def units(self) -> Iterator[Unit]:
        """Its linear layers, in the order they run."""
        for attention in self.attentions:
            yield from (*attention.projections, attention.output)
        yield from self.feed_forward


@dataclass(frozen=True)
class StackFlow:
    """The blocks of one stack."""

    stack: Stack
    length: int
    source_length: int
    """Positions a cross attention reads."""
    blocks: tuple[BlockFlow, ...]


@dataclass(frozen=True)
class ModelFlow:
    """A whole model."""

    embeddings: tuple[Unit, ...]
    embeddings_learn: bool
    stacks: tuple[StackFlow, ...]
    head: tuple[Unit, ...]
    head_gradient: bool
    """Whether what the head reads needs a gradient."""
    ladder: LadderSpec | None = None
    """The side network that reads what every block makes, where there is one."""


@dataclass
class _State:
    """What is known at one point of the forward pass."""

    gradient: bool
    first_norm: bool


def trace(model: nn.Module, anatomy: Anatomy, length: int) -> ModelFlow:
    """Follow the forward pass of a model and say where its backward pass goes.

    Args:
        model: As the tuning strategy left it; may be on the meta device.
        anatomy: Found in this very model.
        length: Tokens per sequence; a family with a fixed number of positions ignores it.
    """
    config = model.get_submodule(anatomy.prefix.rstrip(".")).config
    norm_first = families.normalises_first(config)
    entering = _entering_gradients(model, anatomy)
    state = _State(entering[0], norm_first)
    source_gradient, source_length = False, length
    stacks: list[StackFlow] = []
    for number, stack in enumerate(anatomy.stacks):
        positions = families.stack_length(config, stack.name, length)
        if number > 0:
            source_gradient, source_length = state.gradient, stacks[-1].length
            state.gradient = entering[number]
        heads = families.num_heads(config, stack.name)
        share = families.expert_share(config)
        blocks = []
        for _ in range(stack.repeats):
            blocks += [_block(model, block, state, (heads, share, source_gradient)) for block in stack.blocks]
        stacks.append(StackFlow(stack, positions, source_length, tuple(blocks)))
    ladder = attached(model)
    below_head = state.gradient or source_gradient or _any_learns(model, anatomy.final) or ladder is not None
    head = [path for path in anatomy.head if path != MODULE]
    return ModelFlow(
        embeddings=tuple(_chain(model, anatomy.embeddings, False)),
        embeddings_learn=any(entering),
        stacks=tuple(stacks),
        head=tuple(_chain(model, head, below_head)),
        head_gradient=below_head,
        ladder=None if ladder is None else ladder.spec,
    )


def _entering_gradients(model: nn.Module, anatomy: Anatomy) -> list[bool]:
    """Whether what enters each stack needs a gradient: virtual tokens enter the first of two, a prefix the second."""
    tables = _any_learns(model, [path for path in anatomy.embeddings if path != VIRTUAL])
    found = [tables] * len(anatomy.stacks)
    if VIRTUAL in anatomy.embeddings:
        reader = -1 if peft_type(model) in IN_ATTENTION else 0
        found[reader] = tables or _any_learns(model, [VIRTUAL])
    return found


def _block(model: nn.Module, block: Block, state: _State, context: tuple[int, float, bool]) -> BlockFlow:
    heads, share, source_gradient = context
    module = model.get_submodule(block.path)
    norms_learn = _any_learns(model, block.norms)
    attentions = []
    for root in block.attention_modules:
        paths = [path for path in block.attention if path.startswith(root + ".")]
        if len(paths) < 2:
            continue
        cross = any(word in f"{root} {type(model.get_submodule(root)).__name__}".lower() for word in _CROSS_WORDS)
        enters = state.gradient or (state.first_norm and norms_learn)
        reads = [enters or (cross and source_gradient and number > 0) for number in range(len(paths) - 1)]
        if cross:  # the query reads this stack, keys and values the other one
            reads = [enters, *[source_gradient] * (len(paths) - 2)]
        projections = tuple(_unit(model, path, needs) for path, needs in zip(paths, reads, strict=False))
        flows = any(reads) or any(unit.learns for unit in projections)
        output = _unit(model, paths[-1], flows)
        attentions.append(AttentionFlow(projections, output, heads, cross, flows))
        state.gradient = state.gradient or flows or output.learns or norms_learn
    units = _feed_forward(model, block, state.gradient or (state.first_norm and norms_learn), share)
    learns = any(parameter.requires_grad for parameter in module.parameters())
    state.gradient = state.gradient or learns
    width = attentions[0].output.outputs if attentions else (units[-1].outputs if units else 0)
    return BlockFlow(block.index, tuple(attentions), tuple(units), len(block.norms), width, state.gradient)


_CROSS_WORDS = ("cross", "encoder_attn", "encdec")


def _feed_forward(model: nn.Module, block: Block, enters: bool, share: float) -> list[Unit]:
    units: list[Unit] = []
    below = enters
    for number, path in enumerate(block.feed_forward):
        last = number == len(block.feed_forward) - 1
        units.append(_unit(model, path, below if last else enters))
        below = below or units[-1].learns
    experts = [
        (name, parameter)
        for name, parameter in model.get_submodule(block.path).named_parameters()
        if parameter.dim() == 3 and "expert" in name
    ]
    for name, parameter in experts:
        count, first, second = parameter.shape
        factor = Factor(first, second, parameter.requires_grad, below)
        units.append(Unit(f"{block.path}.{name}", (factor,), parameter.requires_grad, share * count))
        below = below or parameter.requires_grad
    return units


def _chain(model: nn.Module, roots: Sequence[str], enters: bool) -> list[Unit]:
    """Linear layers and convolutions outside the blocks, one reading the other."""
    units: list[Unit] = []
    gradient = enters
    # a projection beside the tables reads what they look up; a convolution reads pixels or sound
    modules = [module for root in roots for module in model.get_submodule(root).modules()]
    looked_up = any(_learns(module) for module in modules if isinstance(module, nn.Embedding))
    for root in roots:
        for path, module in _projections(model.get_submodule(root), root):
            gradient = gradient or (looked_up and is_linear(module))
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                weight = module.weight
                factor = Factor(weight[0].numel(), weight.shape[0], weight.requires_grad, gradient)
                units.append(Unit(path, (factor,), _learns(module)))
            else:
                units.append(_unit(model, path, gradient))
            gradient = gradient or units[-1].learns
    return units


def _projections(module: nn.Module, path: str) -> list[tuple[str, nn.Module]]:
    if is_linear(module) or isinstance(module, nn.Conv1d | nn.Conv2d):
        return [(path, module)]
    found = []
    for name, child in module.named_children():
        if name != "original_module":  # PEFT keeps the untrained copy of a saved module; it does not run
            found += _projections(child, f"{path}.{name}")
    return found


def _unit(model: nn.Module, path: str, input_gradient: bool) -> Unit:
    module = model.get_submodule(path)
    # entries of a weight that learn beside it take their gradient from that of the whole
    entries = any(name in _ENTRIES for name, _ in module.named_parameters(recurse=False))
    factors: list[Factor] = []
    for name, child in module.named_modules():
        weight = dict(child.named_parameters(recurse=False)).get("weight")
        if weight is None or weight.dim() != 2 or not is_linear(child):
            continue
        inputs, outputs = _sides(child, weight)
        second = any(mark in f".{name}." for mark in _SECOND)
        trains = weight.requires_grad or entries
        factors.append(Factor(int(inputs), int(outputs), trains, input_gradient or second))
    if not factors:
        return Unit(path, (), _learns(module))
    added = find_added(module, factors[0].inputs)
    factors += _bare_factors(module, factors[0], input_gradient)
    return Unit(path, tuple(factors), _learns(module), added=added)


_ENTRIES = ("sparse_values", "diff_values")
_SECOND = (".lora_B.", ".adapter_up.")
"""Adapter layers that read what a trainable layer made."""


def _sides(linear: nn.Module, weight: Tensor) -> tuple[int, int]:
    """Return what a linear layer reads and makes; a weight in 4 bits is packed into another shape."""
    packed = four_bit(linear)
    if packed is not None:
        return packed.inputs, packed.outputs
    first, second = weight.shape
    return (first, second) if type(linear).__name__ == "Conv1D" else (second, first)


def _bare_factors(module: nn.Module, own: Factor, input_gradient: bool) -> list[Factor]:
    """Adapters whose matrices are no linear layers: AdaLoRA's parameters, VeRA's shared random matrices."""
    found = []
    named = dict(module.named_parameters())
    for name, tensor in named.items():
        if tensor.dim() == 2 and name.startswith("lora_A.") and not name.endswith(".weight"):
            found.append(Factor(own.inputs, tensor.shape[0], tensor.requires_grad, input_gradient))
            found.append(Factor(tensor.shape[0], own.outputs, tensor.requires_grad, True))
        elif name.startswith("vera_lambda_d."):
            found.append(Factor(own.inputs, tensor.shape[0], False, input_gradient))
            found.append(Factor(tensor.shape[0], own.outputs, False, True))
    return found


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _any_learns(model: nn.Module, paths: Sequence[str]) -> bool:
    return any(_learns(model.get_submodule(path)) for path in paths)
