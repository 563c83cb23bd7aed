"""Special tokens by the kind of model that will read them, and the frame they put round a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

StyleName = Literal["bert", "modernbert", "roberta", "bart", "gpt2", "llama", "qwen3", "t5"]
STYLE_NAMES: tuple[str, ...] = get_args(StyleName)

CHAT_TOKENS = ("<|im_start|>", "<|im_end|>")
"""Begin and end a turn in ChatML."""
NUM_SENTINELS = 100


@dataclass(frozen=True)
class Style:
    """The special tokens of a family of models."""

    roles: Mapping[str, str]
    """Token of each role, in the order of their ids; a token may have several roles."""
    single: str
    """Frame of one text, in the language of `TemplateProcessing`."""
    pair: str
    """Frame of a pair of texts, with the text each token counts to."""
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    """What the model is given."""
    unknown: str | None = None
    """Stands for the unknown where the algorithm has such a thing and `roles` does not name it."""
    sentinels: int = 0
    """Tokens `<extra_id_n>` at the end of the vocabulary, the first one last, as T5 has them."""

    def roles_with(self, has_unknown: bool) -> dict[str, str]:
        """Return the roles, with a token for the unknown where one is needed."""
        needed = has_unknown and "unk_token" not in self.roles and self.unknown is not None
        return {**self.roles, **({"unk_token": str(self.unknown)} if needed else {})}

    def reserved(self, has_unknown: bool, chat: bool) -> Reserved:
        """Return what is reserved in a vocabulary of this style."""
        roles = self.roles_with(has_unknown)
        chat_tokens = CHAT_TOKENS if chat else ()
        return Reserved(
            first=tuple(dict.fromkeys([*roles.values(), *chat_tokens])),
            last=tuple(f"<extra_id_{number}>" for number in reversed(range(self.sentinels))),
            unknown=roles.get("unk_token", ""),
        )


@dataclass(frozen=True)
class Reserved:
    """The tokens of a vocabulary that are not learnt."""

    first: tuple[str, ...]
    """Have the first ids."""
    last: tuple[str, ...]
    """Have the last ids."""
    unknown: str
    """Stands for what has no token; empty where nothing is unknown."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.first) + len(self.last)


_BERT = Style(
    roles={
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    single="[CLS]:0 $A:0 [SEP]:0",
    pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
    inputs=("input_ids", "token_type_ids", "attention_mask"),
)
_ROBERTA = Style(
    roles={
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "cls_token": "<s>",
        "sep_token": "</s>",
    },
    single="<s>:0 $A:0 </s>:0",
    pair="<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0",
)
# Padding of its own: where it shares the end's token, whoever masks padding out of the loss masks the end out too, and
# the model never learns to stop.
_GPT2 = Style(
    roles={"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
    single="$A:0",
    pair="$A:0 $B:0",
    unknown="<|unk|>",
)
_T5 = Style(
    roles={"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    single="$A:0 </s>:0",
    pair="$A:0 </s>:0 $B:0 </s>:0",
    sentinels=NUM_SENTINELS,
)

STYLES: Mapping[str, Style] = {
    "bert": _BERT,
    "modernbert": replace(_BERT, inputs=("input_ids", "attention_mask")),
    "roberta": _ROBERTA,
    "bart": _ROBERTA,
    "gpt2": _GPT2,
    "llama": _GPT2,
    "qwen3": _GPT2,
    "t5": _T5,
}
"""The style of each architecture a new model can have."""
