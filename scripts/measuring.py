"""What several benchmarks share: the machine, memory, pictures to work on, a server."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

ADAIN = (sys.executable, "-m", "gallery")
"""The command `adain` of this interpreter."""


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory(kind: str, process: int | str = "self") -> int:
    """Return `VmRSS` or `VmHWM` (the peak) of a process in bytes, as Linux counts; 0 elsewhere."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.partition(f"{kind}:")[2].split()[0])


def draw(path: Path, width: int, height: int, seed: int) -> None:
    """Write a picture of soft shapes with some grain, about as heavy to decode as a photo."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    grain = 6 * generator.standard_normal(soft.shape, np.float32)
    Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).save(path, quality=92)


@contextmanager
def no_gallery() -> Iterator[dict[str, str]]:
    """Give the environment of someone who has only the starter gallery."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_DATA_HOME": folder}
        for name in ("ADAIN_DATABASE", "PYTHONDONTWRITEBYTECODE"):  # Users have compiled modules.
            environment.pop(name, None)
        yield environment


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """Run a server with the starter gallery; gives it, its API and when it was started."""
    with no_gallery() as environment:
        began = time.perf_counter()
        with subprocess.Popen(
            [*ADAIN, "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        ) as process:
            try:
                assert process.stdout
                yield process, f"{process.stdout.readline().strip()}/api/v1", began
            finally:
                process.terminate()
