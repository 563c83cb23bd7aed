"""Atomic writes, digests and published folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fathom import files
from fathom.errors import ArtifactError, FathomError


def publish_two(folder: Path, text: str = "one", **options: bool) -> None:
    with files.publish(folder, **options) as temporary:
        (temporary / "a.txt").write_text(text)
        (temporary / "inner").mkdir()
        (temporary / "inner" / "b.bin").write_bytes(bytes(1000))


def test_published_folder_verifies_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    publish_two(tmp_path / "model")
    manifest = files.verify(tmp_path / "model")
    assert set(manifest["files"]) == {"a.txt", "inner/b.bin"}
    assert manifest["files"]["inner/b.bin"]["bytes"] == 1000
    assert os.listdir(tmp_path) == ["model"]


def test_an_existing_folder_is_refused_unless_replaced(tmp_path: Path) -> None:
    publish_two(tmp_path / "model")
    with pytest.raises(ArtifactError, match="already there"):
        publish_two(tmp_path / "model", "two")
    publish_two(tmp_path / "model", "two", replace=True)
    assert (tmp_path / "model" / "a.txt").read_text() == "two"
    assert os.listdir(tmp_path) == ["model"]


def test_an_error_inside_leaves_the_old_folder_and_no_temporary(tmp_path: Path) -> None:
    publish_two(tmp_path / "model")
    with pytest.raises(KeyError), files.publish(tmp_path / "model", replace=True) as temporary:
        (temporary / "a.txt").write_text("half")
        raise KeyError("anything")
    files.verify(tmp_path / "model")
    assert (tmp_path / "model" / "a.txt").read_text() == "one"
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "lengthen", "remove", "no manifest", "manifest flip"])
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    publish_two(folder)
    victim, manifest = folder / "inner" / "b.bin", folder / files.MANIFEST
    if damage == "flip":
        victim.write_bytes(b"\x01" + bytes(999))
    elif damage == "truncate":
        victim.write_bytes(bytes(999))
    elif damage == "lengthen":
        victim.write_bytes(bytes(1001))
    elif damage == "remove":
        victim.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text().replace("1000", "1001"))
    with pytest.raises(ArtifactError) as caught:
        files.verify(folder)
    assert ("b.bin" in str(caught.value)) == (damage != "no manifest")


def test_files_the_manifest_does_not_name_are_tolerated(tmp_path: Path) -> None:
    publish_two(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    files.verify(tmp_path / "model")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b"])
def test_a_manifest_cannot_point_outside(tmp_path: Path, name: str) -> None:
    publish_two(tmp_path / "model")
    record = {"bytes": 1, "sha256": "0" * 64}
    (tmp_path / "model" / files.MANIFEST).write_text(
        json.dumps({"files": {name: record}}, sort_keys=True, indent=1) + "\n"
    )
    with pytest.raises(ArtifactError, match="is not one of a manifest"):
        files.verify(tmp_path / "model")


def test_known_records_are_checked_against_the_disk(tmp_path: Path) -> None:
    known = {"a.txt": files.FileRecord(sha256="0" * 64, bytes=99)}
    with (
        pytest.raises(FathomError, match="cannot be written"),
        files.publish(tmp_path / "model", known=known) as temporary,
    ):
        (temporary / "a.txt").write_text("short")
    assert os.listdir(tmp_path) == []


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = tmp_path / ".model.0123abcd.fathom-tmp"
    dead.mkdir()
    (dead / "half").write_text("x")
    (tmp_path / ".file.0123abcd.fathom-tmp").write_text("x")
    (tmp_path / "someone-elses.tmp").write_text("x")
    with files.publish(tmp_path / "living") as temporary:
        (temporary / "a").write_text("x")
        files.remove_temporaries(tmp_path)
        assert temporary.is_dir()
    assert sorted(os.listdir(tmp_path)) == ["living", "someone-elses.tmp"]


def test_a_replacement_killed_between_its_renames_is_undone(tmp_path: Path) -> None:
    publish_two(tmp_path / "model")
    os.rename(tmp_path / "model", tmp_path / ".model.0123abcd.fathom-old")
    files.verify(tmp_path / "model")
    os.rename(tmp_path / "model", tmp_path / ".model.0123abcd.fathom-old")
    publish_two(tmp_path / "model", "two", replace=True)
    assert os.listdir(tmp_path) == ["model"]


def test_who_comes_second_is_told_and_the_first_stays(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="already there"), files.publish(tmp_path / "store") as temporary:
        (temporary / "a").write_text("second")
        with files.publish(tmp_path / "store") as other:
            (other / "a").write_text("first")
    files.verify(tmp_path / "store")
    assert (tmp_path / "store" / "a").read_text() == "first"
    assert os.listdir(tmp_path) == ["store"]


def test_a_reader_between_the_two_renames_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_two(tmp_path / "model")
    rename, looked = os.rename, []

    def rename_and_look(source: Path, target: Path) -> None:
        rename(source, target)
        if str(target).endswith("fathom-old") and not looked:
            looked.append(files.verify(tmp_path / "model"))

    monkeypatch.setattr(files.os, "rename", rename_and_look)
    publish_two(tmp_path / "model", "two", replace=True)
    assert looked
    assert (tmp_path / "model" / "a.txt").read_text() == "two"
    files.remove_temporaries(tmp_path)
    assert os.listdir(tmp_path) == ["model"]


def test_a_replaced_folder_that_was_not_removed_in_time_is_removed(tmp_path: Path) -> None:
    publish_two(tmp_path / "model")
    (tmp_path / ".model.0123abcd.fathom-old").mkdir()
    files.remove_temporaries(tmp_path)
    assert os.listdir(tmp_path) == ["model"]


def test_write_atomic_follows_a_link_and_respects_the_umask(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "new" / "real.txt", "héllo")
    (tmp_path / "link.txt").symlink_to(tmp_path / "new" / "real.txt")
    files.write_atomic(tmp_path / "link.txt", b"two")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "new" / "real.txt").read_text() == "two"
    plain = tmp_path / "plain.txt"
    plain.write_text("x")
    assert plain.stat().st_mode == (tmp_path / "new" / "real.txt").stat().st_mode


@pytest.mark.parametrize(
    "content", [b"{", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1, "a": 2}', b"\xff{}", b"", b"[" * 100_000]
)
def test_damaged_json_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"x\.json"):
        files.read_json(tmp_path / "x.json")


def test_json_round_trip_and_refusal_of_nan(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x.json", {"b": [1, 2.5], "a": "标签"})
    assert files.read_json(tmp_path / "x.json") == {"a": "标签", "b": [1, 2.5]}
    assert "标签" in (tmp_path / "x.json").read_text(encoding="utf-8")
    with pytest.raises(ArtifactError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert files.read_json(tmp_path / "x.json")["a"] == "标签"
    with pytest.raises(ArtifactError, match="none"):
        files.read_json(tmp_path / "none.json")


def test_digest_does_not_depend_on_key_order() -> None:
    assert files.digest({"a": 1, "b": [True, None]}) == files.digest({"b": [True, None], "a": 1})
    assert files.digest({"a": 1}) != files.digest({"a": 1.5})


def test_too_little_space_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FathomError) as caught, files.publish(tmp_path / "model", expected_bytes=10**18):
        pytest.fail("the block must not run")
    assert "1,000,000,000,000,000,000" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_remove_folder_is_quiet_about_a_missing_one(tmp_path: Path) -> None:
    publish_two(tmp_path / "model")
    files.remove_folder(tmp_path / "model")
    files.remove_folder(tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    assert files.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("FATHOM_CACHE")
    assert files.cache_folder() == Path.home() / ".cache" / "fathom"


def test_a_folder_is_published_by_its_own_manifest_only(tmp_path: Path) -> None:
    with files.publish(tmp_path / "model") as temporary:
        (temporary / "a.txt").write_text("one")
    assert files.is_published(tmp_path / "model")
    (tmp_path / "model" / "manifest.json").write_text('{"name": "a web page", "files": {}}')
    assert not files.is_published(tmp_path / "model")
    assert not files.is_published(tmp_path / "nowhere")


def test_files_that_were_compared_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with files.publish(tmp_path / "model") as temporary:
        (temporary / "a.txt").write_text("one")
        (temporary / "b.txt").write_text("two")
    read: list[str] = []
    monkeypatch.setattr(files, "check_file", lambda path, record: read.append(path.name))
    files.verify(tmp_path / "model", {"a.txt"})
    assert read == ["b.txt"]
