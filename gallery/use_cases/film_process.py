"""Films in a process of their own, where a decoder that hangs or crashes hurts nobody.

    here                                  there
    ApartFilm ── path ──────────────────> open_film
              <── facts, then frames ────  its frames, one by one
    join_apart ── segments, source ─────> Joining.write

What comes back is JSON and pixels, never pickles: a film may be a stranger's.
"""

import json
import multiprocessing
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from adain.errors import AdainError
from adain.video.frames import Shown
from gallery.errors import FilmError, GalleryError, OutputError
from gallery.limits import limit_memory, limit_time
from gallery.use_cases.film_reading import Damage, Facts, open_film
from gallery.use_cases.film_writing import Joining

MEMORY = 3 * 2**30
"""Bytes that reading or joining a stranger's film may take."""

PATIENCE = 60.0
"""Seconds without a frame after which a decoder hangs."""

LIFE = 6 * 3600.0
"""Seconds of work after which that ends, even if nobody is there to end it."""


class ApartFilm:
    """A film that another process reads; see `Film`.

    Args:
        path: As for `open_film`.
        rate: The same.
        max_side: The same.
        identity: What tells that it is still the same; by default files and their times.
        patience: Seconds that a frame may take.
        memory: Bytes that the process may take; None for all that there are.

    Raises:
        FilmError: If it is none, cannot be read here, or its decoder hangs or crashes.
        ImageError: If a picture cannot be read.
    """

    def __init__(
        self,
        path: Path,
        rate: Fraction | None = None,
        max_side: int | None = None,
        *,
        identity: str | None = None,
        patience: float = PATIENCE,
        memory: int | None = None,
    ) -> None:
        self.path, self.damage = path, Damage()
        self._order = (path, rate, max_side, memory)
        self._patience = patience
        self._reader: _Reader | None = _Reader(*self._order, patience)
        try:
            told = self._reader.facts()
        except BaseException:
            self.close()
            raise
        self.facts: Facts = told["facts"]
        self.sound = Path(told["sound"]) if told["sound"] else None
        self._identity: str = identity or told["digest"]

    def close(self) -> None:
        """End the process that has not given its frames yet."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def digest(self) -> str:
        """See `Film`."""
        return self._identity

    def frames(self, start: float = 0.0) -> Iterator[Shown]:
        """See `Film`."""
        reader, self._reader = self._reader, None
        if reader is None:
            reader = _Reader(*self._order, self._patience)
            reader.facts()
        try:
            self.damage = yield from reader.frames(start)
        finally:
            reader.close()


def join_apart(joining: Joining, overwrite: bool) -> list[str]:
    """Write a film from its segments and what its source has, as `Joining.write` does.

    Raises:
        OutputError: If it cannot be written.
    """
    ours, process = _start(_join, joining, overwrite)
    try:
        answer = json.loads(ours.recv_bytes())
    except (EOFError, OSError) as error:
        raise OutputError(
            f"{joining.target.path}: cannot be written; the sound of the film may be damaged"
        ) from error
    finally:
        _end(ours, process)
    if "error" in answer:
        raise OutputError(answer["error"])
    return [str(note) for note in answer["notes"]]


class _Reader:
    """The process that reads one film once."""

    def __init__(
        self,
        path: Path,
        rate: Fraction | None,
        max_side: int | None,
        memory: int | None,
        patience: float,
    ) -> None:
        self._path, self._patience = path, patience
        self._pipe, self._process = _start(_serve, path, rate, max_side, memory)

    def facts(self) -> dict[str, Any]:
        """Return the facts, as `Facts`, the file of the sound, and the digest."""
        told = self._receive()
        facts = told["facts"]
        facts |= {name: Fraction(facts[name]) for name in ("rate", "ticks")}
        return told | {"facts": Facts(**facts)}

    def frames(self, start: float) -> Generator[Shown, None, Damage]:
        """Yield the frames; return what could not be read."""
        self._pipe.send_bytes(json.dumps(start).encode())
        while "shape" in (told := self._receive()):
            pixels = np.frombuffer(self._pipe.recv_bytes(), told["type"]).reshape(told["shape"])
            yield Shown(pixels, told["time"])
        return Damage(**told["damage"])

    def close(self) -> None:
        """End it."""
        _end(self._pipe, self._process)

    def _receive(self) -> dict[str, Any]:
        try:
            if not self._pipe.poll(self._patience):
                raise FilmError(
                    f"{self._path}: gave no frame for {self._patience:g} seconds; it is damaged, "
                    "or on a disk that does not answer"
                )
            told: dict[str, Any] = json.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            raise FilmError(
                f"{self._path}: the decoder ended; it is damaged, or takes too much memory"
            ) from error
        if "error" in told:
            raise FilmError(told["error"])
        return told


def _start(work: Any, *arguments: Any) -> tuple[Connection, BaseProcess]:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else None
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(  # type: ignore[attr-defined]
        target=work, args=(theirs, *arguments), daemon=True, name="film"
    )
    process.start()
    theirs.close()
    return ours, process


def _end(pipe: Connection, process: BaseProcess) -> None:
    pipe.close()
    process.kill()
    process.join()


def _prepare(memory: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Whoever started it ends it.
    if memory is not None:
        limit_memory(memory)
        limit_time(LIFE)


def _serve(
    pipe: Connection,
    path: Path,
    rate: Fraction | None,
    max_side: int | None,
    memory: int | None,
) -> None:
    """Tell the facts of a film; then, once asked, its frames."""
    _prepare(memory)
    with suppress(EOFError, OSError):  # The other end is closed.
        try:
            film = open_film(path, rate, max_side)
            facts = asdict(film.facts) | {
                name: str(getattr(film.facts, name)) for name in ("rate", "ticks")
            }
            sound = film.sound and str(film.sound)
            _tell(pipe, facts=facts, sound=sound, digest=film.digest())
            for shown in film.frames(json.loads(pipe.recv_bytes())):
                pixels = np.ascontiguousarray(shown.pixels)
                _tell(pipe, shape=pixels.shape, type=pixels.dtype.str, time=shown.time)
                pipe.send_bytes(pixels.data.cast("B"))
            _tell(pipe, damage=asdict(film.damage))
        except (GalleryError, AdainError) as error:
            _tell(pipe, error=str(error))
        except MemoryError:
            _tell(pipe, error=f"{path}: takes too much memory; make it smaller first")


def _join(pipe: Connection, joining: Joining, overwrite: bool) -> None:
    _prepare(MEMORY)
    with suppress(EOFError, OSError):
        try:
            _tell(pipe, notes=joining.write(overwrite))
        except (GalleryError, AdainError) as error:
            _tell(pipe, error=str(error))


def _tell(pipe: Connection, **values: Any) -> None:
    pipe.send_bytes(json.dumps(values).encode())
