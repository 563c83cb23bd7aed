"""The `training:` section of a recipe. Key names are Hugging Face's where the meaning is the same."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SerializeAsAny, model_validator

from fathom.config import Part, choice
from fathom.training.optimizers.base import Optimizer
from fathom.training.schedule import Schedule


class Training(Part):
    """How the model is trained."""

    epochs: float = Field(3.0, gt=0, validation_alias=AliasChoices("epochs", "num_train_epochs", "num_epochs"))
    """Passes over the training split; a fraction stops within a pass."""
    max_steps: int | None = Field(None, gt=0)
    """Optimizer steps; when given, `epochs` is ignored."""
    batch_size: int = Field(32, gt=0, validation_alias=AliasChoices("batch_size", "per_device_train_batch_size"))
    """Global number of sequences per optimizer step."""
    eval_batch_size: int = Field(
        64, gt=0, validation_alias=AliasChoices("eval_batch_size", "per_device_eval_batch_size")
    )
    """Sequences per forward pass in evaluation; changes no score."""
    micro_batch_tokens: int | Literal["auto"] = "auto"
    """Most tokens in one forward pass; a batch above it is cut and its gradients are summed exactly."""
    learning_rate: float | None = Field(None, gt=0, validation_alias=AliasChoices("learning_rate", "lr"))
    """Peak learning rate; left out, the tuning strategy's own default, times what the optimizer makes of a rate for
    AdamW."""
    weight_decay: float = Field(0.01, ge=0)
    """Decay of weight matrices, decoupled from the gradient; biases and norms are never decayed."""
    decay_embeddings: bool = True
    """Whether embedding tables are decayed too."""
    optimizer: Annotated[SerializeAsAny[Optimizer], choice("optimizer", default="adamw")] = Field(
        "adamw", validate_default=True, validation_alias=AliasChoices("optimizer", "optim")
    )
    """How gradients change weights; a bare name, or `{kind: ..., options}`."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment, in every optimizer of Adam's family."""
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of the second moment."""
    adam_epsilon: float = Field(1e-8, gt=0)
    """Added to the root of the second moment."""
    lr_scheduler: Annotated[SerializeAsAny[Schedule], choice("lr_scheduler", default="linear")] = Field(
        "linear", validate_default=True, validation_alias=AliasChoices("lr_scheduler", "lr_scheduler_type")
    )
    """How the learning rate goes on after warmup; a bare name, or `{kind: ..., options}`."""
    warmup_ratio: float = Field(0.1, ge=0, le=1)
    """Share of the steps in which the learning rate rises from zero."""
    warmup_steps: int | None = Field(None, ge=0)
    """Steps of warmup; comes before `warmup_ratio`."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients are scaled down to this norm; 0 turns clipping off."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Overrides every dropout rate of the model's config."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the blocks; auto takes bf16 where the processor has it natively. Weights and moments stay fp32."""
    activation_checkpointing: bool = Field(
        False, validation_alias=AliasChoices("activation_checkpointing", "gradient_checkpointing")
    )
    """Recompute each block in the backward pass instead of storing its activations."""
    activation_offload: bool = Field(
        False, validation_alias=AliasChoices("activation_offload", "activation_offloading")
    )
    """On a GPU: keep what the backward pass needs in the processor's memory; with `activation_checkpointing`, the
    inputs of the blocks."""
    optimizer_in_backward: bool = Field(
        False, validation_alias=AliasChoices("optimizer_in_backward", "optimizer_in_bwd")
    )
    """Update each block in the backward pass, as soon as its gradients are whole, and free them: memory holds the
    gradients of one block, not of all. Needs `max_grad_norm: 0`; every batch goes in one pass, and a gradient that is
    NaN or Inf where the loss is not ends the run, for the blocks above are updated by then."""
    frozen_cache: Literal["auto", "off", "float32", "bfloat16", "int8"] = "auto"
    """How the outputs of blocks that never learn are kept on disk, so that they are computed once: auto in the type
    that runs between blocks, which loses nothing, where it is valid and anything is read twice, by this run or by those
    after it in its process; int8 loses what the run tells (3% of MiniLM's output); off computes them in every pass."""
    frozen_cache_gb: float = Field(20.0, gt=0)
    """Most gigabytes the kept outputs of all runs may take; what was used least recently goes first."""
    frozen_dropout: bool = False
    """Keep dropout on in blocks that never learn and have nothing that learns below them; their outputs then differ in
    every pass."""
    packing: bool = True
    """Run the blocks on packed tokens where the family allows it; off runs padded batches."""
    evaluate_before: bool = True
    """Score the untrained model on the validation split too, so that the gain can be told."""
    eval_steps: int | None = Field(None, gt=0)
    """Evaluate every so many steps, and at the last; left out, at the end of epochs: see `eval_epochs`."""
    eval_epochs: int | None = Field(None, ge=1)
    """Evaluate at the end of every so many epochs, 1 where it is left out; not together with `eval_steps`."""
    early_stopping_patience: int | None = Field(None, gt=0)
    """Stop after so many evaluations without a better score; needs a validation split."""
    metric_for_best_model: str | None = None
    """Score that chooses the best model; left out, the task's main metric. `loss` is minimised."""
    load_best_model_at_end: bool = True
    """Keep the weights of the best evaluation, not the last ones."""
    save_steps: int | None = Field(None, gt=0)
    """Write a checkpoint every so many steps; left out, at every evaluation."""
    save_total_limit: int = Field(2, ge=1, validation_alias=AliasChoices("save_total_limit", "checkpoints_kept"))
    """Checkpoints kept besides the best; the newest verified one is never removed."""
    logging_steps: int = Field(10, gt=0)
    """Log the training loss every so many steps."""
    log_gradients: Literal["none", "layers"] = "none"
    """Log gradient norms and update ratios of every block and component and the gradient noise scale, with the loss;
    costs a quarter of a step and a copy of the weights at each log line."""
    non_finite: Literal["retry", "skip", "abort"] = "retry"
    """What to do with a step whose loss or gradient is NaN or Inf: recompute it once in fp32 and skip it if that
    fails; skip it; or stop. Weights and moments are never touched by such a step."""
    max_skipped_steps: int = Field(5, ge=0)
    """Stop after so many skipped steps in a row."""
    spike_factor: float | None = Field(None, gt=1)
    """Treat a loss this many times the running median as non-finite; off when left out."""
    seed: int = Field(7, ge=0)
    """Seed of the order, of dropout and of new weights."""
    verify_reload: bool = True
    """After saving, load the model with transformers alone in a fresh process and compare its logits."""
    threads: int | None = Field(None, gt=0)
    """Processor threads; left out, every core."""

    @property
    def of_evaluations(self) -> list[str]:
        """The keys that say something of evaluations, as far as they are not at their defaults."""
        keys = ("eval_steps", "eval_epochs", "early_stopping_patience", "metric_for_best_model")
        return [key for key in keys if self.__dict__[key] != type(self).model_fields[key].default]

    @model_validator(mode="after")
    def _one_rhythm_of_evaluation(self) -> Self:
        if self.eval_steps is not None and self.eval_epochs is not None:
            raise ValueError("eval_steps and eval_epochs both say when to evaluate: leave one of them out")
        return self

    @model_validator(mode="after")
    def _gradients_that_are_never_together(self) -> Self:
        if not self.optimizer_in_backward:
            return self
        wanted = []
        if self.max_grad_norm > 0:
            wanted.append("max_grad_norm: 0 (the norm of all gradients is known after the last update)")
        if self.micro_batch_tokens != "auto":
            wanted.append("micro_batch_tokens: auto (gradients of several passes would have to be added up)")
        if self.log_gradients != "none":
            wanted.append("log_gradients: none (it looks at all gradients and at a part of the batch)")
        if wanted:
            raise ValueError(
                f"optimizer_in_backward frees each gradient before the next is there, so it needs {', '.join(wanted)}"
            )
        return self
