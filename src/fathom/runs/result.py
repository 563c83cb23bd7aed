"""`metrics.json`, the result of a finished run: it carries a digest of itself, so that a changed digit shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom import files
from fathom.errors import ArtifactError

METRICS = "metrics.json"
DIGEST = "metrics_digest"
"""Its own key: the sha256 of everything else in the file."""


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Write the result of a run into its folder, which makes it a finished one.

    Args:
        folder: The run's.
        metrics: Finite numbers, texts, lists and mappings.

    Returns:
        What was written: `metrics`, and their digest.
    """
    read_back = json.loads(json.dumps(dict(metrics), allow_nan=False))
    written = {**metrics, DIGEST: files.digest(read_back)}
    files.write_json(folder / METRICS, written)
    return written


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return the result of a finished run; one that was written without a digest is taken as it is.

    Raises:
        ArtifactError: There is none, or it is not what was written.
    """
    path = folder / METRICS
    metrics: dict[str, Any] = files.read_json(path)
    said = {name: value for name, value in metrics.items() if name != DIGEST}
    if DIGEST in metrics and metrics[DIGEST] != files.digest(said):
        raise ArtifactError(
            "damaged: its content is not what was written (sha256 differs)",
            where=str(path),
            mend="remove it: 'fathom train' with the run's recipe scores the trained model again, from its checkpoint",
        )
    return metrics
