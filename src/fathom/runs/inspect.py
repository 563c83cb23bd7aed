"""What a model is made of and what training it would cost, before a weight is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import yaml

from fathom import catalog
from fathom.config import parse_yaml, validate
from fathom.errors import ConfigError, ModelError
from fathom.model.section import ModelSection
from fathom.runs.subject import BASE_CLASS, architecture, read_subject

MASKED_SHARE = 0.15
"""Share of the tokens that a masked language model is asked for, as its task has it."""
WRITERS = frozenset({"AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq"})
"""Auto classes of models that are asked for every token."""

if TYPE_CHECKING:
    from torch import nn

    from fathom.model.ledger import Ledger
    from fathom.tasks.base import Task

ALL = "all"
NEEDED: dict[str, dict[str, Any]] = {"layers": {"layers": [0, -1]}}
"""Options by strategy that has no defaults, where all are compared: the lowest and the highest block."""


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
    precision: str
    parameters: int
    """Of the model before a strategy adds any."""
    block_sizes: tuple[int, ...]
    """Parameters of each block, before a strategy adds any."""
    strategies: tuple[Strategy, ...]

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
        micro_batch = self.ledger.micro_batch
        batch = f"batch {micro_batch.sequences} x {micro_batch.length} tokens"
        return f"{self.model} ({self.architecture}, {self.head}), {batch}, {self.precision}"

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
                *cost_table({item.name: item.ledger for item in self.strategies}),
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
    batch_size: int | None = None,
    length: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    task: str | Mapping[str, Any] | None = None,
) -> InspectReport:
    """Count parameters, operations and memory of a model by block and component; no weights are read.

    Args:
        model: Preset, built-in name, folder or hub name; a recipe's file; or a new model, as a `NewModel` or as in a
            recipe, `{kind: new, architecture: llama, depth: 12}`.
        tuning: A strategy, several with commas between them, YAML such as `{kind: lora, rank: 8}`, or `all`; left out,
            the recipe's, or full.
        batch_size: Sequences in memory at once; left out, the recipe's, or 32.
        length: Tokens of each; left out, the recipe's `data.max_length`, or 128.
        precision: Arithmetic of the blocks; auto asks the machine.
        task: Whose head the model gets: the name of any task, such as token-classification, or its options as in a
            recipe, with `num_labels` where the head grows with the labels. Left out, the recipe's; or the model as
            published, with a two-label classifier where a strategy needs a head.

    Raises:
        ModelError: No such model, its family has no head for the task, or cannot take the one strategy asked for.
        ConfigError: No such strategy or task.
    """
    from fathom.device import choose_precision, probe_machine
    from fathom.model.anatomy import find_anatomy
    from fathom.model.families import stack_length
    from fathom.model.load import build_on_meta
    from fathom.model.memory import MicroBatch, Setting

    chosen = precision if precision != "auto" else choose_precision("auto", probe_machine())
    subject = read_subject(model)
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
    last = anatomy.stacks[-1].name
    setting = Setting(precision=chosen, stream=chosen, labelled_share=_labelled_share(auto_class))
    micro_batch = MicroBatch.uniform(
        batch_size or subject.batch_size, stack_length(config, last, length or subject.length)
    )
    found = []
    for kind, part in wanted:
        found.append(_apply((kind, part), bare, shape.task, (micro_batch, setting)))
        bare = build_on_meta(config, auto_class) if len(found) < len(wanted) else bare
    if all(item.ledger is None for item in found):
        raise ModelError(found[0].refusal or "the model refuses the strategy", where=subject.section.label)
    head = "no task head" if auto_class == BASE_CLASS else auto_class.removeprefix("AutoModelFor")
    return InspectReport(subject.section.label, config.model_type, head, chosen, parameters, sizes, tuple(found))


def _apply(named: tuple[str, Any], model: nn.Module, task: Task | None, load: tuple[Any, Any]) -> Strategy:
    from fathom.model.ledger import build_ledger
    from fathom.runs.heads import require_trainable_head
    from fathom.tuning.trial import try_on_meta

    name, part = named
    try:
        if task is not None:
            require_trainable_head(task, part)
        model = try_on_meta(part, model)
    except ModelError as error:
        return Strategy(name, None, str(error))
    return Strategy(name, build_ledger(model, *load))


def _labelled_share(auto_class: str) -> float | None:
    """Share of the tokens a vocabulary's logits are made for; None for other heads."""
    if auto_class in {"AutoModelForMaskedLM", "AutoModelForPreTraining"}:
        return MASKED_SHARE
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
        items = [{"kind": name, **NEEDED.get(name, {})} for name in catalog.names("tuning")]
    for item in items:
        options = item if isinstance(item, dict) else {"kind": str(item)}
        kind = str(options.get("kind"))
        part = validate(catalog.load("tuning", kind), options, where="tuning")
        details = ", ".join(f"{key} {value}" for key, value in options.items() if key != "kind")
        found.append((f"{kind} ({details})" if details else kind, part))
    if not found:
        raise ConfigError("no strategy is named", where="tuning", mend=f"known: {', '.join(catalog.names('tuning'))}")
    return found
