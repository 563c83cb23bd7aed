"""The rows of the pretraining comparison: one model folder with seeded random weights and one corpus for all peers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.sources import require

CORPUS = "tinyshakespeare/input.txt"
VALIDATION_CHARACTERS = 100_000
SCORED_WINDOWS = 64


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        objective: What is learnt.
        config: Keys of the transformers config besides the vocabulary.
        window: Tokens of a window.
        batch_size: Windows of a step.
        steps: Optimizer steps of a run.
        learning_rate: Peak, with linear decay after a tenth of warmup.
        tokenizer: `characters` or `minilm`.
        vocabulary: Rows of the word table; 0 for the tokenizer's.
        lora_rank: Of updates beside every projection of the blocks, all else frozen; 0 where every weight learns.
    """

    name: str
    objective: Literal["causal-lm", "masked-lm"]
    config: dict[str, Any] = field(hash=False)
    window: int
    batch_size: int
    steps: int
    learning_rate: float
    tokenizer: Literal["characters", "minilm"]
    vocabulary: int = 0
    weight_decay: float = 0.1
    model_type: str = ""
    """Of transformers; left out, gpt2 or bert by the objective."""
    needs_gpu: bool = False
    lora_rank: int = 0


GPT = {"n_layer": 6, "n_head": 6, "n_embd": 384, "n_positions": 256}
BERT = {"num_hidden_layers": 12, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}
GPT2 = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}
LLAMA = {
    "num_hidden_layers": 22, "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 4,
    "intermediate_size": 5632, "max_position_embeddings": 2048,
}  # fmt: skip
"""TinyLlama: 1.1 billion parameters."""
LLAMA_8B = {
    "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "max_position_embeddings": 8192,
}  # fmt: skip
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
BERT_BASE = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
ROWS = {
    row.name: row
    for row in (
        Row("gpt-10m-causal", "causal-lm", GPT, 256, 16, 60, 1e-3, "characters"),
        Row("bert-12x256-masked", "masked-lm", BERT, 128, 32, 30, 5e-4, "minilm"),
        Row("bert-100k-memory", "masked-lm", {**BERT, "num_hidden_layers": 4}, 128, 32, 5, 5e-4, "minilm", 100_000),
        Row("gpu-gpt2-124m", "causal-lm", GPT2, 1024, 64, 100, 6e-4, "minilm", 50_304, needs_gpu=True),
        Row(
            "gpu-llama-1b",
            "causal-lm",
            LLAMA,
            2048,
            16,
            60,
            4e-4,
            "minilm",
            32_000,
            model_type="llama",
            needs_gpu=True,
        ),
        Row(
            "gpu-llama-8b-lora",
            "causal-lm",
            LLAMA_8B,
            4096,
            1,
            20,
            2e-4,
            "minilm",
            32_000,
            model_type="llama",
            needs_gpu=True,
            lora_rank=8,
        ),
        Row("gpu-bert-base", "masked-lm", BERT_BASE, 128, 512, 100, 5e-4, "minilm", needs_gpu=True),
    )
}
"""`gpt-10m-causal` is the character model of nanoGPT's tutorial (10.7 million parameters)."""


def tiny(row: Row) -> Row:
    """Return a row of the same kind that a laptop runs in seconds: it tries a script, and no figure from it counts."""
    small = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    if "n_layer" in row.config:
        small = {"n_layer": 2, "n_head": 2, "n_embd": 32}
    if "num_key_value_heads" in row.config:
        small["num_key_value_heads"] = 1
    config = {**row.config, **small}
    return replace(row, name=f"tiny-{row.name}", config=config, window=64, batch_size=4, steps=2)


ROWS |= {f"tiny-{name}": tiny(row) for name, row in list(ROWS.items()) if row.needs_gpu}


def corpus(work: Path) -> dict[str, Path]:
    """Split the corpus once: the last characters are for validation. Returns the files by split."""
    text = require(CORPUS).read_text(encoding="utf-8")
    found = {}
    for name, part in (("train", text[:-VALIDATION_CHARACTERS]), ("validation", text[-VALIDATION_CHARACTERS:])):
        path = work / f"shakespeare-{name}.txt"
        if not path.is_file():
            path.write_text(part, encoding="utf-8")
        found[name] = path
    return found


def model_folder(row: Row, work: Path) -> Path:
    """Make, once, a folder with config, seeded random weights and tokenizer, which every peer starts from."""
    folder = work / f"pretraining-{row.name}"
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    temporary = folder.with_name(folder.name + ".partial")
    tokenizer = _tokenizer(row, work)
    tokenizer.save_pretrained(temporary)
    size = row.vocabulary or len(tokenizer)
    torch.manual_seed(0)
    causal = row.objective == "causal-lm"
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0} if causal else {}
    kind = row.model_type or ("gpt2" if causal else "bert")
    config = AutoConfig.for_model(kind, **row.config, vocab_size=size, **ends)
    auto = AutoModelForCausalLM if causal else AutoModelForMaskedLM
    half = {"dtype": torch.bfloat16} if row.lora_rank else {}  # frozen, and in fp32 twice the disk
    model: Any = auto.from_config(config, **half)
    model.save_pretrained(temporary)
    temporary.rename(folder)
    return folder


def _tokenizer(row: Row, work: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if row.tokenizer == "minilm":
        from benchmarks.models import minilm_folder

        return AutoTokenizer.from_pretrained(minilm_folder())
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    characters = sorted(set(corpus(work)["train"].read_text(encoding="utf-8")))
    vocabulary = {piece: index for index, piece in enumerate(["<|endoftext|>", *characters])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<|endoftext|>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )


def fathom_recipe(row: Row, work: Path, output: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe of one run of a row; `options` are keys of its training section."""
    files = corpus(work)
    training = {
        "max_steps": row.steps,
        "batch_size": row.batch_size,
        "learning_rate": row.learning_rate,
        "weight_decay": row.weight_decay,
        "warmup_ratio": 0.1,
        "eval_steps": 1_000_000_000,
        "save_steps": 1_000_000_000,
        "load_best_model_at_end": False,
        "evaluate_before": False,
        "verify_reload": False,
        **options,
    }
    return {
        "model": {"name": str(model_folder(row, work))},
        "data": {"train": str(files["train"]), "validation": str(files["validation"]), "max_length": row.window},
        "task": row.objective,
        # the peer's options: nothing of a head learns, alpha 16
        **({"tuning": {"kind": "lora", "rank": row.lora_rank}} if row.lora_rank else {}),
        "training": training,
        "output": str(output),
    }


def training_flops_per_token(row: Row, vocabulary: int) -> float:
    """Return the matrix-product FLOPs of forward and backward for one token, what the head must do included.

    6 for each weight of the blocks, 12 * width * window for attention (half of it where later tokens are not seen), 6 *
    width * vocabulary for the labelled share of the positions.
    """
    config = row.config
    width = config.get("n_embd") or config["hidden_size"]
    depth = config.get("n_layer") or config["num_hidden_layers"]
    causal = row.objective == "causal-lm"
    blocks = depth * (6 * 12 * width * width + 12 * width * row.window * (0.5 if causal else 1.0))
    labelled = 1.0 if causal else 0.15
    transform = 0 if causal else 6 * width * width
    return float(blocks + labelled * (6 * width * vocabulary + transform))


def score(model: Any, row: Row, work: Path) -> float:
    """Return the mean loss on the first held-out windows, by transformers alone; masks are the same for all."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder(row, work))
    text = corpus(work)["validation"].read_text(encoding="utf-8")
    ids = torch.tensor(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    windows = ids[: SCORED_WINDOWS * row.window].view(SCORED_WINDOWS, row.window)
    labels, inputs = windows.clone(), windows
    if row.objective == "masked-lm":
        hidden = torch.rand(windows.shape, generator=torch.Generator().manual_seed(0)) < 0.15
        labels[~hidden] = -100
        inputs = windows.masked_fill(hidden, tokenizer.mask_token_id)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, inputs, labels = model.float().eval().to(device), inputs.to(device), labels.to(device)
    with torch.inference_mode():
        losses = [
            model(input_ids=inputs[i : i + 8], labels=labels[i : i + 8]).loss for i in range(0, SCORED_WINDOWS, 8)
        ]
    return float(torch.stack(losses).mean())


def read_config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found
