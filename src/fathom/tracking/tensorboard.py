"""Numbers as TensorBoard event files, below `tensorboard/` of the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fathom.errors import MissingExtraError
from fathom.tracking.base import LiveTracker, Tracker

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FOLDER = "tensorboard"


class TensorBoardTracker(Tracker):
    """Scalars for TensorBoard, one chart for each value and split."""

    kind: Literal["tensorboard"] = "tensorboard"

    def open(self, run_folder: Path) -> LiveTracker:
        """Open the event folder.

        Raises:
            MissingExtraError: tensorboard is not installed.
        """
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise MissingExtraError("tensorboard", "tensorboard") from None
        return LiveTensorBoard(run_folder / FOLDER)


class LiveTensorBoard(LiveTracker):
    """Writes scalars; the position is one more than the last step logged."""

    kind = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._next_step = 0
        self._purge_step: int | None = None

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Write every number; a `split` names the chart's group."""
        split = values.get("split")
        prefix = f"{split}/" if isinstance(split, str) else ""
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._open().add_scalar(prefix + name, value, step)
        self._next_step = max(self._next_step, step + 1)

    def position(self) -> int:
        """Return one more than the last step logged."""
        if self._writer is not None:
            self._writer.flush()
        return self._next_step

    def rewind(self, position: int) -> None:
        """Have TensorBoard hide what an earlier process logged from this step on; 0 removes it."""
        self.close()
        if position == 0:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._purge_step = position or None
        self._next_step = position

    def close(self) -> None:
        """Write out what is buffered."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)
        return self._writer
