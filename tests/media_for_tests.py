"""Tiny images and sounds, folders of them, and recipes over them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fathom.data.readers.built_in import melody, write_wav
from fathom.recipe import Recipe, load_recipe

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
VIT = "{kind: new, architecture: vit, depth: 2, width: 32, heads: 2, image_size: 16, patch_size: 8}"
RATE = 16_000


def png(colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (20, 24)) -> bytes:
    """A noisy square of one colour."""
    noise = np.random.default_rng(seed).integers(-30, 30, (size[1], size[0], 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def image_folder(folder: Path, count: int = 8, first: int = 0) -> Path:
    """A folder for each colour."""
    for place, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / name / f"{number}.png").write_bytes(png(colour, first + 100 * place + number))
    return folder


def tone(hertz: float, seed: int, seconds: float = 0.3, rate: int = RATE) -> bytes:
    """A sine in noise."""
    chance = np.random.default_rng(seed)
    time_N = np.arange(int(seconds * rate)) / rate
    return write_wav(
        0.3 * np.sin(2 * np.pi * hertz * time_N + chance.uniform(0, 6)) + 0.02 * chance.standard_normal(len(time_N)),
        rate,
    )


def sound_folder(folder: Path, count: int = 8, first: int = 0) -> Path:
    """A folder for each pitch; lengths differ."""
    for place, (name, hertz) in enumerate({"low": 300.0, "high": 2000.0}.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            data = tone(hertz, first + 100 * place + number, 0.2 + 0.02 * (number % 5))
            (folder / name / f"{number}.wav").write_bytes(data)
    return folder


def media_recipe(folder: Path, model: Any, task: str, data: Path, *edits: str) -> Recipe:
    """A recipe of a few short steps."""
    lines = [
        f"model: {model}",
        f"data: {{train: '{data}', validation_fraction: 0.25}}",
        f"task: {task}",
        "training: {max_steps: 6, batch_size: 6, learning_rate: 0.003, precision: fp32, threads: 1, seed: 7,",
        "  logging_steps: 1, eval_steps: 3, verify_reload: false}",
        f"output: '{folder / 'run'}'",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_recipe(folder / "job.yaml", edits)


def spoken_folder(folder: Path, count: int = 16, first: int = 0) -> Path:
    """Melodies of two and three notes, with their digits in a text beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        chance = np.random.default_rng(first + number)
        digits = "".join(str(digit) for digit in chance.integers(0, 10, 2 + number % 2))
        (folder / f"{number:02}.wav").write_bytes(write_wav(melody(digits, chance), RATE))
        (folder / f"{number:02}.txt").write_text(f"{digits}\n", encoding="utf-8")
    return folder
