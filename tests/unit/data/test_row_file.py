"""Rows of a file, read where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fathom.data.row_file import RowFile
from fathom.errors import ArtifactError

ROWS = np.arange(40, dtype=np.float32).reshape(10, 4)


@pytest.fixture
def rows(tmp_path: Path) -> RowFile:
    ROWS.tofile(tmp_path / "rows.bin")
    return RowFile(tmp_path / "rows.bin", "float32", (10, 4))


def test_runs_in_any_order(rows: RowFile) -> None:
    found = rows.read(np.array([7, 0, 3, 7]), np.array([3, 1, 0, 2]))
    assert np.array_equal(found, ROWS[[7, 8, 9, 0, 7, 8]])
    assert rows.read(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).shape == (0, 4)
    assert rows.nbytes == ROWS.nbytes


def test_a_removed_file_is_read_on(rows: RowFile) -> None:
    rows.path.unlink()
    assert np.array_equal(rows.read(np.array([2]), np.array([2])), ROWS[2:4])


def test_a_file_that_was_cut_is_told(rows: RowFile) -> None:
    with open(rows.path, "r+b") as file:
        file.truncate(ROWS.nbytes - 1)
    assert np.array_equal(rows.read(np.array([8]), np.array([1])), ROWS[8:9])
    with pytest.raises(ArtifactError, match="cut short"):
        rows.read(np.array([9]), np.array([1]))
