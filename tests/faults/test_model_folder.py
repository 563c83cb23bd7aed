"""Bit flips, cut tails and zeroed tails in every file of a model folder: all detected, none loaded."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import fathom
from fathom import files
from fathom.errors import ArtifactError
from fathom.model.folder import open_folder
from fathom.model.load import load_model
from folders_for_tests import Saved, make_base, make_saved
from runs_for_tests import make_recipe

DAMAGES_PER_FILE = 12
LONG_FORM = 300


def flip_bit(data: bytes, generator: random.Random) -> bytes:
    at = generator.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << generator.randrange(8))]) + data[at + 1 :]


def cut_tail(data: bytes, generator: random.Random) -> bytes:
    return data[: generator.randrange(len(data))]


def zero_tail(data: bytes, generator: random.Random) -> bytes:
    kept = generator.randrange(len(data.rstrip(b"\0")))
    return data[:kept] + bytes(len(data) - kept)


def swap_bytes(data: bytes, generator: random.Random) -> bytes:
    """Damage that keeps the size and, in a JSON file, often the syntax."""
    while True:
        one, other = sorted(generator.sample(range(len(data)), 2))
        if data[one] != data[other]:
            return (
                data[:one] + data[other : other + 1] + data[one + 1 : other] + data[one : one + 1] + data[other + 1 :]
            )


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [flip_bit, cut_tail, zero_tail, swap_bytes]


@pytest.fixture(scope="module", params=["full", "lora"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return make_saved(tmp_path_factory.mktemp(str(request.param)), str(request.param))


def damage_all(saved: Saved, folder: Path, times: int) -> None:
    shutil.copytree(saved.folder, folder, dirs_exist_ok=True)
    open_folder(folder)
    for name in sorted(path.name for path in saved.folder.iterdir()):
        path = folder / name
        whole = path.read_bytes()
        for number in range(times):
            damage = DAMAGES[number % len(DAMAGES)]
            path.write_bytes(damage(whole, random.Random(f"{name} {number}")))
            with pytest.raises(ArtifactError) as caught:
                open_folder(folder)
            if name != "manifest.json":
                assert name in str(caught.value), f"{name}: {damage.__name__} {number}"
        path.write_bytes(whole)
    open_folder(folder)


def test_every_damage_to_every_file_is_detected_and_named(saved: Saved, tmp_path: Path) -> None:
    damage_all(saved, tmp_path / "copy", DAMAGES_PER_FILE)


@pytest.mark.slow
def test_every_damage_to_every_file_is_detected_and_named_long(saved: Saved, tmp_path: Path) -> None:
    damage_all(saved, tmp_path / "copy", LONG_FORM)


def test_every_missing_file_is_detected_and_named(saved: Saved, tmp_path: Path) -> None:
    shutil.copytree(saved.folder, tmp_path / "copy")
    for path in sorted((tmp_path / "copy").iterdir()):
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(ArtifactError, match=path.name.removesuffix(".json")):
            open_folder(tmp_path / "copy")
        path.write_bytes(whole)


def test_files_of_two_models_are_not_mixed(saved: Saved, tmp_path: Path) -> None:
    other = make_saved(tmp_path / "other", "full", "token-classification")
    shutil.copytree(saved.folder, tmp_path / "copy")
    for name in ("fathom.json", "manifest.json"):
        whole = (tmp_path / "copy" / name).read_bytes()
        shutil.copy(other.folder / name, tmp_path / "copy" / name)
        with pytest.raises(ArtifactError):
            open_folder(tmp_path / "copy")
        (tmp_path / "copy" / name).write_bytes(whole)


def one_bit(path: Path) -> None:
    path.write_bytes(flip_bit(path.read_bytes(), random.Random(path.name)))


def test_a_damaged_model_trains_no_further(tmp_path: Path) -> None:
    saved = make_saved(tmp_path, "full")
    weights = saved.folder / "model.safetensors"
    one_bit(weights)
    recipe = make_recipe(saved.folder, tmp_path)
    with pytest.raises(ArtifactError, match=r"model\.safetensors: damaged.*\n  mend: copy"):
        fathom.train(recipe)
    assert not list(tmp_path.glob("run/checkpoints/*"))


def test_a_model_to_go_on_from_is_refused_whatever_file_is_damaged(tmp_path: Path) -> None:
    saved = make_saved(tmp_path, "full")
    for path in sorted(saved.folder.iterdir()):
        whole = path.read_bytes()
        for damage in DAMAGES[:2]:
            path.write_bytes(damage(whole, random.Random(path.name)))
            with pytest.raises(ArtifactError):
                load_model(str(saved.folder), saved.auto_class, {}, seed=0)
        path.write_bytes(whole)
    (saved.folder / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="no manifest"):
        load_model(str(saved.folder), saved.auto_class, {}, seed=0)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_no_digest_is_computed_twice_in_one_load(tuning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = make_saved(tmp_path, tuning)
    with files.publish(saved.base, replace=True) as folder:
        shutil.copytree(make_base(tmp_path / "again"), folder, dirs_exist_ok=True)
    read: list[str] = []
    digest = files.sha256_file
    monkeypatch.setattr(files, "sha256_file", lambda path: read.append(str(path)) or digest(path))
    open_folder(saved.folder).load_model(saved.auto_class)
    assert len(read) == len(set(read))
    weights = [name for name in read if name.endswith(".safetensors")]
    assert len(weights) == (1 if tuning == "full" else 2)
    small = str(saved.base / "config.json")
    assert (small in read) == (tuning == "lora"), "the small files of a base are compared too"
