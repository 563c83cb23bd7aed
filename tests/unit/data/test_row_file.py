"""Rows of a file, read where they lie."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fathom.data.row_file import RowFile
from fathom.errors import ArtifactError, FathomError

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


def test_what_the_system_refuses_is_told_with_a_mend(rows: RowFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(number: int) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise OSError(number, os.strerror(number))

        return fail

    monkeypatch.setattr(os, "preadv", failing(errno.EIO))
    with pytest.raises(FathomError, match=r"rows\.bin: cannot be read: Input/output error\n  mend: .*frozen_cache=off"):
        rows.read(np.array([0]), np.array([1]))
    with monkeypatch.context() as patched, pytest.raises(FathomError, match="Too many open files") as caught:
        patched.setattr("builtins.open", failing(errno.EMFILE))
        RowFile(rows.path, "float32", (10, 4))
    assert not isinstance(caught.value, ArtifactError), "the file is sound: it must not be removed"
    assert "ulimit" in str(caught.value.mend)


def test_a_file_that_is_gone_or_of_another_size_is_made_again(rows: RowFile) -> None:
    with pytest.raises(ArtifactError, match="not the 11 rows"):
        RowFile(rows.path, "float32", (11, 4))
    rows.path.unlink()
    with pytest.raises(ArtifactError, match="has been removed"):
        RowFile(rows.path, "float32", (10, 4))


def test_a_closed_file_holds_no_descriptor(rows: RowFile) -> None:
    def held() -> int:
        found = 0
        for link in Path("/proc/self/fd").iterdir():
            try:
                found += os.readlink(link) == str(rows.path)
            except FileNotFoundError:  # of the listing itself
                continue
        return found

    assert held() == 1
    rows.close()
    assert held() == 0
