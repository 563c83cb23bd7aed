"""All problems of a file in one pass: the first ones in full, the rest counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from fathom.errors import DataError

SHOWN = 20
"""Problems told in full; the others are counted."""
LONGEST_ROW = 20_000
"""Characters of a row that is kept among the skipped ones; a longer one is most often a file read wrongly."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one row."""

    place: str
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True)
class Skipped:
    """A row that was left out: where it stands, why, and what it says."""

    where: str
    reasons: tuple[str, ...]
    row: str | None
    """As it stands in the file, or as JSON; None where it is longer than `LONGEST_ROW`."""

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


class Problems:
    """Collects the problems of one file.

    Args:
        path: The file, as the user wrote it.
        skip: Leave bad rows out and list them, instead of refusing the file.
    """

    def __init__(self, path: str, skip: bool = False) -> None:
        self.path = path
        self.skip = skip
        self.first: list[Problem] = []
        self.counts: Counter[str] = Counter()
        self.rows: set[int] = set()
        self.reasons: dict[int, list[str]] = {}
        """What is wrong with each bad row, where bad rows are skipped."""

    def __len__(self) -> int:
        return self.counts.total()

    def place(self, line: int | None = None, column: str | None = None) -> str:
        """Return `file:line column 'name'`, as far as known."""
        place = self.path if line is None else f"{self.path}:{line}"
        return f"{place} column '{column}'" if column is not None else place

    def add(self, message: str, mend: str, *, line: int | None = None, column: str | None = None) -> None:
        """Note one problem; the row of `line` counts as bad."""
        if len(self.first) < SHOWN:
            self.first.append(Problem(self.place(line, column), message, mend))
        self.counts[mend] += 1
        if line is not None:
            self.rows.add(line)
            if self.skip:
                self.reasons.setdefault(line, []).append(message if column is None else f"column '{column}': {message}")

    def fail(self, message: str, mend: str, *, line: int | None = None, column: str | None = None) -> DataError:
        """Return the error of a problem that no skipping can get round."""
        return DataError(message, where=self.place(line, column), mend=mend)

    def finish(self, num_rows: int) -> tuple[str, ...]:
        """Raise what was collected, or return the note that lists the rows left out.

        Args:
            num_rows: Rows of the file, good and bad.

        Raises:
            DataError: There were problems and the policy is to refuse, or no good row is left.
        """
        if not len(self):
            return ()
        if self.skip and len(self.rows) < num_rows:
            listed = "; ".join(str(problem) for problem in self.first)
            more = f"; and {len(self) - len(self.first)} more" if len(self) > len(self.first) else ""
            return (f"left out {len(self.rows)} of {num_rows} rows (on_error: skip): {listed}{more}",)
        raise self.error()

    def skipped(self, read: Callable[[int], tuple[int, str]]) -> tuple[Skipped, ...]:
        """Return the rows that were left out, in the order of the file.

        Args:
            read: Takes a bad line; returns the line its row begins in, and the row.
        """
        found: dict[int, tuple[str, list[str]]] = {}
        for line in sorted(self.reasons):
            first, row = read(line)
            found.setdefault(first, (row, []))[1].extend(self.reasons[line])
        return tuple(
            Skipped(self.place(first), tuple(reasons), row if len(row) <= LONGEST_ROW else None)
            for first, (row, reasons) in found.items()
        )

    def error(self) -> DataError:
        """Return the one error that tells all problems."""
        mends = " | ".join(self.counts)
        if len(self) == 1:
            return DataError(self.first[0].message, where=self.first[0].place, mend=mends)
        lines = [f"  {problem}" for problem in self.first]
        if len(self) > len(self.first):
            lines.append(f"  ... and {len(self) - len(self.first)} more")
        rows = f" in {len(self.rows)} rows" if self.rows else ""
        return DataError("\n".join([f"{len(self)} problems{rows}", *lines]), where=self.path, mend=mends)
