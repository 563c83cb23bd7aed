"""What this machine and installation are: for a run's `environment.json`, for `fathom env` and for bug reports."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from typing import Any

from fathom import __version__
from fathom.device import Machine, probe_machine
from fathom.log import format_bytes

DISTRIBUTION = "fathom-lm"
LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "peft",
    "numpy",
    "pydantic",
    "pyarrow",
)
"""Distributions whose version can change a result."""


def environment(machine: Machine | None = None) -> dict[str, Any]:
    """Return the facts that a result depends on besides its recipe: versions, processor, memory, arithmetic, extras.

    Versions are read from installed metadata; neither torch nor transformers is imported on a machine without a GPU.
    """
    machine = machine or probe_machine()
    return {
        "fathom": __version__,
        "python": platform.python_version(),
        "system": machine.system,
        "processor": machine.processor,
        "cores": machine.cores,
        "memory_bytes": machine.memory_bytes,
        "device": machine.device,
        "gpu": machine.gpu,
        "bf16_native": machine.bf16_native,
        "bf16_kernel": machine.bf16_kernel,
        "libraries": {name: _version(name) for name in LIBRARIES},
        "extras": {name: all(map(_version, needed)) for name, needed in _extras().items()},
    }


def environment_text(facts: dict[str, Any]) -> str:
    """Return the facts as lines for people."""
    arithmetic = f"bf16 on {facts['bf16_kernel']}" if facts["bf16_native"] else "fp32 (no bf16 hardware)"
    lines = {
        "fathom": facts["fathom"],
        "python": facts["python"],
        "system": facts["system"],
        "processor": facts["processor"],
        "cores": facts["cores"],
        "memory": format_bytes(facts["memory_bytes"]),
        "device": facts["gpu"] or facts["device"],
        "arithmetic": arithmetic,
        **{name: version or "not installed" for name, version in facts["libraries"].items()},
        "extras": ", ".join(name for name, there in facts["extras"].items() if there) or "none",
        "not installed": ", ".join(name for name, there in facts["extras"].items() if not there) or "none",
    }
    return "\n".join(f"{name:<16}{value}" for name, value in lines.items())


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> dict[str, list[str]]:
    """The distributions each extra asks for, from our own metadata; extras of extras left out."""
    found: dict[str, list[str]] = {}
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return found
    for line in requirements:
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", line)
        name = re.match(r"[\w.-]+", line)
        if extra and name and name.group() != DISTRIBUTION:
            found.setdefault(extra.group(1), []).append(name.group())
    return found
