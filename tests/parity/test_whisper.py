"""Whisper as transformers has it: the loss and the gradient of a batch, and what is written for a sound."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from fathom import catalog
from fathom.data.draw import EVALUATION, Draw
from fathom.data.load import load_examples
from fathom.data.store import from_features
from fathom.model.anatomy import find_anatomy
from fathom.model.section import Pretrained
from fathom.runs.media import make_media_task
from fathom.serving.generate.spoken import Transcriber
from fathom.serving.predictor import Predictor
from fathom.tasks.speech_recognition import SpeechRecognition
from fathom.tasks.speech_whisper import OpenWhisper
from fathom.training.forward import Runner
from fathom.training.step import compute_gradient
from languages_for_tests import make_workload
from media_for_tests import spoken_folder
from whispers_for_tests import make_whisper, save_whisper

SOUNDS = 6
ROWS = np.arange(SOUNDS)


@pytest.fixture(scope="module", params=["english", None], ids=["languages", "bytes"])
def spoken(request, tmp_path_factory):
    """The task, the model, and examples."""
    folder = tmp_path_factory.mktemp("whisper")
    examples, _ = load_examples(str(spoken_folder(folder / "data", SOUNDS)), "speech")
    name = str(save_whisper(folder / "model", languages=request.param is not None))
    part = SpeechRecognition(language=request.param, max_target_length=24)
    task, processor = make_media_task(part, Pretrained(name=name), examples)
    assert isinstance(task, OpenWhisper)
    model = make_whisper(processor.tokenizer)
    model.generation_config.update(allow_custom_entries=True, **task.generation_config)
    return task, model, examples


def batch_of(task: Any, examples: Any) -> Any:
    return task.make_batch(task.encode(examples), Draw(0, EVALUATION, ROWS))


def inputs_of(batch: Any) -> dict[str, Any]:
    return {name: batch[name] for name in ("input_features", "decoder_input_ids")}


def test_the_decoder_reads_the_prompt_and_is_asked_for_text_and_end(spoken):
    task, _, examples = spoken
    batch = batch_of(task, examples)
    whole = [task.writer(example["transcript"])["input_ids"] for example in examples]
    for row, ids in enumerate(whole):  # as the tokenizer itself puts prompt and end around a text
        read, asked = batch["decoder_input_ids"][row].tolist(), batch["labels"][row].tolist()
        assert read[: len(ids) - 1] == ids[:-1]
        before = len(task.prompt) - 1
        assert asked[:before] == [-100] * before
        assert asked[before : len(ids) - 1] == ids[before + 1 :]
        assert set(asked[len(ids) - 1 :]) <= {-100}
    assert task.writer.prefix_tokens == task.prompt and len(task.prompt) in (2, 4)


def test_loss_and_gradients_are_those_of_transformers(spoken):
    task, model, examples = spoken
    store = from_features(task.encode(examples))
    mine = catalog.load("tuning", "full")().apply(deepcopy(model), find_anatomy(model))
    work = make_workload(mine, task, store, packing=True)
    assert work.packed.reason is not None, "sounds run padded"
    work.train_mode()
    result = compute_gradient(work, ROWS, step=0)
    batch = work.make_batch(ROWS, 0)
    output = model(**inputs_of(batch), labels=batch["labels"])
    output.loss.backward()
    assert result.loss == pytest.approx(output.loss.item(), rel=1e-5)
    learning = {name for name, value in model.named_parameters() if value.requires_grad}
    assert set(work.parameters.slots) == learning
    assert not any("encoder.embed_positions" in name for name in learning), "sinusoids are computed"
    for name, value in model.named_parameters():
        if name in learning:
            found = work.parameters.gradient(work.parameters.slots[name])
            torch.testing.assert_close(found, value.grad, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: name + text)
    model.zero_grad()


def test_a_batch_cut_into_passes_has_the_same_gradient(spoken):
    task, model, examples = spoken
    store = from_features(task.encode(examples))
    works = [make_workload(deepcopy(model), task, store) for _ in range(2)]
    works[1].most_tokens = int(store.lengths.max())
    for work in works:
        work.train_mode()
    first, second = (compute_gradient(work, ROWS, 0) for work in works)
    assert first.loss == pytest.approx(second.loss, rel=1e-6)
    for name, slot in works[0].parameters.slots.items():
        other = works[1].parameters.gradient(works[1].parameters.slots[name])
        torch.testing.assert_close(works[0].parameters.gradient(slot), other, atol=1e-5, rtol=1e-4)


def test_each_sound_is_judged_by_its_own_tokens(spoken):
    task, model, examples = spoken
    work = make_workload(deepcopy(model), task, from_features(task.encode(examples)))
    batch = batch_of(task, examples)
    runner = Runner(work.model.eval(), work.packed, task, work.vocabulary)
    judged = runner.judge(batch)
    records = task.records(judged.losses_S, judged.hits_S, batch)
    for row, (loss, tokens, _) in enumerate(records):
        alone = {name: value[row : row + 1] for name, value in batch.items()}
        with torch.no_grad():
            wanted = model(**inputs_of(alone), labels=alone["labels"]).loss
        assert loss / tokens == pytest.approx(wanted.item(), rel=1e-5)
        assert tokens == len(task.tokens(examples[row]["transcript"]))


@pytest.mark.parametrize("beams", [1, 3])
def test_what_is_written_is_what_generate_writes(spoken, beams):
    task, model, examples = spoken
    batch = batch_of(task, examples)
    limit = task.max_length - len(task.prompt)
    transcriber = Transcriber(model, task)
    if beams > 1:
        transcriber.options = transcriber.options.model_copy(update={"num_beams": beams})
    found = transcriber.write(batch["input_features"])
    for row, (tokens, reason) in enumerate(found):
        with torch.no_grad():
            made = model.generate(
                batch["input_features"][row : row + 1], max_new_tokens=limit, num_beams=beams, do_sample=False
            )[0].tolist()
        wanted = made[len(task.prompt) :] if made[: len(task.prompt)] == task.prompt else made
        assert [token for token in tokens if token != task.end] == [token for token in wanted if token != task.end]
        assert (reason == "eos") == (tokens[-1] == task.end)
    assert len({tuple(tokens) for tokens, _ in found}) > 1


def test_a_predictor_gives_the_text_of_generate(spoken):
    task, model, examples = spoken
    rows = list(Predictor(model, task).predict([{"sound": example["sound"]} for example in examples], batch_size=4))
    batch = batch_of(task, examples)
    with torch.no_grad():
        made = model.generate(batch["input_features"], max_new_tokens=task.max_length - len(task.prompt))
    wanted = [text.strip() for text in task.tokenizer.batch_decode(made, skip_special_tokens=True)]
    assert [row["text"] for row in rows] == wanted
