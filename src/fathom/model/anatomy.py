"""Find the parts of any transformers model: embeddings, stacks of blocks, projections, norms, head.

Found by looking (a `ModuleList` of `GradientCheckpointingLayer` is a stack), told by `families.py` where looking is
not enough. The only module, with `families.py`, that may guess with `getattr`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from fathom.errors import ModelError
from fathom.model.families import Family, family_of, writes_only

Component = Literal["embeddings", "attention", "feed-forward", "norm", "head", "final", "other"]
COMPONENTS: tuple[Component, ...] = ("embeddings", "attention", "feed-forward", "norm", "final", "head", "other")

VIRTUAL = "prompt_encoder"
"""Where PEFT keeps virtual tokens, beside the model."""
_PEFT_PREFIX = "base_model.model."
_HEAD_WORDS = ("pooler", "head", "classifier", "score", "cls", "qa_outputs", "proj_out", "logits", "predict")
_EMBEDDING_WORDS = ("embed", "wte", "wpe", "shared", "position", "patch")


@dataclass(frozen=True)
class Block:
    """One transformer layer."""

    path: str
    index: int
    """Depth from the input, counted through every stack: a decoder's blocks come after its encoder's."""
    attention: tuple[str, ...]
    """Paths of the attention's linear layers."""
    feed_forward: tuple[str, ...]
    """Paths of the feed-forward's linear layers."""
    norms: tuple[str, ...]
    attention_modules: tuple[str, ...] = ()
    """Paths of the modules whose parameters count as attention."""


@dataclass(frozen=True)
class Stack:
    """Blocks that run one after the other."""

    name: Literal["encoder", "decoder"]
    path: str
    """Path of the ModuleList."""
    blocks: tuple[Block, ...]
    repeats: int = 1
    """How often the stored blocks run in turn; above 1 where blocks share their weights (ALBERT)."""


@dataclass(frozen=True)
class Anatomy:
    """The parts of one model, as module paths valid in the model it was found in."""

    embeddings: tuple[str, ...]
    stacks: tuple[Stack, ...]
    head: tuple[str, ...]
    """Everything the task adds after the body, the pooler included."""
    final: tuple[str, ...]
    """Norms after the last block of a stack."""
    prefix: str = ""
    """Path of the transformers model inside its wrappers, with a trailing dot; empty without a wrapper."""
    exceptions: Mapping[str, str] = field(default_factory=dict)
    """Component of the parameters whose name contains the key; told by the family."""
    _places: Mapping[str, tuple[int | None, str]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block of every stack, by depth."""
        return tuple(block for stack in self.stacks for block in stack.blocks)

    @property
    def depth(self) -> int:
        """Blocks a token passes through, shared ones as often as they run."""
        return sum(len(stack.blocks) * stack.repeats for stack in self.stacks)

    def component_of(self, parameter_name: str) -> tuple[int | None, str]:
        """Return (block depth or None, component) of a parameter; names with and without PEFT's prefix are known."""
        name = self._in_model(parameter_name)
        for part, component in self.exceptions.items():
            if part in name:
                return None, component
        path = name
        while path:
            place = self._places.get(path)
            if place is not None:
                return place
            path = path.rpartition(".")[0]
        return None, _component_by_name(name)

    def _in_model(self, name: str) -> str:
        if name.startswith(f"{VIRTUAL}."):
            return name
        if self.prefix and not name.startswith(self.prefix):
            return self.prefix + name
        if not self.prefix and name.startswith(_PEFT_PREFIX):
            return name.removeprefix(_PEFT_PREFIX)
        return name


def find_anatomy(model: nn.Module) -> Anatomy:
    """Find the parts of a transformers model, wrapped by PEFT or not, on any device.

    Raises:
        ModelError: No stack of blocks.
    """
    prefix, inner = _inner_model(model)
    config = getattr(inner, "config", None)
    family = family_of(config)
    repeats = int(getattr(config, family.repeats_key)) if family.repeats_key else 1
    stacks = _find_stacks(inner, prefix, family, repeats)
    if not stacks:
        raise ModelError(
            "no stack of transformer blocks was found in this model",
            where=type(inner).__name__,
            mend="add its family to fathom/model/families.py",
        )
    outside = _outside(inner, prefix, {stack.path for stack in stacks})
    if prefix and VIRTUAL in dict(model.named_children()):
        outside[VIRTUAL] = "embeddings"
    places: dict[str, tuple[int | None, str]] = {path: (None, component) for path, component in outside.items()}
    for stack in stacks:
        for block in stack.blocks:
            places[block.path] = (block.index, "feed-forward")
            places |= {path: (block.index, "attention") for path in block.attention_modules}
            places |= {path: (block.index, "norm") for path in block.norms}
    return Anatomy(
        embeddings=_of(outside, "embeddings"),
        stacks=tuple(stacks),
        head=_of(outside, "head"),
        final=_of(outside, "final"),
        prefix=prefix,
        exceptions=family.components,
        _places=places,
    )


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear projection: Linear, GPT-2's Conv1D, or either one wrapped by an adapter."""
    if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
        return True
    wrapped = getattr(module, "base_layer", None)
    return isinstance(wrapped, nn.Module) and is_linear(wrapped)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation layer of any family, or one wrapped by an adapter."""
    wrapped = getattr(module, "base_layer", None)
    if isinstance(wrapped, nn.Module) and is_norm(wrapped):
        return True
    return "Norm" in type(module).__name__ and not any(is_linear(child) for child in module.modules())


def _of(outside: Mapping[str, str], component: str) -> tuple[str, ...]:
    return tuple(path for path, found in outside.items() if found == component)


def _inner_model(model: nn.Module) -> tuple[str, nn.Module]:
    """Return the transformers model inside wrappers, with its path."""
    from transformers import PreTrainedModel

    for path, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            return (path + "." if path else ""), module
    return "", model


def _find_stacks(model: nn.Module, prefix: str, family: Family, repeats: int) -> list[Stack]:
    lists = list(_block_lists(model, _is_block_of(family)))
    lists = [item for item in lists if _attention_roots(item[1][0], "")] or lists
    if not lists:  # a family that does not mark its blocks: equal modules with attention in them
        lists = list(_block_lists(model, lambda block: bool(_attention_roots(block, ""))))
    model_type = str(getattr(getattr(model, "config", None), "model_type", ""))
    stacks: list[Stack] = []
    depth = 0
    for path, blocks in lists:
        found = tuple(_block(block, f"{prefix}{path}.{at}", depth + at) for at, block in enumerate(blocks))
        stacks.append(Stack(_stack_name(path, blocks[0], model_type), f"{prefix}{path}", found, repeats))
        depth += len(found)
    return stacks


def _is_block_of(family: Family) -> Callable[[nn.Module], bool]:
    from transformers.modeling_layers import GradientCheckpointingLayer

    if family.block_class is not None:
        return lambda block: type(block).__name__ == family.block_class
    return lambda block: isinstance(block, GradientCheckpointingLayer)


def _block_lists(
    model: nn.Module, is_block: Callable[[nn.Module], bool], path: str = ""
) -> Iterator[tuple[str, list[nn.Module]]]:
    """Outermost lists of blocks, in the order the model registers them."""
    for name, child in model.named_children():
        at = f"{path}.{name}" if path else name
        blocks = list(child.children()) if isinstance(child, nn.ModuleList) else []
        if blocks and all(is_block(block) for block in blocks):
            yield at, blocks
        else:
            yield from _block_lists(child, is_block, at)


def _stack_name(path: str, block: nn.Module, model_type: str) -> Literal["encoder", "decoder"]:
    for part in path.split("."):
        if "decoder" in part:
            return "decoder"
        if "encoder" in part:
            return "encoder"
    if any(bool(getattr(module, "is_causal", False)) for module in block.modules()):
        return "decoder"
    return "decoder" if writes_only(model_type) else "encoder"


def _attention_roots(block: nn.Module, path: str) -> list[str]:
    """Paths of the outermost attention modules of a block."""
    found = []
    for name, child in block.named_children():
        at = f"{path}.{name}" if path else name
        words = f"{name} {type(child).__name__}".lower()
        if ("attention" in words or "attn" in words) and not is_norm(child) and not is_linear(child):
            found.append(at)
        else:
            found.extend(_attention_roots(child, at))
    return found


def _block(block: nn.Module, path: str, index: int) -> Block:
    roots = _attention_roots(block, "")
    attention: list[str] = []
    feed_forward: list[str] = []
    norms: list[str] = []
    for name, module in _leaves(block):
        inside = any(name == root or name.startswith(root + ".") for root in roots)
        if is_norm(module):
            norms.append(f"{path}.{name}")
        elif is_linear(module):
            (attention if inside else feed_forward).append(f"{path}.{name}")
    modules = tuple(f"{path}.{root}" for root in roots)
    return Block(path, index, tuple(attention), tuple(feed_forward), tuple(norms), modules)


def _leaves(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Linear layers and norms, not looking inside them (an adapter's own layers belong to the layer it wraps)."""
    for name, child in module.named_children():
        at = f"{path}.{name}" if path else name
        if is_linear(child) or is_norm(child):
            yield at, child
        else:
            yield from _leaves(child, at)


def _outside(model: nn.Module, prefix: str, stack_paths: set[str]) -> dict[str, str]:
    """Component of every module beside the stacks, at the highest path that holds no stack."""
    body = getattr(model, "base_model", model)
    found: dict[str, str] = {}

    def visit(module: nn.Module, path: str, in_body: bool) -> None:
        children = [(f"{path}{name}", name, child) for name, child in module.named_children()]
        holders = {at for at, _, _ in children if any(f"{stack}.".startswith(f"{at}.") for stack in stack_paths)}
        after = False
        for at, name, child in children:
            if at in holders:
                after = True
                if at not in stack_paths:
                    visit(child, at + ".", in_body or child is body)
            elif next(child.parameters(), None) is not None:
                found[at] = _component_beside(name, child, after, in_body)

    visit(model, prefix, model is body)
    return found


def _component_beside(name: str, module: nn.Module, after: bool, in_body: bool) -> str:
    words = f"{name} {type(module).__name__}".lower()
    if not in_body:
        return "head"
    if is_norm(module) and "final" in name:
        return "final"  # OPT registers it before its blocks
    if any(word in words for word in _EMBEDDING_WORDS):
        return "embeddings"
    if any(word in name.lower() for word in _HEAD_WORDS):
        return "head"
    if not after:
        return "embeddings"
    return "final" if is_norm(module) else "head"


def _component_by_name(name: str) -> str:
    """Component of a bare parameter of a module that also holds a stack."""
    return "embeddings" if any(word in name.rpartition(".")[2] for word in ("embed", "emb", "token")) else "other"
