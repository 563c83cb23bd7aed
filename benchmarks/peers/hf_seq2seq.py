"""One training of an encoder-decoder by `transformers.Seq2SeqTrainer`, as run_translation.py and run_summarization.py.

`datasets` with `map` to tokenize (`text_target` for targets), `DataCollatorForSeq2Seq`, the settings given, everything
else the defaults. Tuned: grouped by length, bf16. Then the test split is written greedily by `generate`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers.job import Job, begin, leave, read_rows
from benchmarks.peers.timed import Counted, tokens_and_labels, train
from benchmarks.peers.trainer_arguments import job_arguments

BATCH = 64
"""Of what is written."""


def write(model: Any, tokenizer: Any, job: Job) -> list[dict[str, str]]:
    """Write the targets of the test split."""
    import torch

    sources = [row["source"] for row in read_rows(job.data / "test.jsonl")]
    written: list[dict[str, str]] = []
    model.eval()
    for start in range(0, len(sources), BATCH):
        batch = tokenizer(
            sources[start : start + BATCH],
            max_length=job.hyperparameters.max_length,
            truncation=True,
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            ids = model.generate(**batch, max_new_tokens=job.options["max_target_length"], num_beams=1, do_sample=False)
        written += [{"text": text.strip()} for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return written


def main() -> None:
    job = begin()
    import transformers
    from datasets import load_dataset

    tokenizer = transformers.AutoTokenizer.from_pretrained(job.base)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(job.base)

    def tokenize(rows: dict[str, Any]) -> Any:
        found = tokenizer(rows["source"], max_length=job.hyperparameters.max_length, truncation=True)
        targets = tokenizer(text_target=rows["target"], max_length=job.options["max_target_length"], truncation=True)
        found["labels"] = targets["input_ids"]
        found["length"] = [len(ids) for ids in found["input_ids"]]
        return found

    raw = load_dataset("json", data_files={"train": str(job.data / "train.jsonl")})["train"]
    learnt = raw.map(tokenize, batched=True, remove_columns=raw.column_names)
    counted = Counted(transformers.DataCollatorForSeq2Seq(tokenizer, model=model), tokens_and_labels)
    trainer = transformers.Seq2SeqTrainer(
        model=model,
        args=transformers.Seq2SeqTrainingArguments(**job_arguments(job)),
        train_dataset=learnt,
        data_collator=counted,
        processing_class=tokenizer,
    )
    figures = train(trainer, counted)
    leave(job, figures, write(model, tokenizer, job))


if __name__ == "__main__":
    main()
