"""The corpus store under kills, full disks and rot: the same bytes in the end, or an error that names the file."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fathom import files
from fathom.data.corpus import build
from fathom.data.corpus.build import CorpusRequest, open_or_build_corpus
from fathom.data.section import DataSection
from fathom.errors import FathomError
from fathom.locks import only_one

PROGRAM = """
import os, signal, sys
import numpy as np
from fathom import files
from fathom.data.corpus import build, encoding
from fathom.data.corpus.filters.duplicates import ExactDuplicates
from fathom.data.section import DataSection

corpus, kill_at, place = sys.argv[1], int(sys.argv[2]), sys.argv[3]
build.BATCH_CHARACTERS = 2000
count = 0

def die(when):
    global count
    if when == place:
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

def open_encoder():
    def encode(texts):
        die("encode")
        data = [np.frombuffer(text.encode(), np.uint8) for text in texts]
        return np.concatenate(data).astype(np.uint32), np.array([len(part) for part in data], np.int64)
    return encode

write, fsync = files.write_atomic, os.fsync

def dying_write(path, data):
    write(path, data)
    die("write")

def dying_fsync(descriptor):
    die("fsync")
    fsync(descriptor)

files.write_atomic, os.fsync = dying_write, dying_fsync
request = build.CorpusRequest(
    (corpus,), DataSection(train=corpus), "bytes", 257, 256, (ExactDuplicates(),), shard_tokens=12_000
)
build.open_or_build_corpus(request, open_encoder, 1)
"""


def byte_encoder():
    def encode(texts):
        data = [np.frombuffer(text.encode(), np.uint8) for text in texts]
        return np.concatenate(data).astype(np.uint32), np.array([len(part) for part in data], np.int64)

    return encode


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    texts = [f"document {number % 900}: 床前明月光 {'x' * (number % 37)}" for number in range(1000)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def request_of(corpus):
    return CorpusRequest((str(corpus),), DataSection(train=str(corpus)), "bytes", 257, shard_tokens=12_000)


def contents(cache):
    (folder,) = [path for path in (cache / "corpus").iterdir() if not path.name.startswith(".")]
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(corpus, cache, kill_at, place):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(corpus), str(kill_at), place],
        env={**os.environ, "FATHOM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("place", "first"), [("encode", 5), ("write", 3), ("fsync", 5)])
def test_killed_anywhere_it_goes_on_to_the_same_bytes(corpus, tmp_path, place, first):
    """Killed later each time, since what was done within a shard, and publishing, is done again."""
    whole = run(corpus, tmp_path / "whole", 0, place)
    assert whole.returncode == 0, whole.stderr
    killed = 0
    for kill_at in range(first, first + 20):
        finished = run(corpus, tmp_path / "killed", kill_at, place)
        if finished.returncode == 0:
            break
        assert finished.returncode == -9, finished.stderr
        killed += 1
    assert finished.returncode == 0, "it does not get on"
    assert killed >= 2
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    left = [path.name for path in (tmp_path / "killed" / "corpus").iterdir()]
    assert len(left) == 1, left


@pytest.fixture
def store_folder(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "BATCH_CHARACTERS", 2000)
    open_or_build_corpus(request_of(corpus), byte_encoder)
    (folder,) = (tmp_path / "cache" / "corpus").iterdir()
    return folder


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
@pytest.mark.parametrize(
    "name", ["00001.tokens.bin", "00000.starts.bin", "documents.bin", "store.json", "manifest.json"]
)
def test_damage_is_named_and_mended(corpus, store_folder, capsys, damage, name):
    before = contents(store_folder.parents[1])
    path = store_folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if damage != "remove":
        path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    texts = []

    def open_encoder():
        encode = byte_encoder()

        def counting(some):
            texts.extend(some)
            return encode(some)

        return counting

    open_or_build_corpus(request_of(corpus), open_encoder)
    assert contents(store_folder.parents[1]) == before
    said = capsys.readouterr().err
    assert (name if name != "manifest.json" or damage == "flip" else "manifest") in said
    if name[0] == "0":
        assert 0 < len(texts) < 500, "only the damaged shard is encoded again"
    elif name == "documents.bin":
        assert not texts


def test_full_disk_is_an_error_and_loses_nothing(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "BATCH_CHARACTERS", 2000)
    replace = os.replace
    calls = 0

    def full(source, target):
        nonlocal calls
        calls += 1
        if calls > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(FathomError, match="the disk is full"):
            open_or_build_corpus(request_of(corpus), byte_encoder)
    (parts,) = (tmp_path / "cache" / "corpus").iterdir()
    assert parts.name.endswith(".parts")
    assert len(files.read_json(parts / "journal.json")["shards"]) == 1
    assert not [path for path in parts.iterdir() if path.name.endswith("tmp")]
    store = open_or_build_corpus(request_of(corpus), byte_encoder)
    assert store.num_documents == 1000


def test_too_little_space_is_refused_at_once(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 100})())
    with pytest.raises(FathomError, match="100 bytes free"):
        open_or_build_corpus(request_of(corpus), byte_encoder)


def test_two_at_once_do_not_disturb_each_other(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    request = request_of(corpus)
    with (
        only_one(tmp_path / "cache" / "corpus" / f".{request.key()}.parts"),
        pytest.raises(FathomError, match="another process that encodes this corpus"),
    ):
        open_or_build_corpus(request, byte_encoder)


def test_a_damaged_part_is_made_again(corpus, tmp_path, monkeypatch, capsys):
    killed = run(corpus, tmp_path / "killed", 14, "encode")
    assert killed.returncode == -9
    (parts,) = (tmp_path / "killed" / "corpus").iterdir()
    shard = Path(parts / "00000.tokens.bin")
    data = bytearray(shard.read_bytes())
    data[100] ^= 4
    shard.write_bytes(data)
    finished = run(corpus, tmp_path / "killed", 0, "encode")
    assert finished.returncode == 0
    assert "00000.tokens.bin: damaged" in finished.stderr
    assert run(corpus, tmp_path / "whole", 0, "encode").returncode == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
