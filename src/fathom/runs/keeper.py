"""Keeps a run: checkpoints, the best weights, and going on from where a stopped run was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fathom import files
from fathom.errors import ArtifactError, ConfigError
from fathom.log import get_console
from fathom.model.base import base_digest
from fathom.model.parameters import FlatParameters
from fathom.model.section import Pretrained
from fathom.model.stacked import open_lower
from fathom.recipe import Recipe, deciding
from fathom.runs.older_recipes import deciding_by_this_version
from fathom.runs.prepare import PreparedModel
from fathom.runs.prepared import PreparedData
from fathom.tracking.base import TrackerGroup
from fathom.training.checkpoint import (
    FOLDER,
    TrainingState,
    capture_rng,
    check_resumable,
    load_latest,
    machine_facts,
    prune,
    restore_rng,
    save_checkpoint,
)
from fathom.training.guard import Guard
from fathom.training.loop import LoopState
from fathom.training.optimizers.base import LiveOptimizer
from fathom.tuning.adapter import Adapter
from fathom.tuning.base import Tuning
from fathom.tuning.stages import Stages

STRATEGY = "tuning/"
"""Prefix of the strategy's own tensors in a checkpoint."""
STAGES = "stages/"
"""Prefix of what decides which parts learn in turn."""
BEST = "best-{step}"
BEST_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class TuningState:
    """A tuning strategy, the model it keeps numbers in (AdaLoRA's importances), and the parts that learn in turn."""

    tuning: Tuning
    model: nn.Module
    stages: Stages | None = None

    def save(self) -> dict[str, Tensor]:
        """Return its tensors, named for a checkpoint."""
        own = {f"{STRATEGY}{name}": value for name, value in self.tuning.state_tensors(self.model).items()}
        turns = {} if self.stages is None else self.stages.state_tensors()
        return own | {f"{STAGES}{name}": value for name, value in turns.items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Put back what a checkpoint holds of it."""
        own = {name.removeprefix(STRATEGY): value for name, value in saved.items() if name.startswith(STRATEGY)}
        self.tuning.load_state_tensors(self.model, own)
        if self.stages is not None:
            self.stages.load_state_tensors(
                {name.removeprefix(STAGES): value for name, value in saved.items() if name.startswith(STAGES)}
            )


@dataclass
class RunKeeper:
    """Writes and reads everything a run needs to go on.

    Attributes:
        folder: The run folder.
        facts: What the bits of the result depend on: recipe, data, machine.
        strategy: What the tuning strategy keeps between steps.
        parameters: Trainable parameters of the model.
        optimizer: With its moments.
        guard: With its median.
        trackers: With their positions.
        checkpoints_kept: Besides the best weights.
    """

    folder: Path
    facts: dict[str, Any]
    strategy: TuningState
    parameters: FlatParameters
    optimizer: LiveOptimizer
    guard: Guard
    trackers: TrackerGroup
    checkpoints_kept: int

    def begin(self) -> LoopState:
        """Return the state of the newest sound checkpoint, put back into every part; or a new state.

        Raises:
            ConfigError: The checkpoints are of another recipe or other data, or other parameters learned then.
        """
        saved = load_latest(self.folder)
        if saved is None:
            self.trackers.rewind({})
            return LoopState()
        facts = dict(saved.values["facts"])
        facts["recipe"] = deciding_by_this_version(facts["recipe"], str(self.folder))
        for note in check_resumable(facts, self.facts):
            get_console().warn(f"not the same machine as before, the last bits may differ: {note}")
        self._require_same_parameters(saved.tensors)
        for name, slot in self.parameters.slots.items():
            slot.parameter.data.copy_(saved.tensors[f"model/{name}"])
        self.parameters.reload()
        prefix = "optimizer/"
        self.optimizer.load_state_tensors(
            {name.removeprefix(prefix): value for name, value in saved.tensors.items() if name.startswith(prefix)}
        )
        self.strategy.restore(saved.tensors)
        self.guard.restore(saved.values["guard"])
        self.trackers.rewind(saved.values["trackers"])
        restore_rng(saved)
        state = LoopState(**saved.values["loop"])
        get_console().info(f"resumed from step {state.step:,} in {self.folder}")
        return state

    def _require_same_parameters(self, saved: Mapping[str, Tensor]) -> None:
        """Of the same recipe an older version may have trained other parameters."""
        held = {name.removeprefix("model/") for name in saved if name.startswith("model/")}
        others = sorted(held ^ self.parameters.slots.keys())
        if others:
            raise ConfigError(
                f"{len(others)} parameters learn now or learned when the run was begun, not both ({others[0]}): it was "
                "begun by a version of Fathom that trained others under the same recipe",
                where=str(self.folder),
                mend="give another output to begin anew, or go on with that version",
            )

    def save(self, state: LoopState) -> None:
        """Write a checkpoint; compact embeddings are up to date when this is called."""
        rng_tensors, rng_values = capture_rng()
        moments = {f"optimizer/{name}": value for name, value in self.optimizer.state_tensors().items()}
        values = {
            "loop": state.to_json(),
            "guard": self.guard.state(),
            "trackers": self.trackers.positions(),
            "facts": self.facts,
            **rng_values,
        }
        tensors = {**self._weights(), **moments, **self.strategy.save(), **rng_tensors}
        save_checkpoint(self.folder, TrainingState(state.step, tensors, values))
        prune(self.folder, self.checkpoints_kept)
        self._remove_older_best(state)

    def keep_best(self, state: LoopState) -> None:
        """Keep the weights of the best evaluation so far; the one before stays until a checkpoint names this one."""
        weights = {name.removeprefix("model/"): value.clone() for name, value in self._weights().items()}
        size = sum(value.nbytes for value in weights.values())
        with files.publish(self._best(state), replace=True, expected_bytes=size) as temporary:
            save_file(weights, str(temporary / BEST_WEIGHTS))
            files.write_json(temporary / "values.json", {"step": state.step})

    def load_best(self, state: LoopState) -> bool:
        """Put the best weights back; where they are damaged, warn and leave the last ones. Returns whether it did."""
        folder = self._best(state)
        try:
            files.verify(folder)
        except ArtifactError as error:
            get_console().warn(f"{error.problem}\n  the best weights cannot be used; the last ones are kept")
            return False
        weights = load_file(str(folder / BEST_WEIGHTS))
        for name, slot in self.parameters.slots.items():
            slot.parameter.data.copy_(weights[name])
        self.parameters.reload()
        return True

    def _best(self, state: LoopState) -> Path:
        return self.folder / FOLDER / BEST.format(step=state.best_step)

    def _remove_older_best(self, state: LoopState) -> None:
        for folder in (self.folder / FOLDER).glob(BEST.format(step="*")):
            if folder != self._best(state):
                files.remove_folder(folder)

    def _weights(self) -> dict[str, Tensor]:
        return {f"model/{name}": slot.parameter.data for name, slot in self.parameters.slots.items()}


def facts_of(recipe: Recipe, data: PreparedData) -> dict[str, Any]:
    """Return what the bits of a run's result depend on."""
    base = {"base_model": base_digest(recipe.model.name)} if isinstance(recipe.model, Pretrained) else {}
    return {
        "recipe": deciding(recipe),
        "data_digests": dict(data.splits.digests),
        "tokenizer": data.task.tokenizer_digest(),
        **base,
        **_lower(recipe.tuning),
        **machine_facts(),
    }


def _lower(tuning: Tuning) -> dict[str, Any]:
    """Return the files of adapters that stay as they are below those that learn."""
    if not isinstance(tuning, Adapter) or tuning.above is None:
        return {}
    return {"above": {name: record["sha256"] for name, record in open_lower(tuning.above).info["files"].items()}}


def open_keeper(
    recipe: Recipe,
    data: PreparedData,
    prepared: PreparedModel,
    parts: tuple[LiveOptimizer, Guard, TrackerGroup],
    folder: Path,
) -> RunKeeper:
    """Make the keeper of a run."""
    optimizer, guard, trackers = parts
    kept = recipe.training.save_total_limit
    work = prepared.work
    facts, strategy = facts_of(recipe, data), TuningState(recipe.tuning, prepared.model, work.stages)
    return RunKeeper(folder, facts, strategy, work.parameters, optimizer, guard, trackers, checkpoints_kept=kept)
