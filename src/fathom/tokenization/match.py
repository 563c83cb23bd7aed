"""Do a tokenizer and a model belong together?"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from fathom.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


def check_matches(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Refuse a tokenizer that gives ids the model's embedding table has no row for.

    A table with more rows than the tokenizer has tokens is fine: tables are often rounded up.

    Raises:
        ModelError: An id is beyond the table; names the first such tokens.
    """
    rows = _rows(config)
    if rows is not None:
        _refuse(tokenizer, rows, tokenizer.get_vocab().values())


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Refuse a tokenizer whose vocabulary, added tokens aside, is larger than the model's embedding table.

    Added tokens without a row do no harm where no text has them, and published models have some (an image token beside
    a model that reads text alone): `check_ids` refuses those that occur.

    Raises:
        ModelError: An id is beyond the table; names the first such tokens.
    """
    rows = _rows(config)
    if rows is not None:
        added = set(tokenizer.get_added_vocab().values())
        _refuse(tokenizer, rows, [number for number in tokenizer.get_vocab().values() if number not in added])


def short_table(tokenizer: object, table: object) -> int | None:
    """Return the rows of an embedding table that lacks some of a tokenizer's tokens; None where it has all.

    Args:
        tokenizer: Of a model that sees or hears its processor, which gives no ids.
        table: The model's input embeddings, if it has such.
    """
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    if not isinstance(tokenizer, PreTrainedTokenizerBase) or not isinstance(table, nn.Embedding):
        return None
    return table.num_embeddings if max(tokenizer.get_vocab().values(), default=0) >= table.num_embeddings else None


def check_ids(tokenizer: PreTrainedTokenizerBase, rows: int, ids: Collection[int]) -> None:
    """Refuse ids that occur in a text and have no row in the embedding table.

    Args:
        tokenizer: Which gave them.
        rows: Of the table.
        ids: That occur.

    Raises:
        ModelError: An id is beyond the table; names the first such tokens.
    """
    _refuse(tokenizer, rows, ids)


def _rows(config: PreTrainedConfig) -> int | None:
    found: int | None = config.get_text_config().to_dict().get("vocab_size")
    return found


def _refuse(tokenizer: PreTrainedTokenizerBase, rows: int, ids: Iterable[int]) -> None:
    beyond = sorted({int(number) for number in ids if number >= rows})
    if not beyond:
        return
    shown = ", ".join(f"{tokenizer.convert_ids_to_tokens(number)!r} is {number}" for number in beyond[:3])
    raise ModelError(
        f"the tokenizer does not match the model: {len(beyond):,} of its {len(tokenizer):,} tokens have no row in the "
        f"embedding table of {rows:,} ({shown})",
        where=tokenizer.name_or_path or type(tokenizer).__name__,
        mend="take the model's own tokenizer, or give its table more rows (resize_token_embeddings) and save it again",
    )
