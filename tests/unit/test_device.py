"""Machine facts, the choice of precision, seeds and measured memory."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import numpy
import pytest
import torch

from fathom import device
from fathom.errors import ConfigError

PLAIN = device.Machine("Linux", "some processor", 2, 8 << 30, False, "none", "cpu", None)


def test_probe_gives_usable_numbers() -> None:
    machine = device.probe_machine()
    assert machine.cores >= 1
    assert machine.memory_bytes > 1 << 28
    assert machine.bf16_native == (machine.bf16_kernel != "none")
    assert (machine.device == "cuda") == (machine.gpu is not None)


def test_the_module_imports_no_torch() -> None:
    code = (
        "import sys, fathom.device, fathom.files, fathom.log; sys.exit('torch' in sys.modules or 'rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_processor_flags_are_read_as_linux_prints_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "processor\t: 0\nmodel name\t: Good CPU @ 2GHz\nflags\t\t: fpu avx2 amx_tile amx_bf16\n\nprocessor\t: 1\n"
    monkeypatch.setattr(device.Path, "read_text", lambda self, **_: text)
    name, flags = device._probe_processor()
    assert name == "Good CPU @ 2GHz"
    assert {"amx_tile", "amx_bf16"} <= flags


@pytest.mark.parametrize(
    ("flags", "kernel"),
    [("amx_tile amx_bf16 avx512_bf16", "amx"), ("avx512_bf16", "avx512_bf16"), ("avx2 avx512f", "none"), ("", "none")],
)
def test_bf16_is_native_only_where_the_processor_says_so(
    monkeypatch: pytest.MonkeyPatch, flags: str, kernel: str
) -> None:
    monkeypatch.setattr(device, "_probe_processor", lambda: ("x", frozenset(flags.split())))
    monkeypatch.setattr(device, "_probe_gpu", lambda: (None, False))
    machine = device.probe_machine()
    assert machine.bf16_kernel == kernel
    assert device.choose_precision("auto", machine) == ("fp32" if kernel == "none" else "bf16")


def test_an_old_gpu_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_probe_gpu", lambda: ("Old GPU", False))
    machine = device.probe_machine()
    assert (machine.device, machine.bf16_kernel) == ("cuda", "none")
    monkeypatch.setattr(device, "_probe_gpu", lambda: ("New GPU", True))
    assert device.probe_machine().bf16_kernel == "cuda"


def test_emulated_bf16_is_refused_with_the_mend() -> None:
    with pytest.raises(ConfigError, match=r"emulated.*some processor(.|\n)*mend: .*auto"):
        device.choose_precision("bf16", PLAIN)
    assert device.choose_precision("fp32", PLAIN) == "fp32"
    assert device.choose_precision("bf16", replace(PLAIN, bf16_native=True, bf16_kernel="amx")) == "bf16"


def test_seeding_covers_every_library() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(numpy.random.rand()), float(torch.rand(1))

    device.seed_everything(11)
    first = draw()
    device.seed_everything(11)
    assert draw() == first


def test_peak_memory_sees_what_was_allocated_and_can_begin_anew() -> None:
    before = device.peak_memory_bytes()
    assert before >= device.current_memory_bytes() - (1 << 24) > 0
    block = bytearray(80 << 20)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    high = device.current_memory_bytes()
    assert device.peak_memory_bytes() >= high - (1 << 22)
    del block
    if device.reset_peak_memory():
        assert device.peak_memory_bytes() < high


def test_without_proc_memory_is_still_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_status_field", lambda field: None)
    assert device.peak_memory_bytes() > 1 << 20
    assert device.current_memory_bytes() > 1 << 20


@pytest.mark.parametrize(
    ("environment", "resolves", "expected"),
    [
        ({"HF_HUB_OFFLINE": "1"}, True, False),
        ({}, True, True),
        ({}, False, False),
        ({"https_proxy": "http://proxy.example:3128"}, False, True),
    ],
)
def test_whether_the_hub_can_be_asked(
    environment: dict[str, str], resolves: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def look_up(host: str, port: object) -> list[object]:
        assert host == "huggingface.co"
        if not resolves:
            raise OSError("name not known")
        return []

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    assert device.hub_reachable.__wrapped__() is expected


def test_available_memory_is_part_of_the_whole() -> None:
    available = device.available_memory_bytes()
    assert available is None or 0 < available <= device.probe_machine().memory_bytes * 1.01


@pytest.mark.skipif(device._malloc_trim() is None, reason="the C library cannot give memory back on request")
def test_holes_in_the_heap_are_given_back() -> None:
    size = 64 << 10  # small enough to lie in the heap, where only its end goes back by itself
    blocks = [bytes([number % 255 + 1]) * size for number in range(2000)]
    kept = blocks[::2]
    blocks.clear()
    before = device.current_memory_bytes()
    device.release_free_memory()
    assert before - device.current_memory_bytes() > 1000 * size // 2
    assert all(block[0] == block[-1] for block in kept)
