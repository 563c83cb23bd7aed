"""What a run has before its model: examples, the live task, the encoded splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from fathom.data.corpus.mixture import MixtureSampler
from fathom.data.example import Example
from fathom.data.load import Splits
from fathom.data.sequences import Sequences
from fathom.errors import ConfigError
from fathom.model.families import most_positions
from fathom.model.load import build_on_meta
from fathom.model.section import Pretrained
from fathom.model.stacked import open_lower, require_base
from fathom.recipe import Recipe
from fathom.runs.heads import require_head, require_trainable_head
from fathom.runs.preflight import check_trainable
from fathom.tasks.base import OpenTask
from fathom.tasks.writing import WritingTask
from fathom.tokenization.items import ITEMS
from fathom.tokenization.match import check_ids, short_table
from fathom.tuning.adapter import Adapter
from fathom.tuning.prefix import Prefix
from fathom.tuning.trial import try_on_meta

UNBOUNDED = 1 << 20
"""Tokens of the longest sequence where neither model nor tokenizer has a limit."""
PLACES = frozenset({"where", "image", "sound"})
"""Fields of an example that say where it lies, not what it says; files are told by the digest of their bytes."""


@dataclass(frozen=True)
class PreparedData:
    """Examples, the live task and the encoded splits."""

    splits: Splits
    tokenizer: PreTrainedTokenizerBase
    """Of the model; where it sees or hears, the processor in its place, which is saved beside the weights likewise."""
    task: OpenTask
    stores: dict[str, Sequences]
    sampler: MixtureSampler | None = None
    """Which sequences make up a step, where several corpora are mixed."""

    def examples(self, split: str) -> Sequence[Example]:
        """Return the examples of a split by name."""
        return {"train": self.splits.train, "validation": self.splits.validation, "test": self.splits.test}[split]

    def split(self, name: str) -> tuple[Sequences, Sequence[Example]] | None:
        """Return a split's tokens and examples; None where the run has no such split."""
        return (self.stores[name], self.examples(name)) if name in self.stores else None


def longest(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the tokens of the longest sequence: what the recipe wants, within what the model's positions allow.

    What a tokenizer states holds where the recipe says nothing: it is the length its model was trained at, which a run
    that goes on may exceed.

    Raises:
        ConfigError: The recipe wants more than the model has positions.
    """
    positions = most_positions(recipe.model.read_config(tokenizer, {}))
    virtual = recipe.tuning.virtual_tokens
    stated = int(tokenizer.model_max_length)
    limit = (UNBOUNDED if positions is None else positions) - virtual
    wanted = recipe.data.max_length
    if limit < 1:
        raise ConfigError(
            f"the model has {positions} positions, and the virtual tokens take {virtual}",
            where="tuning.num_virtual_tokens",
            mend="choose fewer",
        )
    if wanted is None:
        return min(limit, stated)
    if wanted > limit:
        beside = f" beside {virtual} virtual ones" if virtual else ""
        raise ConfigError(
            f"the model takes at most {limit} tokens{beside}", where="data.max_length", mend=f"write {limit}"
        )
    return wanted


def check_targets(recipe: Recipe, config: PreTrainedConfig) -> None:
    """Refuse targets that leave no room for a prefix among the positions of an encoder-decoder.

    Other virtual tokens stand before what it reads, and take nothing from what it writes.

    Raises:
        ConfigError: They may be longer than what is left.
    """
    positions = most_positions(config)
    if positions is None or not (config.is_encoder_decoder and isinstance(recipe.task, WritingTask)):
        return
    if not isinstance(recipe.tuning, Prefix):
        return
    virtual = recipe.tuning.virtual_tokens
    if recipe.task.max_target_length >= positions - virtual:
        raise ConfigError(
            f"the model has {positions} positions, and the virtual tokens take {virtual}",
            where="task.max_target_length",
            mend=f"write at most {positions - virtual - 1}, or choose fewer tuning.num_virtual_tokens",
        )


def require_own_tokenizer(recipe: Recipe) -> None:
    """Refuse a model whose tokens are words where the task's are items.

    Raises:
        ConfigError: The model is not new, or its tokenizer is one of text.
    """
    if recipe.model.kind != "new" or recipe.model.tokenizer_source != ITEMS:
        raise ConfigError(
            f"the words of a model for {recipe.task.kind} are the items of its data, so it starts from new weights",
            where="model",
            mend="write {kind: new, architecture: gpt2, depth: 2, tokenizer: items}",
        )


def check_head(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, task: OpenTask) -> None:
    """Refuse, before data are encoded, a model that has no head for the task, or a strategy that cannot train it.

    Raises:
        ModelError: There is none, or none to be trained alone.
        ConfigError: The strategy cannot save what the task adds.
    """
    require_head(recipe.model.read_config(tokenizer, {}), task.part, new=recipe.model.kind == "new")
    require_trainable_head(task.part, recipe.tuning)
    if task.new_tokens and recipe.tuning.saves_adapter:
        raise ConfigError(
            f"{task.kind} adds {len(task.new_tokens)} tokens, and the folder of an adapter ({recipe.tuning.kind}) has "
            "no place for their embeddings",
            where="task.markers",
            mend="write punctuation, which marks entities with signs the vocabulary has, or tuning=full",
        )


def check_strategy(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, task: OpenTask) -> None:
    """Refuse a tuning strategy that the model cannot take: it is tried on the model's shapes, no weight is loaded.

    Raises:
        ModelError: The family cannot take it, or adapters below the new ones are of another base model.
        ConfigError: Its options do not go together, or nothing would learn.
    """
    bare = build_on_meta(recipe.model.read_config(tokenizer, task.config_overrides), task.auto_class)
    check_trainable(try_on_meta(recipe.tuning, bare), recipe.tuning.kind)
    if isinstance(recipe.tuning, Adapter) and recipe.tuning.above is not None and isinstance(recipe.model, Pretrained):
        require_base(open_lower(recipe.tuning.above), recipe.model.name)


def check_rows(tokenizer: Any, model: PreTrainedModel, stores: Iterable[Sequences]) -> None:
    """Refuse texts with tokens that the model's embedding table has no row for.

    Raises:
        ModelError: There are some; names the tokens.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        return  # a model that sees or hears, which may have no table
    rows = short_table(tokenizer, model.get_input_embeddings())
    if rows is None:
        return
    for store in stores:
        check_ids(tokenizer, rows, store.used_ids())


def examples_digest(examples: Sequence[Example]) -> str:
    """Return the sha256 of what examples say, wherever they were read from."""
    hasher = hashlib.sha256()
    for example in examples:
        said = {name: value for name, value in example.items() if name not in PLACES}
        hasher.update(
            json.dumps(said, ensure_ascii=False, sort_keys=True, default=list).encode("utf-8", "surrogatepass")
        )
        hasher.update(b"\n")
    return hasher.hexdigest()
