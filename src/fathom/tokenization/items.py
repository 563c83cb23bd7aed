"""A tokenizer whose tokens are the items of a shop, a library ...: every item has an id, and no item is cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ITEMS = "items"
"""What a recipe writes for a tokenizer that is made of its data's items."""
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]", "eos_token": "[END]"}


def item_tokenizer(items: Iterable[str]) -> PreTrainedTokenizerBase:
    """Return a tokenizer of item names, which hold no white space; text is names set apart by spaces.

    Args:
        items: Their names, in the order of their ids; a name that comes again changes nothing.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIAL.values(), *dict.fromkeys(items)]
    backend = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL)
