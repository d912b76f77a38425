"""Decodes pictures of strangers in a process of its own, where neither bombs nor crashes hurt.

The process has a limit of memory and of time. It is forked from one that has imported what is
needed and has no threads, so another one is there at once when it had to be killed. Picture files
go there and pixels come back through a file in memory, which nothing has to wait for; what is
said about them is JSON, never pickles.
"""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from PIL import Image

from adain.errors import ImageError, ImageTooLargeError
from adain.imaging.picture import Picture
from adain.imaging.pillow import from_image, to_image
from adain.imaging.reading import ImageLimits, load_image
from adain.imaging.writing import encode_image
from gallery.limits import limit_memory, limit_time

MEMORY = 2 * 2**30
"""Bytes that decoding a picture may take."""

SECONDS = 10.0
"""How long decoding a picture may take; the largest takes about one on a quiet core."""

LIFE = 2000
"""Pictures after which a new process begins, whatever the libraries of the old one lost."""

Decode = Callable[[bytes, ImageLimits, str], Image.Image]


def open_image(data: bytes, limits: ImageLimits, name: str) -> Image.Image:
    """Decode a picture as `adain.imaging.reading.load_image` does, upright sRGB in RGB or RGBA."""
    return to_image(load_image(data, limits, name))


class PictureDecoder:
    """A process that decodes pictures; use it from any thread.

    Args:
        decode: What runs there; importable by its name.
        seconds: How long it may take.
    """

    def __init__(self, decode: Decode = open_image, seconds: float = SECONDS) -> None:
        self._decode, self._seconds = decode, seconds
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else None
        self._context = multiprocessing.get_context(method)
        if method is not None:
            self._context.set_forkserver_preload([__name__])
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._file = _memory_file()
        self._left = 0
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Start the process, so that the first picture need not wait for it."""
        with self._lock, suppress(OSError):
            self._ready()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()
            os.close(self._file)

    def load(self, data: bytes, limits: ImageLimits, name: str) -> Picture:
        """Decode a picture as `adain.imaging.reading.load_image` does, without its facts.

        Raises:
            ImageTooLargeError: If it exceeds a limit.
            ImageError: If it cannot be decoded within memory and time.
        """
        return from_image(self.open(data, limits, name), name)

    def clean(self, data: bytes, limits: ImageLimits, name: str) -> bytes:
        """Return the same picture as a file that no stranger made. Raises as `load`."""
        return encode_image(self.open(data, limits, name), "tiff")

    def open(self, data: bytes, limits: ImageLimits, name: str) -> Image.Image:
        """Decode a picture as `open_image` does. Raises as `load`."""
        if len(data) > limits.max_bytes:
            raise ImageTooLargeError(
                f"{name}: larger than the limit of {limits.max_bytes:,} bytes; give a smaller file"
            )
        with self._lock:
            try:
                pipe = self._ready()
                order = {"name": name, "limits": asdict(limits), "bytes": len(data)}
                _write(self._file, data)
                pipe.send_bytes(json.dumps(order).encode())
                if not pipe.poll(self._seconds):
                    raise TimeoutError
                answer = json.loads(pipe.recv_bytes())
                if "mode" in answer:
                    return _read_image(self._file, answer["mode"], *answer["size"])
            except TimeoutError as error:
                self._end()
                raise ImageError(
                    f"{name}: not decoded within {self._seconds:g} seconds; give a simpler file"
                ) from error
            except (EOFError, OSError, ValueError) as error:
                self._end()
                raise ImageError(
                    f"{name}: damaged, or takes too much memory; get the file again"
                ) from error
            finally:
                os.truncate(self._file, 0)
        raise (ImageTooLargeError if answer["too_large"] else ImageError)(answer["message"])

    def _ready(self) -> Connection:
        alive = self._process is not None and self._process.is_alive()
        if self._pipe is not None and alive and self._left > 0:
            self._left -= 1
            return self._pipe
        self._end()
        ours, theirs = self._context.Pipe()
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_serve,
            args=(theirs, DupFd(self._file), self._decode),
            daemon=True,
            name="decoder",
        )
        process.start()
        theirs.close()
        self._process, self._pipe, self._left = process, ours, LIFE - 1
        return ours

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def _serve(pipe: Connection, shared: Any, decode: Decode) -> None:
    """Decode until the other end is closed, or this process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Whoever started it ends it.
    file = shared.detach()
    limit_memory(MEMORY)
    with suppress(EOFError, OSError):
        while True:
            order = json.loads(pipe.recv_bytes())
            data = os.pread(file, order["bytes"], 0)
            limits = ImageLimits(**order["limits"])
            limit_time(SECONDS)
            try:
                image = decode(data, limits, order["name"])
            except ImageError as error:
                too_large = isinstance(error, ImageTooLargeError)
                answer = {"message": str(error), "too_large": too_large}
            except MemoryError:
                message = f"{order['name']}: not enough memory to decode it; shrink it first"
                answer = {"message": message, "too_large": True}
            else:
                _write(file, np.ascontiguousarray(image).data.cast("B"))
                answer = {"mode": image.mode, "size": image.size}
            pipe.send_bytes(json.dumps(answer).encode())


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("adain-picture")
    with TemporaryFile() as file:
        return os.dup(file.fileno())


def _write(file: int, data: bytes | memoryview) -> None:
    done = 0
    while done < len(data):  # One call writes 2 GiB at most.
        done += os.pwrite(file, data[done:], done)


def _read_image(file: int, mode: str, width: int, height: int) -> Image.Image:
    """Return the picture of a file; one that is not what it is said to be raises ValueError."""
    # A copy, not a map of the file: nobody can change it any more, or make it shorter.
    data = os.pread(file, width * height * {"RGB": 3, "RGBA": 4}[mode], 0)
    return Image.frombytes(mode, (width, height), data)
