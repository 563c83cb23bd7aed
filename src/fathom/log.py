"""What the user sees while a command works: notes, warnings and progress, on standard error.

On a terminal progress is a live bar; elsewhere a plain line at intervals. Standard output stays free for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

Value = float | int | str
PLAIN_INTERVAL_SECONDS = 10.0


class Progress(Protocol):
    """A running piece of work."""

    def update(self, step: int, values: Mapping[str, Value] | None = None) -> None:
        """Say how far the work is and what its numbers are, e.g. `{"loss": 0.41, "tokens/s": 2100}`."""


class Console:
    """Writes notes, warnings and progress to standard error.

    Args:
        stream: Where to write; standard error when left out.
        quiet: Only warnings are written (`--json`).
        terminal: Whether to draw live bars; asked of the stream when left out.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False, terminal: bool | None = None) -> None:
        self._stream = stream
        self.quiet = quiet
        self._terminal = terminal
        self._rich: RichConsole | None = None

    @property
    def stream(self) -> TextIO:
        """The stream written to, asked anew each time: standard error may be replaced."""
        return sys.stderr if self._stream is None else self._stream

    @property
    def is_terminal(self) -> bool:
        """Whether the stream can draw a live bar."""
        return self.stream.isatty() if self._terminal is None else self._terminal

    def info(self, text: str) -> None:
        """Write a note; nothing when quiet."""
        if not self.quiet:
            self._write(text, style=None)

    def warn(self, text: str) -> None:
        """Write a warning, also when quiet."""
        self._write(f"warning: {text}", style="yellow")

    @contextmanager
    def progress(self, total: int, description: str, start: int = 0) -> Iterator[Progress]:
        """Show the progress of `total` steps of work.

        Args:
            total: Steps of the whole work.
            description: A word or two, e.g. "train".
            start: Steps already done (a resumed run); the time left is reckoned from the steps done here.
        """
        if self.quiet:
            yield _SilentProgress()
        elif self.is_terminal:
            with _rich_progress(self._terminal_console()) as bars:
                live = _RichProgress(bars, description, total, start)
                yield live
        else:
            plain = _PlainProgress(self.stream, description, total, start)
            yield plain
            plain.close()

    def _write(self, text: str, style: str | None) -> None:
        if self.is_terminal:
            self._terminal_console().print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.stream, flush=True)

    def _terminal_console(self) -> RichConsole:
        if self._rich is None:
            from rich.console import Console as RichConsole

            self._rich = RichConsole(file=self._stream, stderr=True)
        return self._rich


_console = Console()


def get_console() -> Console:
    """Return the console of this process."""
    return _console


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """Silence notes and progress of the console of this process, or let them be told; warnings stay."""
    before = _console.quiet
    _console.quiet = quiet
    try:
        yield
    finally:
        _console.quiet = before


def format_value(value: Value) -> str:
    """Return a number as a reader wants it: thousands separated, four figures of a fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1000) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """Return seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_bytes(num_bytes: float) -> str:
    """Return a size in MB or GB (powers of 1000)."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def _line(values: Mapping[str, Value]) -> str:
    return "  ".join(f"{name} {format_value(value)}" for name, value in values.items())


class _SilentProgress:
    def update(self, step: int, values: Mapping[str, Value] | None = None) -> None:
        pass


class _PlainProgress:
    """A line at intervals: the first step, then every ten seconds, then the last."""

    def __init__(self, stream: TextIO, description: str, total: int, start: int) -> None:
        self._stream, self._description, self._total, self._start = stream, description, total, start
        self._began = time.monotonic()
        self._written_at = -PLAIN_INTERVAL_SECONDS
        self._written_step = -1
        self._step = start
        self._values: dict[str, Value] = {}

    def update(self, step: int, values: Mapping[str, Value] | None = None) -> None:
        self._step = step
        self._values.update(values or {})
        now = time.monotonic()
        if now - self._written_at >= PLAIN_INTERVAL_SECONDS:
            self._written_at = now
            self._write(now)

    def close(self) -> None:
        if self._step not in {self._written_step, self._start}:
            self._write(time.monotonic())

    def _write(self, now: float) -> None:
        self._written_step = self._step
        done, elapsed = self._step - self._start, now - self._began
        left = f"  left {format_duration(elapsed / done * (self._total - self._step))}" if done > 0 else ""
        values = f"  {_line(self._values)}" if self._values else ""
        text = f"{self._description}  {self._step:,}/{self._total:,}{values}{left}"
        print(text, file=self._stream, flush=True)


class _RichProgress:
    def __init__(self, bars: RichProgress, description: str, total: int, start: int) -> None:
        self._bars = bars
        self._values: dict[str, Value] = {}
        self._task: TaskID = bars.add_task(description, total=total, completed=start, values="")

    def update(self, step: int, values: Mapping[str, Value] | None = None) -> None:
        self._values.update(values or {})
        self._bars.update(self._task, completed=step, values=_line(self._values))


def _rich_progress(console: RichConsole) -> RichProgress:
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[values]}", markup=False),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=console,
        transient=False,
        refresh_per_second=4,
    )
