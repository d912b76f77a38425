"""Films in pipes: read from one program, painted, handed to the next; nothing is kept to go on."""

import math
import secrets
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from adain.config import Controls
from adain.engine.model import Model
from adain.files import reason
from adain.video.direction import Direction
from adain.video.frames import Shown
from gallery.errors import FilmError, OutputError
from gallery.use_cases.film_reading import Film, MovieFilm, import_av, piped_container
from gallery.use_cases.film_writing import even, matrix_of
from gallery.use_cases.video import Report, VideoConfig, film_painter, wanted_frames


class PipedFilm(MovieFilm):
    """A film that comes through a pipe, of a kind that need not be read twice: Y4M, MKV, MPEG-TS.

    Args:
        file: The pipe.
        max_side: As for `open_film`.

    Raises:
        FilmError: If it is none, or its frames can be had only by going back in it.
    """

    def __init__(self, file: BinaryIO, max_side: int | None = None) -> None:
        self._prepare(Path("-"))
        self.sound = None
        self._container = piped_container(file)
        self._stream, self._first_frame, self._rest = self._look(self._container, max_side)

    def _first(self, decoded: Iterator[Any]) -> Any:
        try:
            return super()._first(decoded)
        except FilmError as error:
            kinds = "a pipe takes Y4M, MKV and MPEG-TS; give other films as files"
            raise FilmError(f"{error}; {kinds}") from error

    def digest(self) -> str:
        """Return what nothing else equals: a pipe gives its film once."""
        return secrets.token_hex(16)

    def frames(self, start: float = 0.0) -> Iterator[Shown]:
        """See `Film`; once."""
        last = -math.inf
        for frame in chain([self._first_frame], self._rest):
            at = self._time(frame, last)
            if at > last and at >= start - 1e-6:
                yield Shown(self._pixels(frame), at)
            last = max(last, at)
        if last > -math.inf:
            self.damage.ended = last


def pipe_film(
    model: Model,
    film: Film,
    file: BinaryIO,
    direction: Direction,
    controls: Controls,
    config: VideoConfig,
    advance: Callable[[int], None],
) -> Report:
    """Paint a film into a pipe, as Y4M: raw frames, each as long as the others, without sound.

    Args:
        model: The network.
        film: What is painted.
        file: The pipe.
        direction: What holds when.
        controls: How frames are painted.
        config: Which part of it.
        advance: Told how many more frames are done.

    Raises:
        FilmError: If there is no frame in that part of the film.
        OutputError: If nobody reads the pipe any more.
    """
    began, count, size, notes = time.perf_counter(), 0, (0, 0), list[str]()
    painter = film_painter(model, direction, controls, config, notes.append)
    rate = film.facts.rate / config.every
    for painted in painter.paint(wanted_frames(film, config)):
        pixels = even(painted.pixels)
        size = pixels.shape[:2]
        frame = import_av().VideoFrame.from_ndarray(pixels, format="rgb24")
        planes = frame.reformat(
            format="yuv420p", dst_colorspace=matrix_of(pixels), interpolation="BICUBIC"
        ).to_ndarray()
        try:
            if count == 0:
                head = (
                    f"W{size[1]} H{size[0]} F{rate.numerator}:{rate.denominator} Ip A1:1 C420jpeg"
                )
                file.write(f"YUV4MPEG2 {head} XCOLORRANGE=LIMITED\n".encode())
            file.write(b"FRAME\n" + np.ascontiguousarray(planes).tobytes())
            file.flush()
        except BrokenPipeError as error:
            raise OutputError("-: nobody reads what is painted any more") from error
        except OSError as error:
            raise OutputError(f"-: cannot be written ({reason(error)})") from error
        count += 1
        advance(1)
    if count == 0:
        raise FilmError(f"{film.path}: has no frames in that part of it")
    seconds = round(time.perf_counter() - began, 3)
    return Report(count, 0, size[1], size[0], seconds, tuple(notes), film.damage.parts > 0)
