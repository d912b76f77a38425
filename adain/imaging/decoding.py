"""Decoding by Pillow, which raises anything and warns: one error instead, and silence."""

import ctypes
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from PIL import Image, UnidentifiedImageError, _imaging

from adain.errors import ImageError, ImageTooLargeError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
"""The formats that are read, decided by the content of a file; of animations the first frame."""


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises into one `ImageError`, and silence its warnings."""
    _silence_libtiff()
    formats = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    try:
        with _QUIET:
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"{name}: far too many pixels; give a smaller version") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: cannot be read as {formats}; convert it to one of them, "
            "or get the file again if it is one"
        ) from error
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode it; shrink it first") from error
    except Exception as error:  # Damaged files raise anything, from KeyError to struct.error.
        raise ImageError(f"{name}: damaged or incomplete; get the file again") from error


@cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing to standard error; Pillow raises what it finds, and more clearly.

    Pillow has no switch for it, but the library has, one for all threads. It cannot be reached
    where it is part of Pillow's own module, as on Windows.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


class _Quiet:
    """Hides Pillow's warnings while any thread decodes.

    Filters belong to the whole process: overlapping threads with a `catch_warnings` each would
    restore one another's filters. So the first thread in saves them, the last one out restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._saved.__exit__(None, None, None)


_QUIET = _Quiet()
