"""Whether the files of a model folder are what was saved, before anything is loaded of them.

A folder that Fathom wrote has a digest of every file, and all of them are compared. Of any other folder only the
headers of its weights are read: a cut file shows, a flipped bit cannot.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from fathom import files
from fathom.errors import ArtifactError, ModelError

INFO = "fathom.json"
"""The file that makes a model folder Fathom's."""
WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"


def check_weights(folder: Path, compared: Collection[str] = ()) -> None:
    """Check that the safetensors files of a model folder are all there and whole.

    Args:
        folder: A model folder of any origin.
        compared: Files that the caller has compared with their digests; they are not read again.

    Raises:
        ModelError: The folder holds no safetensors weights.
        ArtifactError: A file is missing, truncated or not safetensors; in a folder that Fathom wrote, any file is not
            what was written.
    """
    if (folder / INFO).exists() or files.is_published(folder):
        files.verify(folder, compared)
    from safetensors import SafetensorError, safe_open

    for file in _weight_files(folder):
        if not file.is_file():
            raise ArtifactError("a weights file is missing", where=str(file), mend=files.COPY_AGAIN)
        try:
            with safe_open(str(file), framework="pt") as opened:
                opened.keys()
        except (SafetensorError, OSError) as error:
            raise damaged_weights(file, error) from None


def damaged_weights(place: str | Path, error: Exception) -> ArtifactError:
    """Return the error of weights that cannot be read."""
    return ArtifactError(f"a weights file is damaged ({error})", where=str(place), mend=files.COPY_AGAIN)


def _weight_files(folder: Path) -> list[Path]:
    index = folder / WEIGHTS_INDEX
    if (folder / WEIGHTS_FILE).exists():
        return [folder / WEIGHTS_FILE]
    if not index.exists():
        pickled = (folder / "pytorch_model.bin").exists()
        raise ModelError(
            "the weights are a pickle, which could run code" if pickled else f"the folder has no {WEIGHTS_FILE}",
            where=str(folder),
            mend="save the model again with save_pretrained, which writes safetensors",
        )
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (ValueError, KeyError, AttributeError):
        raise ArtifactError("the weights index is damaged", where=str(index), mend=files.COPY_AGAIN) from None
    return [folder / shard for shard in sorted(set(shards))]
