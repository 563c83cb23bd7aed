"""Checkpoints: all that exact resume needs, in safetensors and JSON, verified before a value of it is used.

`runs/<name>/checkpoints/step-<n>/` holds one safetensors file for each first part of the tensor names (`model`,
`optimizer`, `rng`), `values.json` and `manifest.json`. A checkpoint is there in full or not at all; a damaged one is
set aside as `*.damaged` and the one before is taken.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import random
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fathom import files
from fathom.errors import ArtifactError, ConfigError, FathomError, TrainingError
from fathom.log import get_console

SCHEMA = 1
FOLDER = "checkpoints"
LATEST = "LATEST"
VALUES = "values.json"

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_MUST_BE_FINITE = {"model", "optimizer"}
_DECIDES_RESULT = {"recipe", "recipe_digest", "seed", "data_digests", "base_model", "above", "tokenizer"}
_NUMBER = "not finite"
_CHUNK_BYTES = 1 << 22


@dataclass
class TrainingState:
    """One moment of a training run.

    Attributes:
        step: Optimizer steps done.
        tensors: Flat names to tensors: `model/<parameter>`, `optimizer/<parameter>/exp_avg`, `rng/torch` ...
        values: JSON with string keys: sampler position, best score, tracker positions, guard, `rng`, machine facts ...
    """

    step: int
    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(run_folder: str | Path, state: TrainingState) -> Path:
    """Write `checkpoints/step-<n>` and move LATEST; returns the checkpoint's folder.

    Raises:
        TrainingError: A weight or moment is NaN or infinite; nothing is written.
        FathomError: The disk is full or failing; earlier checkpoints are intact.
    """
    _require_finite(state.tensors)
    tensors, aliases = _without_aliases(state.tensors)
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        groups.setdefault(name.partition("/")[0], {})[name] = tensor
    folder = Path(run_folder) / FOLDER / f"step-{state.step}"
    size = sum(tensor.nbytes for tensor in tensors.values())
    known: dict[str, files.FileRecord] = {}
    with files.publish(folder, replace=True, expected_bytes=size, known=known) as temporary:
        for group, members in groups.items():
            known[f"{group}.safetensors"] = _write_tensors(temporary / f"{group}.safetensors", members)
        document = {"schema": SCHEMA, "step": state.step, "aliases": aliases, "values": _encode(state.values)}
        files.write_json(temporary / VALUES, document)
    files.write_atomic(folder.parent / LATEST, folder.name + "\n")
    return folder


def load_checkpoint(folder: str | Path) -> TrainingState:
    """Verify and read one checkpoint folder.

    Raises:
        ArtifactError: It is damaged; names the file and what is wrong.
        FathomError: A later version of Fathom wrote it.
    """
    root = Path(folder)
    manifest = files.verify(root)
    names = sorted(manifest["files"])
    if VALUES not in names:
        raise ArtifactError("damaged: no values in the checkpoint", where=str(root), mend=files.COPY_AGAIN)
    document = files.read_json(root / VALUES)
    if document["schema"] != SCHEMA:
        raise FathomError(
            f"written in schema {document['schema']}, this version reads {SCHEMA}",
            where=str(root),
            mend="use the version of Fathom that wrote it, or another output folder",
        )
    if _step_of(root) not in {None, document["step"]}:
        message = f"damaged: this is the checkpoint of step {document['step']}"
        raise ArtifactError(message, where=str(root), mend=files.COPY_AGAIN)
    tensors: dict[str, Tensor] = {}
    for name in names:
        if name.endswith(".safetensors"):
            try:
                tensors.update(load_file(root / name))
            except SafetensorError as error:
                raise ArtifactError(f"damaged: {error}", where=str(root / name), mend=files.COPY_AGAIN) from None
    for alias, name in document["aliases"].items():
        tensors[alias] = tensors[name]
    return TrainingState(document["step"], tensors, _decode(document["values"]))


def load_latest(run_folder: str | Path) -> TrainingState | None:
    """Return the newest checkpoint that verifies, or None where there is none.

    Damaged ones on the way are renamed `step-<n>.damaged`, never removed, and reported as warnings.
    """
    parent = Path(run_folder) / FOLDER
    files.remove_temporaries(parent)
    steps = checkpoint_steps(run_folder)
    for step in reversed(steps):
        folder = parent / f"step-{step}"
        try:
            return load_checkpoint(folder)
        except ArtifactError as error:
            aside = _set_aside(folder)
            get_console().warn(
                f"{error.problem}\n  this checkpoint is set aside as {aside.name}; the one before is tried"
            )
    if steps:
        get_console().warn(f"no checkpoint in {parent} is whole: the run starts from the beginning")
    return None


def checkpoint_steps(run_folder: str | Path) -> list[int]:
    """Return the steps of the checkpoints that are there, ascending; they are not verified."""
    parent = Path(run_folder) / FOLDER
    if not parent.is_dir():
        return []
    return sorted(step for step in map(_step_of, parent.iterdir()) if step is not None)


def prune(run_folder: str | Path, keep: int, best_step: int | None = None) -> list[int]:
    """Remove all but the newest `keep` checkpoints, the best one and the newest that verifies.

    Returns:
        The steps removed.
    """
    steps = checkpoint_steps(run_folder)
    parent = Path(run_folder) / FOLDER
    spare = [step for step in steps[: -keep or None] if step != best_step]
    if not spare:
        return []
    good = next((step for step in reversed(steps) if _verifies(parent / f"step-{step}")), None)
    removed = [step for step in spare if step != good and good is not None]
    for step in removed:
        files.remove_folder(parent / f"step-{step}")
    return removed


def capture_rng() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the random state of torch (processor and every GPU), numpy and Python.

    Returns:
        Tensors named `rng/...`, and values under the one key `rng`; both go into a `TrainingState`.
    """
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = numpy.random.get_state(legacy=True)
    tensors = {
        "rng/torch": torch.get_rng_state(),
        "rng/python": torch.tensor(words, dtype=torch.int64),
        "rng/numpy": torch.from_numpy(numpy.asarray(keys).astype(numpy.int64)),
    }
    if torch.cuda.is_available():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"rng/cuda-{index}"] = state
    values = {"python": [version, gauss], "numpy": [int(position), int(has_gauss), float(cached)]}
    return tensors, {"rng": values}


def restore_rng(state: TrainingState) -> None:
    """Put the random state of a checkpoint back into torch, numpy and Python."""
    tensors, values = state.tensors, state.values["rng"]
    version, gauss = values["python"]
    random.setstate((version, tuple(tensors["rng/python"].tolist()), gauss))
    position, has_gauss, cached = values["numpy"]
    keys = tensors["rng/numpy"].numpy().astype(numpy.uint32)
    numpy.random.set_state(("MT19937", keys, position, has_gauss, cached))
    torch.set_rng_state(tensors["rng/torch"].clone())
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"rng/cuda-{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"rng/cuda-{index}"].clone(), index)


@contextmanager
def kept_rng() -> Iterator[None]:
    """Leave the random state as it was, whatever is drawn in between.

    Libraries draw when they are first imported (rouge-score does), and that is at another step of a resumed run.
    """
    tensors, values = capture_rng()
    try:
        yield
    finally:
        restore_rng(TrainingState(0, tensors, values))


def machine_facts() -> dict[str, Any]:
    """Return what the bits of a result depend on besides the recipe; saved in a checkpoint, compared on resume."""
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def check_resumable(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Compare what a checkpoint was made with to what this run has.

    Args:
        saved: Values of the checkpoint.
        current: The same keys of this run: `machine_facts()`, and `recipe` (only what decides the result),
            `recipe_digest`, `seed`, `data_digests`, `base_model`, `above` or `tokenizer`. A key that `saved` lacks is
            not compared.

    Returns:
        What changed and does not forbid going on, a line each (the result may differ in its last bits).

    Raises:
        ConfigError: Something that decides the result differs; every difference is named.
    """
    refused: list[str] = []
    noted: list[str] = []
    for key, value in current.items():
        if key in saved and saved[key] != value:
            lines = [
                f"{name}: {before!r} before, {now!r} now" for name, before, now in differences(key, saved[key], value)
            ]
            (refused if key in _DECIDES_RESULT else noted).extend(lines)
    if refused:
        raise ConfigError(
            "the checkpoints are of another run\n  " + "\n  ".join(refused), mend=_how_to_go_on(saved, current)
        )
    return noted


def _how_to_go_on(saved: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    anew = "choose another output folder to begin anew"
    if "base_model" in saved and saved["base_model"] != current.get("base_model", saved["base_model"]):
        return f"the base model's weights are not those the run began with: put them back to go on, or {anew}"
    if "above" in saved and saved["above"] != current.get("above", saved["above"]):
        return f"the adapters below are not those the run began with: put their folder back to go on, or {anew}"
    if "tokenizer" in saved and saved["tokenizer"] != current.get("tokenizer", saved["tokenizer"]):
        return f"the tokenizer is not the one the run began with: put its files back to go on, or {anew}"
    before, now = (facts.get("recipe", {}).get("training", {}).get("precision") for facts in (saved, current))
    if before != now:
        return f"the run began in {before}: write training.precision={before} to go on, or {anew}"
    return f"restore the recipe to go on, or {anew}"


def differences(name: str, before: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """Return what differs between two nested mappings, as (dotted key, before, now)."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = sorted({*before, *now})
        parts = [(f"{name}.{key}", before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)]
        return [line for part in parts for line in differences(*part)]
    return [(name.removeprefix("recipe.").removeprefix("."), before, now)]


def _step_of(folder: Path) -> int | None:
    found = re.fullmatch(r"step-(\d+)", folder.name)
    return int(found[1]) if found else None


def _verifies(folder: Path) -> bool:
    try:
        files.verify(folder)
    except ArtifactError:
        return False
    return True


def _set_aside(folder: Path) -> Path:
    number = 1
    aside = folder.with_name(f"{folder.name}.damaged")
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{folder.name}.damaged-{number}")
    return folder.rename(aside)


def _require_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.partition("/")[0] not in _MUST_BE_FINITE or not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        # One pass without a mask in memory; NaN comes through both ends.
        low, high = tensor.aminmax()
        if not (math.isfinite(low.item()) and math.isfinite(high.item())):
            mend = "go on from the checkpoint before with a lower learning rate, or training.precision=fp32"
            raise TrainingError(f"'{name}' is not finite: no checkpoint is written of it", mend=mend)


def _without_aliases(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Split off names that share memory with an earlier one (tied weights), so that each is written once."""
    seen: dict[tuple[Any, ...], str] = {}
    aliases = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride())
        first = seen.setdefault(key, name) if tensor.numel() else name
        if first != name:
            aliases[name] = first
    return {name: tensor for name, tensor in tensors.items() if name not in aliases}, aliases


def _encode(value: Any) -> Any:
    """Spell out numbers that JSON lacks: a score may be NaN, and must come back as it was."""
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    if isinstance(value, Mapping):
        return {str(name): _encode(item) for name, item in value.items()}
    return [_encode(item) for item in value] if isinstance(value, list | tuple) else value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return (
            float(value[_NUMBER]) if set(value) == {_NUMBER} else {name: _decode(item) for name, item in value.items()}
        )
    return [_decode(item) for item in value] if isinstance(value, list) else value


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> files.FileRecord:
    """Write the safetensors format straight from memory, hashing each chunk while it is written."""
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {}
    offset = 0
    for name in order:
        tensor = tensors[name]
        end = offset + tensor.nbytes
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    hasher = hashlib.sha256()
    with open(path, "wb", buffering=0) as stream, ThreadPoolExecutor(1) as pool:
        prefix = len(text).to_bytes(8, "little") + text
        hasher.update(prefix)
        _write_all(stream, memoryview(prefix))
        for name in order:
            flat = tensors[name].detach().to("cpu").contiguous().reshape(-1)
            data = flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")
            for begin in range(0, len(data), _CHUNK_BYTES):
                chunk = data[begin : begin + _CHUNK_BYTES]
                hashed = pool.submit(hasher.update, chunk)
                _write_all(stream, chunk)
                hashed.result()
    return files.FileRecord(sha256=hasher.hexdigest(), bytes=len(prefix) + offset)


def _write_all(stream: Any, data: memoryview) -> None:
    while data:
        data = data[stream.write(data) :]
