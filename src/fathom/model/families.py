"""What anatomy cannot find by looking: a few lines for each family that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fathom.model.sound import spectrogram_positions


@dataclass(frozen=True)
class Family:
    """The exceptions of one transformers family."""

    block_class: str | None = None
    """Class name of a block, where it is no GradientCheckpointingLayer."""
    repeats_key: str | None = None
    """Config key of how often one stored block runs, where blocks share their weights."""
    components: Mapping[str, str] = field(default_factory=dict)
    """Component of parameters whose name contains the key, where the general rule would be wrong."""


FAMILIES: Mapping[str, Family] = {
    "albert": Family(
        block_class="AlbertLayer",
        repeats_key="num_hidden_layers",
        components={"embedding_hidden_mapping_in": "embeddings"},
    ),
    # The relative position table and its norm live beside the blocks and are read by every one of them.
    "deberta": Family(components={"rel_embeddings": "embeddings", "encoder.LayerNorm": "embeddings"}),
    "deberta-v2": Family(
        components={"rel_embeddings": "embeddings", "encoder.LayerNorm": "embeddings", "encoder.conv": "other"}
    ),
    "xlnet": Family(components={"mask_emb": "embeddings"}),
    "electra": Family(components={"embeddings_project": "embeddings"}),
    "opt": Family(components={"project_in": "embeddings", "project_out": "final"}),
}


def family_of(config: Any) -> Family:
    """Return the exceptions of a model's family; most have none."""
    return FAMILIES.get(str(getattr(config, "model_type", "")), Family())


POST_NORM = frozenset(
    [
        *("albert", "bart", "bert", "bert-generation", "big_bird", "camembert", "deberta", "deberta-v2", "distilbert"),
        *("electra", "ernie", "layoutlm", "longformer", "marian", "mpnet", "openai-gpt", "rembert", "roberta"),
        *("roformer", "xlm", "xlm-roberta", "xlnet"),
    ]
)
"""Families that normalise after each sub-layer's addition; all others normalise before the sub-layer."""


_POSITIONS_AFTER_PADDING = frozenset(
    [
        *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "xmod", "data2vec-text"),
        *("longformer", "mpnet", "esm", "ibert", "bertweet"),
    ]
)
"""Families whose first position is the one after the padding token's id."""


def position_offset(config: Any) -> int:
    """Return the position id of a sequence's first token."""
    if str(getattr(config, "model_type", "")) not in _POSITIONS_AFTER_PADDING:
        return 0
    return int(config.pad_token_id) + 1


def most_positions(config: Any) -> int | None:
    """Return the tokens of the longest sequence a model can place; None where positions have no end (T5)."""
    found = getattr(_text(config), "max_position_embeddings", None)
    return None if found is None else int(found) - position_offset(_text(config))


def writes_only(model_type: str) -> bool:
    """Whether transformers has a causal language model of a family and no masked one."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    return model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


JUDGES_PAIRS = frozenset({"albert", "bert", "big_bird", "ernie", "fnet", "megatron-bert", "mobilebert"})
"""Families whose pretraining head also judges whether two passages belong together."""


NO_PREFIX_CLASSIFIER = frozenset({"big_bird", "roformer"})
"""Families whose heads for whole texts are not given what they read where PEFT runs the body with earlier keys and
values: RoFormer's body returns those second, BigBird's a pooled vector."""


def reads_both_ways(config: Any) -> bool:
    """Whether a model attends to what comes after a token, so that the next one cannot be asked of it.

    Told by transformers having a masked head for the family, whose causal head then waits for `is_decoder`.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    masked = str(config.model_type) in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return masked and not (config.is_encoder_decoder or getattr(config, "is_decoder", False))


def normalises_first(config: Any) -> bool:
    """Whether a sub-layer reads normalised input, so that a trained norm stands below its projections."""
    model_type = str(getattr(config, "model_type", ""))
    return bool(getattr(config, "do_layer_norm_before", model_type not in POST_NORM))


def num_heads(config: Any, stack: str) -> int:
    """Return the attention heads of a stack's blocks."""
    own = getattr(config, f"{stack}_attention_heads", None)
    return int(own if own is not None else getattr(_text(config), "num_attention_heads", 1))


def vocabulary_size(config: Any) -> int | None:
    """Return the rows of the word-embedding table; None for a model that reads no words."""
    size = getattr(_text(config), "vocab_size", None)
    return None if size is None else int(size)


def activation_name(config: Any) -> str:
    """Return the name of the feed-forward's activation function."""
    keys = ("hidden_activation", "hidden_act", "activation_function", "activation", "dense_act_fn")
    found = (getattr(_text(config), key, None) for key in keys)
    return str(next((name for name in found if name is not None), "gelu"))


def logit_cap(config: Any) -> tuple[Any, str, float] | None:
    """Return what caps the logits after the vocabulary head: the config that says so, its key, and the cap; or None."""
    text = _text(config)
    for key in ("final_logit_softcapping", "logits_soft_cap"):
        cap = getattr(text, key, None)
        if cap is not None:
            return text, key, float(cap)
    return None


def has_rms_norm(config: Any) -> bool:
    """Whether the norms are root mean square."""
    return getattr(_text(config), "rms_norm_eps", None) is not None


def dropout_rate(config: Any) -> float:
    """Return the largest dropout rate of the blocks; 0 where they have none."""
    keys = ("hidden_dropout_prob", "hidden_dropout", "dropout", "resid_pdrop", "dropout_rate", "mlp_dropout")
    found = [getattr(_text(config), key, None) for key in keys]
    return max([float(rate) for rate in found if isinstance(rate, float | int)], default=0.0)


def attention_dropout_rate(config: Any) -> float:
    """Return the dropout rate of attention probabilities; 0 where there is none."""
    keys = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
    found = [getattr(_text(config), key, None) for key in keys]
    return max([float(rate) for rate in found if isinstance(rate, float | int)], default=0.0)


def caps_attention(config: Any) -> bool:
    """Whether attention scores pass through a soft cap."""
    return getattr(_text(config), "attn_logit_softcapping", None) is not None


def drops_after_attention(config: Any) -> bool:
    """Whether a dropout follows the attention's projection out."""
    return getattr(config, "model_type", "") != "distilbert"


def rotation_widens(config: Any) -> bool:
    """Whether float32 rotary tables turn queries and keys, and with them the attention, into float32."""
    rotary = getattr(_text(config), "rope_parameters", None) is not None
    return rotary and getattr(config, "model_type", "") != "modernbert"


def expert_share(config: Any) -> float:
    """Return the share of a block's experts that one token passes through; 1 without experts."""
    text = _text(config)
    chosen = getattr(text, "num_experts_per_tok", None)
    total = getattr(text, "num_local_experts", None) or getattr(text, "num_experts", None)
    return float(chosen) / float(total) if chosen and total else 1.0


def stack_length(config: Any, stack: str, length: int) -> int:
    """Return the positions a stack runs on; families that read images or sound have a fixed number."""
    patches = image_patches(config)
    if patches is not None:
        return patches + 1
    spectrogram = spectrogram_positions(config)
    if spectrogram is not None:
        return spectrogram
    frames = getattr(config, "max_source_positions", None)
    if stack == "encoder" and getattr(config, "num_mel_bins", None) is not None and frames is not None:
        return int(frames)
    return length


def image_patches(config: Any) -> int | None:
    """Return how many patches an image is cut into; None for a model that sees none."""
    image, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
    if isinstance(image, int) and isinstance(patch, int):
        return (image // patch) ** 2
    return None


def image_shape(config: Any) -> tuple[int, int] | None:
    """Return height and width of the images a model reads; None where it does not say."""
    side = getattr(config, "image_size", None)
    if isinstance(side, int):
        return side, side
    return (int(side[0]), int(side[1])) if isinstance(side, list | tuple) and len(side) == 2 else None


def scales_outside_table(encoder: Any) -> bool:
    """Whether an encoder scales the vectors of words that it looks up, and not those it is given (Marian, Pegasus)."""
    return float(getattr(encoder, "embed_scale", 1.0)) != 1.0


def reads_sound(config: Any) -> bool:
    """Whether the encoder reads a spectrogram."""
    return getattr(config, "num_mel_bins", None) is not None


def _text(config: Any) -> Any:
    get = getattr(config, "get_text_config", None)
    return get() if callable(get) else config
