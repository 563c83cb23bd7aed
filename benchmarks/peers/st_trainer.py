"""One contrastive training by sentence-transformers' own trainer, and the vectors of the test questions.

`MultipleNegativesRankingLoss` over pairs, the settings given, everything else the library's defaults. Tuned: bf16 and
no logs; the library cannot group by length. Untuned: the vectors of the first weights.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np

from benchmarks.peers.job import Job, begin, leave
from benchmarks.peers.timed import Counted, masked_tokens, train
from benchmarks.peers.trainer_arguments import job_arguments


class CountedPairs(Counted):
    """A counted collator with what the library reads of its own one."""

    def __init__(self, collator: Any) -> None:
        super().__init__(collator, masked_tokens)
        self.valid_label_columns = collator.valid_label_columns


def tune(model: Any, job: Job) -> dict[str, Any]:
    """Train in place and return the figures."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    with (job.data / "pairs.csv").open(encoding="utf-8", newline="") as stream:
        pairs = list(csv.DictReader(stream))
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**job_arguments(job, by_length=False)),
        train_dataset=Dataset.from_list(pairs),
        loss=MultipleNegativesRankingLoss(model, scale=1 / job.options["temperature"]),
    )
    counted = CountedPairs(trainer.data_collator)
    trainer.data_collator = counted
    return train(trainer, counted)


def main() -> None:
    job = begin()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(job.base), device="cpu")
    model.max_seq_length = job.hyperparameters.max_length
    figures = {} if job.mode == "untuned" else tune(model, job)
    texts = (job.data / "questions.txt").read_text(encoding="utf-8").splitlines()
    np.save(job.output / "answers.npy", np.asarray(model.encode(texts, batch_size=64, show_progress_bar=False)))
    leave(job, figures)


if __name__ == "__main__":
    main()
