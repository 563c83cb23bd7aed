"""What a model is made of and what training it would cost, before a weight is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml

from fathom import catalog
from fathom.config import parse_yaml, validate
from fathom.errors import ConfigError, ModelError
from fathom.model.section import ModelSection
from fathom.runs.strategies import ALL, every_strategy
from fathom.runs.subject import BASE_CLASS, Shape, architecture, read_subject

MASKED_SHARE = 0.15
"""Share of the tokens that a masked language model is asked for, where no task says another."""
WRITERS = frozenset({"AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq"})
"""Auto classes of models that are asked for every token."""

if TYPE_CHECKING:
    from torch import nn

    from fathom.model.ledger import Ledger
    from fathom.model.memory import MicroBatch, Setting
    from fathom.tasks.base import Task
    from fathom.training.settings import Training
    from fathom.tuning.base import Tuning


@dataclass(frozen=True)
class Strategy:
    """One tuning strategy on the model: its ledger, or why the model refuses it."""

    name: str
    ledger: Ledger | None
    refusal: str | None = None


@dataclass(frozen=True)
class InspectReport:
    """What `inspect` found."""

    model: str
    architecture: str
    head: str
    """What the model does beside its body."""
    training: Training
    """What counts of it: sequences in memory at once, optimizer, precision, checkpointing, the frozen cache."""
    length: int
    """Tokens of each sequence, those that a strategy puts before it left out."""
    parameters: int
    """Of the model before a strategy adds any."""
    block_sizes: tuple[int, ...]
    """Parameters of each block, before a strategy adds any."""
    strategies: tuple[Strategy, ...]

    @property
    def precision(self) -> str:
        """Arithmetic of the blocks."""
        return self.training.precision

    @property
    def ledger(self) -> Ledger:
        """The ledger of the first strategy the model takes."""
        return next(strategy.ledger for strategy in self.strategies if strategy.ledger is not None)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "model": self.model,
            "architecture": self.architecture,
            "head": self.head,
            "precision": self.precision,
            "optimizer": self.training.optimizer.model_dump(mode="json"),
            "activation_checkpointing": self.training.activation_checkpointing,
            "frozen_cache": self.training.frozen_cache,
            "parameters": self.parameters,
            "block_sizes": list(self.block_sizes),
            "strategies": [
                {"tuning": item.name, "refused": item.refusal}
                if item.ledger is None
                else {"tuning": item.name, **item.ledger.to_json()}
                for item in self.strategies
            ],
        }

    def to_text(self) -> str:
        """Return aligned tables: the whole ledger of one strategy, or several strategies side by side."""
        if len(self.strategies) == 1:
            return f"{self._title}, tuning {self.strategies[0].name}\n{self.ledger.to_text()}"
        return f"{self._title}\n{self._comparison()}"

    def to_svg(self) -> str:
        """Return the strategies as a picture: what learns at each depth, and the forecast of peak memory."""
        from fathom.runs.strategies_plot import strategies_svg

        return strategies_svg(self._ledgers, self._title)

    @property
    def _title(self) -> str:
        batch = f"batch {self.ledger.micro_batch.sequences} x {self.length} tokens"
        parts = [f"{self.model} ({self.architecture}, {self.head})", batch, self.precision]
        if self.training.optimizer.kind != "adamw":
            parts.append(self.training.optimizer.kind)
        if self.training.activation_checkpointing:
            parts.append("activation checkpointing")
        if counts_cache(self.training):
            parts.append("frozen blocks from the cache")
        return ", ".join(parts)

    @property
    def _ledgers(self) -> dict[str, Ledger]:
        return {item.name: item.ledger for item in self.strategies if item.ledger is not None}

    def _comparison(self) -> str:
        from fathom.model.ledger_text import block_sizes_text
        from fathom.runs.strategies_text import component_places, cost_table, depth_places, place_table

        ledgers = self._ledgers
        return "\n".join(
            [
                f"{len(self.block_sizes)} blocks of width {self.ledger.width}; {self.parameters:,} parameters",
                block_sizes_text(self.block_sizes),
                "",
                *cost_table({item.name: item.ledger for item in self.strategies}, self.length),
                "",
                "forward, backward: million operations per token",
                *(f"{item.name}: {item.refusal}" for item in self.strategies if item.refusal),
                "",
                *place_table(ledgers, depth_places(ledgers)),
                "",
                *place_table(ledgers, component_places(ledgers)),
            ]
        )


def inspect(
    model: str | ModelSection,
    *,
    tuning: str | None = None,
    length: int | None = None,
    task: str | Mapping[str, Any] | None = None,
    **training: Any,
) -> InspectReport:
    """Count parameters, operations and memory of a model by block and component; no weights are read.

    Args:
        model: Preset, built-in name, folder or hub name; a recipe's file; or a new model, as a `NewModel` or as in a
            recipe, `{kind: new, architecture: llama, depth: 12}`.
        tuning: A strategy, several with commas between them, YAML such as `{kind: lora, rank: 8}`, or `all`; left out,
            the recipe's, or full.
        length: Tokens of each sequence; left out, the recipe's `data.max_length`, or 128.
        task: Whose head the model gets: the name of any task, such as token-classification, or its options as in a
            recipe, with `num_labels` where the head grows with the labels. Left out, the recipe's; or the model as
            published, with a two-label classifier where a strategy needs a head.
        **training: Keys of a recipe's `training` section, which come before the recipe's own: `batch_size` (sequences
            in memory at once), `precision` (auto asks the machine), `optimizer`, `activation_checkpointing`, `packing`
            and `frozen_cache` (a format counts frozen blocks as read from the cache; auto waits for the data and
            counts them as computed).

    Raises:
        ModelError: No such model, its family has no head for the task, or cannot take the one strategy asked for.
        ConfigError: No such strategy or task, or no such key of `training`.
    """
    from fathom.model.anatomy import find_anatomy
    from fathom.model.families import stack_length
    from fathom.model.load import build_on_meta

    subject = read_subject(model, training)
    wanted = (
        [(subject.tuning.kind, subject.tuning)]
        if tuning is None and subject.tuning
        else _strategies("full" if tuning is None else tuning)
    )
    shape = architecture(subject, task, needs_head=any(kind != "full" for kind, _ in wanted))
    config, auto_class = shape.config, shape.auto_class
    bare = build_on_meta(config, auto_class)
    anatomy = find_anatomy(bare)
    parameters = sum(parameter.numel() for parameter in bare.parameters())
    sizes = tuple(sum(p.numel() for p in bare.get_submodule(block.path).parameters()) for block in anatomy.blocks)
    positions = stack_length(config, anatomy.stacks[-1].name, length or subject.length)
    settings = _settled(subject.training, positions, whole=training.get("batch_size") is not None)
    found = []
    for named in wanted:
        found.append(_apply(named, bare, shape, (settings, positions)))
        bare = build_on_meta(config, auto_class) if len(found) < len(wanted) else bare
    if all(item.ledger is None for item in found):
        refusal = found[0].refusal or "the model refuses the strategy"
        raise ModelError(refusal, where=subject.section.label, mend="choose another --tuning, or another model")
    head = "no task head" if auto_class == BASE_CLASS else auto_class.removeprefix("AutoModelFor")
    return InspectReport(
        subject.section.label, config.model_type, head, settings, positions, parameters, sizes, tuple(found)
    )


def _settled(settings: Training, length: int, *, whole: bool) -> Training:
    """Return settings with this machine's precision where they leave it open, and with the sequences of one pass.

    Args:
        settings: Of the subject.
        length: Tokens of a sequence.
        whole: Whether the batch is what is in memory at once; else the recipe may cut it.
    """
    from fathom.device import choose_precision, probe_machine

    precision, sequences = settings.precision, settings.batch_size
    if precision == "auto":
        precision = choose_precision("auto", probe_machine())
    if not whole and isinstance(settings.micro_batch_tokens, int):
        sequences = max(1, min(sequences, settings.micro_batch_tokens // length))
    return settings.model_copy(update={"precision": precision, "batch_size": sequences})


def counts_cache(settings: Training) -> bool:
    """Whether frozen blocks are counted as read from the cache: asked for by a format."""
    return settings.frozen_cache not in ("auto", "off") and settings.packing and not settings.frozen_dropout


def _apply(named: tuple[str, Any], model: nn.Module, shape: Shape, load: tuple[Training, int]) -> Strategy:
    from fathom.model.anatomy import find_anatomy
    from fathom.model.checkpointing import checkpoint_blocks
    from fathom.model.ledger import build_ledger
    from fathom.runs.heads import require_trainable_head
    from fathom.tuning.trial import try_on_meta

    name, part = named
    settings, length = load
    try:
        if shape.task is not None:
            require_trainable_head(shape.task, part)
        model = try_on_meta(part, model)
        if settings.activation_checkpointing:
            checkpoint_blocks(model, [block.path for block in find_anatomy(model).blocks])
    except ModelError as error:
        return Strategy(name, None, str(error))
    micro_batch, setting = _load(model, part, settings, length)
    setting = replace(setting, labelled_share=_labelled_share(shape.auto_class, shape.task))
    return Strategy(name, build_ledger(model, micro_batch, setting, settings.optimizer.state_bytes))


def _load(model: nn.Module, part: Tuning, settings: Training, length: int) -> tuple[MicroBatch, Setting]:
    """What is in memory at once, and how a run keeps its numbers: see `Passes` and `memory_setting`."""
    from fathom.model.anatomy import find_anatomy
    from fathom.model.frozen import find_frozen
    from fathom.model.memory import MicroBatch, Setting
    from fathom.model.virtual_tokens import BEFORE_EMBEDDINGS, num_virtual_tokens, peft_type

    virtual = num_virtual_tokens(model)
    in_attention = virtual > 0 and peft_type(model) not in BEFORE_EMBEDDINGS
    seen = [length if in_attention else length + virtual] * settings.batch_size
    packed = settings.packing and not in_attention
    micro_batch = MicroBatch.of(seen) if packed else MicroBatch.padded(seen, virtual * in_attention)
    low = settings.precision == "bf16"
    cached = counts_cache(settings) and part.keeps_prefix and packed
    setting = Setting(
        precision="bf16" if low else "fp32",
        stream="bf16" if low and packed else "fp32",
        checkpointing=settings.activation_checkpointing,
        first_block=find_frozen(model, find_anatomy(model)).first_block if cached else 0,
    )
    return micro_batch, setting


def _labelled_share(auto_class: str, task: Task | None) -> float | None:
    """Share of the tokens a vocabulary's logits are made for; None for other heads."""
    if auto_class in {"AutoModelForMaskedLM", "AutoModelForPreTraining"}:
        said = None if task is None else task.labelled_share
        return MASKED_SHARE if said is None else said
    return 1.0 if auto_class in WRITERS else None


def _strategies(text: str) -> list[tuple[str, Any]]:
    """Read `full,head` or `{kind: lora, rank: 8}` as (name to show, part)."""
    try:
        items = parse_yaml(f"[{text}]")
    except yaml.YAMLError:
        raise ConfigError(
            f"'{text}' is no strategy", where="tuning", mend="write a name, or {kind: lora, rank: 8}"
        ) from None
    found = []
    if items == [ALL]:
        items = every_strategy()
    for item in items:
        options = item if isinstance(item, dict) else {"kind": str(item)}
        kind = str(options.get("kind"))
        part = validate(catalog.load("tuning", kind), options, where="tuning")
        details = ", ".join(f"{key} {value}" for key, value in options.items() if key != "kind")
        found.append((f"{kind} ({details})" if details else kind, part))
    if not found:
        raise ConfigError("no strategy is named", where="tuning", mend=f"known: {', '.join(catalog.names('tuning'))}")
    return found
