"""Films: read, painted and written at the same time, in segments that no kill can harm.

    film ── frames ── FilmPainter ── segments, each with the state behind it ── joined

A segment counts when its state is there. The same command finds the segments, takes up the state
behind the last one and goes on with the frame after it: the result is that of one run.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain import __version__
from adain.config import Controls
from adain.engine.model import Model
from adain.files import new_file
from adain.imaging.color import ColorStatistics
from adain.painting.looks import Look
from adain.painting.matching import Match
from adain.painting.tiling import Maps
from adain.styles.statistics import StyleStatistics
from adain.video.direction import Direction
from adain.video.frames import FilmPainter, Painted, Shown, State
from adain.video.shots import Glance
from gallery.errors import FilmError, OutputError
from gallery.files import make_folder
from gallery.use_cases.film_reading import Film
from gallery.use_cases.film_writing import Joining, Segment, Target, writing
from gallery.use_cases.journal import Journal

SEGMENT_SECONDS = 15.0
"""Seconds of work after which a segment ends: what a kill costs at most, and a window."""

SEGMENT_FRAMES = 2000
"""Most frames of a segment."""

MISSING = 0.05
"""Part of a film that may be missing at its end: what files say of their length is not exact."""


@dataclass(frozen=True)
class VideoConfig:
    """Which part of a film is painted, and how.

    Attributes:
        start: Seconds from its beginning where to start.
        end: Seconds from its beginning where to end; None for its end.
        every: Only one of so many frames is painted, without sound: a preview.
        stable: Whether each result also follows the last one along the optical flow.
        exact: Whether the network computes with float32, not with 8-bit numbers.
        jobs: Frames that are worked on at the same time.
        memory: Bytes that may be used; None for half of what is free.
        overwrite: Whether the result may replace a file.
        segment_seconds: Seconds of work for a segment.
    """

    start: float = 0.0
    end: float | None = None
    every: int = 1
    stable: bool = False
    exact: bool = False
    jobs: int = 1
    memory: int | None = None
    overwrite: bool = False
    segment_seconds: float = SEGMENT_SECONDS

    def __post_init__(self) -> None:
        if not 0 <= self.start < 1e6:
            raise ValueError(f"from must be a time in the film, got {self.start:g}")
        if self.end is not None and not self.start < self.end:
            raise ValueError(f"to must be after from, got {self.end:g} and {self.start:g}")
        if self.every < 1:
            raise ValueError(f"preview must be one frame in 1 or more, got {self.every}")


@dataclass(frozen=True)
class Report:
    """A film that was made.

    Attributes:
        frames: Frames of the film.
        resumed: Frames of it that another run had made.
        width: Width in pixels.
        height: Height in pixels.
        seconds: Time that it took.
        notes: What a person should know.
        incomplete: Whether the source was damaged or ended early.
    """

    frames: int
    resumed: int
    width: int
    height: int
    seconds: float
    notes: tuple[str, ...] = ()
    incomplete: bool = False


def expected_frames(film: Film, config: VideoConfig) -> int | None:
    """Return how many frames there will be, nearly; None if that is not known."""
    facts = film.facts
    if facts.frames is None:
        return None
    if facts.seconds is None:
        return -(-facts.frames // config.every)
    end = min(config.end or facts.seconds, facts.seconds)
    share = max(0.0, end - config.start) / max(facts.seconds, 1e-9)
    return max(1, -(-round(facts.frames * share) // config.every))


def wanted_frames(film: Film, config: VideoConfig, after: float | None = None) -> Iterator[Shown]:
    """Yield the frames of a part of a film, or those of them after a time."""
    start = config.start if after is None or config.every > 1 else after
    for count, shown in enumerate(film.frames(start)):
        if config.end is not None and shown.time >= config.end - 1e-6:
            return
        wanted = count % config.every == 0
        if wanted and (after is None or shown.time > after + 1e-6):
            yield shown


def film_painter(
    model: Model,
    direction: Direction,
    controls: Controls,
    config: VideoConfig,
    notice: Callable[[str], None],
) -> FilmPainter:
    """Return what paints frames as a config says."""
    return FilmPainter(
        model,
        direction,
        controls,
        stable=config.stable,
        exact=config.exact,
        jobs=config.jobs,
        memory=config.memory,
        notice=notice,
    )


def paint_film(
    model: Model,
    film: Film,
    target: Target,
    direction: Direction,
    controls: Controls,
    config: VideoConfig,
    recipe: dict[str, Any],
    advance: Callable[[int], None],
    *,
    join: Callable[[Joining, bool], list[str]] = Joining.write,
    show: Callable[[NDArray[Any]], None] = lambda pixels: None,
) -> Report:
    """Paint a film, or go on with one.

    Args:
        model: The network.
        film: What is painted.
        target: Where it goes.
        direction: What holds when, in seconds of the source.
        controls: How frames are painted.
        config: Which part of it.
        recipe: What the result depends on besides film, model and direction; `title` is what it
            says about itself.
        advance: Told how many more frames are done.
        join: What writes the film from its parts.
        show: Given each result.

    Raises:
        FilmError: If there is no frame in that part of the film.
        OutputError: If the result cannot be written, or another run is making it.
    """
    began = time.perf_counter()
    if target.pattern is not None:
        make_folder(target.path)
    make_folder(target.parts)
    journal = Journal(target.parts)
    ours, finished = False, False
    try:
        with journal.claim("film") as ours:
            if not ours:
                raise OutputError(f"{target.path}: another run is making it; wait for its end")
            parts = Parts(target, target.parts, film_digest(model, film, direction, config, recipe))
            run = FilmRun(model, film, target, direction, controls, config, parts, show)
            painted = run.paint(advance)
            if not painted.frames:
                raise FilmError(f"{film.path}: has no frames in that part of it")
            title = str(recipe.get("title", ""))
            lost = join_film(film, target, config, painted.segments, title, join)
            notes = (*painted.notes, *lost)
            width, height = painted.size
            report = Report(
                painted.frames, painted.resumed, width, height, 0.0, notes, painted.incomplete
            )
            finished = True
    finally:
        journal.close()
        if ours and (finished or not any(target.parts.glob("*.npz"))):
            shutil.rmtree(target.parts, ignore_errors=True)
    return replace(report, seconds=round(time.perf_counter() - began, 3))


def join_film(
    film: Film,
    target: Target,
    config: VideoConfig,
    segments: Sequence[Path],
    title: str,
    join: Callable[[Joining, bool], list[str]] = Joining.write,
) -> list[str]:
    """Write a film from its segments; return what of the source could not be kept."""
    if target.pattern is not None:
        return []
    source = film.sound if config.every == 1 else None
    facts = replace(film.facts, rate=film.facts.rate / config.every)
    joining = Joining(target, segments, facts, source, config.start, config.end, title)
    return join(joining, config.overwrite)


@dataclass(frozen=True)
class PaintedPart:
    """What a run has painted of a film.

    Attributes:
        segments: Files, in their order.
        frames: Frames in them.
        resumed: Frames of these that an earlier run had made.
        size: Width and height in pixels.
        notes: What a person should know.
        incomplete: Whether the source was damaged or ended early.
    """

    segments: tuple[Path, ...]
    frames: int
    resumed: int
    size: tuple[int, int]
    notes: tuple[str, ...]
    incomplete: bool


@dataclass(frozen=True)
class FilmRun:
    """A run that paints a part of a film into a folder of segments.

    Attributes:
        parts: The folder.
        show: Given each result.
        origin: Seconds of the source at which the result begins; by default that of the part.
        first: Frames of the result before this part.
    """

    model: Model
    film: Film
    target: Target
    direction: Direction
    controls: Controls
    config: VideoConfig
    parts: "Parts"
    show: Callable[[NDArray[Any]], None] = lambda pixels: None
    origin: float | None = None
    first: int = 0

    def paint(self, advance: Callable[[int], None]) -> PaintedPart:
        """Paint what is left to paint.

        Raises:
            OutputError: If it cannot be written.
        """
        origin = self.config.start if self.origin is None else self.origin
        done = self.parts.find(self.direction)
        advance(done.frames)
        resumed = done.frames
        number, at = done.count, done.frames
        size = done.state.result.shape[:2] if done.state else (0, 0)
        missing: list[str] = []
        segment: Segment | None = None
        opened = time.perf_counter()
        try:
            for painted in self._painted(done, missing.append):
                if segment is None:
                    segment = self.parts.segment(number, self.first + at, self.film)
                    opened = time.perf_counter()
                segment.add(painted.pixels, painted.time - origin)
                at, size = at + 1, painted.pixels.shape[:2]
                self.show(painted.pixels)
                advance(1)
                worked = time.perf_counter() - opened
                if painted.state is not None and (
                    worked >= self.config.segment_seconds or segment.count >= SEGMENT_FRAMES
                ):
                    self._close(segment, number, at, painted)
                    segment, number = None, number + 1
            if segment is not None:
                segment.finish()
                number += 1
                segment = None
        finally:
            if segment is not None:
                segment.abandon()
        notes, incomplete = self._damage()
        segments = tuple(self.parts.file(each) for each in range(number))
        return PaintedPart(
            segments, at, resumed, (size[1], size[0]), (*notes, *missing), incomplete
        )

    def _painted(self, done: "_Done", notice: Callable[[str], None]) -> Iterator[Painted]:
        painter = film_painter(self.model, self.direction, self.controls, self.config, notice)
        yield from painter.paint(self._shown(done), done.state)

    def _shown(self, done: "_Done") -> Iterator[Shown]:
        """Yield the frames that are left to paint."""
        for shown in wanted_frames(self.film, self.config, done.last):
            pixels = shown.pixels
            if pixels.shape[2] == 4 and not self.target.keeps_transparency:
                pixels = np.ascontiguousarray(pixels[..., :3])
            yield shown._replace(pixels=pixels)

    def _close(self, segment: Segment, number: int, frames: int, painted: Painted) -> None:
        assert painted.state is not None
        segment.finish()
        with writing(self.target.path):
            self.parts.keep(number, frames, painted.time, painted.state)

    def _damage(self) -> tuple[list[str], bool]:
        """Return what to tell about what could not be read."""
        damage, facts, notes = self.film.damage, self.film.facts, []
        if damage.parts:
            notes.append(
                f"{self.film.path}: {damage.parts} damaged parts were left out ({damage.last})"
            )
        ends = facts.seconds
        if damage.ended is not None and ends is not None and self.config.end is None:
            missing = ends - damage.ended - 1 / float(facts.rate)
            if missing > max(0.5, MISSING * ends):
                notes.append(
                    f"{self.film.path}: ends after {damage.ended:.1f} of {ends:.1f} seconds; "
                    "it is damaged or not wholly downloaded"
                )
        return notes, bool(notes)


@dataclass(frozen=True)
class _Done:
    """The work of other runs: segments, their frames, the time of the last and its state."""

    count: int = 0
    frames: int = 0
    last: float | None = None
    state: State | None = None


class Parts:
    """A folder of segments, which is emptied if they are of something else."""

    def __init__(self, target: Target, folder: Path, digest: str) -> None:
        self._target, self._folder = target, folder
        note = self._folder / "recipe.json"
        same = False
        with suppress(OSError, ValueError):
            same = json.loads(note.read_text(encoding="utf-8")) == digest
        with writing(target.path):
            if not same:
                for path in (*self._folder.glob("*.nut"), *self._folder.glob("*.npz")):
                    path.unlink()
                with new_file(note, overwrite=True) as file:
                    file.write(json.dumps(digest).encode())
            for path in self._folder.glob("*.partial"):
                path.unlink()

    def file(self, number: int) -> Path:
        """Return the file of a segment."""
        return self._folder / f"{number:06d}.nut"

    def segment(self, number: int, frames: int, film: Film) -> Segment:
        """Begin a segment."""
        return Segment(self.file(number), self._target, film.facts, frames)

    def keep(self, number: int, frames: int, last: float, state: State) -> None:
        """Note that a segment is whole."""
        path = self._folder / f"{number:06d}.npz"
        with new_file(path, overwrite=True) as file:
            np.savez(file, frames=frames, last=last, **_packed(state))

    def find(self, direction: Direction) -> _Done:
        """Return what is whole."""
        done = _Done()
        while True:
            path = self._folder / f"{done.count:06d}.npz"
            if self._target.pattern is None and not self.file(done.count).is_file():
                return done
            try:
                with np.load(path) as values:
                    state = _unpacked(values, direction.at(float(values["last"])).style)
                    done = _Done(
                        done.count + 1, int(values["frames"]), float(values["last"]), state
                    )
            except (OSError, ValueError, KeyError):
                return done


def film_digest(
    model: Model, film: Film, direction: Direction, config: VideoConfig, recipe: dict[str, Any]
) -> str:
    """Identify what a film depends on."""
    digest = hashlib.sha256()
    settings = asdict(config)
    for name in ("jobs", "memory", "overwrite", "segment_seconds"):
        del settings[name]
    digest.update(json.dumps([__version__, recipe, settings, direction.fade], default=str).encode())
    digest.update(repr(direction.strengths).encode())
    for at, style in direction.styles:
        digest.update(repr(at).encode() + style.to_vector().tobytes())
        digest.update(repr([each and each.digest for each in style.adapters]).encode())
    digest.update(model.digest + film.digest().encode())
    return digest.hexdigest()


def _packed(state: State) -> dict[str, Any]:
    """Return a state as arrays; its style is known when it is read again."""
    look = state.look
    values: dict[str, Any] = {
        "alpha": look.alpha,
        "colors": look.maps.colors,
        "features": look.maps.features,
        "source": state.source,
        "result": state.result,
        "time": state.time,
        "cells": np.stack([each.cells for each in (state.seen, *state.glances)]),
        "reached": np.stack([each.reached for each in (state.seen, *state.glances)]),
        "matrices": np.array([match.matrix for match in look.matches]),
        "shifts": np.array([match.shift for match in look.matches]),
    }
    if state.sighting is not None:
        from adain.video.following import pack_sighting

        values |= pack_sighting(state.sighting)
    for number, colors in enumerate(look.finish or ()):
        values |= {f"finish{number}_{name}": value for name, value in asdict(colors).items()}
    return values


def _unpacked(values: Any, style: StyleStatistics) -> State:
    glances = [Glance(*pair) for pair in zip(values["cells"], values["reached"], strict=True)]
    matches = zip(values["matrices"], values["shifts"], strict=True)
    names = ("count", "total", "products", "histograms")
    finish = None
    if "finish0_count" in values:
        first, second = (
            ColorStatistics(*(values[f"finish{number}_{name}"] for name in names))
            for number in range(2)
        )
        finish = (first, second)
    look = Look(
        style,
        float(values["alpha"]),
        Maps(values["colors"], values["features"]),
        tuple(Match(*pair) for pair in matches),
        finish,
    )
    sighting = None
    if "heads" in values:
        from adain.video.following import unpack_sighting

        sighting = unpack_sighting(values)
    return State(
        look,
        glances[0],
        tuple(glances[1:]),
        values["source"],
        values["result"],
        sighting,
        float(values["time"]),
    )
