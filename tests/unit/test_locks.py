"""One process at a time, and a place that can be written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fathom.errors import FathomError, InputError
from fathom.locks import only_one, require_writable


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        only_one(tmp_path / "run"),
        pytest.raises(FathomError, match="at work here"),
        only_one(tmp_path / "run"),
    ):
        pytest.fail("held twice")
    with only_one(tmp_path / "run"):
        pass


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("", encoding="utf-8")
    for folder in (tmp_path / "run", tmp_path / "run" / "below" / "it"):
        with pytest.raises(InputError, match="is a file") as caught:
            require_writable(folder)
        assert caught.value.mend and caught.value.where == str(folder)
        with pytest.raises(InputError, match="is a file"), only_one(folder):
            pytest.fail("held")


def test_a_folder_that_cannot_be_written_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_writable(tmp_path / "new" / "one")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write everywhere
    with pytest.raises(InputError, match="nothing can be written to") as caught:
        require_writable(tmp_path / "new" / "one")
    assert caught.value.mend
    assert os.listdir(tmp_path) == []
