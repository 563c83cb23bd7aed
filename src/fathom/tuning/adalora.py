"""Low-rank updates whose ranks are shared out while training, through `peft`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.adapted import Targeted, are_conv1d, check_rank, task_type, trained_heads, wrap

ADAPTER = "default"
AVERAGES = ("exp_avg_ipt", "exp_avg_unc")
"""What PEFT's rank allocator keeps between steps: smoothed sensitivity and its uncertainty."""
PLACEHOLDER_STEPS = 1 << 30
"""Length of the schedule until the first step tells the real one."""


class AdaLora(Targeted):
    """Train `P diag(E) Q` beside each projection, with a budget of ranks that shrinks to where they matter.

    After `warmup` of all steps the least important entries of E are set to zero, more of them by a cubic schedule until
    `rank` are left on average; the last `final` share of the steps trains what is left. Importance is the smoothed
    product of weight and gradient. P and Q are pushed towards orthogonality by a penalty in the loss.

    Source: Zhang et al., "AdaLoRA", 2023 (arXiv 2303.10512).
    """

    updates_apart: ClassVar[bool] = False

    kind: Literal["adalora"] = "adalora"
    head_scale: float = Field(5.0, gt=0)
    """The head's learning rate is this many times that of the added parameters; a new head wants about 0.01."""
    rank: int = Field(8, ge=1)
    """Ranks a projection has in the end, on average."""
    initial_rank: int = Field(12, ge=1)
    """Ranks every projection begins with."""
    alpha: float = Field(16.0, gt=0)
    """The update is multiplied by alpha / initial_rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on what enters the thin matrices."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps before ranks are taken away."""
    final: float = Field(0.3, ge=0, lt=1)
    """Share of all steps that train the final ranks."""
    interval: int = Field(1, ge=1)
    """Steps from one allocation to the next."""
    orthogonal_weight: float = Field(0.5, ge=0)
    """Of the penalty that keeps the thin matrices orthogonal."""

    @model_validator(mode="after")
    def _ranks_to_take(self) -> Self:
        if self.initial_rank <= self.rank:
            raise ValueError(f"initial_rank ({self.initial_rank}) must be above rank ({self.rank}), or none is taken")
        return self

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 2e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Wrap the target projections; returns a `peft.PeftModel`.

        Raises:
            ModelError: A target that is none of the projections, or a rank above a target's smaller side.
        """
        from peft import AdaLoraConfig

        paths = self.target_paths(anatomy)
        check_rank(model, paths, self.initial_rank, "tuning.initial_rank")
        config = AdaLoraConfig(
            task_type=task_type(model),
            init_r=self.initial_rank,
            target_r=self.rank,
            lora_alpha=int(self.alpha) if float(self.alpha).is_integer() else self.alpha,
            lora_dropout=self.dropout,
            orth_reg_weight=self.orthogonal_weight,
            deltaT=self.interval,
            total_step=PLACEHOLDER_STEPS,
            target_modules=list(paths),
            modules_to_save=trained_heads(model, anatomy),
            fan_in_fan_out=are_conv1d(model, paths),
        )
        return wrap(model, config)

    def after_step(self, model: nn.Module, step: int, total_steps: int) -> bool:
        """Update importances and take ranks away as the schedule says; returns whether the budget has begun to shrink.

        PEFT settles the final ranks at one certain step and forgets its averages there. Where the guard left that step
        out the averages are still there, and the ranks are settled at the next one.
        """
        tuner, config = _tuner(model)
        if config.total_step != total_steps:
            config.total_step = total_steps
            config.tinit, config.tfinal = schedule(self.warmup, self.final, total_steps)
        settles = total_steps - config.tfinal
        settled = bool(config.rank_pattern) and not tuner.rankallocator.exp_avg_ipt
        tuner.update_and_allocate(step if settled else min(step, settles))
        first: int = config.tinit
        return step > first

    def penalty(self, model: nn.Module) -> Tensor | None:
        """Return the mean distance of the thin matrices from orthogonality, times its weight."""
        if self.orthogonal_weight == 0:
            return None
        terms = []
        for name, tensor in model.named_parameters():
            if f"lora_A.{ADAPTER}" in name or f"lora_B.{ADAPTER}" in name:
                square_RR = tensor @ tensor.T if "lora_A" in name else tensor.T @ tensor
                identity_RR = torch.eye(len(square_RR), device=tensor.device, dtype=tensor.dtype)
                terms.append(torch.linalg.matrix_norm(square_RR - identity_RR))
        return self.orthogonal_weight * torch.stack(terms).mean()

    def state_tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the allocator's averages and which ranks are kept."""
        tuner, config = _tuner(model)
        kept = {
            f"{table}/{name}": value for table in AVERAGES for name, value in vars(tuner.rankallocator)[table].items()
        }
        return kept | {
            f"rank_pattern/{name}": torch.tensor(value) for name, value in (config.rank_pattern or {}).items()
        }

    def load_state_tensors(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Put the allocator back where it was."""
        tuner, config = _tuner(model)
        device_of = {name: parameter.device for name, parameter in tuner.model.named_parameters()}
        pattern = {}
        for name, value in tensors.items():
            table, _, parameter = name.partition("/")
            if table == "rank_pattern":
                pattern[parameter] = value.tolist()
            else:
                # a checkpoint is read on the processor; the allocator adds gradients to its averages where the model is
                kept = value.to(device_of[parameter], copy=True)
                vars(tuner.rankallocator)[table][parameter] = kept
                vars(tuner.rankallocator)["ipt"].setdefault(parameter, torch.zeros_like(kept))
        config.rank_pattern = pattern or None


def schedule(warmup: float, final: float, total_steps: int) -> tuple[int, int]:
    """Return the steps before the budget shrinks and the steps after it has; at least one step is left between."""
    first = min(int(warmup * total_steps), max(total_steps - 2, 0))
    return first, min(int(final * total_steps), max(total_steps - first - 1, 0))


def _tuner(model: nn.Module) -> tuple[Any, Any]:
    wrapped: Any = model
    return wrapped.base_model, wrapped.peft_config[ADAPTER]
