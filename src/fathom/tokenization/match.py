"""Do a tokenizer and a model belong together?"""

from __future__ import annotations

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
    rows = config.get_text_config().to_dict().get("vocab_size")
    if rows is None:
        return
    beyond = sorted((number, token) for token, number in tokenizer.get_vocab().items() if number >= rows)
    if not beyond:
        return
    shown = ", ".join(f"{token!r} is {number}" for number, token in beyond[:3])
    raise ModelError(
        f"the tokenizer does not match the model: {len(beyond):,} of its {len(tokenizer):,} tokens have no row in the "
        f"embedding table of {rows:,} ({shown})",
        where=tokenizer.name_or_path or type(tokenizer).__name__,
        mend="take the model's own tokenizer, or make room with 'fathom tokenizer extend'",
    )
