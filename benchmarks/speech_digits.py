"""Digit strings of unseen speakers: clips of the Free Spoken Digit Dataset, joined, a speaker held out in turn.

A new wav2vec2 learns by CTC from the strings of three speakers and writes those of the fourth, whom it never heard. A
string is of one speaker, three to five takes with a short pause between them. Beside it stands the floor: the one digit
that, written as often as a string has digits, is right most often. Strings are written to the work folder.

`python -m benchmarks.speech_digits`; `--speakers theo`, `--strings`, `--epochs`, `--threads`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    fathom_command,
    load_average,
    read_result,
    revision,
    run_process,
    versions,
    write_result,
)
from benchmarks.settings import THREADS
from benchmarks.sources import DATA
from fathom.data.readers.built_in import write_wav
from fathom.data.sounds import read_sound

NAME = "speech-digits"
SPEAKERS = ("george", "jackson", "nicolas", "theo")
RATE = 8_000
"""Of the clips."""
TEST_STRINGS = 200
PAUSE = (0.02, 0.12)
"""Seconds of silence between two digits."""

Samples = np.ndarray[Any, np.dtype[np.float32]]
Clips = dict[str, list[tuple[str, Samples]]]
"""(digit, samples) of each speaker."""


def read_clips(folder: Path) -> Clips:
    """Return the clips of every speaker; a file is called DIGIT_SPEAKER_TAKE.wav."""
    clips: Clips = defaultdict(list)
    for file in sorted((folder / "recordings").glob("*.wav")):
        digit, speaker, _ = file.stem.split("_")
        clips[speaker].append((digit, read_sound(str(file), str(file), RATE)))
    return dict(clips)


def join_clips(clips: Clips, speakers: Sequence[str], count: int, seed: int) -> list[tuple[str, str, Samples]]:
    """Return (speaker, digits set apart by spaces, samples) of strings: a pure function of the seed."""
    chance = np.random.default_rng(seed)
    strings = []
    for number in range(count):
        own = clips[speakers[number % len(speakers)]]
        chosen = [own[place] for place in chance.integers(0, len(own), int(chance.integers(3, 6)))]
        pauses = [np.zeros(int(chance.uniform(*PAUSE) * RATE), dtype=np.float32) for _ in chosen]
        parts = [part for (_, samples), pause in zip(chosen, pauses, strict=True) for part in (samples, pause)]
        said = " ".join(digit for digit, _ in chosen)
        strings.append((speakers[number % len(speakers)], said, np.concatenate(parts)))
    return strings


def write_table(folder: Path, name: str, strings: Sequence[tuple[str, str, Samples]]) -> Path:
    """Write strings as sounds and a table of them."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["audio", "text"])  # no speakers: the validation split is of known ones
        for number, (_, said, samples) in enumerate(strings):
            inside = f"{name}/{number:05}.wav"
            (folder / inside).write_bytes(write_wav(samples.astype(np.float64), RATE))
            writer.writerow([inside, said])
    return path


def floor(strings: Sequence[tuple[str, str, Samples]]) -> float:
    """Return the error rate of writing one digit for every digit that was said, the best such digit."""
    counts = Counter(digit for _, said, _ in strings for digit in said.split())
    return 1.0 - max(counts.values()) / counts.total()


def train(held_out: str, clips: Clips, arguments: argparse.Namespace) -> Figures:
    """Train on the other speakers by the `fathom` command; returns the scores, and the floor of the test strings."""
    folder = arguments.work / NAME / held_out
    known = [speaker for speaker in SPEAKERS if speaker != held_out]
    test = join_clips(clips, [held_out], TEST_STRINGS, seed=1)
    paths = {
        "train": write_table(folder, "train", join_clips(clips, known, arguments.strings, seed=0)),
        "test": write_table(folder, "test", test),
    }
    recipe = {
        "model": {"kind": "new", "architecture": "wav2vec2", **arguments.model},
        "data": {split: str(path) for split, path in paths.items()},
        "task": {"kind": "speech-recognition", "augmentation": {"kind": "standard", "masks": 0}},
        "training": {
            "epochs": arguments.epochs,
            "batch_size": 16,
            "learning_rate": arguments.learning_rate,
            "warmup_ratio": 0.1,
            "precision": "fp32",
            "threads": arguments.threads,
            "verify_reload": False,
        },
        "output": str(folder / "run"),
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    run_process([*fathom_command(), "train", str(path)], environment(arguments.threads))
    metrics: Figures = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))
    return {**{key: metrics[key] for key in ("validation", "test", "steps", "parameters")}, "floor_wer": floor(test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speakers", nargs="+", choices=SPEAKERS, default=SPEAKERS)
    parser.add_argument("--strings", type=int, default=1200)
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--model", type=json.loads, default={"depth": 2, "width": 64, "heads": 2, "dropout": 0.1})
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    clips = read_clips(DATA / "fsdd")
    speakers = dict(read_result(NAME).get("speakers", {}))
    for held_out in arguments.speakers:
        speakers[held_out] = train(held_out, clips, arguments)
        print(held_out, speakers[held_out]["test"]["wer"], "floor", speakers[held_out]["floor_wer"], flush=True)
        result = {
            "claim": "digit strings of speakers never heard, by a new wav2vec2 and CTC, beside the best single digit",
            "settings": {key: value for key, value in vars(arguments).items() if key not in ("work", "speakers")},
            "speakers": speakers,
            "load_average": load_average(),
            "revision": revision(),
            "versions": versions(),
        }
        print(write_result(NAME, result))


if __name__ == "__main__":
    main()
