"""One DPO training by TRL's own trainer, which leaves its model.

The settings given, everything else the library's defaults, but no bf16 and no recomputation in the backward pass, which
TRL turns on by itself and a small model on a processor is better without. Tuned: its reference is scored beforehand,
outside what is timed, as Fathom does from its cache; bf16 if the processor has it.
"""

from __future__ import annotations

import sys

from benchmarks.peers.job import begin, leave, read_rows
from benchmarks.peers.timed import Counted, masked_tokens, train
from benchmarks.peers.trainer_arguments import job_arguments


def main() -> None:
    job = begin()
    if job.options["trl"]:
        sys.path.append(job.options["trl"])
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.base)
    settings = {"bf16": False, **job_arguments(job, by_length=False)}
    trainer = trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(job.base),
        args=trl.DPOConfig(
            **settings,
            max_length=job.hyperparameters.max_length,
            beta=job.options["beta"],
            precompute_ref_log_probs=job.tuned,
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(read_rows(job.data / "train.jsonl")),
        processing_class=tokenizer,
    )
    counted = Counted(trainer.data_collator, masked_tokens)
    trainer.data_collator = counted
    figures = train(trainer, counted)
    trainer.model.save_pretrained(job.output / "model")
    leave(job, {**figures, "trl": trl.__version__})


if __name__ == "__main__":
    main()
