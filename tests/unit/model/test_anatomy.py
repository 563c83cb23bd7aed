"""The parts of models of many families, bare and wrapped by PEFT."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import COMPONENTS, Anatomy, find_anatomy
from fathom.model.load import build_on_meta
from fathom.tuning.lora import Lora

HALF = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 40}
WORDS = "AutoModelForSequenceClassification"
CAUSAL = "AutoModelForCausalLM"
SEQ2SEQ = "AutoModelForSeq2SeqLM"
BART = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "vocab_size": 40,
}
FAMILIES: dict[str, tuple[str, dict[str, Any], tuple[tuple[str, int], ...]]] = {
    "bert": (WORDS, HALF, (("encoder", 2),)),
    "roberta": (WORDS, HALF, (("encoder", 2),)),
    "electra": (WORDS, {**HALF, "embedding_size": 8}, (("encoder", 2),)),
    "deberta-v2": (WORDS, HALF, (("encoder", 2),)),
    "distilbert": (WORDS, {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}, (("encoder", 2),)),
    "modernbert": (WORDS, HALF, (("encoder", 2),)),
    "albert": (WORDS, {**HALF, "embedding_size": 8, "num_hidden_layers": 4}, (("encoder", 1),)),
    "mpnet": (WORDS, HALF, (("encoder", 2),)),
    "gpt2": (CAUSAL, {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40}, (("decoder", 2),)),
    "gpt_neox": (CAUSAL, HALF, (("decoder", 2),)),
    "opt": (CAUSAL, {**HALF, "ffn_dim": 32, "word_embed_proj_dim": 8}, (("decoder", 2),)),
    "llama": (CAUSAL, {**HALF, "num_key_value_heads": 1}, (("decoder", 2),)),
    "mistral": (CAUSAL, {**HALF, "num_key_value_heads": 1}, (("decoder", 2),)),
    "gemma": (CAUSAL, {**HALF, "num_key_value_heads": 1, "head_dim": 8}, (("decoder", 2),)),
    "qwen3": (CAUSAL, {**HALF, "num_key_value_heads": 1, "head_dim": 8}, (("decoder", 2),)),
    "bloom": (CAUSAL, {"hidden_size": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40}, (("decoder", 2),)),
    "t5": (
        SEQ2SEQ,
        {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 2},
        (("encoder", 2), ("decoder", 3)),
    ),
    "bart": (SEQ2SEQ, BART, (("encoder", 2), ("decoder", 3))),
    "whisper": ("AutoModelForSpeechSeq2Seq", BART, (("encoder", 2), ("decoder", 3))),
    "vit": ("AutoModelForImageClassification", {**HALF, "image_size": 8, "patch_size": 4}, (("encoder", 2),)),
    "wav2vec2": (
        "AutoModelForAudioClassification",
        {**HALF, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
        (("encoder", 2),),
    ),
}


def build(family: str, auto_class: str | None = None) -> nn.Module:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    published, values, _ = FAMILIES[family]
    config = CONFIG_MAPPING[family](**{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **values})
    return build_on_meta(config, auto_class or published)


@pytest.mark.parametrize("family", FAMILIES)
def test_stacks_and_components(family: str) -> None:
    model = build(family)
    anatomy = find_anatomy(model)
    assert tuple((stack.name, len(stack.blocks)) for stack in anatomy.stacks) == FAMILIES[family][2]
    assert [block.index for block in anatomy.blocks] == list(range(len(anatomy.blocks)))
    assert anatomy.embeddings
    assert anatomy.head
    for block in anatomy.blocks:
        assert len(block.attention) >= 2
        assert len(block.feed_forward) >= 2
        assert block.norms
        for path in (*block.attention, *block.feed_forward, *block.norms):
            model.get_submodule(path)
    check_every_parameter_has_its_place(model, anatomy)


def check_every_parameter_has_its_place(model: nn.Module, anatomy: Anatomy) -> None:
    for name, _ in model.named_parameters():
        depth, component = anatomy.component_of(name)
        assert component in COMPONENTS
        assert component != "other", name
        inside = any(name.startswith(f"{block.path}.") for block in anatomy.blocks)
        assert (depth is not None) == inside, name


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2", "modernbert", "llama"])
def test_a_wrapped_model_has_the_same_parts(family: str) -> None:
    model = build(family, WORDS)
    bare = find_anatomy(model)
    bare_places = {name: bare.component_of(name) for name, _ in model.named_parameters()}
    wrapped = Lora(rank=2).apply(model, bare)
    anatomy = find_anatomy(wrapped)
    assert anatomy.prefix == "base_model.model."
    assert [block.path for block in anatomy.blocks] == [f"base_model.model.{block.path}" for block in bare.blocks]
    assert [block.attention for block in anatomy.blocks] == [
        tuple(f"base_model.model.{path}" for path in block.attention) for block in bare.blocks
    ]
    check_every_parameter_has_its_place(wrapped, anatomy)
    for name, place in bare_places.items():  # an old name is found in the new anatomy
        assert anatomy.component_of(name) == place
    for name, _ in wrapped.named_parameters():  # and a new name in the old one
        assert bare.component_of(name) == anatomy.component_of(name)


def test_components_of_bert() -> None:
    anatomy = find_anatomy(build("bert"))
    place = anatomy.component_of
    assert place("bert.embeddings.word_embeddings.weight") == (None, "embeddings")
    assert place("bert.encoder.layer.1.attention.self.query.weight") == (1, "attention")
    assert place("bert.encoder.layer.1.attention.output.dense.bias") == (1, "attention")
    assert place("bert.encoder.layer.0.attention.output.LayerNorm.weight") == (0, "norm")
    assert place("bert.encoder.layer.0.intermediate.dense.weight") == (0, "feed-forward")
    assert place("bert.pooler.dense.weight") == (None, "head")
    assert place("classifier.weight") == (None, "head")


def test_components_of_t5_count_depth_through_both_stacks() -> None:
    anatomy = find_anatomy(build("t5"))
    counted = Counter(anatomy.component_of(name)[0] for name, _ in build("t5").named_parameters())
    assert set(counted) == {None, 0, 1, 2, 3, 4}
    assert anatomy.component_of("decoder.block.0.layer.1.EncDecAttention.k.weight") == (2, "attention")
    assert anatomy.final == ("encoder.final_layer_norm", "decoder.final_layer_norm")


def test_shared_blocks_run_more_often_than_they_are_stored() -> None:
    anatomy = find_anatomy(build("albert"))
    assert len(anatomy.blocks) == 1
    assert anatomy.depth == 4


def test_a_model_without_blocks_is_refused() -> None:
    with pytest.raises(ModelError, match="no stack of transformer blocks"):
        find_anatomy(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
