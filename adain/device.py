"""The device that the network runs on, and its memory."""

import ctypes

import torch


def choose_device(name: str = "auto") -> torch.device:
    """Return the device that a name stands for.

    Args:
        name: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        ValueError: If the name is another one, or this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdecimal())):
        raise ValueError(f"unknown device {name!r}; expected auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} is not available; use --device auto or cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device 'mps' is not available; use --device auto or cpu")
    return torch.device(name)


def fast_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 is faster than float32 there.

    A CPU without instructions for it emulates it, several times slower.
    """
    return device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for the next picture.

    By default glibc gives large blocks back to the system at once, and clearing them anew for
    every layer takes a sixth of a pass at 512 pixels. A setting of the whole process, which is
    for applications to choose. Does nothing where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # <malloc.h>
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**26)
