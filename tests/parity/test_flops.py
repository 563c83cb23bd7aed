"""The ledger's operations are those torch counts while a tiny model really runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fathom import catalog
from fathom.errors import ModelError
from fathom.model.anatomy import find_anatomy
from fathom.model.flops import count_flops
from fathom.model.flow import trace
from fathom.model.load import model_class

LENGTH = 12
TEXTS = "AutoModelForSequenceClassification"
TOKENS = "AutoModelForTokenClassification"
CAUSAL = "AutoModelForCausalLM"
SIZE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 50}
GROUPED = {**SIZE, "num_key_value_heads": 2}
BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "vocab_size": 50,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4, "vocab_size": 50}
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "bert": (SIZE, (TEXTS, TOKENS)),
    "roberta": (SIZE, (TEXTS, TOKENS)),
    "electra": ({**SIZE, "embedding_size": 16}, (TEXTS, TOKENS)),
    "albert": ({**SIZE, "embedding_size": 16}, (TEXTS, TOKENS)),
    "distilbert": ({"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64, "vocab_size": 50}, (TEXTS, TOKENS)),
    "modernbert": (SIZE, (TEXTS, TOKENS)),
    "gpt2": ({"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 50}, (TEXTS, CAUSAL)),
    "opt": ({**SIZE, "ffn_dim": 64, "word_embed_proj_dim": 32}, (TEXTS, CAUSAL)),
    "llama": (GROUPED, (TOKENS, CAUSAL)),
    "qwen3": ({**GROUPED, "head_dim": 16}, (TOKENS, CAUSAL)),
    "t5": (T5, ("AutoModelForSeq2SeqLM",)),
    "bart": (BART, ("AutoModelForSeq2SeqLM",)),
    "vit": ({**SIZE, "image_size": 16, "patch_size": 4}, ("AutoModelForImageClassification",)),
}
STRATEGIES = ("full", "head", "top-layers", "bitfit", "lora", "ladder")


def build(family: str, auto_class: str) -> nn.Module:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    values = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0, "num_labels": 3}
    if family not in ("t5", "bart"):
        del values["decoder_start_token_id"]
    config = CONFIG_MAPPING[family](**values, **CASES[family][0])
    model: nn.Module = model_class(config, auto_class)._from_config(config, attn_implementation="eager")
    return model.train()


def inputs_of(family: str) -> dict[str, Tensor | bool]:
    if family == "vit":
        return {"pixel_values": torch.rand(1, 3, 16, 16)}
    ids = torch.randint(3, 50, (1, LENGTH))
    inputs: dict[str, Tensor | bool] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if family in ("t5", "bart"):
        inputs |= {"decoder_input_ids": ids, "use_cache": False}
    return inputs


def measured(model: nn.Module, inputs: dict[str, Tensor | bool]) -> tuple[int, int]:
    with FlopCounterMode(display=False) as counter:
        logits = model(**inputs).logits
    forward = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        logits.sum().backward()
    return int(forward), int(counter.get_total_flops())


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("family", "auto_class"), [(f, a) for f, (_, heads) in CASES.items() for a in heads])
def test_counted_equals_measured(family: str, auto_class: str, strategy: str) -> None:
    model = build(family, auto_class)
    options = {"layers": 1} if strategy == "top-layers" else {}
    try:
        model = catalog.load("tuning", strategy)(**options).apply(model, find_anatomy(model))
    except ModelError as error:
        pytest.skip(str(error))
    anatomy = find_anatomy(model)
    config = model.get_submodule(anatomy.prefix.rstrip(".")).config
    pooled = auto_class == "AutoModelForImageClassification" or (
        auto_class == TEXTS and anatomy.stacks[0].name == "encoder"
    )
    counted = count_flops(trace(model, anatomy, LENGTH), config, head_positions=1 if pooled else LENGTH)
    forward, backward = measured(model, inputs_of(family))
    assert sum(flops.forward for flops in counted.values()) == forward
    assert sum(flops.backward for flops in counted.values()) == backward


def test_recomputed_blocks_run_forward_twice() -> None:
    model = build("bert", TOKENS)
    anatomy = find_anatomy(model)
    flow = trace(model, anatomy, LENGTH)
    plain = count_flops(flow, model.config, head_positions=LENGTH)
    again = count_flops(flow, model.config, head_positions=LENGTH, recompute=True)
    for place, flops in plain.items():
        extra = flops.forward if place[0] is not None else 0
        assert again[place].backward == flops.backward + extra
