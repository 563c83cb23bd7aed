"""Sounds with transcripts: tables and folders become examples; what is wrong is refused by name, or skipped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fathom.data.load import detect_format, load_examples, load_splits, read_path
from fathom.data.readers.built_in import write_wav
from fathom.data.section import DataSection
from fathom.data.sounds import read_sound
from fathom.errors import DataError
from fathom.model.new import NewModel
from fathom.runs.media import make_media_task
from fathom.tasks.speech_recognition import SpeechRecognition
from media_for_tests import sound_folder, spoken_folder, tone

FSDD = Path(__file__).resolve().parents[4] / "shared" / "data" / "fsdd"


@pytest.fixture
def sounds(tmp_path):
    """Three sounds in a folder of their own."""
    (tmp_path / "clips").mkdir()
    for number in range(3):
        (tmp_path / "clips" / f"{number}.wav").write_bytes(tone(300.0, number, 0.2 + 0.1 * number))
    return tmp_path


def test_a_table_names_sounds_from_its_own_folder(sounds):
    rows = "".join(f"clips/{number}.wav,what is said {number},s{number}\n" for number in range(3))
    (sounds / "train.csv").write_text(f"path,sentence,client_id\n{rows}", encoding="utf-8")
    examples, notes = load_examples(str(sounds / "train.csv"), "speech")
    assert [one["transcript"] for one in examples] == ["what is said 0", "what is said 1", "what is said 2"]
    assert examples[1]["sound"] == str(sounds / "clips" / "1.wav") and examples[1]["group"] == "s1"
    assert examples[1]["seconds"] == pytest.approx(0.3) and examples[1]["where"].endswith("train.csv:3")
    assert any("3 sounds" in note for note in notes)
    lines = [json.dumps({"audio": f"clips/{number}.wav", "text": f"你好{number}"}) for number in range(3)]
    (sounds / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    again, _ = load_examples(str(sounds / "train.jsonl"), "speech")
    assert [one["transcript"] for one in again] == ["你好0", "你好1", "你好2"]
    assert [one["digest"] for one in again] == [one["digest"] for one in examples]


def test_the_digest_of_a_table_is_of_its_sounds_too(sounds):
    (sounds / "t.csv").write_text("audio,text\nclips/0.wav,a\n", encoding="utf-8")
    section = DataSection(train=str(sounds / "t.csv"))
    first = read_path(section.train, "speech", section).digest
    (sounds / "clips" / "0.wav").write_bytes(tone(900.0, 9))
    assert read_path(section.train, "speech", section).digest != first


def test_bad_rows_are_all_named_or_skipped(sounds):
    (sounds / "clips" / "1.wav").write_bytes(b"RIFFnothing")
    lines = [
        '{"audio": "clips/0.wav", "text": "fine"}',
        '{"audio": "clips/1.wav", "text": "a damaged sound"}',
        '{"audio": "clips/9.wav", "text": "no such sound"}',
        '{"audio": "clips/2.wav", "text": ["a list"]}',
        '{"audio": "clips/2.wav", "text": "half a \\ud83d character"}',
    ]
    (sounds / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match="4 problems") as caught:
        load_examples(str(sounds / "t.jsonl"), "speech")
    assert all(f"t.jsonl:{line}" in str(caught.value) for line in (2, 3, 4, 5))
    section = DataSection(train=str(sounds / "t.jsonl"), on_error="skip")
    reading = read_path(section.train, "speech", section)
    assert [one["transcript"] for one in reading.examples] == ["fine"]
    assert len(reading.skipped) == 4


def test_empty_transcripts_are_refused_counted_or_all_there_is(sounds):
    (sounds / "t.csv").write_text("audio,text\nclips/0.wav,a\nclips/1.wav,  \nclips/2.wav,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 of 3 rows have an empty transcript: lines 3"):
        load_examples(str(sounds / "t.csv"), "speech")
    section = DataSection(train=str(sounds / "t.csv"), max_empty_share=0.5)
    examples, notes = load_examples(section.train, "speech", section)
    assert len(examples) == 2 and any("empty transcript" in note and "left out" in note for note in notes)
    (sounds / "all.csv").write_text("audio,text\nclips/0.wav,\nclips/1.wav,\n", encoding="utf-8")
    examples, _ = load_examples(str(sounds / "all.csv"), "speech")
    assert len(examples) == 2 and "transcript" not in examples[0]
    with pytest.raises(DataError, match="no transcripts"):
        load_splits(DataSection(train=str(sounds / "all.csv")), "speech")
    (sounds / "none.csv").write_text("audio,words\nclips/0.wav,a\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no transcripts .*'words'"):
        load_splits(DataSection(train=str(sounds / "none.csv")), "speech")


def test_a_folder_with_a_text_beside_each_sound(tmp_path):
    folder = spoken_folder(tmp_path / "data", 4)
    examples, notes = load_examples(str(folder), "speech")
    assert [len(one["transcript"]) for one in examples] == [2, 3, 2, 3]
    assert "text file beside each" in notes[0]
    assert detect_format(str(folder), "text", DataSection(train=str(folder))) == "speech-folder"
    (folder / "02.txt").unlink()
    with pytest.raises(DataError, match=r"02\.wav: no transcript"):
        load_examples(str(folder), "speech")
    reading = read_path(str(folder), "speech", DataSection(train=str(folder), on_error="skip"))
    assert len(reading.examples) == 3 and reading.skipped[0].where.endswith("02.wav")
    for file in folder.glob("*.txt"):
        file.unlink()
    examples, notes = load_examples(str(folder), "speech")
    assert len(examples) == 4 and "no transcripts" in notes[0]


def test_a_folder_with_lists_of_transcripts(sounds):
    (sounds / "clips" / "1-2.trans.txt").write_text("0 HELLO THERE\n1\tGENERAL\n7 NOBODY\n\n", encoding="utf-8")
    (sounds / "more").mkdir()
    (sounds / "more" / "x.wav").write_bytes(tone(500.0, 5))
    (sounds / "transcripts.txt").write_text("2.wav 今天 天气\nx said\n", encoding="utf-8")
    examples, notes = load_examples(str(sounds), "speech")
    assert [one["transcript"] for one in examples] == ["HELLO THERE", "GENERAL", "今天 天气", "said"]
    assert "2 lists" in notes[0] and any("1 transcripts have no sound: 7" in note for note in notes)
    (sounds / "more" / "0.wav").write_bytes(tone(500.0, 6))
    with (sounds / "transcripts.txt").open("a", encoding="utf-8") as stream:
        stream.write("0 which of them\nx another text\n")
    with pytest.raises(DataError, match="2 sounds are called '0'") as caught:
        load_examples(str(sounds), "speech")
    assert "two different transcripts" in str(caught.value)


def test_a_folder_with_a_table_says_all_in_it(sounds):
    (sounds / "metadata.csv").write_text("file_name,transcription\nclips/0.wav,one\nclips/2.wav,two\n", "utf-8")
    section = DataSection(train=str(sounds))
    assert detect_format(str(sounds), "text", section) == "speech-folder"
    reading = read_path(section.train, "speech", section)
    assert [one["transcript"] for one in reading.examples] == ["one", "two"]
    (sounds / "clips" / "0.wav").write_bytes(tone(900.0, 9))
    assert read_path(section.train, "speech", section).digest != reading.digest


def test_a_folder_of_classes_is_still_one(tmp_path):
    folder = sound_folder(tmp_path / "data", 2)
    (folder / "readme.txt").write_text("about these", encoding="utf-8")
    assert detect_format(str(folder), "text", DataSection(train=str(folder))) == "sound-folder"
    examples, _ = load_examples(str(folder), "sound")
    assert {one["label"] for one in examples} == {"low", "high"} and "seconds" not in examples[0]
    with pytest.raises(DataError, match="speech-recognition"):
        load_examples(
            str(spoken_folder(tmp_path / "spoken", 2)), "text", DataSection(train="x", format="speech-folder")
        )


def test_melodies_are_a_pure_function_of_their_name(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "a"))
    first, _ = load_examples("melody:test#10", "speech")
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "b"))
    second, _ = load_examples("melody:test#10", "speech")
    assert [one["digest"] for one in first] == [one["digest"] for one in second]
    assert all(one["transcript"].isdigit() and 3 <= len(one["transcript"]) <= 5 for one in first)
    with pytest.raises(DataError, match="no split 'dev'"):
        load_examples("melody:dev", "speech")


@pytest.mark.skipif(not FSDD.is_dir(), reason="shared/data/fsdd is not beside the repository")
def test_joined_clips_of_real_speech_are_resampled_and_kept_by_speaker(tmp_path):
    """Real clips of 8 kHz, joined to strings: each is as long as its parts, and a speaker stays on one side."""
    clips = {speaker: sorted((FSDD / "recordings").glob(f"*_{speaker}_*.wav")) for speaker in ("george", "theo")}
    lines = ["path,text,speaker"]
    for number in range(8):
        speaker = ("george", "theo")[number % 2]
        chosen = clips[speaker][number::17][:3]
        samples = np.concatenate([read_sound(str(file), str(file), 8_000) for file in chosen])
        (tmp_path / f"{number}.wav").write_bytes(write_wav(samples.astype(float), 8_000))
        lines.append(f"{number}.wav,{' '.join(file.name[0] for file in chosen)},{speaker}")
    (tmp_path / "train.csv").write_text("\n".join(lines), encoding="utf-8")
    splits = load_splits(DataSection(train=str(tmp_path / "train.csv"), validation_fraction=0.4), "speech")
    assert {one["group"] for one in splits.train}.isdisjoint(one["group"] for one in splits.validation)
    assert any("8,000 Hz" in note for note in splits.notes)
    task, _ = make_media_task(SpeechRecognition(), NewModel(architecture="wav2vec2", depth=1), splits.train)
    assert not any(map(task.unfit, splits.train))
    for example, features in zip(splits.train, task.encode(splits.train), strict=True):
        assert len(features["input_values"]) == pytest.approx(example["seconds"] * 16_000, abs=2)
        assert (features["label"] >= 0).sum() == len(example["transcript"])
