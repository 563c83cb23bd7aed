"""One training on relations by `transformers.Trainer`: a sequence classifier reads the text with both entities marked.

There is no example script of this task; it is done as run_glue.py does others, on the same marked text that Fathom
reads, padded by batch. Tuned: grouped by length, bf16.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers.job import begin, leave
from benchmarks.peers.timed import Counted, masked_tokens, predict, train
from benchmarks.peers.trainer_arguments import job_arguments


def main() -> None:
    job = begin()
    import transformers
    from datasets import load_dataset

    tokenizer = transformers.AutoTokenizer.from_pretrained(job.base)
    files = {split: str(job.data / f"marked-{split}.jsonl") for split in ("train", "test")}
    raw = load_dataset("json", data_files=files)
    names = sorted(set(raw["train"]["label"]))
    numbers = {name: number for number, name in enumerate(names)}

    def tokenize(rows: dict[str, Any]) -> Any:
        found = tokenizer(rows["text"], max_length=job.hyperparameters.max_length, truncation=True)
        found["length"] = [len(ids) for ids in found["input_ids"]]
        return found

    def learn(rows: dict[str, Any]) -> Any:
        return {**tokenize(rows), "label": [numbers[name] for name in rows["label"]]}

    columns = raw["train"].column_names
    learnt = raw["train"].map(learn, batched=True, remove_columns=columns)
    asked = raw["test"].map(tokenize, batched=True, remove_columns=columns)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        job.base, num_labels=len(names), id2label=dict(enumerate(names)), label2id=numbers
    )
    counted = Counted(transformers.DataCollatorWithPadding(tokenizer), masked_tokens)
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(**job_arguments(job)),
        train_dataset=learnt,
        data_collator=counted,
        processing_class=tokenizer,
    )
    figures = train(trainer, counted)
    best = predict(trainer, asked).argmax(-1).tolist()
    leave(job, figures, [{"label": names[number]} for number in best])


if __name__ == "__main__":
    main()
