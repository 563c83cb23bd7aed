"""The rows a run left out (`data.on_error: skip`), kept where they can be mended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fathom import files
from fathom.log import get_console

SKIPPED = "skipped.jsonl"


def write_skipped(folder: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write `skipped.jsonl` into a run folder: a line for each row, with `split`, `where`, `reasons` and `row`.

    Where no row was left out, what an earlier start of the run wrote is removed.
    """
    path = folder / SKIPPED
    if not rows:
        path.unlink(missing_ok=True)
        return
    lines = (json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") for row in rows)
    files.write_atomic(path, b"\n".join(lines) + b"\n")
    get_console().warn(f"{len(rows):,} rows were left out; they are in {path}, each with its reasons")
