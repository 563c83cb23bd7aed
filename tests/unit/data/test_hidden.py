"""Hidden states on disk: what goes in comes out, within the error that is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fathom import files
from fathom.data.hidden import (
    FOLDER,
    CachedSequences,
    Format,
    digest_tokens,
    find_states,
    make_room,
    num_bytes,
    write_states,
)
from fathom.data.store import from_features
from fathom.errors import ArtifactError, FathomError

SOURCE = Path(__file__).resolve().parents[3] / "src"
PATIENCE_SECONDS = 120.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))


def store(lengths: tuple[int, ...] = (3, 1, 5)) -> Any:
    ids = iter(range(100))
    return from_features(
        [
            {"input_ids": np.array([next(ids) for _ in range(n)], np.int32), "example": np.array(i, np.int64)}
            for i, n in enumerate(lengths)
        ]
    )


def states(tokens: int = 9, width: int = 16) -> torch.Tensor:
    return (
        torch.randn(tokens, width, generator=torch.Generator().manual_seed(1)) * torch.logspace(-2, 2, tokens)[:, None]
    )


@pytest.mark.parametrize("format,worst", [("float32", 0.0), ("bfloat16", 0.004), ("int8", 0.01)])
def test_round_trip_and_told_error(format: Format, worst: float) -> None:
    exact = states()
    kept = write_states({"a": format}, iter([exact[:4], exact[4:]]), (9, 16), format)
    found = find_states({"a": format})
    assert found is not None
    for hidden in (kept, found):
        back = hidden.take(np.array([0, 4]), np.array([4, 5])).float()
        lost = ((back - exact).square().sum() / exact.square().sum()).sqrt().item()
        assert hidden.error == pytest.approx(lost, rel=1e-5, abs=1e-12)
        assert hidden.error <= worst
        # no token is drowned by a larger one beside it
        assert ((back - exact).norm(dim=1) <= 0.02 * exact.norm(dim=1)).all()


def test_rows_in_any_order() -> None:
    exact = states()
    cached = CachedSequences(store(), write_states({}, iter([exact]), (9, 16), "float32"), "all")
    assert torch.equal(cached.states(np.array([2, 0])), torch.cat([exact[4:9], exact[:3]]))
    assert cached.lengths.tolist() == [3, 1, 5] and cached.num_tokens == 9


@pytest.mark.parametrize("reads,ids", [("first", [0, 3, 4]), ("last", [2, 3, 8])])
def test_one_token_a_sequence(reads: Any, ids: list[int]) -> None:
    exact = states(3)
    cached = CachedSequences(store(), write_states({}, iter([exact]), (3, 16), "float32"), reads)
    assert [cached[row]["input_ids"].tolist() for row in range(3)] == [[one] for one in ids]
    assert torch.equal(cached.states(np.array([1, 2])), exact[1:])
    assert cached.num_tokens == 3


def test_the_digest_sees_tokens_order_and_borders() -> None:
    names = ("input_ids", "token_type_ids")
    digests = {digest_tokens(store(lengths), names) for lengths in ((3, 1, 5), (3, 5, 1), (4, 5), (3, 1, 4))}
    assert len(digests) == 4
    assert digest_tokens(store(), names) == digest_tokens(store(), names)


WRITER = """
import sys, time
from pathlib import Path
import numpy as np
import torch
from fathom.data.hidden import write_states

mine, other = Path(sys.argv[1]), Path(sys.argv[2])
exact = torch.arange(144.0).view(9, 16)

def pieces():
    yield exact[:4]
    mine.touch()
    while not other.exists():  # both are in the middle of the file
        time.sleep(0.01)
    yield exact[4:]

found = write_states({"two": 1}, pieces(), (9, 16), "float32")
assert torch.equal(found.take(np.array([0]), np.array([9])), exact)
"""


def test_two_processes_write_the_same_at_once(tmp_path: Path) -> None:
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    places = [str(tmp_path / "first"), str(tmp_path / "second")]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, *order],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        for order in (places, places[::-1])
    ]
    try:
        said = [writer.communicate(timeout=PATIENCE_SECONDS)[1] for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    assert [writer.returncode for writer in writers] == [0, 0], said
    found = find_states({"two": 1})
    assert found is not None
    assert torch.equal(found.take(np.array([0]), np.array([9])), torch.arange(144.0).view(9, 16))
    assert len(list((files.cache_folder() / FOLDER).iterdir())) == 1, "what the slower one wrote is gone"


def test_damage_is_found_and_removed() -> None:
    write_states({}, iter([states()]), (9, 16), "int8")
    (folder,) = (files.cache_folder() / FOLDER).glob("*")
    data = bytearray((folder / "scales.bin").read_bytes())
    data[3] ^= 64
    (folder / "scales.bin").write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="damaged"):
        find_states({})
    assert find_states({}) is None


def test_a_writer_that_dies_leaves_nothing() -> None:
    def pieces() -> Any:
        yield states()[:4]
        raise FathomError("the disk is full")

    with pytest.raises(FathomError):
        write_states({}, pieces(), (9, 16), "float32")
    assert find_states({}) is None
    assert not list((files.cache_folder() / FOLDER).glob("[!.]*"))


def test_room_is_made_and_no_more_than_needed() -> None:
    for number in range(3):
        write_states({"n": number}, iter([states()]), (9, 16), "float32")
    taken = sum(item.stat().st_size for item in (files.cache_folder() / FOLDER).rglob("*") if item.is_file())
    assert make_room(num_bytes((9, 16), "float32"), taken)
    assert len(list((files.cache_folder() / FOLDER).glob("*"))) == 2
    assert not make_room(taken, taken - 1)


def test_what_another_process_removes_meanwhile_needs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    write_states({"n": 1}, iter([states()]), (9, 16), "float32")
    write_states({"n": 2}, iter([states()]), (9, 16), "float32")
    gone = next((files.cache_folder() / FOLDER).glob("*"))
    listed = Path.iterdir

    def iterdir(self: Path) -> Any:
        if self == gone:
            files.remove_folder(gone)
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert make_room(0, 1 << 30)


def test_states_are_read_from_a_cache_that_may_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    write_states({"n": 1}, iter([states()]), (9, 16), "float32")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("os.utime", refuse)
    found = find_states({"n": 1})
    assert found is not None
    assert torch.equal(found.take(np.array([0]), np.array([9])), states())
