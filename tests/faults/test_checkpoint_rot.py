"""Rot: every flipped bit, truncation and zeroed tail in a saved folder is found before a value of it is used."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fathom.data import store
from fathom.errors import ArtifactError
from fathom.training import checkpoint
from fathom.training.checkpoint import TrainingState

STORE_FILES = ("offsets.bin", "input_ids.bin", "example.bin", "store.json", "manifest.json")
FILES = ("model.safetensors", "optimizer.safetensors", "rng.safetensors", "values.json", "manifest.json")
Damage = Callable[[bytes, random.Random], bytes]


def flip_bit(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]


def truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def zero_tail(data: bytes, chance: random.Random) -> bytes:
    """What a power cut leaves of a file that was not synced: its length, and zeros from some place on."""
    last = max(place for place, byte in enumerate(data) if byte)
    place = chance.randrange(last + 1)
    return data[:place] + bytes(len(data) - place)


def make_state(step: int) -> TrainingState:
    tensors, values = checkpoint.capture_rng()
    tensors["model/weight"] = torch.randn(40, 8)
    tensors["optimizer/weight/exp_avg"] = torch.randn(40, 8)
    return TrainingState(step, tensors, {**values, "best": 0.5, "sampler": {"epoch": 1, "index": 4}})


def save_store(folder: Path) -> Path:
    chance = np.random.default_rng(1)
    lengths = chance.integers(3, 30, size=40)
    features = [{"input_ids": chance.integers(0, 30_000, size=n), "example": np.asarray(n)} for n in lengths]
    store.write_store(store.from_features(features), folder)
    return folder


def assert_all_found(folder: Path, name: str, damage: Damage, times: int, load: Callable[[Path], object]) -> None:
    whole = (folder / name).read_bytes()
    chance = random.Random(f"{name} {damage.__name__}")
    for attempt in range(times):
        (folder / name).write_bytes(damage(whole, chance))
        try:
            load(folder)
        except ArtifactError as error:
            assert str(folder) in str(error)
        else:
            pytest.fail(f"attempt {attempt}: the damage was not found")
    (folder / name).write_bytes(whole)
    load(folder)


@pytest.mark.parametrize("damage", [flip_bit, truncate, zero_tail])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_found(tmp_path: Path, name: str, damage: Damage) -> None:
    assert_all_found(checkpoint.save_checkpoint(tmp_path, make_state(3)), name, damage, 30, checkpoint.load_checkpoint)


@pytest.mark.parametrize("damage", [flip_bit, truncate, zero_tail])
@pytest.mark.parametrize("name", STORE_FILES)
def test_damage_of_the_token_store_is_found(tmp_path: Path, name: str, damage: Damage) -> None:
    assert_all_found(save_store(tmp_path / "store"), name, damage, 30, store.open_store)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip_bit, truncate, zero_tail])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_found_often(tmp_path: Path, name: str, damage: Damage) -> None:
    assert_all_found(checkpoint.save_checkpoint(tmp_path, make_state(3)), name, damage, 300, checkpoint.load_checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip_bit, truncate, zero_tail])
@pytest.mark.parametrize("name", STORE_FILES)
def test_damage_of_the_token_store_is_found_often(tmp_path: Path, name: str, damage: Damage) -> None:
    assert_all_found(save_store(tmp_path / "store"), name, damage, 300, store.open_store)


@pytest.mark.parametrize("name", FILES)
def test_every_bit_of_the_small_files_counts(tmp_path: Path, name: str) -> None:
    """Bits of the manifest and of the headers, one after another and not by chance."""
    folder = checkpoint.save_checkpoint(
        tmp_path, TrainingState(1, {"model/w": torch.ones(2), "optimizer/w": torch.ones(2), "rng/x": torch.ones(1)}, {})
    )
    whole = (folder / name).read_bytes()
    for place in range(0, len(whole), 1 if len(whole) < 200 else 5):
        for bit in range(8):
            (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
            with pytest.raises(ArtifactError):
                checkpoint.load_checkpoint(folder)


@pytest.mark.parametrize("damage", [flip_bit, truncate, zero_tail])
@pytest.mark.parametrize("name", FILES)
def test_training_falls_back_to_the_one_before(
    tmp_path: Path, name: str, damage: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save_checkpoint(tmp_path, make_state(3))
    folder = checkpoint.save_checkpoint(tmp_path, make_state(6))
    (folder / name).write_bytes(damage((folder / name).read_bytes(), random.Random(1)))
    loaded = checkpoint.load_latest(tmp_path)
    assert loaded is not None
    assert loaded.step == 3
    assert "step-6.damaged" in capsys.readouterr().err
