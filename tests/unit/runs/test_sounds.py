"""Audio classification by recipe: waveforms and spectrograms, trained, resumed, saved, and alike for transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

import fathom
from fathom.data.draw import PREDICTION, Draw
from fathom.data.sound_augmentation import NoSoundAugmentation, StandardSoundAugmentation
from fathom.data.sounds import read_sound
from fathom.errors import ConfigError, DataError
from fathom.model.new import NewModel
from fathom.model.processors import new_feature_extractor, spectrogram_samples
from fathom.model.sound import num_frames, spectrogram_positions
from fathom.recipe import load_recipe
from fathom.runs.data import check, preview
from fathom.runs.init import init
from fathom.serving.predictor import Predictor
from media_for_tests import media_recipe, sound_folder, tone

MODELS = {
    "ast": "{kind: new, architecture: ast, depth: 1, width: 32, heads: 2, positions: 32}",
    "wav2vec2": "{kind: new, architecture: wav2vec2, depth: 1, width: 32, heads: 2}",
}
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter")
TASK = "{kind: audio-classification, augmentation: standard}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path):
    return sound_folder(tmp_path / "data")


@pytest.mark.parametrize("family", list(MODELS))
def test_trains_predicts_and_is_the_same_for_transformers(tmp_path, data, family):
    steps = ["training.max_steps=80", "training.learning_rate=0.01"] if family == "ast" else ["training.max_steps=4"]
    task = "audio-classification"
    result = fathom.train(media_recipe(tmp_path, MODELS[family], task, data, *steps, "training.verify_reload=true"))
    assert result.metrics["reload_difference"] < 1e-4
    if family == "ast":
        assert result.metrics["validation"]["accuracy"] == 1.0
    folder = result.folder / "model"
    model = AutoModelForAudioClassification.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    paths = sorted(data.rglob("*.wav"))[:5]
    sounds = [read_sound(str(path), str(path), 16_000) for path in paths]
    with torch.no_grad():
        wanted = model(**extractor(sounds, sampling_rate=16_000, padding=True, return_tensors="pt")).logits.softmax(-1)
    rows = fathom.predict(result.folder, [str(path) for path in paths])
    found = np.array([list(row["probabilities"].values()) for row in rows])
    assert np.abs(found - wanted.numpy()).max() < 1e-5
    assert fathom.evaluate(str(result.folder), str(data))["num_examples"] == 16


def test_a_waveform_answers_alike_alone_and_in_a_batch(tmp_path, data):
    result = fathom.train(media_recipe(tmp_path, MODELS["wav2vec2"], TASK, data, "training.max_steps=2"))
    predictor = Predictor.load(result.folder)
    paths = [str(path) for path in sorted(data.rglob("*.wav"))[:6]]
    together = [row["score"] for row in predictor.predict(paths)]
    alone = [predictor.predict_one(path)["score"] for path in paths]
    assert np.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("family", list(MODELS))
def test_what_is_cut_is_told(tmp_path, data, family):
    """Scores of sounds that were not heard to their end say so."""
    task = "{kind: audio-classification, max_seconds: 0.25}"
    result = fathom.train(media_recipe(tmp_path, MODELS[family], task, data, "training.max_steps=2"))
    cut = [path for path in sorted(data.rglob("*.wav")) if len(read_sound(str(path), str(path), 16_000)) > 4000]
    assert 0 < len(cut) < 16
    rows = fathom.predict(result.folder, [str(path) for path in sorted(data.rglob("*.wav"))])
    assert [row["sound"] for row in rows if row.get("truncated")] == [str(path) for path in cut]
    assert fathom.evaluate(str(result.folder), str(data))["num_truncated"] == len(cut)
    assert Predictor.load(result.folder).task.limit == "0.25 s"
    told = result.metrics["validation"].get("num_truncated", 0)
    held = fathom.evaluate(str(result.folder), str(data))["num_truncated"]
    assert told <= held


def test_a_spectrogram_holds_so_many_samples():
    extractor = NewModel(architecture="ast", depth=1, width=32, heads=2, positions=32).read_config(None, {})
    extractor = new_feature_extractor(extractor, [])
    most = spectrogram_samples(extractor)
    noise = np.random.default_rng(0).standard_normal(most + 320).astype("f4")

    def heard(samples):
        return extractor(samples, sampling_rate=16_000, return_tensors="np")["input_values"][0]

    assert np.array_equal(heard(noise[:most]), heard(noise)), "more is not heard"
    assert not np.array_equal(heard(noise[: most - 160]), heard(noise)), "less is not all"
    assert (
        spectrogram_samples(new_feature_extractor(NewModel(architecture="wav2vec2").read_config(None, {}), [])) is None
    )


def test_a_short_sound_and_another_rate_are_read(tmp_path, data):
    result = fathom.train(media_recipe(tmp_path, MODELS["wav2vec2"], TASK, data, "training.max_steps=2"))
    (tmp_path / "short.wav").write_bytes(tone(300.0, 1, seconds=0.005))
    (tmp_path / "other.wav").write_bytes(tone(300.0, 1, rate=8_000))
    rows = fathom.predict(result.folder, [str(tmp_path / "short.wav"), str(tmp_path / "other.wav")])
    assert [row["label"] in {"low", "high"} for row in rows] == [True, True]
    (tmp_path / "none.wav").write_bytes(tone(300.0, 1, seconds=0.0))
    with pytest.raises(DataError, match="no sample"):
        fathom.predict(result.folder, str(tmp_path / "none.wav"))


def test_check_preview_and_init(tmp_path, data):
    (data / "low" / "broken.wav").write_bytes(b"RIFFnothing")
    report = check(str(data))
    assert report.exit_code == 2
    assert any("broken.wav" in finding.examples[0] for finding in report.findings if finding.kind == "unusable-file")
    (data / "low" / "broken.wav").unlink()
    recipe = load_recipe(init(str(data), tmp_path / "made.yaml"))
    assert (recipe.task.kind, recipe.model.architecture) == ("audio-classification", "ast")
    for family, model in MODELS.items():
        media_recipe(tmp_path, model, TASK, data)
        shown = preview(str(tmp_path / "job.yaml"), output=str(tmp_path / f"{family}.png"))
        assert (tmp_path / f"{family}.png").stat().st_size > 1000
        assert "positions" in shown.to_text()


def test_positions_are_those_of_the_model():
    ast = NewModel(architecture="ast", depth=1, width=32, heads=2, positions=96).read_config(None, {})
    assert spectrogram_positions(ast) == 12 * 9 + 2
    wave = NewModel(architecture="wav2vec2", depth=1, width=32, heads=2).read_config(None, {})
    assert spectrogram_positions(wave) is None
    assert num_frames(wave, 16_000) == 49
    with pytest.raises(ValueError, match="no image_size"):
        NewModel(architecture="ast", depth=1, image_size=32)


def test_augmentation_is_a_pure_function_of_the_draw():
    part = StandardSoundAugmentation()
    chance = np.random.default_rng(0)
    samples, frames = chance.standard_normal(4000).astype("f4"), chance.standard_normal((40, 32)).astype("f4")
    whole, alone = Draw(7, 3, np.array([4, 9])), Draw(7, 3, np.array([9]))
    assert np.array_equal(part.waveform(samples, whole, 1), part.waveform(samples, alone, 0))
    assert np.array_equal(part.spectrogram(frames, whole, 1), part.spectrogram(frames, alone, 0))
    assert part.spectrogram(frames, whole, 0).shape == frames.shape
    assert not np.array_equal(part.spectrogram(frames, whole, 0), part.spectrogram(frames, whole, 1))
    assert np.array_equal(NoSoundAugmentation().waveform(samples, whole, 0), samples)
    still = StandardSoundAugmentation(speed=0, pitch=0, shift=0, loudness=0, noise=0, masks=0)
    assert np.allclose(still.waveform(samples, whole, 0), samples, atol=1e-6)
    assert np.array_equal(still.spectrogram(frames, whole, 0), frames)
    assert not Draw(0, PREDICTION, np.array([0])).training


def test_words_are_refused(tmp_path, data):
    with pytest.raises(ConfigError, match="reads no text"):
        media_recipe(tmp_path, "{kind: new, architecture: ast, depth: 1, tokenizer: minilm}", TASK, data)
