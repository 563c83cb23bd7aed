"""Rows left out of a run are in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from fathom.runs.skipped import SKIPPED, write_skipped


def test_rows_are_written_one_a_line_and_an_older_file_goes(tmp_path: Path) -> None:
    rows = [
        {"split": "train", "where": "a.csv:3", "reasons": ["3 columns where there should be 2"], "row": "a,b,c"},
        {"split": "test", "where": "b.csv:9", "reasons": ["half a character"], "row": "退\ud83d"},
    ]
    write_skipped(tmp_path, rows)
    lines = (tmp_path / SKIPPED).read_bytes().decode("utf-8", "surrogatepass").splitlines()
    assert [json.loads(line) for line in lines] == rows
    write_skipped(tmp_path, [])
    assert not (tmp_path / SKIPPED).exists()
    write_skipped(tmp_path, [])
