"""One training on images or sounds by `transformers.Trainer`, as its example scripts for their classification do it.

By default files are decoded and processed each time a batch is made, as the scripts' `set_transform` does; no
augmentation, on neither side. Tuned: processed once, before what is timed, and kept in memory; bf16.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers.job import Job, begin, leave, read_rows
from benchmarks.peers.timed import Counted, predict, samples, train
from benchmarks.peers.trainer_arguments import job_arguments


class Files:
    """A split whose files are read when they are asked for."""

    def __init__(self, job: Job, split: str, names: list[str]) -> None:
        import transformers

        self._key = job.options["key"]
        self._rows = read_rows(job.data / f"{split}.jsonl")
        self._numbers = {name: number for number, name in enumerate(names)}
        if self._key == "image":
            self._processor = transformers.AutoImageProcessor.from_pretrained(job.base, backend="pil")
        else:
            self._processor = transformers.AutoFeatureExtractor.from_pretrained(job.base)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        read = self._image if self._key == "image" else self._sound
        return {**read(row[self._key]), "labels": self._numbers[row["label"]]}

    def _image(self, path: str) -> dict[str, Any]:
        from PIL import Image

        with Image.open(path) as image:
            found = self._processor(image.convert("RGB"), return_tensors="pt")
        return {"pixel_values": found["pixel_values"][0]}

    def _sound(self, path: str) -> dict[str, Any]:
        import soundfile

        waveform, rate = soundfile.read(path, dtype="float32")
        found = self._processor(waveform, sampling_rate=rate, return_tensors="pt")
        return {"input_values": found["input_values"][0]}


def main() -> None:
    job = begin()
    import transformers

    names = sorted({row["label"] for row in read_rows(job.data / "train.jsonl")})
    learnt, asked = (Files(job, split, names) for split in ("train", "test"))
    kept = [learnt[index] for index in range(len(learnt))] if job.tuned else learnt
    images, sounds = transformers.AutoModelForImageClassification, transformers.AutoModelForAudioClassification
    auto = images if job.options["key"] == "image" else sounds
    counted = Counted(transformers.default_data_collator, samples)
    trainer = transformers.Trainer(
        model=auto.from_pretrained(job.base),
        args=transformers.TrainingArguments(**job_arguments(job, by_length=False), remove_unused_columns=False),
        train_dataset=kept,
        data_collator=counted,
    )
    figures = train(trainer, counted)
    best = predict(trainer, asked).argmax(-1).tolist()
    leave(job, figures, [{"label": names[number]} for number in best])


if __name__ == "__main__":
    main()
