"""The device that the network runs on, and its memory."""

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from adain.engine.torch_extra import require_torch

CPUS = Path("/sys/devices/system/cpu")
"""Where Linux shows which processors share a core."""

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows the limits of containers."""

BAND_BLOCK, LAYER_BLOCK = 8 * 2**20, 48 * 2**20
"""Bytes that the features of a band, and those of a whole picture, may take at a layer."""


def choose_device(name: str = "auto") -> str:
    """Return the device that a name stands for.

    torch is imported only where another device than the CPU is asked for, or can be expected.

    Args:
        name: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        ValueError: If the name is another one, or this machine has no such device.
        TorchMissing: If it needs torch, which is not installed.
    """
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (
        index and not (kind == "cuda" and index.isdecimal())
    ):
        raise ValueError(f"unknown device {name!r}; expected auto, cpu, cuda, cuda:N or mps")
    if kind == "cpu" or (kind == "auto" and not _accelerated()):
        return "cpu"
    if kind != "auto":
        require_torch(f"the device {kind}")
    import torch

    if kind == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} is not available; use --device auto or cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device 'mps' is not available; use --device auto or cpu")
    return name


def _accelerated() -> bool:
    """Return whether torch is installed, and this machine seems to have something for it."""
    if find_spec("torch") is None:
        return False
    drivers = map(Path, ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
    return sys.platform in ("darwin", "win32") or any(driver.exists() for driver in drivers)


def cores() -> int:
    """Return how many cores of the CPU this process may use; two threads of one count once."""
    if not hasattr(os, "sched_getaffinity"):
        import psutil

        return psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return len({_sharing(processor) for processor in os.sched_getaffinity(0)})


def _sharing(processor: int) -> str:
    """Return the processors of one core, as a list of numbers."""
    try:
        return (CPUS / f"cpu{processor}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(processor)


def fast_bfloat16(device: str) -> bool:
    """Return whether bfloat16 is faster than float32 there; needs torch.

    A CPU without instructions for it emulates it, several times slower.
    """
    import torch

    return device.startswith("cuda") or (device == "cpu" and torch.cpu._is_avx512_bf16_supported())


def keep_freed_memory(largest: int = BAND_BLOCK) -> None:
    """Let this process keep the memory that it frees, for what comes next.

    By default glibc gives large blocks back to the system at once, and clearing them anew for
    every layer takes a sixth of a pass at 512 pixels. Each thread keeps its own: what another has
    freed is in the cache of another core, which made a pass a third slower. A setting of the whole
    process, which is for applications to choose. Does nothing where the C library is another one.

    Args:
        largest: Bytes of the largest block that is kept.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # <malloc.h>
    mallopt(mmap_threshold, largest)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**26)


def release_memory() -> None:
    """Give back to the system what `keep_freed_memory` keeps, before something large."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def free_memory(device: str) -> int:
    """Return the bytes that can still be used on a device without pushing others out.

    On the CPU that is what the system has available, or less where a container has a limit.
    """
    if device.startswith("cuda"):
        import torch

        # What torch holds for reuse is free, too.
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + reserved)
    return min([_available(), *_free_in_containers()])


def resident_memory() -> int:
    """Return the bytes of memory that this process uses now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of Python, ONNX Runtime or torch says that memory is used up."""
    # Allocators raise plain errors of many classes; only the text tells.
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text


def _available() -> int:
    """Return the bytes that the system has available."""
    try:
        facts = Path("/proc/meminfo").read_text()
        return 1024 * int(facts.partition("MemAvailable:")[2].split()[0])
    except (OSError, IndexError):  # Another system; psutil takes a while to import.
        import psutil

        return psutil.virtual_memory().available


def _free_in_containers() -> list[int]:
    """Return what is left in each control group of this process that has a limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers in ("", "memory"):  # Version 2; version 1.
            group = CGROUPS / controllers / name.lstrip("/")
            # Inside a container the path may be that of the host: the root is what shows then.
            for folder in (group, *group.parents):
                if folder.is_relative_to(CGROUPS) and (room := _room(folder)) is not None:
                    left.append(room)
    return left


def _room(group: Path) -> int | None:
    """Return the bytes left in a control group; None without a limit."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            allowed, used = (int((group / name).read_text()) for name in (limit, usage))
            pairs = (line.split() for line in (group / "memory.stat").read_text().splitlines())
            # Pages of files that nobody uses make room when asked.
            return max(0, allowed - used + int(dict(pairs).get(cache, 0)))
        except (OSError, ValueError):  # Not there, or "max".
            continue
    return None
