"""One fine-tuning run by `transformers.Trainer`, written the way the example scripts run_ner.py and run_glue.py do it.

`--mode default`: the scripts' documented way: JSON files through `datasets`, `map` to tokenize without padding,
dynamic padding in the collator, fp32, `TrainingArguments` defaults. `--mode tuned`: the same with the public settings
that make it faster on a CPU (see `trainer_arguments`). `--mode best`: tuned, and attention computed by plain matrix
products (`attn_implementation="eager"`), as torch's fused CPU attention has a slow backward on short sequences. In all
modes no checkpoint is written and no evaluation runs
inside the timed part; that favours the Trainer, whose default writes checkpoints. Scores are taken afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.arguments import lora_rank, shared_arguments, top_blocks
from benchmarks.peers.process import peak_resident_bytes, seconds_since_start
from benchmarks.peers.trainer_arguments import tuned_arguments


def read_arguments() -> argparse.Namespace:
    parser = shared_arguments(__doc__)
    parser.add_argument("--mode", choices=("default", "tuned", "best"), default="default")
    parser.add_argument("--workers", type=int, default=None, help="data loader processes of the tuned mode")
    parser.add_argument("--attention", default=None, help="attention implementation; left out, the mode's own")
    return parser.parse_args()


def tokenize_words(examples: dict[str, Any], tokenizer: Any, label_to_id: dict[str, int], max_length: int) -> Any:
    """Tokenize split words; only the first sub-word of a word carries its label (run_ner.py)."""
    encoded = tokenizer(
        examples["tokens"], is_split_into_words=True, truncation=True, max_length=max_length, padding=False
    )
    labels = []
    for row, tags in enumerate(examples["tags"]):
        ids = []
        before = None
        for word in encoded.word_ids(batch_index=row):
            ids.append(-100 if word is None or word == before else label_to_id[tags[word]])
            before = word
        labels.append(ids)
    encoded["labels"] = labels
    return encoded


def tokenize_texts(examples: dict[str, Any], tokenizer: Any, label_to_id: dict[str, int], max_length: int) -> Any:
    """Tokenize texts; one label id each, or a float for every class (run_glue.py, run_classification.py)."""
    encoded = tokenizer(examples["text"], truncation=True, max_length=max_length, padding=False)
    if "labels" in examples:
        encoded["labels"] = [[float(name in row) for name in label_to_id] for row in examples["labels"]]
    else:
        encoded["label"] = [label_to_id[name] for name in examples["label"]]
    return encoded


def load_data(arguments: argparse.Namespace, form: str, tokenizer: Any, train_file: Path) -> tuple[Any, list[str]]:
    """Return the tokenized train split and the sorted label names; both cached on disk by `datasets`."""
    from datasets import load_dataset

    raw = load_dataset("json", data_files={"train": str(train_file)})["train"]
    if form == "tags":
        names = sorted({tag for row in raw["tags"] for tag in row})
    elif form == "label":
        names = sorted(set(raw["label"]))
    else:
        names = sorted({name for row in raw["labels"] for name in row})
    label_to_id = {name: index for index, name in enumerate(names)}
    function = tokenize_words if form == "tags" else tokenize_texts
    encode = partial(function, tokenizer=tokenizer, label_to_id=label_to_id, max_length=arguments.max_length)
    encoded = raw.map(encode, batched=True, remove_columns=raw.column_names)
    if arguments.mode != "default":
        lengths = [len(ids) for ids in encoded["input_ids"]]
        encoded = encoded.add_column("length", lengths)
    return encoded, names


def load_model(form: str, folder: Path, names: list[str], attention: str | None) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    auto = AutoModelForTokenClassification if form == "tags" else AutoModelForSequenceClassification
    options: dict[str, Any] = {"problem_type": "multi_label_classification"} if form == "labels" else {}
    if attention:
        options["attn_implementation"] = attention
    return auto.from_pretrained(
        folder,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        **options,
    )


def apply_tuning(model: Any, tuning: str) -> Any:
    """Freeze what a tuning leaves alone, or wrap the model by PEFT with Fathom's options; the head always learns."""
    top, rank = top_blocks(tuning), lora_rank(tuning)
    if top is not None:
        body = model.base_model
        for parameter in body.embeddings.parameters():
            parameter.requires_grad_(False)
        for layer in body.encoder.layer[: len(body.encoder.layer) - top]:
            for parameter in layer.parameters():
                parameter.requires_grad_(False)
    if rank is not None:
        from peft import LoraConfig, get_peft_model

        targets = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
        options = LoraConfig(r=rank, lora_alpha=16, target_modules=targets, modules_to_save=["classifier"])
        return get_peft_model(model, options)
    return model


def make_clock() -> tuple[Any, dict[str, float]]:
    """Return a callback that notes when the first optimizer step began and ended, and the dictionary it fills."""
    from transformers import TrainerCallback

    noted: dict[str, float] = {}

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            noted.setdefault("first_step_began", seconds_since_start())

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            noted.setdefault("first_step_ended", seconds_since_start())

    return Clock(), noted


def main() -> None:
    arguments = read_arguments()
    for name in ("HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("HF_DATASETS_CACHE", str(arguments.work / "datasets-cache"))
    import torch
    import transformers
    from transformers import AutoTokenizer, DataCollatorForTokenClassification, DataCollatorWithPadding

    from benchmarks.models import model_folder
    from benchmarks.sources import find_source, prepare, read_prepared

    torch.set_num_threads(arguments.threads)
    source = find_source(arguments.data)
    files = prepare(source, arguments.work)
    folder = model_folder(arguments.model, arguments.work)
    transformers.set_seed(arguments.seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    train, names = load_data(arguments, source.form, tokenizer, files["train"])
    attention = arguments.attention or ("eager" if arguments.mode == "best" else None)
    model = apply_tuning(load_model(source.form, folder, names, attention), arguments.tuning)
    collator = DataCollatorForTokenClassification if source.form == "tags" else DataCollatorWithPadding
    clock, noted = make_clock()
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(arguments.work / "trainer-output"),
            per_device_train_batch_size=arguments.batch_size,
            num_train_epochs=arguments.epochs,
            max_steps=arguments.max_steps,
            learning_rate=arguments.lr,
            weight_decay=arguments.weight_decay,
            warmup_steps=arguments.warmup_ratio,
            seed=arguments.seed,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            include_num_input_tokens_seen="non_padding" if arguments.max_steps > 0 else "no",
            **(tuned_arguments(arguments.workers) if arguments.mode != "default" else {}),
        ),
        train_dataset=train,
        data_collator=collator(tokenizer),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    started = time.perf_counter()
    outcome = trainer.train()
    seconds = time.perf_counter() - started
    trained_at = seconds_since_start()
    peak = peak_resident_bytes()
    lengths = [len(ids) for ids in train["input_ids"]]
    epoch_tokens = sum(lengths)
    partial_run = arguments.max_steps > 0 or arguments.epochs != int(arguments.epochs)
    tokens = int(trainer.state.num_input_tokens_seen) if partial_run else epoch_tokens * int(arguments.epochs)
    result = {
        "peer": f"trainer-{arguments.mode}",
        "train_seconds": seconds,
        "real_tokens": tokens,
        "real_tokens_per_s": tokens / seconds,
        "token_mean_length": sum(length * length for length in lengths) / epoch_tokens,
        "steps": trainer.state.global_step,
        "seconds_to_first_step": noted["first_step_ended"],
        "seconds_to_first_step_begin": noted["first_step_began"],
        "seconds_start_to_trained": trained_at,
        "peak_memory_bytes": peak,
        "train_loss": float(outcome.training_loss),
        "seed": arguments.seed,
        "attention": model.config._attn_implementation,
        "dev": {},
    }
    if not arguments.no_score:
        from benchmarks.peers.score import score_model

        rows = read_prepared(files["dev"])
        result["dev"] = score_model(trainer.model, tokenizer, rows, source.form, arguments.max_length)
    arguments.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
