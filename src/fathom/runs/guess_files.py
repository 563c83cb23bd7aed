"""Guess what a folder or a table of files is for, and a model that fits it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fathom.data.example import Example
from fathom.data.images import SUFFIXES as IMAGE_SUFFIXES
from fathom.data.readers.base import Form
from fathom.data.readers.built_in import built_in
from fathom.data.sounds import SUFFIXES as SOUND_SUFFIXES
from fathom.data.sounds import check_sound
from fathom.errors import DataError
from fathom.runs.guess_table import Source

FORMS: dict[str, Form] = {
    "image-folder": "image",
    "sound-folder": "sound",
    "speech-folder": "speech",
    "digits": "image",
    "tones": "sound",
    "melody": "speech",
}
LEARNT: dict[Form, str] = {"image": "label", "sound": "label", "speech": "transcript"}
"""What is learnt of a file, by what is read of it."""
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Folders of splits by their usual names."""
LARGEST_SIDE = 224
MOST_FRAMES = 1024
SAMPLE_FILES = 200


def split_folders(data: str) -> dict[str, str]:
    """Return the paths of splits where a folder holds one for each; else the path as `train`."""
    root = Path(data)
    found = {}
    if root.is_dir():
        for split, names in SPLITS.items():
            inside = next((root / name for name in names if (root / name).is_dir()), None)
            if inside is not None:
                found[split] = str(inside)
    return found if "train" in found else {"train": data}


def guess_files(source: Source) -> tuple[Form, list[Example], tuple[str, ...]] | None:
    """Return what a folder or a table of files is read as, its examples and notes; None for what holds texts.

    Raises:
        DataError: A folder of images or sounds without classes, or with files that cannot be used.
    """
    path = source.path
    if Path(path).is_dir() or built_in(path) is not None:
        form = FORMS.get(source.format("text"))
        if form is None:
            return None
        examples, notes = source.read(form)
        if not any(LEARNT[form] in example for example in examples):
            raise DataError(
                "the files are in no folders of classes", where=path, mend="put those of each class in one of its name"
            )
        return form, examples, notes
    return _guess_table(source)


def _guess_table(source: Source) -> tuple[Form, list[Example], tuple[str, ...]] | None:
    plain = Path(source.plain)
    if plain.suffix.lower() not in {".csv", ".tsv", ".jsonl", ".json"} or not plain.is_file():
        return None
    with plain.open("rb") as stream:
        head = stream.read(1 << 16).decode("utf-8", "replace").lower()
    suffixes = {form: sum(head.count(end) for end in ends) for form, ends in _ENDS.items()}
    form = max(suffixes, key=lambda name: suffixes[name])
    lines = head.count("\n") or 1
    if suffixes[form] < max(lines // 2, 1):
        return None
    for kind in (form, "speech") if form == "sound" else (form,):
        examples, notes = source.read(kind)
        if any(LEARNT[kind] in example for example in examples):
            return kind, examples, notes
    return None


_ENDS: dict[Form, frozenset[str]] = {"image": IMAGE_SUFFIXES, "sound": SOUND_SUFFIXES}


def model_for(form: Form, examples: list[Example]) -> tuple[Any, str]:
    """Return a new model that fits the files, and a remark on it."""
    if form == "image":
        side = _usual_side(examples)
        patch = 16 if side >= 128 else 8 if side >= 48 else 4
        side = max(side // patch, 2) * patch
        model: dict[str, Any] = {
            "kind": "new", "architecture": "vit", "depth": 6, "width": 192, "heads": 6,
            "image_size": side, "patch_size": patch,
        }  # fmt: skip
        remark = (
            f"a new ViT of {side} x {side} pixels stands for a pretrained one, which few images need: where the hub "
            "can be reached take model=google/vit-base-patch16-224-in21k"
        )
        return model, remark
    if form == "speech":
        model = {"kind": "new", "architecture": "wav2vec2", "depth": 4, "width": 192, "heads": 6}
        remark = (
            "a new wav2vec2 stands for a pretrained one, which speech needs unless you have many hours: where the hub "
            "can be reached take model=facebook/wav2vec2-base, or facebook/wav2vec2-xls-r-300m for other languages"
        )
        return model, remark
    model = {"kind": "new", "architecture": "ast", "depth": 4, "width": 192, "heads": 6, "positions": _frames(examples)}
    remark = (
        "a new AST stands for a pretrained one, which few sounds need: where the hub can be reached take "
        "model=MIT/ast-finetuned-audioset-10-10-0.4593"
    )
    return model, remark


def _frames(examples: list[Example]) -> int:
    """Frames of 10 ms that hold the longest of some sounds, at most `MOST_FRAMES`; a multiple of 16."""
    step = max(len(examples) // SAMPLE_FILES, 1)
    longest = max(check_sound(Path(one["sound"]).read_bytes(), one["where"]).seconds for one in examples[::step])
    return min(max(-(-int(longest * 100) // 16) * 16, 32), MOST_FRAMES)


def _usual_side(examples: list[Example]) -> int:
    """The median of the shorter sides of some images, at most `LARGEST_SIDE`."""
    from PIL import Image

    step = max(len(examples) // SAMPLE_FILES, 1)
    sides = []
    for example in examples[::step]:
        with Image.open(example["image"]) as image:
            sides.append(min(image.size))
    return min(sorted(sides)[len(sides) // 2], LARGEST_SIDE)
