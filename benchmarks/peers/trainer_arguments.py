"""Settings of the Trainer: those a job gives, and those that make it faster."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.job import Job
from benchmarks.processor import has_bf16


def tuned_arguments(workers: int | None = None, *, by_length: bool = True) -> dict[str, Any]:
    """Return the settings of the tuned mode: bf16 if the processor has it, length grouping, fused AdamW, no logs.

    Args:
        workers: Data loader processes.
        by_length: Whether rows have a `length` and may be grouped by it.
    """
    chosen = workers or 0
    return {
        "bf16": has_bf16(),
        **({"train_sampling_strategy": "group_by_length"} if by_length else {}),
        "optim": "adamw_torch_fused",
        "dataloader_num_workers": chosen,
        "dataloader_persistent_workers": chosen > 0,
        "dataloader_pin_memory": False,
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
    }


def job_arguments(job: Job, *, by_length: bool = True) -> dict[str, Any]:
    """Return the settings of a job, and in the tuned mode `tuned_arguments`; all others are the library's defaults."""
    chosen = job.hyperparameters
    return {
        "output_dir": str(job.output / "trainer"),
        "per_device_train_batch_size": chosen.batch_size,
        "num_train_epochs": chosen.epochs,
        "max_steps": job.max_steps,
        "learning_rate": chosen.learning_rate,
        "weight_decay": chosen.weight_decay,
        "warmup_steps": chosen.warmup_ratio,  # below 1 a share of the steps
        "max_grad_norm": chosen.max_grad_norm,
        "lr_scheduler_type": "linear",
        "seed": job.seed,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        **(tuned_arguments(by_length=by_length) if job.tuned else {}),
    }
