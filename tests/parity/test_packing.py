# ruff: noqa: E501
"""Packed equals padded: outputs and gradients, over many architectures built tiny from their configs."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from fathom.model.packing import PackedModel, pack_model

TINY: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
GROUPED = {**TINY, "num_key_value_heads": 2, "head_dim": 8}
LENGTHS = (23, 9, 9, 1, 14)


@dataclasses.dataclass(frozen=True)
class Case:
    """One architecture: its config class, options, and whether its blocks run packed."""

    config: str
    options: dict[str, Any]
    packed: bool = True
    head: str = "AutoModelForSequenceClassification"

    def __str__(self) -> str:
        window = next(
            (f"-window{v}" for k, v in self.options.items() if k in ("sliding_window", "local_attention")), ""
        )
        return f"{self.config.removesuffix('Config')}{window}"


CASES = [
    Case("BertConfig", TINY),
    Case("RobertaConfig", {**TINY, "pad_token_id": 1}),
    Case("XLMRobertaConfig", {**TINY, "pad_token_id": 1}),
    Case("CamembertConfig", {**TINY, "pad_token_id": 1}),
    Case("ElectraConfig", {**TINY, "embedding_size": 16}),
    Case("AlbertConfig", {**TINY, "embedding_size": 16}),
    Case("DistilBertConfig", {"vocab_size": 97, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48}),
    Case("ErnieConfig", TINY),
    Case("MPNetConfig", {**TINY, "pad_token_id": 1}, packed=False),
    Case("ModernBertConfig", {**TINY, "local_attention": 6, "global_attn_every_n_layers": 2}),
    Case("GPT2Config", {"vocab_size": 97, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "pad_token_id": 0}),
    Case("GPTNeoXConfig", TINY),
    Case("OPTConfig", {**TINY, "ffn_dim": 48, "word_embed_proj_dim": 32}),
    Case("LlamaConfig", GROUPED),
    Case("MistralConfig", {**GROUPED, "sliding_window": 5}),
    Case("MistralConfig", {**GROUPED, "sliding_window": None}),
    Case("Qwen2Config", GROUPED),
    Case("Qwen3Config", GROUPED),
    Case("GemmaConfig", GROUPED),
    Case("Gemma2Config", {**GROUPED, "sliding_window": 5, "query_pre_attn_scalar": 8}),
    Case("Gemma3TextConfig", {**GROUPED, "sliding_window": 5, "query_pre_attn_scalar": 8}),
    Case("PhiConfig", TINY),
    Case("Olmo2Config", GROUPED),
    Case("SmolLM3Config", GROUPED, head="AutoModelForSequenceClassification"),
    Case("GPTBigCodeConfig", {"vocab_size": 97, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "pad_token_id": 0}),
    Case("StableLmConfig", GROUPED),
    Case("FalconConfig", {**TINY, "num_kv_heads": 4, "alibi": False, "new_decoder_architecture": False}, packed=False),
    Case("DebertaV2Config", {**TINY, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}, packed=False),
    Case("T5Config", {"vocab_size": 97, "d_model": 32, "d_kv": 8, "num_layers": 2, "num_heads": 4, "d_ff": 48, "decoder_start_token_id": 0, "eos_token_id": 2}),
    Case("BartConfig", {"vocab_size": 97, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64, "pad_token_id": 1, "eos_token_id": 2}),
]  # fmt: skip
T5 = {
    "vocab_size": 97,
    "d_model": 32,
    "d_kv": 8,
    "num_layers": 3,
    "num_heads": 4,
    "d_ff": 48,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20,
    "decoder_start_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
BART = {
    "vocab_size": 97,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
WRITERS = [
    Case("T5Config", T5, head="AutoModelForSeq2SeqLM"),
    Case(
        "T5Config",
        {**T5, "feed_forward_proj": "gated-gelu", "num_decoder_layers": 2, "tie_word_embeddings": False},
        head="AutoModelForSeq2SeqLM",
    ),
    Case("MT5Config", T5, head="AutoModelForSeq2SeqLM"),
    Case("BartConfig", BART, head="AutoModelForSeq2SeqLM"),
    Case("MBartConfig", BART, head="AutoModelForSeq2SeqLM"),
    Case("MarianConfig", BART, head="AutoModelForSeq2SeqLM"),
    Case("PegasusConfig", BART, head="AutoModelForSeq2SeqLM"),
]


def build(case: Case) -> nn.Module:
    config = getattr(transformers, case.config)(**case.options, num_labels=5)
    for name in ("attention_dropout", "attention_probs_dropout_prob", "hidden_dropout_prob", "attn_pdrop", "dropout"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    torch.manual_seed(3)
    return getattr(transformers, case.head).from_config(config).eval()


def batch(model: nn.Module) -> dict[str, torch.Tensor]:
    pad = model.config.get_text_config().pad_token_id or 0
    mask = torch.tensor([[1] * n + [0] * (max(LENGTHS) - n) for n in LENGTHS])
    ids = torch.arange(mask.numel()).view_as(mask) * 31 % 90 + 5
    ids = torch.where(mask.bool(), ids, pad)
    for row, length in enumerate(LENGTHS):
        ids[row, length - 1] = 2 if model.config.is_encoder_decoder else ids[row, length - 1]
    return {"input_ids": ids, "attention_mask": mask}


def run(model: nn.Module, handle: PackedModel | None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    inputs = batch(model)
    model.zero_grad()
    if handle is not None:
        handle.prepare(inputs["attention_mask"])
    logits = model(**inputs).logits
    weight = torch.linspace(-1, 1, logits.numel()).view_as(logits)
    (logits * weight).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return logits.detach(), gradients


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_and_gradients_equal(case: Case) -> None:
    model = build(case)
    logits, gradients = run(model, None)
    handle = pack_model(model)
    assert handle.packed == case.packed, handle.reason
    packed_logits, packed_gradients = run(model, handle)
    torch.testing.assert_close(packed_logits, logits, rtol=1e-5, atol=1e-5)
    assert packed_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        scale = max(1.0, gradient.abs().max().item())
        assert (packed_gradients[name] - gradient).abs().max().item() <= 1e-5 * scale, name
    handle.remove()
    again, _ = run(model, None)
    torch.testing.assert_close(again, logits, rtol=0, atol=0)


TARGETS = {"shorter": (7, 9, 2, 5, 1), "longer": (40, 3, 31, 8, 26), "alike": (23, 9, 9, 1, 14)}


@pytest.mark.parametrize("targets", list(TARGETS))
@pytest.mark.parametrize("case", WRITERS, ids=[f"{case}{number}" for number, case in enumerate(WRITERS)])
def test_both_stacks_of_a_writer_equal_the_padded_ones(case: Case, targets: str) -> None:
    model = build(case)
    inputs = batch(model)
    lengths = torch.tensor(TARGETS[targets])
    inside = torch.arange(int(lengths.max())) < lengths[:, None]
    labels = torch.where(inside, torch.arange(inside.numel()).view_as(inside) * 13 % 90 + 5, -100)

    def both(handle: PackedModel | None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        model.zero_grad()
        if handle is not None:
            handle.prepare(inputs["attention_mask"])
            handle.prepare_target(inside)
        output = model(**inputs, labels=labels)
        (output.loss * 50).backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        return output.logits[inside].detach(), gradients

    logits, gradients = both(None)
    handle = pack_model(model)
    assert handle.packed, handle.reason
    packed_logits, packed_gradients = both(handle)
    torch.testing.assert_close(packed_logits, logits, rtol=1e-5, atol=1e-5)
    assert packed_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        scale = max(1.0, gradient.abs().max().item())
        assert (packed_gradients[name] - gradient).abs().max().item() <= 1e-5 * scale, name
    with handle.set_aside():
        aside, _ = both(None)
    torch.testing.assert_close(aside, logits, rtol=0, atol=0)
    packed_again, _ = both(handle)
    torch.testing.assert_close(packed_again, packed_logits, rtol=0, atol=0)
    handle.remove()
    again, _ = both(None)
    torch.testing.assert_close(again, logits, rtol=0, atol=0)


def test_a_model_that_stays_padded_says_why() -> None:
    model = build(Case("BartConfig", {**BART, "encoder_layerdrop": 0.5}, head="AutoModelForSeq2SeqLM"))
    assert "layerdrop" in (pack_model(model).reason or "")
    model = build(next(case for case in CASES if case.config == "MPNetConfig"))
    assert pack_model(model).reason


def test_a_model_of_few_positions_is_tried_on_short_sequences() -> None:
    model = build(Case("BertConfig", {**TINY, "max_position_embeddings": 8}))
    assert pack_model(model).packed


@pytest.mark.parametrize("case", [CASES[0], WRITERS[0]], ids=["one stack", "two stacks"])
def test_a_packed_model_that_nobody_needs_is_freed(case: Case) -> None:
    model = build(case)
    handle = pack_model(model)
    assert handle.packed
    kept = weakref.ref(model)
    del model, handle
    gc.collect()
    assert kept() is None


def test_a_failed_trial_leaves_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    model = transformers.BertModel(transformers.BertConfig(**TINY)).train()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("not like this")

    monkeypatch.setattr("fathom.model.packing.attend_packed", fail)
    assert "not like this" in (pack_model(model).reason or "")
    assert model.training
    assert all(module.training for module in model.modules())
