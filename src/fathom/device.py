"""What this machine is and can do: processor, memory, the precision worth using, seeds, and measured memory."""

from __future__ import annotations

import os
import platform
import random
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from fathom.errors import ConfigError

Precision = Literal["fp32", "bf16"]
Bf16Kernel = Literal["amx", "avx512_bf16", "cuda", "none"]


@dataclass(frozen=True)
class Machine:
    """The facts of one machine that change how a run is carried out.

    Attributes:
        system: Operating system and release.
        processor: Name of the processor as the system gives it.
        cores: Cores this process may use (affinity and container quota counted).
        memory_bytes: Memory this process may use (container limit counted).
        bf16_native: Whether bf16 products run on hardware of their own on `device`.
        bf16_kernel: Which hardware that is.
        device: "cpu" or "cuda".
        gpu: Name of the GPU, if there is one.
    """

    system: str
    processor: str
    cores: int
    memory_bytes: int
    bf16_native: bool
    bf16_kernel: Bf16Kernel
    device: Literal["cpu", "cuda"]
    gpu: str | None


def probe_machine() -> Machine:
    """Read the facts of this machine; starts no process and imports torch only where there may be a GPU."""
    gpu, gpu_has_bf16 = _probe_gpu()
    name, flags = _probe_processor()
    kernel: Bf16Kernel = "none"
    if gpu is not None:
        kernel = "cuda" if gpu_has_bf16 else "none"
    elif {"amx_tile", "amx_bf16"} <= flags:
        kernel = "amx"
    elif "avx512_bf16" in flags:
        kernel = "avx512_bf16"
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=name,
        cores=_usable_cores(),
        memory_bytes=_usable_memory(),
        bf16_native=kernel != "none",
        bf16_kernel=kernel,
        device="cpu" if gpu is None else "cuda",
        gpu=gpu,
    )


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], machine: Machine) -> Precision:
    """Return the arithmetic of the blocks: bf16 only where the hardware has it.

    Raises:
        ConfigError: bf16 is wanted where it would be emulated, which is slower than fp32 and less exact.
    """
    if wanted == "auto":
        return "bf16" if machine.bf16_native else "fp32"
    if wanted == "bf16" and not machine.bf16_native:
        raise ConfigError(
            f"bf16 is emulated on this machine ({machine.gpu or machine.processor}): slower than fp32 and less exact",
            where="training.precision",
            mend="write precision: auto, or fp32",
        )
    return wanted


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (every device)."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def peak_memory_bytes(device: Literal["cpu", "cuda"] = "cpu") -> int:
    """Return the most memory this process has had: resident since it began or since `reset_peak_memory`; or on a GPU.

    Args:
        device: Whose memory. On a GPU it is what torch's allocator gave out, so the driver's own share is not in it.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    status = _status_field("VmHWM")
    if status is not None:
        return status
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def current_memory_bytes() -> int:
    """Return the resident memory of this process."""
    status = _status_field("VmRSS")
    if status is not None:
        return status
    import psutil

    return int(psutil.Process().memory_info().rss)


def available_memory_bytes() -> int | None:
    """Return the memory that is free or can be freed without swapping; None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s*(\d+) kB", text, flags=re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def keep_within(limit_bytes: int | None) -> None:
    """Give back what the C library keeps of freed memory where the process takes more; None is no limit."""
    if limit_bytes is not None and current_memory_bytes() > limit_bytes:
        release_free_memory()


def release_free_memory() -> None:
    """Give back to the system what the C library keeps of freed memory; nothing happens where it is not glibc."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], int] | None:
    import ctypes

    if sys.platform != "linux":
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except AttributeError:  # musl has none
        return None
    return found


def process_age_seconds() -> float:
    """Return the seconds since this process began, its imports included."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError):  # not Linux
        import psutil

        return float(time.time() - psutil.Process().create_time())


def reset_peak_memory(device: Literal["cpu", "cuda"] = "cpu") -> bool:
    """Begin a new measurement of peak memory; False where the system cannot (then the peak is since the start).

    Args:
        device: Whose memory.
    """
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _probe_processor() -> tuple[str, frozenset[str]]:
    name, flags = platform.processor() or platform.machine(), frozenset[str]()
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return name, flags
    first = text.split("\n\n", 1)[0]
    fields = dict(re.findall(r"^([^:\n]+?)\s*:[ \t]*(.*)$", first, flags=re.MULTILINE))
    flags = frozenset(fields.get("flags", "").split())
    return fields.get("model name") or name, flags


def _probe_gpu() -> tuple[str | None, bool]:
    """Name of the first GPU and whether it computes in bf16; torch is imported only if a driver is there."""
    if not any(Path(path).exists() for path in ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")):
        return None, False
    import torch

    if not torch.cuda.is_available():
        return None, False
    return torch.cuda.get_device_name(0), torch.cuda.is_bf16_supported(including_emulation=False)


@lru_cache(maxsize=1)
def hub_reachable() -> bool:
    """Return whether the Hugging Face hub can be asked: without a network its library tries for half a minute.

    Only the name is looked up; behind a proxy, which looks names up itself, the answer is yes.
    """
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        return False
    if getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname, None)
    except OSError:
        return False
    return True


def _usable_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = _read_words("/sys/fs/cgroup/cpu.max")
    if len(quota) == 2 and quota[0].isdigit():
        cores = min(cores, max(1, round(int(quota[0]) / int(quota[1]))))
    return cores


def _usable_memory() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = _read_words(path)
        if len(limit) == 1 and limit[0].isdigit():
            memory = min(memory, int(limit[0]))
    return memory


def _read_words(path: str) -> list[str]:
    try:
        return Path(path).read_text().split()
    except OSError:
        return []


def _status_field(field: str) -> int | None:
    """Bytes of one memory field of /proc/self/status, or None where there is no such file."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{field}:\s*(\d+) kB", text, flags=re.MULTILINE)
    return int(found[1]) * 1024 if found else None
