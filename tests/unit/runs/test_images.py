"""Image classification by recipe: trained, resumed bit for bit, saved, and the same for transformers alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageClassification
from transformers.models.auto.image_processing_auto import AutoImageProcessor

import fathom
from fathom.errors import ConfigError, DataError, ModelError
from fathom.recipe import load_recipe
from fathom.runs.data import check, preview
from fathom.runs.init import init
from media_for_tests import COLOURS, VIT, image_folder, media_recipe, png

TASK = "{kind: image-classification, augmentation: standard}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path):
    return image_folder(tmp_path / "data")


@pytest.fixture
def run(tmp_path, data):
    fathom.train(media_recipe(tmp_path, VIT, TASK, data, "training.max_steps=30"))
    return tmp_path / "run"


def test_trains_evaluates_and_predicts(run, data, tmp_path):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["validation"]["accuracy"] == 1.0
    assert {"ece", "brier"} <= metrics["validation"].keys()
    assert fathom.evaluate(str(run), str(data))["accuracy"] == 1.0
    for name, colour in COLOURS.items():
        (tmp_path / f"new-{name}.png").write_bytes(png(colour, 12345))
        row = fathom.predict(run, str(tmp_path / f"new-{name}.png"))[0]
        assert row["label"] == name
        assert row["image"].endswith(f"new-{name}.png")
    assert [row["label"] for row in fathom.predict(run, [str(data)])] == sorted(sorted(COLOURS) * 8)
    with pytest.raises(DataError, match="cannot be read"):
        fathom.predict(run, "nowhere.png")


def test_transformers_alone_gives_the_same(run, data):
    folder = run / "model"
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    paths = sorted(data.rglob("*.png"))[:7]
    images = [Image.open(path).convert("RGB") for path in paths]
    with torch.no_grad():
        wanted = model(**processor(images=images, return_tensors="pt")).logits.softmax(-1)
    rows = fathom.predict(run, [str(path) for path in paths])
    found = np.array([list(row["probabilities"].values()) for row in rows])
    assert list(rows[0]["probabilities"]) == [model.config.id2label[place] for place in range(3)]
    assert np.abs(found - wanted.numpy()).max() < 1e-5


def test_two_passes_are_one_batch(tmp_path, data):
    for name, edit in (("one", "training.micro_batch_tokens=auto"), ("two", "training.micro_batch_tokens=16")):
        fathom.train(media_recipe(tmp_path / name, VIT, TASK, data, edit, "training.max_steps=2"))
    first, second = (load_file(tmp_path / part / "run/model/model.safetensors") for part in ("one", "two"))
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("tuning", ["head", "bitfit", "{kind: lora, rank: 2}"])
def test_a_trained_model_is_tuned_further(run, data, tmp_path, tuning):
    recipe = media_recipe(tmp_path / "more", str(run / "model"), "image-classification", data, f"tuning={tuning}")
    result = fathom.train(recipe)
    before = result.metrics["before"]["accuracy"]
    assert before == 1.0, "labels of the model before are kept"
    row = fathom.predict(result.folder, str(next(data.rglob("*.png"))))[0]
    assert row["label"] in COLOURS


def test_check_counts_and_names_bad_files(tmp_path, data):
    (data / "red" / "broken.png").write_bytes(b"x")
    report = check(str(data))
    assert report.exit_code == 2
    finding = next(finding for finding in report.findings if finding.kind == "unusable-file")
    assert "broken.png" in finding.examples[0]
    assert report.splits["train"]["num_examples"] == 22
    media_recipe(tmp_path, VIT, TASK, data)
    assert check(str(tmp_path / "job.yaml"), ["data.on_error=skip"]).exit_code == 0


def test_preview_draws_a_sheet(tmp_path, data):
    media_recipe(tmp_path, VIT, TASK, data)
    shown = preview(str(tmp_path / "job.yaml"), output=str(tmp_path / "sheet.png"))
    assert Image.open(tmp_path / "sheet.png").size[0] > 6 * 96
    assert "5 positions" in shown.to_text()
    assert len(shown.to_json()["examples"]) == 8


def test_init_writes_a_recipe_for_folders(tmp_path):
    image_folder(tmp_path / "pictures" / "train")
    image_folder(tmp_path / "pictures" / "val", 2, 50)
    path = init(str(tmp_path / "pictures"), tmp_path / "made.yaml")
    recipe = load_recipe(path)
    assert recipe.task.kind == "image-classification"
    assert recipe.data.validation.endswith("val")
    assert (recipe.model.image_size, recipe.model.patch_size) == (20, 4)


def test_what_cannot_work_is_refused(tmp_path, data):
    with pytest.raises(ConfigError, match="reads no tokens"):
        fathom.train(media_recipe(tmp_path / "a", VIT, "image-classification", data, "data.max_length=64"))
    with pytest.raises(ConfigError, match="virtual tokens"):
        model = "{kind: new, architecture: vit, depth: 1, width: 16, heads: 1, image_size: 16, patch_size: 8}"
        model_run = fathom.train(media_recipe(tmp_path / "b", model, "image-classification", data)).folder
        edits = ["tuning={kind: prompt, num_virtual_tokens: 3}"]
        fathom.train(media_recipe(tmp_path / "c", str(model_run / "model"), "image-classification", data, *edits))
    (model_run / "model" / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"no preprocessor_config.json"):
        fathom.train(media_recipe(tmp_path / "d", str(model_run / "model"), "image-classification", data))
