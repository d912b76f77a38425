"""Films over HTTP: their frames, and jobs that paint them. Needs the extra `video`."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from adain.errors import how_to_install
from adain.imaging.picture import Picture
from adain.imaging.pillow import to_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image
from adain.video.direction import Direction
from gallery.database.jobs import Task
from gallery.errors import FilmError, OutputError
from gallery.use_cases.film_process import MEMORY, ApartFilm, join_apart
from gallery.use_cases.film_writing import Target
from gallery.use_cases.styles import ResolvedStyle
from gallery.use_cases.video import VideoConfig, expected_frames, paint_film
from gallery.web.documents import ROOT
from gallery.web.parameters import JobParameters
from gallery.web.problems import Problem, documented
from gallery.web.state import AppState, Painted
from gallery.web.uploads import FILM_BODY, Upload, read_upload
from gallery.web.watched import Interrupted, Watched

METHOD = "film"

FRAME_SIDE = 1024
"""Longest side in pixels of frames that are shown before a film is painted."""

PREVIEW_SIDE = 512
"""Longest side of previews in pixels."""

PREVIEW_SECONDS = 1.0
"""How often there is one."""

PATIENCE = 20.0
"""Seconds that a frame of a stranger's film may take."""

SEGMENT_SECONDS = 5.0
"""How much of a film is lost at most when its process dies."""

READERS = 2
"""Films that are looked at, at the same time, before they are jobs."""

MAX_RATE = 120
"""Frames a second, on the average, beyond which a film counts as longer than it is."""

MEDIA_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "gif": "image/gif", "webp": "image/webp"}

_readers = threading.Semaphore(READERS)


def is_offered() -> bool:
    """Return whether films can be read here."""
    return find_spec("av") is not None


def require_video() -> None:
    """Raise the problem `video-missing` if they cannot."""
    if not is_offered():
        raise Problem("video-missing", f"films need PyAV here: {how_to_install('video')}")


def create_film_api(state: AppState) -> APIRouter:
    """Return the route that shows a frame of a film."""
    api = APIRouter(prefix=ROOT, tags=["pictures"])

    @api.post(
        "/frame",
        summary="A frame of a film",
        response_class=Response,
        responses=documented("bad-request", "unauthorized", "forbidden", "too-many-requests")
        | documented("not-a-film", "body-too-large", "upload-too-slow", "invalid-parameter")
        | documented("video-missing")
        | {
            200: {
                "description": "The frame as JPEG, upright. `X-Picture-Size` is its full size, "
                "`X-Film-Seconds` the length of the film.",
                "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
        openapi_extra={"requestBody": FILM_BODY},
    )
    async def frame(
        request: Request,
        at: Annotated[float, Query(ge=0, le=1e6, description="Seconds from its beginning.")] = 0,
    ) -> Response:
        """Send a film as the body; get the frame at a time, at most 1024 pixels a side.

        For browsers that cannot read it. Nothing is stored.
        """
        require_video()
        upload = await read_upload(request)
        data, size, seconds = await run_in_threadpool(_frame, upload.photo, at)
        headers = {
            "X-Picture-Size": size,
            "X-Film-Seconds": f"{seconds:.3f}",
            "Cache-Control": "no-store",
        }
        return Response(data, media_type="image/jpeg", headers=headers)

    return api


def check_film(state: AppState, parameters: JobParameters, upload: Upload) -> None:
    """Refuse a film that cannot be read or is too long, before it becomes a job.

    Raises:
        Problem: `video-missing`, `not-a-film` or `film-too-long`.
    """
    require_video()
    with _readers, _opened(upload.photo, parameters, state) as (film, _):
        _part(state, parameters, film)


def paint_upload(
    state: AppState,
    task: Task,
    parameters: JobParameters,
    upload: Upload,
    named: Sequence[ResolvedStyle],
    watched: Watched,
) -> Painted:
    """Paint an uploaded film; on the network's thread, making way for others between frames.

    Args:
        state: The network.
        task: Its finished segments, from an earlier attempt.
        parameters: What to make of it.
        upload: The film, and what else was sent along.
        named: The styles of the gallery.
        watched: Told what happens.

    Raises:
        Interrupted: If `watched` stopped it.
        Problem: If it cannot be read, or is too long.
    """
    began = time.perf_counter()
    style = state.mixture(parameters, upload, named).statistics
    cleaned = state.cleaned(upload)
    with _opened(upload.photo, parameters, state) as (film, folder):
        config = _part(state, parameters, film)
        target = Target(folder / f"result.{parameters.container}")
        kept = _Kept(target, watched, task)
        work = _Work(state, watched, kept, expected_frames(film, config))
        direction = Direction(((0.0, style),), ((0.0, parameters.alpha),))
        recipe = {"settings": parameters.model_dump(), "parts": _digests(cleaned)}
        with _told():
            try:
                report = paint_film(
                    state.model, film, target, direction, parameters.controls(cleaned), config,
                    recipe, work.advance, join=join_apart, show=work.show,
                )  # fmt: skip
            except _Stopped as error:
                kept.keep()
                raise Interrupted(b"") from error
        data = target.path.read_bytes()
    media_type = MEDIA_TYPES[parameters.container]
    return Painted(data, media_type, time.perf_counter() - began, "; ".join(report.notes))


class _Stopped(Exception):
    """The job shall end."""


class _Work:
    """What happens after each frame."""

    def __init__(
        self, state: AppState, watched: Watched, kept: "_Kept", frames: int | None
    ) -> None:
        self._state, self._watched, self._kept = state, watched, kept
        self._expected = max(1, frames or 1)
        self._most = MAX_RATE * state.config.film_seconds
        self._done, self._shown = 0, 0.0

    def advance(self, count: int) -> None:
        self._done += count
        self._watched.progress = min(0.99, self._done / self._expected)
        if self._watched.is_stopped:
            raise _Stopped
        if self._done > self._most:
            raise Problem("film-too-long", f"it has more than {self._most:,.0f} frames")
        self._kept.look()
        self._state.worker.make_way()

    def show(self, pixels: NDArray[Any]) -> None:
        now = time.monotonic()
        if now >= self._shown + PREVIEW_SECONDS:
            self._shown = now
            small = resize_image(Picture(np.ascontiguousarray(pixels[..., :3])), PREVIEW_SIDE)
            self._watched.keep("preview", encode_image(to_image(small), "jpeg", 85))


class _Kept:
    """Finished segments, which are kept with the job: another process can go on with them."""

    def __init__(self, target: Target, watched: Watched, task: Task) -> None:
        self._folder, self._watched = target.parts, watched
        self._known: set[str] = set()
        self._looked = 0.0
        for name, data in task.files.items():
            if name.startswith("segment-"):
                self._folder.mkdir(exist_ok=True)
                self._known.add(name)
                (self._folder / name.removeprefix("segment-")).write_bytes(data)

    def look(self) -> None:
        """Keep what is new, now and then."""
        now = time.monotonic()
        if now >= self._looked + PREVIEW_SECONDS:
            self._looked = now
            self.keep()

    def keep(self) -> None:
        """Keep what is new. A segment counts once the state behind it is there: it comes last."""
        with suppress(FileNotFoundError):
            for path in sorted(self._folder.iterdir(), key=lambda each: each.suffix == ".npz"):
                name = f"segment-{path.name}"
                whole = path.suffix == ".json" or path.with_suffix(".npz").exists()
                if whole and path.suffix in (".json", ".nut", ".npz") and name not in self._known:
                    self._watched.keep(name, path.read_bytes())
                    self._known.add(name)


@contextmanager
def _opened(
    data: bytes, parameters: JobParameters | None = None, state: AppState | None = None
) -> Iterator[tuple[ApartFilm, Path]]:
    """Give a film, and the folder that it is in for so long."""
    side = FRAME_SIDE
    if parameters is not None and state is not None:
        side = min(parameters.max_side or state.config.film_side, state.config.film_side)
    with TemporaryDirectory(prefix="adain-film-") as name, _told():
        path = Path(name, "film")
        path.write_bytes(data)
        identity = hashlib.sha256(data).hexdigest()
        film = ApartFilm(path, None, side, identity=identity, patience=PATIENCE, memory=MEMORY)
        try:
            yield film, path.parent
        finally:
            film.close()


@contextmanager
def _told() -> Iterator[None]:
    """Make what is wrong with a film a problem that names no path."""
    try:
        yield
    except FilmError as error:
        words = str(error).partition(": ")[2] or str(error)
        raise Problem("not-a-film", f"the film {words}") from error
    except OutputError as error:
        words = str(error).partition(": ")[2]
        raise Problem("not-a-film", f"the result {words}") from error


def _part(state: AppState, parameters: JobParameters, film: ApartFilm) -> VideoConfig:
    """Return which part of a film is painted."""
    most, facts = state.config.film_seconds, film.facts
    seconds = facts.seconds or 0.0
    if facts.frames is not None:
        seconds = max(seconds, facts.frames / MAX_RATE)
    end = seconds if parameters.end is None else min(parameters.end, seconds or parameters.end)
    if end - parameters.begin > most + 0.5:
        raise Problem(
            "film-too-long",
            f"it takes {end - parameters.begin:.1f} seconds, and {most:g} are painted at most; "
            "choose a part of it with begin and end",
        )
    if parameters.end is not None and parameters.end <= parameters.begin:
        raise Problem("invalid-parameter", "end: must be after begin")
    # Where its length is not known only the number of its frames is looked at.
    return VideoConfig(
        parameters.begin,
        parameters.end,
        stable=parameters.stable,
        segment_seconds=SEGMENT_SECONDS,
    )


def _frame(data: bytes, at: float) -> tuple[bytes, str, float]:
    with _readers, _opened(data) as (film, _):
        facts = film.facts
        start = min(at, max(0.0, (facts.seconds or 0.0) - 1 / float(facts.rate)))
        shown = next(iter(film.frames(start)), None)
        if shown is None:
            raise FilmError("film: has no frame there")
        picture = Picture(np.ascontiguousarray(shown.pixels[..., :3]))
        file = encode_image(to_image(picture), "jpeg", 93)
        return file, f"{picture.width}x{picture.height}", facts.seconds or 0.0


def _digests(upload: Upload) -> list[str]:
    """Return what tells that pictures are still the same."""
    parts = (upload.painting, *upload.masks, upload.strength)
    return [hashlib.sha256(part or b"").hexdigest() for part in parts]


def worker(
    state: AppState,
    task: Task,
    parameters: JobParameters,
    upload: Upload,
    watched: Watched,
) -> Callable[[], Painted]:
    """Return what does the job of a film."""
    _, named = state.styles_now(parameters)
    return partial(paint_upload, state, task, parameters, upload, named, watched)
