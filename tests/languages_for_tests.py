"""Tiny language models and a tokenizer that has every special token an objective may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast

from fathom import catalog
from fathom.data.store import TokenStore, from_features
from fathom.model.anatomy import find_anatomy
from fathom.model.compute import Compute
from fathom.model.packing import PackedModel, pack_model
from fathom.model.parameters import FlatParameters, group_parameters
from fathom.model.vocabulary import VocabularyHead
from fathom.runs.prepare import embedding_tables
from fathom.tasks.base import OpenTask
from fathom.training.step import Workload

WORDS = [f"w{index}" for index in range(40)] + ["un", "##able", "##s", "北", "京", "大", "学"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<end>", *(f"<extra_id_{index}>" for index in range(6))]
SIZE = len(SPECIAL) + len(WORDS)

BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
LLAMA = {**BERT, "num_key_value_heads": 2, "max_position_embeddings": 64}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
BART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64, "decoder_start_token_id": 3,
    "forced_eos_token_id": None,
}  # fmt: skip
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertConfig", "BertForMaskedLM", {**BERT, "max_position_embeddings": 64}),
    "roberta": ("RobertaConfig", "RobertaForMaskedLM", {**BERT, "max_position_embeddings": 64}),
    "distilbert": ("DistilBertConfig", "DistilBertForMaskedLM", DISTILBERT),
    "modernbert": ("ModernBertConfig", "ModernBertForMaskedLM", {**BERT, "global_attn_every_n_layers": 2}),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "llama": ("LlamaConfig", "LlamaForCausalLM", LLAMA),
    "llama-tied": ("LlamaConfig", "LlamaForCausalLM", {**LLAMA, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {**LLAMA, "head_dim": 8}),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", {**LLAMA, "head_dim": 8, "final_logit_softcapping": 3.0}),
    "t5": ("T5Config", "T5ForConditionalGeneration", T5),
    "bart": ("BartConfig", "BartForConditionalGeneration", BART),
    "bert-pretraining": ("BertConfig", "BertForPreTraining", {**BERT, "max_position_embeddings": 64}),
}  # fmt: skip


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Words, pieces of words and single Chinese characters; every special token."""
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", eos_token="<end>", additional_special_tokens=SPECIAL[6:],
    )  # fmt: skip


def make_model(name: str, dropout: float = 0.0) -> Any:
    """A tiny model with weights large enough that nothing is nearly equal by chance."""
    config_class, model_class, options = MODELS[name]
    keys = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "embd_pdrop")
    made = getattr(transformers, config_class)(
        **options, vocab_size=SIZE, pad_token_id=0, bos_token_id=2, eos_token_id=5
    )
    for key in (
        *keys,
        "resid_pdrop",
        "attn_pdrop",
        "dropout_rate",
        "activation_dropout",
        "mlp_dropout",
        "embedding_dropout",
    ):
        if key in made.to_dict():
            setattr(made, key, dropout)
    torch.manual_seed(3)
    model = getattr(transformers, model_class)(made)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model.train()


def make_store(task: Any, lengths: Sequence[int], seed: int = 0) -> TokenStore:
    """Random texts of these many words, framed as the task wants."""
    random = np.random.default_rng(seed)
    rows = []
    for index, length in enumerate(lengths):
        ids = random.integers(len(SPECIAL), SIZE, length).astype(np.int32)
        rows.append({"input_ids": task.frame_piece(ids), "example": np.asarray(index)})
    return from_features(rows)


def open_task(kind: str, **options: Any) -> OpenTask:
    """Open a language-model task."""
    opened: OpenTask = catalog.load("task", kind)(**options).open([], make_tokenizer(), 48)
    return opened


def make_workload(
    model: nn.Module, task: OpenTask, store: TokenStore, *, packing: bool = True, dtype: torch.dtype = torch.float32
) -> Workload:
    """What the loop trains, as `runs.prepare` makes it."""
    anatomy = find_anatomy(model)
    packed = pack_model(model) if packing else PackedModel(model, reason="off")  # type: ignore[arg-type]
    packed.stream_dtype = dtype if dtype != torch.float32 and packed.packed else None
    named, keys = group_parameters(model)
    tables = embedding_tables(model, set(named), tied=True)
    parameters = FlatParameters(named, keys, shadow_dtype=None if dtype == torch.float32 else dtype)
    blocks = [block.path for block in anatomy.blocks]
    compute = Compute(model, parameters, blocks, embedding_paths=tables, dtype=dtype)
    head = VocabularyHead(model, parameters, dtype)
    return Workload(model, packed, parameters, compute, None, task, store, seed=3, vocabulary=head)
