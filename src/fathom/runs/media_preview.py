"""A contact sheet: examples as they were decoded, and as training will see them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fathom.data.draw import EVALUATION, Draw
from fathom.data.example import Example, Features
from fathom.data.load import load_splits
from fathom.errors import DataError
from fathom.files import write_atomic
from fathom.recipe import Recipe
from fathom.runs.media import open_media_task
from fathom.tasks.base import OpenTask

ROWS = 8
COLUMNS = 6
"""The first column is the example without augmentation, the others are what the first epochs draw."""
GAP = 4
LEAST_SIDE = 96
"""Pixels; smaller pictures are enlarged by whole numbers, so that every pixel can be seen."""

Picture = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class MediaPreview:
    """What was drawn on the sheet.

    Attributes:
        sheet: The picture's file.
        index: Of the first example.
        num_examples: Of the training split.
        examples: Those on the sheet, from top to bottom.
        length: Positions the model's blocks run on, of each.
        notes: What the readers detected.
    """

    sheet: Path
    index: int
    num_examples: int
    examples: tuple[Example, ...]
    lengths: tuple[int, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the preview as JSON."""
        return {
            "sheet": str(self.sheet),
            "index": self.index,
            "num_examples": self.num_examples,
            "examples": [dict(example) for example in self.examples],
            "lengths": list(self.lengths),
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Return the preview as lines for people."""
        lines = [*self.notes, "", f"{len(self.examples)} of {self.num_examples:,} examples, from {self.index} on"]
        for example, length in zip(self.examples, self.lengths, strict=True):
            said = example.get("label", example.get("transcript", ""))
            lines.append(f"  {said:<16}  {length:>5} positions  {example.get('image', example.get('sound'))}")
        lines += ["", f"{self.sheet}: the first column without augmentation, the others as training draws them"]
        return "\n".join(lines)


def preview_media(recipe: Recipe, index: int, output: str | Path | None = None) -> MediaPreview:
    """Draw a contact sheet of training examples.

    Args:
        recipe: Of a task that sees or hears.
        index: First example on the sheet; the others are spread over the split.
        output: The picture; left out, the recipe's name with `-preview.png` in the working folder.

    Raises:
        DataError: A file is wrong, or there is no such example.
    """
    splits = load_splits(recipe.data, recipe.task.form)
    if not 0 <= index < len(splits.train):
        raise DataError(
            f"there is no example {index}", where=recipe.data.train, mend=f"give 0 to {len(splits.train) - 1}"
        )
    task, _ = open_media_task(recipe, splits)
    chosen = [(index + place * max(len(splits.train) // ROWS, 1)) % len(splits.train) for place in range(ROWS)]
    rows = np.array(list(dict.fromkeys(chosen)))
    examples = [splits.train[row] for row in rows]
    features = [task.encode([example], int(row))[0] for row, example in zip(rows, examples, strict=True)]
    path = Path(output) if output is not None else Path(f"{recipe.name or recipe.task.kind}-preview.png")
    columns = [_pictures(task, features, Draw(recipe.training.seed, EVALUATION, rows))]
    columns += [_pictures(task, features, Draw(recipe.training.seed, step, rows)) for step in range(COLUMNS - 1)]
    write_atomic(path, _sheet(columns))
    lengths = tuple(int(item["length"]) for item in features)
    return MediaPreview(path, index, len(splits.train), tuple(examples), lengths, splits.notes)


def _pictures(task: OpenTask, features: Sequence[Features], draw: Draw) -> list[Picture]:
    """Every input of a batch as a picture, uint8 [height, width, 3], scaled by its own range."""
    batch = task.make_batch(features, draw)
    name = next(key for key in ("pixel_values", "input_features", "input_values") if key in batch)
    inputs = batch[name].transpose(1, 2) if name == "input_features" else batch[name]  # Whisper has time last
    return [_picture(np.asarray(values, dtype=np.float32)) for values in inputs]


def _picture(values: np.ndarray[Any, Any]) -> Picture:
    if values.ndim == 1:
        values = _envelope(values)
    elif values.ndim == 2:  # a spectrogram: time to the right, low frequencies below
        values = values.T[::-1]
    low, high = float(values.min()), float(values.max())
    bytes_ = ((values - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8)
    picture = np.ascontiguousarray(bytes_.transpose(1, 2, 0) if values.ndim == 3 else np.stack([bytes_] * 3, axis=-1))
    grow = -(-LEAST_SIDE // max(picture.shape[:2]))
    return picture.repeat(grow, axis=0).repeat(grow, axis=1)


def _envelope(samples_N: np.ndarray[Any, Any], height: int = 64, width: int = 256) -> np.ndarray[Any, Any]:
    """Draw a waveform: between the least and the greatest sample of each column."""
    edges = np.linspace(0, len(samples_N), width + 1).astype(int)
    most = max(float(np.abs(samples_N).max()), 1e-6)
    drawn = np.zeros((height, width), dtype=np.float32)
    for column in range(width):
        part = samples_N[edges[column] : max(edges[column + 1], edges[column] + 1)]
        top, bottom = ((1 - part.max() / most) * height / 2, (1 - part.min() / most) * height / 2)
        drawn[int(min(top, height - 1)) : int(bottom) + 1, column] = 1.0
    return drawn


def _sheet(columns: Sequence[Sequence[Picture]]) -> bytes:
    from PIL import Image

    height = max(picture.shape[0] for column in columns for picture in column) + GAP
    width = max(picture.shape[1] for column in columns for picture in column) + GAP
    sheet = np.full((height * len(columns[0]) + GAP, width * len(columns) + GAP, 3), 255, dtype=np.uint8)
    for across, column in enumerate(columns):
        for down, picture in enumerate(column):
            top, left = GAP + down * height, GAP + across * width
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "PNG")
    return stream.getvalue()
