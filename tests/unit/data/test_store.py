"""The token store: found again, rebuilt when damaged, never a reason to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fathom import files
from fathom.data.corpus.mixture import JoinedWindows
from fathom.data.store import DESCRIPTION, from_features, open_or_build, open_store, write_store
from fathom.errors import ArtifactError

KEY = {"examples": "e", "tokenizer": "t", "task": {"kind": "text-classification"}}


def features(seed: int = 0) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    return [
        {
            "input_ids": random.integers(0, 99, length).astype(np.int32),
            "labels": random.integers(-1, 5, length).astype(np.int32),
            "label": np.asarray(random.random(3), dtype=np.float32),
            "example": np.asarray(index, dtype=np.int64),
        }
        for index, length in enumerate([3, 1, 7, 4])
    ]


class Encoder:
    """Counts how often it had to encode."""

    def __init__(self, seed: int = 0) -> None:
        self.calls = 0
        self.seed = seed

    def __call__(self) -> list[dict[str, Any]]:
        self.calls += 1
        return features(self.seed)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(store: Any, wanted: list[dict[str, Any]]) -> None:
    assert len(store) == len(wanted)
    for index, item in enumerate(wanted):
        found = store[index]
        assert found.keys() == item.keys()
        for name, values in item.items():
            assert np.array_equal(found[name], values), (index, name)
            assert np.asarray(found[name]).dtype == values.dtype


def test_encoded_once_and_read_again() -> None:
    encode = Encoder()
    same(open_or_build(KEY, encode), features())
    same(open_or_build(KEY, encode), features())
    assert encode.calls == 1


def test_sizes() -> None:
    store = from_features(features())
    assert store.lengths.tolist() == [3, 1, 7, 4]
    assert store.num_tokens == 15
    assert store.used_ids().tolist() == sorted({int(i) for item in features() for i in item["input_ids"]})


def test_lengths_are_made_once() -> None:
    store = from_features([{"input_ids": np.arange(size, dtype=np.int32)} for size in (3, 1, 2)])
    joined = JoinedWindows((store, store))
    assert store.lengths.tolist() == [3, 1, 2]
    assert joined.lengths.tolist() == [3, 1, 2, 3, 1, 2]
    assert store.lengths is store.lengths
    assert joined.lengths is joined.lengths


def test_every_part_of_the_key_counts(cache: Path) -> None:
    open_or_build(KEY, Encoder())
    for changed in ({"examples": "f"}, {"tokenizer": "u"}, {"task": {"kind": "token-classification"}}):
        encode = Encoder(seed=1)
        same(open_or_build({**KEY, **changed}, encode), features(1))
        assert encode.calls == 1
    assert len(list((cache / "tokens").iterdir())) == 4


@pytest.mark.parametrize("name", ["input_ids.bin", "labels.bin", "label.bin", "offsets.bin", DESCRIPTION])
@pytest.mark.parametrize("damage", ["flip", "shorten", "remove"])
def test_a_damaged_store_is_encoded_again(name: str, damage: str, cache: Path) -> None:
    open_or_build(KEY, Encoder())
    (folder,) = (cache / "tokens").iterdir()
    path = folder / name
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "shorten":
        path.write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)
    encode = Encoder()
    same(open_or_build(KEY, encode), features())
    assert encode.calls == 1
    same(open_store(folder), features())
    same(open_or_build(KEY, encode), features())
    assert encode.calls == 1


def test_a_store_without_its_manifest_is_encoded_again(cache: Path) -> None:
    open_or_build(KEY, Encoder())
    (folder,) = (cache / "tokens").iterdir()
    (folder / "manifest.json").unlink()
    encode = Encoder()
    same(open_or_build(KEY, encode), features())
    assert encode.calls == 1


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "file" / "cache"))
    encode = Encoder()
    same(open_or_build(KEY, encode), features())
    same(open_or_build(KEY, encode), features())
    assert encode.calls == 2


def test_a_read_only_cache_is_no_failure(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    try:
        (cache / "probe").touch()
        pytest.skip("this user may write into a read-only folder")
    except PermissionError:
        same(open_or_build(KEY, Encoder()), features())
    finally:
        cache.chmod(0o700)


def test_another_version_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    write_store(from_features(features()), folder)
    with pytest.raises(ArtifactError):
        write_store(from_features(features()), folder)
    files.write_json(folder / DESCRIPTION, {**files.read_json(folder / DESCRIPTION), "schema": 99})
    with pytest.raises(ArtifactError):
        open_store(folder)


def test_sequences_must_agree() -> None:
    with pytest.raises(ValueError, match="at least one"):
        from_features([])
    odd = features()
    del odd[2]["labels"]
    with pytest.raises(ValueError, match="sequence 2"):
        from_features(odd)
