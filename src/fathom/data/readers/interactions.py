"""What users chose, in the order of time: rows of ratings, or whole sequences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import RowChecks, finite_number
from fathom.data.section import DataSection


class InteractionRows(RowChecks):
    """Checks rows one by one and collects a sequence for each user; see `RowChecks`."""

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, options, problems)
        self._chosen: dict[str, dict[str, float]] = {}
        """Of each user the items, in the order of the file, and when each was first chosen."""
        self._first_line: dict[str, int] = {}
        self._repeated = 0

    def add(self, line: int, values: Mapping[str, Any]) -> None:
        """Check one row: its values by role of the column."""
        if "items" in self.layout.roles:
            self._add_sequence(line, values)
            return
        user, item = (self._name(line, role, values[role]) for role in ("user", "item"))
        time = 0.0
        if "timestamp" in self.layout.roles:
            found = finite_number(values["timestamp"])
            if found is None:
                said = f"the timestamp is {values['timestamp']!r}, not a number"[:120]
                self.refuse(line, "timestamp", said, "write seconds, or leave the column out of columns")
                return
            time = found
        if user is None or item is None:
            return
        self._first_line.setdefault(user, line)
        times = self._chosen.setdefault(user, {})
        self._repeated += item in times
        times[item] = min(time, times.get(item, time))

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return a sequence for each user and what was noticed; `num_rows` counts all rows of the file.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no sequence.
        """
        notes = self.settle(num_rows)
        unordered = 0
        for user, chosen in self._chosen.items():
            ordered = sorted(chosen, key=chosen.__getitem__)  # stable: equal times stay in the order of the file
            unordered += ordered != [*chosen]
            self._keep(self._first_line[user], ordered)
        if not self.examples:
            raise self.problems.fail("no rows", "the file needs at least one row of data besides a header")
        if self._repeated:
            notes.append(f"{self._repeated} rows name a user's item again; the earliest counts")
        if unordered:
            notes.append(f"the rows of {unordered} users were not in the order of time; they were sorted")
        if "items" not in self.layout.roles and "timestamp" not in self.layout.roles:
            notes.append("no column is known to hold the time: rows count in the order of the file")
        items = {item for example in self.examples for item in example["items"]}
        total = sum(len(example["items"]) for example in self.examples)
        notes.append(f"{len(self.examples):,} users chose {len(items):,} items, {total:,} times")
        return self.examples, notes

    def _add_sequence(self, line: int, values: Mapping[str, Any]) -> None:
        given = values["items"]
        if isinstance(given, str):
            try:
                given = json.loads(given) if given.lstrip().startswith("[") else given.split()
            except (ValueError, RecursionError):
                given = None
        if not isinstance(given, list) or not given:
            said = "not a list of items"
            self.refuse(line, "items", said, 'write ["a", "b"], or items set apart by spaces')
            return
        items = [self._name(line, "items", item) for item in given]
        if None not in items:
            self._keep(line, [str(item) for item in items])

    def _keep(self, line: int, items: list[str]) -> None:
        self.examples.append({"text": " ".join(items), "items": items, "where": f"{self.problems.path}:{line}"})

    def _name(self, line: int, role: str, value: Any) -> str | None:
        """A user's or an item's name; None, and a problem, where it is none or could not stand in a list."""
        name = "" if value is None or isinstance(value, bool | list | dict) else str(value).strip()
        if not name or name.split() != [name] or bad_character(name) is not None:
            self.refuse(line, role, f"{value!r} is no name of one word"[:120], "give ids without blanks")
            return None
        return name
