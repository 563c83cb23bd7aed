"""CTC as torch and transformers have it: the loss of a batch, and greedy decoding."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCTC
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from fathom.data.draw import EVALUATION, Draw
from fathom.data.load import load_examples
from fathom.model.new import NewModel
from fathom.model.sound import num_frames
from fathom.runs.media import make_media_task
from fathom.tasks.ctc import ctc_losses, cut_windows, frames_needed, join_windows, likeliest, real_frames
from fathom.tasks.speech_ctc import OpenCtc
from fathom.tasks.speech_recognition import SpeechRecognition
from media_for_tests import spoken_folder

NEW = NewModel(architecture="wav2vec2", depth=1, width=32, heads=2)
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture
def spoken(tmp_path):
    examples, _ = load_examples(str(spoken_folder(tmp_path / "data", 6)), "speech")
    task, processor = make_media_task(SpeechRecognition(), NEW, examples)
    assert isinstance(task, OpenCtc)
    torch.manual_seed(0)
    config = NEW.read_config(None, task.config_overrides)
    model = AutoModelForCTC.from_config(config).eval()
    rows = np.arange(len(examples))
    batch = task.make_batch(task.encode(examples), Draw(0, EVALUATION, rows))
    return task, processor, model, batch, examples


def test_the_loss_is_transformers_own_with_reduction_mean(spoken):
    task, _, model, batch, _ = spoken
    model.config.ctc_loss_reduction = "mean"
    inputs = {name: batch[name] for name in ("input_values", "attention_mask")}
    wanted = model(**inputs, labels=batch["label"])
    found = task.loss(task.logits(wanted, batch), batch).total / task.normalizer(batch)
    assert found.item() == pytest.approx(wanted.loss.item(), abs=1e-6)
    assert wanted.loss.item() > 1


def test_the_gradient_is_transformers_own(spoken):
    task, _, model, batch, _ = spoken
    model.config.ctc_loss_reduction = "mean"
    inputs = {name: batch[name] for name in ("input_values", "attention_mask")}
    model(**inputs, labels=batch["label"]).loss.backward()
    wanted = model.lm_head.weight.grad.clone()
    model.zero_grad()
    (task.loss(task.logits(model(**inputs), batch), batch).total / task.normalizer(batch)).backward()
    torch.testing.assert_close(model.lm_head.weight.grad, wanted, atol=1e-6, rtol=1e-5)


def test_the_loss_is_the_formula_in_float64():
    """The sum over all ways to write a transcript in frames, added up one by one."""
    torch.manual_seed(1)
    logits_BTV = torch.randn(2, 5, 3)
    frames, labels = torch.tensor([5, 4]), torch.tensor([[1, 1], [2, -100]])
    found = ctc_losses(real_frames(logits_BTV, frames), frames, labels, blank=0)
    for row, target in enumerate(([1, 1], [2])):
        probability_TV = logits_BTV[row, : frames[row]].double().softmax(-1)
        total = 0.0
        for path in torch.cartesian_prod(*[torch.arange(3)] * int(frames[row])).tolist():
            if [token for token, _ in groupby(path) if token] == target:
                total += float(torch.stack([probability_TV[t, token] for t, token in enumerate(path)]).prod())
        assert float(found[row]) == pytest.approx(-np.log(total) / len(target), abs=1e-6)
    both = functional.ctc_loss(
        logits_BTV.log_softmax(-1).transpose(0, 1), torch.tensor([1, 1, 2]), frames, torch.tensor([2, 1])
    )
    assert float(found.mean() - both) == pytest.approx(0, abs=1e-6)


def test_greedy_decoding_is_transformers_own_and_the_rule(spoken):
    task, processor, model, batch, examples = spoken
    with torch.no_grad():
        model.lm_head.weight.mul_(40.0)  # so that frames differ
        output = model(**{name: batch[name] for name in ("input_values", "attention_mask")})
    raw = task.raw_predictions(task.logits(output, batch), batch)
    predictions = [task.decode(one, [], [record]) for one, record in zip(examples, raw, strict=True)]
    characters = {number: token for token, number in processor.tokenizer.get_vocab().items()}
    for row, (frames, prediction) in enumerate(zip(batch["frames"], predictions, strict=True)):
        ids = output.logits[row, :frames].argmax(-1)
        assert prediction["text"] == processor.decode(ids)
        kept = [characters[token] for token, _ in groupby(ids.tolist()) if token != task.blank]
        assert prediction["text"] == "".join(kept).replace("|", " ").strip()
        assert " ".join(word["word"] for word in prediction["words"]) == " ".join(prediction["text"].split())
        assert all(0 <= word["start"] < word["end"] <= 0.02 * int(frames) + 1e-6 for word in prediction["words"])
    assert len({prediction["text"] for prediction in predictions}) > 1


@pytest.mark.parametrize("model_type", ["wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "sew"])
def test_frames_are_those_of_the_family(model_type):
    small = {"conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 2, "vocab_size": 8, **SIZES}
    if model_type == "sew":
        small |= {"conv_dim": [16] * 13}
    if model_type == "data2vec-audio":
        small |= {"num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 3}
    config = CONFIG_MAPPING[model_type](**small)
    model = AutoModelForCTC.from_config(config).eval()
    part = SpeechRecognition().suited(config)
    for samples in (800, 5000, 8001):
        with torch.no_grad():
            frames = model(torch.randn(1, samples)).logits.shape[1]
        assert num_frames(config, samples) == frames
    assert part.num_positions(config) == num_frames(config, 320_000)


def test_frames_needed_are_what_torch_needs():
    chance = np.random.default_rng(3)
    for _ in range(50):
        ids = chance.integers(1, 4, int(chance.integers(1, 6))).tolist()
        needed = frames_needed(ids)
        for frames, finite in ((needed, True), (needed - 1, False)):
            if frames < 1:
                continue
            log_T1V = torch.zeros(frames, 1, 4).log_softmax(-1)
            loss = functional.ctc_loss(log_T1V, torch.tensor([ids]), torch.tensor([frames]), torch.tensor([len(ids)]))
            assert bool(torch.isfinite(loss)) is finite


def test_windows_join_to_the_frames_of_the_whole():
    """Frames of a window begin where a frame of the whole begins, so what is kept of each is the whole's, in order."""
    hop, receptive, most, overlap = 10, 15, 205, 6
    frames = lambda samples: (len(samples) - receptive) // hop + 1  # noqa: E731
    for length in (100, 205, 206, 300, 1000, 1003, 2345):
        samples = np.arange(length)
        step = (frames(samples[:most]) - overlap) * hop
        windows = cut_windows(samples, min(most, length), step)
        parts = [window[: frames(window) * hop : hop] for window in windows]
        wanted = samples[: frames(samples) * hop : hop]
        assert np.array_equal(join_windows(parts, overlap), wanted)


def test_probabilities_are_those_of_the_frames():
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    (first, sure), (second, _) = likeliest(logits, torch.tensor([4, 3]))
    assert first.tolist() == logits[:4].argmax(-1).tolist()
    assert second.tolist() == logits[4:].argmax(-1).tolist()
    assert np.allclose(sure, logits[:4].softmax(-1).max(-1).values)
