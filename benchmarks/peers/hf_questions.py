"""One training on questions by `transformers.Trainer`, the way the example script run_qa.py does it.

Passages are cut into windows that share `stride` tokens; by default every window is padded to the longest length, as
the script's `pad_to_max_length` has it. Tuned: padded by batch, grouped by length, bf16. The answer of a question is
the best span among the 20 likeliest starts and ends of its windows, as in the script's utils_qa.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers.job import Job, begin, leave
from benchmarks.peers.timed import Counted, masked_tokens, predict, train
from benchmarks.peers.trainer_arguments import job_arguments

N_BEST = 20
LONGEST_ANSWER = 30
"""Tokens; both are the script's defaults."""


def cut(rows: dict[str, Any], tokenizer: Any, job: Job, padding: str | bool) -> Any:
    """Tokenize questions with the windows of their passages."""
    return tokenizer(
        [question.lstrip() for question in rows["question"]],
        rows["context"],
        truncation="only_second",
        max_length=job.hyperparameters.max_length,
        stride=job.options["stride"],
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=padding,
    )


def learnt_windows(rows: dict[str, Any], tokenizer: Any, job: Job) -> Any:
    """Return windows with the first and last token of the answer; [CLS] where a window does not hold it whole."""
    encoded = cut(rows, tokenizer, job, False if job.tuned else "max_length")
    owners, offsets = encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping")
    places = []
    for window, owner in enumerate(owners):
        first = encoded["input_ids"][window].index(tokenizer.cls_token_id)
        answers = rows["answers"][owner]
        begins = answers["answer_start"][0]
        ends = begins + len(answers["text"][0])
        inside = [place for place, part in enumerate(encoded.sequence_ids(window)) if part == 1]
        held = [place for place in inside if offsets[window][place][0] < ends and offsets[window][place][1] > begins]
        whole = held and offsets[window][inside[0]][0] <= begins and offsets[window][inside[-1]][1] >= ends
        places.append((held[0], held[-1]) if whole else (first, first))
    encoded["start_positions"] = [start for start, _ in places]
    encoded["end_positions"] = [end for _, end in places]
    encoded["length"] = [sum(mask) for mask in encoded["attention_mask"]]
    return encoded


def asked_windows(rows: dict[str, Any], tokenizer: Any, job: Job) -> Any:
    """Return windows of test questions, with their question and the characters of each token of the passage."""
    encoded = cut(rows, tokenizer, job, "max_length")
    encoded["owner"] = [rows["number"][owner] for owner in encoded.pop("overflow_to_sample_mapping")]
    encoded["offset_mapping"] = [
        [list(span) if part == 1 else [-1, -1] for span, part in zip(spans, encoded.sequence_ids(window), strict=True)]
        for window, spans in enumerate(encoded["offset_mapping"])
    ]
    return encoded


def best_answers(scores: tuple[Any, Any], windows: Any, contexts: list[str]) -> list[dict[str, str]]:
    """Return for each question the text of its best span."""
    best = [(-np.inf, "")] * len(contexts)
    for window, starts_L, ends_L in zip(windows, *scores, strict=True):
        spans, owner = window["offset_mapping"], window["owner"]
        for start in np.argsort(starts_L)[: -N_BEST - 1 : -1].tolist():
            for end in np.argsort(ends_L)[: -N_BEST - 1 : -1].tolist():
                if spans[start][0] < 0 or spans[end][0] < 0 or not start <= end < start + LONGEST_ANSWER:
                    continue
                found = (float(starts_L[start] + ends_L[end]), contexts[owner][spans[start][0] : spans[end][1]])
                best[owner] = max(best[owner], found, key=lambda item: item[0])
    return [{"answer": text} for _, text in best]


def main() -> None:
    job = begin()
    import transformers
    from datasets import load_dataset

    tokenizer = transformers.AutoTokenizer.from_pretrained(job.base)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(job.base)
    files = {split: str(job.data / f"flat-{split}.jsonl") for split in ("train", "test")}
    raw = load_dataset("json", data_files=files)
    options = {"batched": True, "remove_columns": raw["train"].column_names}
    learnt = raw["train"].map(partial(learnt_windows, tokenizer=tokenizer, job=job), **options)
    asked = raw["test"].map(partial(asked_windows, tokenizer=tokenizer, job=job), **options)
    collator = transformers.DataCollatorWithPadding(tokenizer) if job.tuned else transformers.default_data_collator
    counted = Counted(collator, masked_tokens)
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(**job_arguments(job)),
        train_dataset=learnt,
        data_collator=counted,
        processing_class=tokenizer,
    )
    figures = train(trainer, counted)
    scores = predict(trainer, asked.remove_columns(["owner", "offset_mapping"]))
    leave(job, figures, best_answers(scores, asked, raw["test"]["context"]))


if __name__ == "__main__":
    main()
