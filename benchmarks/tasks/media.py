"""Images and sounds, learnt by small transformers of random weights."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

import numpy as np

from benchmarks.bars import Bar
from benchmarks.peers.job import Job, read_rows, write_rows
from benchmarks.settings import Hyperparameters
from benchmarks.sources import DATA, require
from benchmarks.tasks.row import Prepared, Scores, TaskRow

CLASSES = tuple("0123456789")
BLOCKS = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
LABELS = {
    "num_labels": len(CLASSES),
    "id2label": dict(enumerate(CLASSES)),
    "label2id": {name: number for number, name in enumerate(CLASSES)},
}
TEST_IMAGES = 6
"""Of each class, of 30."""
TEST_TAKES = 5
"""Of each digit and speaker, of 12: the rule of the data set."""
RATE = 16_000

Rows = list[dict[str, str]]


class Media(TaskRow):
    """Files with a label each."""

    module = "benchmarks.peers.hf_media"
    metric = "accuracy"
    unit = "samples"
    over_default = Bar(1.0)
    over_tuned = Bar(1.0)

    @abstractmethod
    def read(self, folder: Path) -> dict[str, Rows]:
        """Return train and test: rows of a path and its label."""

    @abstractmethod
    def make_base(self, base: Path, train: Rows) -> None:
        """Save the first weights and the processor."""

    def prepare(self, folder: Path, env: dict[str, str], quick: bool) -> Prepared:
        """Write tables of files, and the model."""
        splits = self.read(folder)
        if quick:  # some of every class
            splits = {split: rows[:: max(len(rows) // 40, 1)] for split, rows in splits.items()}
        for split, rows in splits.items():
            write_rows(folder / f"{split}.jsonl", rows)
        base = folder / "base"
        self.make_base(base, splits["train"])
        return Prepared(base, len(splits["train"]), len(splits["test"]))

    def recipe(self, job: Job) -> dict[str, Any]:
        """No augmentation, as by default."""
        return {"data": {"train": str(job.data / "train.jsonl"), "validation_fraction": 0}, "task": self.name}

    def judge(self, job: Job, answers: Path) -> Scores:
        """Share of the labels that are right."""
        truth = [row["label"] for row in read_rows(job.data / "test.jsonl")]
        given = [row["label"] for row in read_rows(answers)]
        return {"accuracy": mean(float(one == label) for one, label in zip(given, truth, strict=True))}


class Images(Media):
    """Digits shown by hands, by a ViT."""

    name = "image-classification"
    data = "sign_digits"
    peer = "Trainer, as run_image_classification.py"
    hyperparameters = Hyperparameters(learning_rate=1e-3, epochs=40.0)
    options: ClassVar[dict[str, Any]] = {"key": "image"}

    def read(self, folder: Path) -> dict[str, Rows]:
        """The last images of each class, in the order of their names, are the test."""
        splits: dict[str, Rows] = {"train": [], "test": []}
        for label in CLASSES:
            files = sorted((DATA / "sign_digits" / label).glob("*.JPG"))
            if not files:
                require(f"sign_digits/{label}/*.JPG")
            for number, file in enumerate(files):
                split = "test" if number >= len(files) - TEST_IMAGES else "train"
                splits[split].append({"image": str(file), "label": label})
        return splits

    def make_base(self, base: Path, train: Rows) -> None:
        """Save a ViT that reads 64 by 64 pixels in 64 patches."""
        import torch
        from transformers import ViTConfig, ViTForImageClassification

        from fathom.model.processors import new_image_processor

        torch.manual_seed(7)
        config = ViTConfig(**BLOCKS, **LABELS, image_size=64, patch_size=8)
        ViTForImageClassification(config).save_pretrained(base)
        new_image_processor(config).save_pretrained(base)


class Sounds(Media):
    """Spoken digits of known speakers, by an AST."""

    name = "audio-classification"
    data = "fsdd"
    peer = "Trainer, as run_audio_classification.py"
    hyperparameters = Hyperparameters(learning_rate=1e-3, epochs=20.0)
    options: ClassVar[dict[str, Any]] = {"key": "sound"}

    def read(self, folder: Path) -> dict[str, Rows]:
        """Resample the clips once, for both sides: the peer's script would do so for every batch."""
        import soundfile
        import soxr

        splits: dict[str, Rows] = {"train": [], "test": []}
        (folder / "sounds").mkdir()
        files = sorted((DATA / "fsdd" / "recordings").glob("*.wav"))
        if not files:
            require("fsdd/recordings/*.wav")
        for file in files:
            digit, _, take = file.stem.split("_")
            samples, rate = soundfile.read(file, dtype="float32")
            path = folder / "sounds" / file.name
            soundfile.write(path, soxr.resample(samples, rate, RATE), RATE)
            splits["test" if int(take) < TEST_TAKES else "train"].append({"sound": str(path), "label": digit})
        return splits

    def make_base(self, base: Path, train: Rows) -> None:
        """Save an AST that reads 0.96 s, its extractor fitted to the training sounds."""
        import soundfile
        import torch
        from transformers import ASTConfig, ASTForAudioClassification

        from fathom.model.processors import new_feature_extractor

        torch.manual_seed(7)
        config = ASTConfig(**BLOCKS, **LABELS, max_length=96)
        ASTForAudioClassification(config).save_pretrained(base)
        sounds = (np.asarray(soundfile.read(row["sound"], dtype="float32")[0]) for row in train)
        new_feature_extractor(config, sounds).save_pretrained(base)
