"""Speech recognition by recipe: trained, resumed, saved, alike for transformers; what cannot be learnt is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCTC,
    AutoProcessor,
    HubertConfig,
    HubertModel,
    Speech2TextConfig,
    Wav2Vec2FeatureExtractor,
)

import fathom
from fathom.data.draw import Draw
from fathom.data.load import load_examples
from fathom.data.readers.built_in import write_wav
from fathom.data.sounds import read_sound
from fathom.errors import ConfigError, DataError, ModelError
from fathom.files import read_json
from fathom.model.new import NewModel
from fathom.recipe import load_recipe
from fathom.runs.data import check, preview
from fathom.runs.init import init
from fathom.runs.media import make_media_task
from fathom.serving.predictor import Predictor
from fathom.tasks.speech_recognition import SpeechRecognition
from media_for_tests import RATE, media_recipe, spoken_folder, tone

MODEL = "{kind: new, architecture: wav2vec2, depth: 1, width: 32, heads: 2}"
TASK = "{kind: speech-recognition, augmentation: standard}"


def _say_something(model):
    """Give a model that a few steps have taught nothing but blanks a head that writes."""
    with torch.no_grad():
        model.lm_head.weight.copy_(torch.randn(model.lm_head.weight.shape, generator=torch.Generator().manual_seed(1)))
        model.lm_head.bias.zero_()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path):
    return spoken_folder(tmp_path / "data")


def test_trains_predicts_and_is_the_same_for_transformers(tmp_path, data):
    steps = ["training.max_steps=4", "training.verify_reload=true"]
    result = fathom.train(media_recipe(tmp_path, MODEL, "speech-recognition", data, *steps))
    assert result.metrics["reload_difference"] < 1e-4
    assert {"wer", "cer", "loss", "sentence_error_rate"} <= result.metrics["validation"].keys()
    assert result.metrics["main_metric"] == "wer"
    folder = result.folder / "model"
    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    assert (model.config.vocab_size, model.config.pad_token_id) == (len(processor.tokenizer), 0)
    _say_something(model)
    paths = [str(path) for path in sorted(data.glob("*.wav"))[:5]]
    predictor = Predictor.load(result.folder)
    _say_something(predictor.model)
    rows = fathom.predict(predictor, paths)
    for path, row in zip(paths, rows, strict=True):
        sound = read_sound(path, path, RATE)
        with torch.no_grad():
            logits = model(**processor(sound, sampling_rate=RATE, return_tensors="pt")).logits
        assert row["text"] == processor.batch_decode(logits.argmax(-1))[0]
        assert row["sound"] == path
    assert any(row["text"] for row in rows)
    scores = fathom.evaluate(str(result.folder), str(data))
    assert scores["num_examples"] == 16 and np.isfinite(scores["loss"])
    assert "automatic-speech-recognition" in (folder / "README.md").read_text()


def test_a_small_model_learns_what_few_sounds_say(tmp_path):
    """Two notes, each alone: the loss falls to nothing and every sound is heard rightly."""
    folder = tmp_path / "two"
    folder.mkdir()
    for number in range(24):
        hertz, said = ((400.0, "a"), (2500.0, "b"))[number % 2]
        (folder / f"{number}.wav").write_bytes(tone(hertz, number, 0.1))
        (folder / f"{number}.txt").write_text(said)
    edits = ["training.max_steps=60", "training.learning_rate=0.005", "training.batch_size=8"]
    result = fathom.train(media_recipe(tmp_path, MODEL, "speech-recognition", folder, *edits, "training.eval_steps=20"))
    assert result.metrics["validation"]["wer"] == 0.0
    assert fathom.predict(result.folder, [str(folder / "1.wav")])[0]["text"] == "b"


def test_an_adapter_of_a_model_with_a_vocabulary_of_its_own(tmp_path, data):
    """A pretrained folder keeps its vocabulary, or gets a new one; the adapter brings the head for it."""
    base = fathom.train(media_recipe(tmp_path / "base", MODEL, "speech-recognition", data, "training.max_steps=1"))
    chinese = spoken_folder(tmp_path / "chinese", 8)
    for file in chinese.glob("*.txt"):
        file.write_text("".join("零一二三四五六七八九"[int(digit)] for digit in file.read_text().strip()), "utf-8")
    model = f"'{base.folder / 'model'}'"
    recipe = media_recipe(tmp_path / "same", model, "speech-recognition", data, "training.max_steps=2")
    task, _ = make_media_task(recipe.task, recipe.model, load_examples(str(data), "speech")[0])
    assert task.config_overrides["pad_token_id"] == 0 and "vocab_size" not in task.config_overrides
    with pytest.raises(ModelError, match=r"hold characters the model cannot write: 一 "):
        fathom.train(media_recipe(tmp_path / "other", model, "speech-recognition", chinese))
    task = "{kind: speech-recognition, vocabulary: new}"
    edits = ["training.max_steps=2", "tuning={kind: lora, rank: 2}", "training.verify_reload=true"]
    result = fathom.train(media_recipe(tmp_path / "new", model, task, chinese, *edits))
    assert result.metrics["main_metric"] == "cer" and result.metrics["reload_difference"] < 1e-4
    assert (result.folder / "model" / "adapter_config.json").is_file()
    row = fathom.predict(result.folder, [str(chinese / "00.wav")])[0]
    assert set(row["text"]) <= set("零一二三四五六七八九 ")


def test_what_cannot_be_learnt_is_named_before_anything_is_decoded(tmp_path, data):
    (data / "03.txt").write_text("12345" * 20)
    (data / "05.txt").write_text("?!")
    recipe = media_recipe(tmp_path, MODEL, "speech-recognition", data)
    with pytest.raises(DataError, match="2 examples cannot be learnt from") as caught:
        fathom.train(recipe)
    assert "03.wav: the transcript of 100 characters needs 100 frames" in str(caught.value)
    assert "05.wav: nothing is left of the transcript" in str(caught.value)
    report = check(str(tmp_path / "job.yaml"))
    assert report.exit_code == 2
    (found,) = [finding for finding in report.findings if finding.kind == "unfit-transcript"]
    assert found.count == 2 and any("03.wav" in line for line in found.examples)
    assert check(str(data)).exit_code == 2, "without a recipe, by the frames of a new model"
    skipping = media_recipe(tmp_path, MODEL, "speech-recognition", data, "data.on_error=skip", "training.max_steps=1")
    result = fathom.train(skipping)
    rows = [json.loads(line) for line in (result.folder / "skipped.jsonl").read_text().splitlines()]
    assert sorted(row["where"][-6:-4] for row in rows) == ["03", "05"]
    with pytest.raises(DataError, match="cannot be learnt from"):
        fathom.evaluate(str(result.folder), str(data), ["on_error=refuse"])
    assert fathom.evaluate(str(result.folder), str(data))["num_examples"] == 14, "read as it was trained: skipping"


def test_long_sounds_are_refused_to_learn_from_and_read_in_windows(tmp_path, data):
    samples = np.concatenate([read_sound(str(path), "", RATE) for path in sorted(data.glob("*.wav"))])
    (data / "long.wav").write_bytes(write_wav(samples, RATE))
    (data / "long.txt").write_text("1")
    task = "{kind: speech-recognition, max_seconds: 2}"
    with pytest.raises(DataError, match=r"long\.wav: the sound lasts [\d.]+ s, longer than 2 s"):
        fathom.train(media_recipe(tmp_path, MODEL, task, data))
    (data / "long.txt").unlink()
    (data / "long.wav").rename(tmp_path / "long.wav")
    result = fathom.train(media_recipe(tmp_path, MODEL, task, data, "training.max_steps=1"))
    predictor = Predictor.load(result.folder)
    _say_something(predictor.model)
    features = predictor.task.encode_inputs([{"sound": str(tmp_path / "long.wav"), "where": "long"}])
    assert len(features) > 2 and all(len(item["input_values"]) <= 2 * RATE for item in features)
    row = predictor.predict_one(str(tmp_path / "long.wav"))
    assert row["text"] and row["words"][-1]["end"] <= len(samples) / RATE


def test_augmentation_leaves_room_for_the_transcript(tmp_path, data):
    """A sound that would become shorter than its transcript needs stays as it is, so that no loss is infinite."""
    part = SpeechRecognition.model_validate({"augmentation": {"kind": "standard", "speed": 0.9, "shift": 0.0}})
    examples, _ = load_examples(str(data), "speech")
    seconds = examples[0]["seconds"]
    examples[0] = {**examples[0], "transcript": "12" * (int(seconds * 50 - 2) // 2)}
    new = NewModel(architecture="wav2vec2", depth=1, width=32, heads=2)
    task, _ = make_media_task(part, new, examples)
    features = task.encode(examples)
    model = AutoModelForCTC.from_config(new.read_config(None, task.config_overrides)).eval()
    for step in range(4):
        batch = task.make_batch(features, Draw(7, step, np.arange(len(examples))))
        assert batch["frames"].tolist() != [item["length"] for item in features], "the others did change"
        with torch.no_grad():
            output = model(batch["input_values"], attention_mask=batch["attention_mask"])
        assert bool(torch.isfinite(task.loss(task.logits(output, batch), batch).total))


def test_check_preview_and_init(tmp_path, data):
    (data / "00.wav").write_bytes(b"RIFFnothing")
    (data / "01.txt").write_text("12é")
    report = check(str(data))
    assert report.exit_code == 2
    assert any("00.wav" in finding.examples[0] for finding in report.findings if finding.kind == "unusable-file")
    (data / "00.wav").unlink()
    (data / "00.txt").unlink()
    other = spoken_folder(tmp_path / "test", 3, first=100)
    (other / "00.txt").write_text("ж1")
    media_recipe(tmp_path, MODEL, "speech-recognition", data)
    report = check(str(tmp_path / "job.yaml"), [f"data.test={other}"])
    (found,) = [finding for finding in report.findings if finding.kind == "unknown-character"]
    assert found.message.startswith("1 transcripts of test") and found.examples[0].endswith("ж")
    recipe = load_recipe(init(str(data), tmp_path / "made.yaml"))
    assert (recipe.task.kind, recipe.model.architecture) == ("speech-recognition", "wav2vec2")
    (tmp_path / "t.csv").write_text("file,text\n" + "".join(f"data/{n:02}.wav,one {n}\n" for n in range(1, 9)))
    recipe = load_recipe(init(str(tmp_path / "t.csv"), tmp_path / "table.yaml"))
    assert recipe.task.kind == "speech-recognition"
    shown = preview(str(tmp_path / "job.yaml"), output=str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert "positions" in shown.to_text() and "12é" in shown.to_text()


def test_models_that_do_not_hear_by_ctc_are_refused_in_words(tmp_path, data):
    Speech2TextConfig(d_model=16, encoder_layers=1, decoder_layers=1).save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="a speech_to_text model writes with a decoder that"):
        fathom.train(media_recipe(tmp_path, f"'{tmp_path / 'other'}'", "speech-recognition", data))
    with pytest.raises(ConfigError, match="language is for models that write with a decoder"):
        fathom.train(media_recipe(tmp_path, MODEL, "{kind: speech-recognition, language: english}", data))
    with pytest.raises(ConfigError, match="of the kind 'encoder-decoder', and wav2vec2 is of the kind 'ctc'"):
        fathom.train(media_recipe(tmp_path, MODEL, "{kind: speech-recognition, architecture: encoder-decoder}", data))
    ast = "{kind: new, architecture: ast, depth: 1, width: 32, heads: 2, positions: 32}"
    with pytest.raises(ModelError, match="reads no waveforms"):
        fathom.train(media_recipe(tmp_path, ast, "speech-recognition", data))
    report = check(str(tmp_path / "job.yaml"))
    assert any(finding.kind == "transcripts" and finding.severity == "note" for finding in report.findings)


def test_a_folder_and_a_table_are_transcribed(tmp_path, data, capsys):
    result = fathom.train(media_recipe(tmp_path, MODEL, "speech-recognition", data, "training.max_steps=1"))
    for file in data.glob("*.txt"):
        file.unlink()
    rows = fathom.predict(result.folder, str(data), output=tmp_path / "said.jsonl")
    assert len(rows) == 16 and {"sound", "text", "score", "words"} <= rows[0].keys()
    assert len((tmp_path / "said.jsonl").read_text().splitlines()) == 16
    (tmp_path / "t.csv").write_text("audio\ndata/00.wav\ndata/01.wav\n")
    assert len(fathom.predict(result.folder, str(tmp_path / "t.csv"))) == 2
    assert read_json(result.folder / "model" / "fathom.json")["task"]["options"]["letters"] == "lower"


def test_a_pretrained_body_that_never_wrote_gets_a_vocabulary(tmp_path, data):
    """A HuBERT as it is published: group norm, no mask, no tokenizer, a body without a head."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    more = {"conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 2, "num_conv_pos_embeddings": 16}
    HubertModel(HubertConfig(**sizes, **more)).save_pretrained(tmp_path / "hubert")
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(tmp_path / "hubert")
    model = f"'{tmp_path / 'hubert'}'"
    result = fathom.train(media_recipe(tmp_path, model, "speech-recognition", data, "training.max_steps=2"))
    config = read_json(result.folder / "model" / "config.json")
    assert config["vocab_size"] == len(AutoProcessor.from_pretrained(result.folder / "model").tokenizer)
    assert result.metrics["steps"] == 2 and np.isfinite(result.metrics["validation"]["loss"])
    assert "text" in fathom.predict(result.folder, [str(data / "00.wav")])[0]


def test_what_goes_through_a_model_at_once_is_bounded(tmp_path, data, monkeypatch):
    """However many sounds are asked for at once, a pass holds few frames, and files are not read far ahead."""
    result = fathom.train(media_recipe(tmp_path, MODEL, "speech-recognition", data, "training.max_steps=1"))
    predictor = Predictor.load(result.folder)
    paths = [str(path) for path in sorted(data.glob("*.wav"))]
    whole = list(predictor.predict(paths))
    shapes, read = [], []
    logits, encode = predictor.logits, predictor.task.encode_inputs
    monkeypatch.setattr(predictor, "logits", lambda batch: shapes.append(batch["frames"].tolist()) or logits(batch))
    monkeypatch.setattr(predictor.task, "encode_inputs", lambda given: read.append(len(given)) or encode(given))
    monkeypatch.setattr("fathom.serving.predictor.MOST_FRAMES", 50)
    again = list(predictor.predict(paths, batch_size=6))
    assert read == [6, 6, 4]
    assert all(len(frames) == 1 or max(frames) * len(frames) <= 50 for frames in shapes) and len(shapes) > 3
    assert [row["text"] for row in again] == [row["text"] for row in whole]
    assert np.allclose([row["score"] for row in again], [row["score"] for row in whole], atol=1e-5)


def test_a_split_that_cannot_be_learnt_at_all_is_refused_in_words(tmp_path, data):
    for file in data.glob("*.txt"):
        file.write_text("?!")
    recipe = media_recipe(tmp_path, MODEL, "{kind: speech-recognition, left_out: '?!'}", data, "data.on_error=skip")
    with pytest.raises(DataError, match="no training example has a transcript"):
        fathom.train(recipe)
    for file in data.glob("*.txt"):
        file.write_text("12345" * 30)
    with pytest.raises(DataError, match="no training example can be learnt from: the transcript of 150"):
        fathom.train(recipe)


def test_a_speech_model_is_inspected_with_its_own_head():
    shown = fathom.inspect("speech-recognition").to_text()
    assert "CTC" in shown.splitlines()[0]
    head = next(line for line in shown.splitlines() if line.startswith("head"))
    assert head.split()[1] == f"{32 * 32 + 32:,}"
