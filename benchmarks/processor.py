"""What the processor is and can do, read from the system: no library is imported for it."""

from __future__ import annotations

from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
"""Those that decide how fast matrix products are."""


def processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def processor_flags() -> list[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            present = set(line.split())
            return [flag for flag in FLAGS if flag in present]
    return []


def has_bf16() -> bool:
    """Say whether bf16 products run on hardware here; where they are emulated, a tuned peer stays in fp32."""
    return bool({"avx512_bf16", "amx_bf16"} & set(processor_flags()))


def in_fp32(row: str) -> str:
    """Return where a row is recorded that ran without bf16: it measures something else, under a name of its own."""
    return f"{row}-fp32"


def result_name(row: str) -> str:
    """Return where a row is recorded on this machine."""
    return row if has_bf16() else in_fp32(row)
