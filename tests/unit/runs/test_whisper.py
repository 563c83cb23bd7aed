"""Speech recognition with a decoder, by recipe: trained, resumed, saved, alike for transformers; mistakes are named."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, WhisperFeatureExtractor

import fathom
from fathom.data.draw import Draw
from fathom.data.load import load_examples
from fathom.data.readers.built_in import write_wav
from fathom.data.sounds import read_sound
from fathom.errors import ConfigError, DataError, ModelError
from fathom.files import read_json
from fathom.model.new import NewModel
from fathom.runs.data import check, preview
from fathom.runs.media import make_media_task
from fathom.serving.predictor import Predictor
from fathom.tasks.speech_recognition import SpeechRecognition
from fathom.tasks.speech_whisper import cut_at_pauses
from media_for_tests import RATE, media_recipe, spoken_folder, tone
from whispers_for_tests import NEW, save_whisper

TASK = "{kind: speech-recognition, max_target_length: 12, generated_examples: 3}"
SEVERAL = "{kind: speech-recognition, max_target_length: 14, generated_examples: 2, language: english}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path):
    return spoken_folder(tmp_path / "data")


def test_a_new_model_trains_writes_and_is_the_same_for_transformers(tmp_path, data):
    steps = ["training.max_steps=4", "training.verify_reload=true", f"data.test='{data}'", "data.allow_leaks=true"]
    result = fathom.train(media_recipe(tmp_path, NEW, TASK, data, *steps))
    metrics = result.metrics
    assert metrics["reload_difference"] < 1e-4 and metrics["main_metric"] == "wer"
    assert {"wer", "cer", "loss", "perplexity", "sentence_error_rate"} <= metrics["validation"].keys()
    assert metrics["validation"]["num_generated"] == 3 and metrics["test"]["num_generated"] == 16
    folder = result.folder / "model"
    written = [json.loads(line) for line in (result.folder / "written-test.jsonl").read_text().splitlines()]
    assert [row["where"] for row in written] and {"transcript", "text"} <= written[0].keys()
    model, processor = AutoModelForSpeechSeq2Seq.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    assert model.config.vocab_size == len(processor.tokenizer) and model.config.max_source_positions == 50
    paths = [str(path) for path in sorted(data.glob("*.wav"))[:5]]
    rows = fathom.predict(result.folder, paths)
    for path, row in zip(paths, rows, strict=True):
        heard = processor(read_sound(path, path, RATE), sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            tokens = model.generate(heard["input_features"], max_new_tokens=10)
        assert row["text"] == processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()
        assert (row["sound"], row["finish_reason"] in ("eos", "length")) == (path, True)
    scores = fathom.evaluate(str(result.folder), str(data))
    for name in ("loss", "wer", "cer", "num_generated"):
        assert scores[name] == pytest.approx(metrics["test"][name], rel=1e-4), name
    card = (folder / "README.md").read_text()
    assert "AutoModelForSpeechSeq2Seq.from_pretrained" in card and "automatic-speech-recognition" in card


def test_a_small_model_learns_what_few_sounds_say(tmp_path):
    """Two notes, each alone: every sound is heard rightly, its capital and full stop included."""
    folder = tmp_path / "two"
    folder.mkdir()
    for number in range(24):
        hertz, said = ((400.0, "A low."), (2500.0, "high"))[number % 2]
        (folder / f"{number:02}.wav").write_bytes(tone(hertz, number, 0.1))
        (folder / f"{number:02}.txt").write_text(said)
    task = TASK.replace("generated_examples: 3", "generated_examples: 24")
    edits = ["training.max_steps=120", "training.learning_rate=0.005", "training.batch_size=8"]
    result = fathom.train(media_recipe(tmp_path, NEW, task, folder, *edits))
    assert result.metrics["validation"]["wer"] == 0.0
    rows = fathom.predict(result.folder, [str(folder / "00.wav"), str(folder / "01.wav")])
    assert [(row["text"], row["finish_reason"]) for row in rows] == [("A low.", "eos"), ("high", "eos")]


@pytest.mark.parametrize("tuning", ["full", "{kind: lora, rank: 2}"])
def test_a_saved_model_of_several_languages_keeps_the_one_it_was_taught(tmp_path, data, tuning):
    base = save_whisper(tmp_path / "base")
    before = read_json(base / "generation_config.json")
    steps = ["training.max_steps=2", "training.verify_reload=true", f"tuning={tuning}"]
    result = fathom.train(media_recipe(tmp_path, f"'{base}'", SEVERAL, data, *steps))
    assert result.metrics["reload_difference"] < 1e-4
    folder = result.folder / "model"
    processor = AutoProcessor.from_pretrained(folder)
    prompt = processor.tokenizer.convert_ids_to_tokens(processor.tokenizer.prefix_tokens)
    assert prompt[1:3] == ["<|en|>", "<|transcribe|>"]
    path = str(data / "00.wav")
    row = fathom.predict(result.folder, [path])[0]
    if tuning == "full":
        assert "language" not in before
        model = AutoModelForSpeechSeq2Seq.from_pretrained(folder).eval()
        assert model.generation_config.language == "<|en|>"
        heard = processor(read_sound(path, path, RATE), sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            tokens = model.generate(heard["input_features"], max_new_tokens=10)
        assert row["text"] == processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()
        again = "{kind: speech-recognition, max_target_length: 14, generated_examples: 1}"
        fathom.train(media_recipe(tmp_path / "again", f"'{folder}'", again, data, "training.max_steps=1"))
        assert (tmp_path / "again" / "run" / "model" / "config.json").is_file(), "the language is the folder's"
    else:
        assert (folder / "adapter_config.json").is_file()
        assert fathom.evaluate(str(result.folder), str(data))["num_generated"] == 16
        merged = fathom.merge(str(result.folder), tmp_path / "merged")
        assert fathom.predict(merged, [path])[0]["text"] == row["text"]


def test_long_sounds_are_refused_to_learn_from_and_written_in_windows(tmp_path, data):
    samples = np.concatenate([read_sound(str(path), "", RATE) for path in sorted(data.glob("*.wav"))[:6]])
    (data / "long.wav").write_bytes(write_wav(samples, RATE))
    (data / "long.txt").write_text("1")
    with pytest.raises(DataError, match=r"long\.wav: the sound lasts [\d.]+ s, longer than 1 s \(task\.max_seconds\)"):
        fathom.train(media_recipe(tmp_path, NEW, TASK, data))
    (data / "long.txt").unlink()
    (data / "long.wav").rename(tmp_path / "long.wav")
    result = fathom.train(media_recipe(tmp_path, NEW, TASK, data, "training.max_steps=1"))
    predictor = Predictor.load(result.folder)
    features = predictor.task.encode_inputs([{"sound": str(tmp_path / "long.wav"), "where": "long"}])
    assert all(len(item["input_values"]) <= RATE for item in features) and len(features) > len(samples) / RATE
    heard = np.concatenate([item["input_values"] for item in features])
    assert heard.shape == samples.shape and np.allclose(heard, samples, atol=1e-3)
    assert isinstance(predictor.predict_one(str(tmp_path / "long.wav"))["text"], str)


def test_a_long_sound_is_cut_in_its_pauses():
    loud = np.ones(1000, dtype=np.float32)
    loud[270:290] = loud[555:575] = 0.0
    cut = cut_at_pauses(loud, 300, 10)
    assert np.array_equal(np.concatenate(cut), loud) and all(len(window) <= 300 for window in cut)
    assert 270 <= len(cut[0]) <= 290 and 555 <= len(cut[0]) + len(cut[1]) <= 575
    assert [len(window) for window in cut_at_pauses(loud[:300], 300, 10)] == [300]
    assert all(len(window) <= 30 for window in cut_at_pauses(loud, 30, 10)), "too short for a place to choose"


def test_what_cannot_be_learnt_is_named_before_anything_is_decoded(tmp_path, data):
    (data / "03.txt").write_text("12345" * 4)
    (data / "05.txt").write_text("?!")
    recipe = media_recipe(tmp_path, NEW, TASK, data)
    with pytest.raises(DataError, match="2 examples cannot be learnt from") as caught:
        fathom.train(recipe)
    assert "03.wav: the transcript of 20 characters has 23 tokens with prompt and end, and the model writes 12" in str(
        caught.value
    )
    assert "05.wav: nothing is left of the transcript" in str(caught.value)
    report = check(str(tmp_path / "job.yaml"))
    (found,) = [finding for finding in report.findings if finding.kind == "unfit-transcript"]
    assert report.exit_code == 2 and found.count == 2
    skipping = media_recipe(tmp_path, NEW, TASK, data, "data.on_error=skip", "training.max_steps=1")
    result = fathom.train(skipping)
    rows = [json.loads(line) for line in (result.folder / "skipped.jsonl").read_text().splitlines()]
    assert sorted(row["where"][-6:-4] for row in rows) == ["03", "05"]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("{kind: speech-recognition}", r"the model writes \d+ languages"),
        ("{kind: speech-recognition, language: klingon}", "no language 'klingon'"),
        ("{kind: speech-recognition, language: en, vocabulary: new}", "a decoder's vocabulary is its tokenizer's"),
        ("{kind: speech-recognition, language: en, max_seconds: 2}", "the model reads 1 s at once"),
        ("{kind: speech-recognition, language: en, max_target_length: 65}", "decoder has 64 positions"),
        ("{kind: speech-recognition, language: en, architecture: ctc}", "whisper is of the kind 'encoder-decoder'"),
    ],
)
def test_options_that_cannot_be_honoured_are_named(tmp_path, data, task, said):
    model = save_whisper(tmp_path / "model")
    with pytest.raises(ConfigError, match=said) as caught:
        fathom.train(media_recipe(tmp_path, f"'{model}'", task, data))
    assert str(caught.value.where).startswith("task.")


def test_parts_of_another_model_are_named(tmp_path, data):
    model = save_whisper(tmp_path / "model")
    task = "{kind: speech-recognition, language: en}"
    extractor = WhisperFeatureExtractor(chunk_length=2)
    processor = AutoProcessor.from_pretrained(model)
    processor.feature_extractor = extractor
    processor.save_pretrained(model)
    with pytest.raises(ModelError, match="makes 200 frames of 80 bands, and the model reads 100 of 80"):
        fathom.train(media_recipe(tmp_path, f"'{model}'", task, data))
    for file in ("tokenizer.json", "vocab.json"):
        (model / file).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="the folder has no tokenizer"):
        fathom.train(media_recipe(tmp_path, f"'{model}'", task, data))
    with pytest.raises(ConfigError, match="whole seconds, 50 positions each: write 100"):
        fathom.train(media_recipe(tmp_path, NEW.replace("positions: 50", "positions: 90"), TASK, data))


def test_augmentation_does_not_push_speech_out_of_the_frame(tmp_path, data):
    """A sound that would become longer than the encoder hears stays as it is."""
    standard = {"kind": "standard", "speed": 0.0, "shift": 0.9, "noise": 0.0, "masks": 0, "loudness": 0.0}
    part = SpeechRecognition.model_validate({"augmentation": standard})
    examples, _ = load_examples(str(data), "speech")
    new = NewModel(architecture="whisper", depth=1, width=32, heads=2, positions=50)
    task, _ = make_media_task(part, new, examples)
    features = task.encode(examples[:1])
    samples = np.resize(features[0]["input_values"], RATE - 10)
    features[0]["input_values"] = samples
    wanted = task.sounds.spectra([samples])["input_features"]
    for step in range(3):
        batch = task.make_batch(features, Draw(7, step, np.arange(1)))
        assert torch.equal(batch["input_features"], wanted)


def test_preview_and_inspect(tmp_path, data):
    media_recipe(tmp_path, NEW, TASK, data)
    shown = preview(str(tmp_path / "job.yaml"), output=str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").stat().st_size > 1000 and "positions" in shown.to_text()
    report = fathom.inspect(str(tmp_path / "job.yaml"))
    assert "SpeechSeq2Seq" in report.to_text().splitlines()[0]
    forecast = fathom.inspect("whisper-small", task="speech-recognition").ledger
    assert forecast.parameters == fathom.inspect("whisper-small").ledger.parameters


def test_the_forecast_counts_the_encoder_once_for_every_sound(tmp_path, data):
    """What the decoder reads is the length of a sound; its encoder's frames are the model's."""
    result = fathom.train(media_recipe(tmp_path, NEW, TASK, data, "training.max_steps=2"))
    tokens = result.metrics["timing"]["real_tokens"]
    assert tokens == pytest.approx(2 * 6 * 4.5, abs=8), "two of the prompt and two or three digits each"
    assert result.metrics["forecast"]["trainable"] == result.metrics["measured"]["trainable"]
