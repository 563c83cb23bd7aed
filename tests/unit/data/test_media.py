"""Images and sounds become examples by a stated policy; what cannot be used is refused, or skipped and named."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
import soundfile
from PIL import Image

from fathom.data.images import as_rgb, check_image, open_image
from fathom.data.load import load_examples, load_splits, read_path
from fathom.data.section import DataSection
from fathom.data.sounds import check_sound, read_sound, resample
from fathom.data.spool import spooled
from fathom.data.store import from_features
from fathom.errors import DataError
from media_for_tests import COLOURS, image_folder, png, sound_folder, tone


def _saved(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_every_mode_becomes_rgb():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    assert np.array_equal(np.asarray(as_rgb(Image.fromarray(grey)))[..., 1], grey)
    clear = np.zeros((2, 2, 4), dtype=np.uint8)
    clear[0, 0] = (10, 20, 30, 255)
    shown = np.asarray(as_rgb(Image.fromarray(clear, "RGBA")))
    assert shown[0, 0].tolist() == [10, 20, 30]
    assert shown[1, 1].tolist() == [255, 255, 255], "transparency is white, whatever colour lies under it"
    deep = np.array([[1000, 3000], [2000, 5000]], dtype=np.uint16)
    assert np.asarray(as_rgb(Image.fromarray(deep)))[..., 0].tolist() == [[0, 127], [63, 255]]
    assert as_rgb(Image.new("CMYK", (3, 2))).mode == "RGB"
    assert as_rgb(Image.new("P", (3, 2))).mode == "RGB"


def test_exif_turns_upright(tmp_path):
    image = Image.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _saved(image, "JPEG", exif=exif, quality=95)
    (tmp_path / "a.jpg").write_bytes(data)
    assert check_image(data, "a.jpg").rotated
    assert open_image(str(tmp_path / "a.jpg"), "a.jpg").size == (4, 6)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"hello there, no image", "no image"),
        (png((9, 9, 9), 1)[:-300], "damaged"),
        (_saved(Image.effect_noise((80, 80), 90), "JPEG")[:900], "damaged"),
    ],
)
def test_bad_images_are_named(data, said):
    with pytest.raises(DataError, match=said) as caught:
        check_image(data, "x.png")
    assert caught.value.where == "x.png"


def test_a_later_picture_without_dimensions_is_damage():
    data = bytearray(_saved(Image.new("RGB", (4, 4)), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, first + 2 + 12 * struct.unpack_from("<H", data, first)[0], len(data))
    with pytest.raises(DataError, match="damaged"):
        check_image(bytes(data) + bytes(6), "x.tif")


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    data = _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / "a.gif").write_bytes(data)
    assert check_image(data, "a.gif").animated
    assert open_image(str(tmp_path / "a.gif"), "a.gif").getpixel((1, 1)) == (255, 0, 0)


def test_too_many_pixels_are_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="more than 100 pixels"):
        check_image(png((1, 2, 3), 1), "bomb.png")


def test_folder_for_each_class(tmp_path):
    examples, notes = load_examples(str(image_folder(tmp_path / "a")), "image")
    assert {example["label"] for example in examples} == set(COLOURS)
    assert len(examples) == 24
    assert len({example["digest"] for example in examples}) == 24
    assert any("24 images of 3 classes" in note for note in notes)
    assert any("20 x 24 pixels" in note for note in notes)


def test_bad_files_are_refused_all_at_once_or_skipped(tmp_path):
    folder = image_folder(tmp_path / "a", 3)
    (folder / "red" / "broken.png").write_bytes(b"nothing")
    (folder / "blue" / "cut.png").write_bytes(png((1, 1, 1), 5)[:-300])
    (folder / "red" / "notes.txt").write_text("kept by hand")
    (folder / "red" / ".hidden.png").write_bytes(b"")
    with pytest.raises(DataError, match="2 problems") as caught:
        load_examples(str(folder), "image")
    assert "broken.png" in str(caught.value)
    assert "cut.png" in str(caught.value)
    reading = read_path(str(folder), "image", DataSection(train=str(folder), on_error="skip"))
    assert len(reading.examples) == 9
    assert sorted(row.row.rpartition("/")[2] for row in reading.skipped) == ["broken.png", "cut.png"]
    assert any("left out 2" in note for note in reading.notes)
    assert any("notes.txt" in note for note in reading.notes)


def test_empty_class_loose_files_and_wrong_task(tmp_path):
    folder = image_folder(tmp_path / "a", 2)
    (folder / "yellow").mkdir()
    with pytest.raises(DataError, match="class 'yellow' holds no file"):
        load_examples(str(folder), "image")
    examples, notes = load_examples(str(folder), "image", DataSection(train=str(folder), on_error="skip"))
    assert len(examples) == 6
    assert any("yellow" in note for note in notes)
    (folder / "yellow").rmdir()
    (folder / "loose.png").write_bytes(png((5, 5, 5), 3))
    with pytest.raises(DataError, match="beside the folders"):
        load_examples(str(folder), "image")
    (folder / "loose.png").unlink()
    with pytest.raises(DataError, match="no text"):
        load_examples(str(folder), "text")


def test_table_of_paths(tmp_path):
    image_folder(tmp_path / "a", 2)
    rows = ["file_name,label", *(f"a/{name}/{number}.png,{name}" for name in COLOURS for number in range(2))]
    table = tmp_path / "all.csv"
    table.write_text("\n".join(rows) + "\n")
    first = read_path(str(table), "image", DataSection(train=str(table)))
    assert [example["label"] for example in first.examples[:3]] == ["red", "red", "green"]
    (tmp_path / "a" / "red" / "0.png").write_bytes(png((200, 30, 30), 999))
    second = read_path(str(table), "image", DataSection(train=str(table)))
    assert first.digest != second.digest, "a changed picture changes the split's digest"
    table.write_text("\n".join([*rows, "a/red/none.png,red"]) + "\n")
    with pytest.raises(DataError, match="No such file") as caught:
        load_examples(str(table), "image")
    assert caught.value.where.endswith("all.csv:8")


def test_groups_stay_on_one_side_and_copies_are_told(tmp_path):
    sound_folder(tmp_path / "s", 6)
    rows = [f"s/{name}/{number}.wav,{name},speaker{number % 3}" for name in ("low", "high") for number in range(6)]
    table = tmp_path / "all.csv"
    table.write_text("\n".join(["file_name,label,speaker", *rows]) + "\n")
    splits = load_splits(DataSection(train=str(table), validation_fraction=0.3), "sound")
    groups = [{example["group"] for example in part} for part in (splits.train, splits.validation)]
    assert groups[1]
    assert not groups[0] & groups[1]
    with pytest.raises(DataError, match="also in train"):
        load_splits(DataSection(train=str(table), test=str(table)), "sound")


def test_sounds_are_mixed_resampled_and_refused(tmp_path):
    samples = np.zeros((800, 2), dtype="<i2")
    samples[:, 0] = 8000
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    (tmp_path / "a.wav").write_bytes(stream.getvalue())
    facts = check_sound(stream.getvalue(), "a.wav")
    assert (facts.rate, facts.channels, facts.seconds, facts.silent) == (8000, 2, 0.1, False)
    mono = read_sound(str(tmp_path / "a.wav"), "a.wav", 16_000)
    assert len(mono) == 1600
    assert abs(mono[400:1200].mean() - 4000 / 32768) < 1e-3
    with pytest.raises(DataError, match="no sound, or it is damaged"):
        check_sound(b"RIFF nonsense", "b.wav")
    with pytest.raises(DataError, match="no sample"):
        check_sound(tone(300, 1, 0.0), "c.wav")
    with pytest.raises(DataError, match="empty"):
        check_sound(b"", "d.wav")


def test_a_sound_that_says_it_is_longer_than_memory_is_read_as_far_as_it_goes():
    stream = io.BytesIO()
    soundfile.write(stream, np.sin(np.arange(4000) / 9) * 0.3, 8000, format="MP3")
    data = bytearray(stream.getvalue())
    place = max(data.find(b"Xing"), data.find(b"Info"))
    struct.pack_into(">I", data, place + 8, 0x7FFFFFFF)
    facts = check_sound(bytes(data), "a.mp3")
    assert 0.4 < facts.seconds < 1.0 and facts.rate == 8000


def test_long_sounds_are_decoded_in_pieces(monkeypatch):
    whole = check_sound(tone(300, 8000, 0.5), "a.wav")
    monkeypatch.setattr("fathom.data.sounds.AT_ONCE", 100)
    assert check_sound(tone(300, 8000, 0.5), "a.wav") == whole


def test_resampling_keeps_a_tone():
    time_N = np.arange(8000) / 8000
    found = resample(np.sin(2 * np.pi * 440 * time_N).astype(np.float32), 8000, 16_000)
    wanted = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(found[800:-800] - wanted[800:-800]).max() < 1e-3


def test_a_spooled_store_is_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    chance = np.random.default_rng(1)
    features = [
        {
            "input_values": chance.standard_normal(3 + number).astype(np.float32),
            "pixel_values": chance.integers(0, 255, (3, 4, 4), dtype=np.uint8),
            "length": np.array(5 + number),
            "label": np.array(number % 2),
        }
        for number in range(6)
    ]
    whole, spool = from_features(features), spooled(iter(features))
    assert spool.lengths.tolist() == whole.lengths.tolist() == [5, 6, 7, 8, 9, 10]
    for row in range(6):
        for name, value in whole[row].items():
            assert np.array_equal(spool[row][name], value), name
            assert spool[row][name].dtype == value.dtype
