"""Repaint the frames of a film: shots, looks that hold for them, calm, several at a time.

    frames ── shots ── windows ── look of each ── painted by it ── calmed ── results
                        some frames are measured, together;
                        within a shot a look moves slowly to the next

A window is read before its first frame is painted, so memory is that of two windows, however long
the film is; where nothing is to see yet, of a few more.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, pairwise, repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.config import EVERYWHERE, NOTHING, Controls
from adain.engine.model import Model
from adain.errors import MaskError
from adain.imaging.picture import Picture, to_levels, to_unit
from adain.imaging.resizing import scale_image, scaled_size
from adain.painting.looks import Look, Style, measure_look
from adain.painting.masks import style_field
from adain.painting.sources import picture_from_array
from adain.painting.strokes import working_side
from adain.painting.stylize import stylize_picture
from adain.painting.tiling import memory_limit
from adain.styles.field import StyleField
from adain.styles.statistics import StyleStatistics, stack_styles
from adain.video.direction import Direction, Moment
from adain.video.flow import Stabilizer
from adain.video.shots import REACH, Glance, mark_cuts

if TYPE_CHECKING:
    from adain.painting.regions import Sighting
    from adain.video.following import Follower

WINDOW = 32
"""Frames that are read ahead, and within which a look becomes the next."""

WINDOW_BYTES = 2**27
"""Most bytes of the frames of a window."""

TURN = 8
"""Frames of a window while style or strength change: looks are exact at its ends."""

FIRST_MEASURED, LATER_MEASURED = 4, 2
"""Frames that are measured in the first window of a shot, and in those after it."""

AHEAD = 4
"""Windows that are read until one shows something, where a film begins with none that does."""

RISING = 0.6
"""Share of what the last frame of a window shows, below which the first one fades in."""

TELLING = 0.8
"""Share of what the frame of a window that shows most shows, from which others are measured."""

MOVED, RECOLORED = 0.04, 0.01
"""Changes at a glance from which a window is measured anew: below, it is the same scene."""

NO_MASK = np.zeros((0, 1, 1), np.float32)
"""What a frame has that should have masks and has none."""

RATE = 25.0
"""Frames a second of what is not said to be faster or slower."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Shown(NamedTuple):
    """A frame and when it is shown.

    Attributes:
        pixels: Shape `(H, W, 3)`, or 4 with transparency: as `picture_from_array` takes it.
        time: Seconds from the beginning.
        masks: Where each style holds in it, `(K, H, W)` in [0, 1] or uint8; None for everywhere,
            or where the controls say.
    """

    pixels: NDArray[Any]
    time: float
    masks: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class State:
    """The state behind a window, on which the next frame depends: enough to go on in another run.

    Attributes:
        look: By which the last frame was painted.
        seen: What the frames had in common by which it was measured.
        glances: Those of the last frames.
        source: The last frame.
        result: What became of it.
        sighting: The faces and people in it, where these are looked for.
        time: Seconds from the beginning at which it is shown.
    """

    look: Look
    seen: Glance
    glances: tuple[Glance, ...]
    source: NDArray[Any]
    result: NDArray[Any]
    sighting: "Sighting | None" = None
    time: float = 0.0


@dataclass(frozen=True, eq=False)
class Painted:
    """A result.

    Attributes:
        pixels: Of the shape and type of its frame.
        time: Seconds from the beginning.
        state: Behind the last frame of a window; None within one.
    """

    pixels: NDArray[Any]
    time: float
    state: State | None


@dataclass(frozen=True, eq=False)
class _Window:
    """Frames of one shot that follow one another, the look of each, and who is in it."""

    frames: Sequence[Shown]
    glances: Sequence[Glance]
    begins: bool
    sightings: "Sequence[Sighting]" = ()
    looks: Sequence[Look | None] = ()
    seen: Glance | None = None

    @property
    def is_flat(self) -> bool:
        """Return whether none of its frames shows anything."""
        return all(glance.is_flat for glance in self.glances)

    @property
    def rises(self) -> bool:
        """Return whether a scene fades in at its end."""
        return self.glances[0].spread < RISING * self.glances[-1].spread

    def with_look(self, look: Look | None, seen: Glance | None) -> "_Window":
        """Return it with one look for all of its frames."""
        return replace(self, looks=[look] * len(self.frames), seen=seen)


def paint_frames(
    model: Model,
    frames: Iterable[NDArray[Any]],
    style: StyleStatistics | Direction,
    *,
    alpha: float = 1.0,
    rate: float = RATE,
    controls: Controls = Controls(),
    masks: Iterable[NDArray[Any]] | None = None,
    stable: bool = False,
    exact: bool = False,
    jobs: int = 1,
    memory: int | None = None,
) -> Iterator[NDArray[Any]]:
    """Repaint frames so that what stays the same in them is painted the same.

    Args:
        model: The network.
        frames: One after the other, each of one shape: `(H, W, 3)`, or 4 with transparency, uint8,
            uint16 or floating point in [0, 1]; sides of at least 16 pixels.
        style: One style, one for each mask, or what holds when.
        alpha: Strength, unless `style` says what holds when.
        rate: Frames a second, for what holds when.
        controls: How they are repainted; masks of its own hold for all frames.
        masks: One array for each frame, `(K, H, W)` in [0, 1] or uint8: where each of `K` styles
            holds in it. Of one style it is the strength at each pixel.
        stable: Whether each result also follows the last one along the optical flow.
        exact: Whether the network computes with float32, as for photos, not with 8-bit numbers,
            which take half the time.
        jobs: Frames that are worked on at the same time.
        memory: Bytes that may be used beside the network and the frames; by default up to half
            of what is free.

    Returns:
        Iterator over as many results of the same shape and type.

    Raises:
        EngineError: If `stable` is asked for and OpenCV is not installed.
        ImageError: If an array is no frame, or a mask cannot be read.
        ImageTooLargeError: If the memory does not suffice.
        MaskError: If a mask does not fit, or there are fewer than frames.
        ValueError: If frames differ in shape, or `alpha` makes no sense.
    """
    if not isinstance(style, Direction):
        style = Direction(((0.0, style),), ((0.0, alpha),))
    painter = FilmPainter(
        model, style, controls, stable=stable, exact=exact, jobs=jobs, memory=memory
    )
    each = repeat(None) if masks is None else chain(masks, repeat(NO_MASK))
    shown = (
        Shown(frame, number / rate, mask)
        for number, (frame, mask) in enumerate(zip(frames, each, strict=False))
    )
    return (painted.pixels for painted in painter.paint(shown))


class FilmPainter:
    """Paints the frames of a film; see `paint_frames`."""

    def __init__(
        self,
        model: Model,
        direction: Direction,
        controls: Controls = Controls(),
        *,
        stable: bool = False,
        exact: bool = False,
        jobs: int = 1,
        memory: int | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self._model, self._direction, self._controls = model, direction, controls
        self._painter = model if exact else model.quantized  # Looks are measured exactly.
        self._stabilizer = Stabilizer() if stable else None
        self._jobs = jobs
        self._memory = memory_limit(model, memory) // jobs
        self._field: StyleField | None = None
        self._notice = notice
        self._plain = 0  # Frames that stay as they are.
        self._follower: Follower | None = None

    def paint(self, frames: Iterable[Shown], state: State | None = None) -> Iterator[Painted]:
        """Repaint frames in their order.

        Args:
            frames: The frames.
            state: What those before them have left, to go on where another run has ended.
        """
        if self._controls.finds_regions:
            from adain.video.following import Follower  # Most films need no networks for it.

            self._follower = Follower(self._controls)
            if state:
                self._follower.resume(state.sighting, state.time)
        if self._stabilizer and state:
            self._stabilizer.resume(to_unit(state.source[..., :3]), to_unit(state.result[..., :3]))
        windows = self._with_looks(_windows(frames, state), state)
        with ThreadPoolExecutor(self._jobs + 1) as pool:
            following = pool.submit(next, windows, None)
            while (window := following.result()) is not None:
                # It is read and measured while this one is painted.
                following = pool.submit(next, windows, None)
                yield from self._paint_window(pool, window)
        if self._notice and self._plain:
            self._notice(f"{self._plain} frames show one colour alone, and stay as they are")
        if self._follower and self._notice and state is None:
            for missed in self._follower.missed:
                self._notice(missed)

    def _paint_window(self, pool: ThreadPoolExecutor, window: _Window) -> Iterator[Painted]:
        nothing: list[Sighting | None] = [None] * len(window.frames)
        sightings = window.sightings or nothing
        given = zip(window.frames, window.looks, sightings, strict=True)
        painted = _ahead(pool, lambda each: self._paint_frame(*each), given, self._jobs)
        last = len(window.frames) - 1
        for i, (frame, pixels) in enumerate(zip(window.frames, painted, strict=True)):
            if self._stabilizer:
                source = to_unit(frame.pixels[..., :3])
                pixels = self._stabilizer(source, pixels, window.begins and i == 0)
            result = to_levels(pixels, frame.pixels.dtype)
            if frame.pixels.shape[2] == 4:
                result = np.concatenate((result, frame.pixels[..., 3:]), axis=2)
            state, look = None, window.looks[-1]
            if i == last and look is not None and window.seen is not None:
                seen = tuple(window.glances[-2 * REACH :])
                state = State(
                    look,
                    window.seen,
                    seen,
                    frame.pixels,
                    result,
                    sightings[-1],
                    frame.time,
                )
            yield Painted(result, frame.time, state)

    def _paint_frame(
        self, frame: Shown, look: Look | None, sighting: "Sighting | None"
    ) -> NDArray[np.float32]:
        if look is None:
            return to_unit(frame.pixels[..., :3])
        if sighting is not None or frame.masks is not None:
            look = self._placed_look(look, frame, sighting)
        style = look.style if isinstance(look.style, StyleStatistics) else look.style.styles[0]
        result = stylize_picture(
            self._painter,
            picture_from_array(frame.pixels, "frame"),
            style,
            controls=self._controls,
            memory=self._memory,
            look=look,
        )
        return result.pixels

    def _placed_look(self, look: Look, frame: Shown, sighting: "Sighting | None") -> Look:
        """Return a look for what a frame shows."""
        own = replace(look, style=self._style([frame], _joined(look.style), [sighting]))
        if look.toward is None:
            return own
        other, share = look.toward
        return replace(own, toward=(self._placed_look(other, frame, sighting), share))

    def _with_looks(self, windows: Iterator[_Window], state: State | None) -> Iterator[_Window]:
        """Yield windows with the look of each of their frames.

        What begins with nothing to see, or fades in, gets the look of what it leads to.
        """
        look, seen = (state.look, state.seen) if state else (None, None)
        begins, waiting = state is None, list[_Window]()
        for part in self._parts(windows, state):
            if state and look is state.look:  # Masks are read again, not kept.
                style = self._style(part.frames[:1], _joined(look.style), [state.sighting])
                look = replace(look, style=style)
            # Behind what shows nothing another scene may fade in.
            begins = begins or part.begins or part.is_flat
            if not begins:
                done = [self._with_look(part, look, seen)]
            elif look is not None and part.is_flat and not waiting:
                yield part.with_look(look, None)  # That before it; no run goes on here.
                continue
            else:
                done = []
                if part.begins and not all(each.is_flat for each in waiting):
                    done, waiting = self._with_first_look(waiting), []
                waiting.append(part)
                if not self._waits(waiting):
                    done += self._with_first_look(waiting)
                    waiting = []
            yield from done
            if done and done[-1].looks[-1] is not None:
                look, seen, begins = done[-1].looks[-1], done[-1].seen, bool(waiting)
        yield from self._with_first_look(waiting)

    def _parts(self, windows: Iterator[_Window], state: State | None) -> Iterator[_Window]:
        """Yield windows, cut where style or strength change, with who is in them."""
        shape: tuple[int, ...] | None = state.source.shape if state else None
        for window in windows:
            for frame in window.frames:
                shape = shape or frame.pixels.shape
                if frame.pixels.shape != shape:
                    raise ValueError(f"frames differ in shape: {shape}, {frame.pixels.shape}")
            if self._follower:
                pixels, times, _ = zip(*window.frames, strict=True)
                sightings = self._follower.follow(pixels, times, window.begins)
                window = replace(window, sightings=sightings)
            yield from self._turns(window)

    def _waits(self, waiting: Sequence[_Window]) -> bool:
        """Return whether the look of windows is that of what comes after them."""
        moments = [self._direction.at(frame.time) for each in waiting for frame in each.frames]
        if len(waiting) > AHEAD or not all(_same(a, b) for a, b in pairwise(moments)):
            return False
        seen = [each for each in waiting if not each.is_flat]
        return not seen or (len(seen) == 1 and waiting[-1].rises)

    def _with_first_look(self, windows: Sequence[_Window]) -> list[_Window]:
        """Return windows with one look; those that show nothing have none, and stay as they are."""
        if all(each.is_flat for each in windows):
            self._plain += sum(len(each.frames) for each in windows)
            return [each.with_look(None, None) for each in windows]
        joined = _Window(
            [frame for each in windows for frame in each.frames],
            [glance for each in windows for glance in each.glances],
            True,
            [sighting for each in windows for sighting in each.sightings],
        )
        look, seen = self._measured(joined, FIRST_MEASURED)
        return [each.with_look(look, seen) for each in windows]

    def _turns(self, window: _Window) -> Iterator[_Window]:
        """Cut a window where style or strength change, so that they change evenly in each part."""
        moments = [self._direction.at(frame.time) for frame in window.frames]
        turning = any(not _same(a, b) for a, b in pairwise(moments))
        size = TURN if turning else len(window.frames)
        for start in range(0, len(window.frames), size):
            part = slice(start, start + size)
            yield replace(
                window,
                frames=window.frames[part],
                glances=window.glances[part],
                sightings=window.sightings[part],
                begins=window.begins and start == 0,
            )

    def _with_look(self, window: _Window, look: Look | None, seen: Glance | None) -> _Window:
        """Return a window with its looks, given that of the frame before and what it was of."""
        assert look is not None and seen is not None
        count = len(window.frames)
        moment = self._direction.at(window.frames[-1].time)
        now = _common([window.glances[i] for i in _telling(window.glances, LATER_MEASURED)])
        if _paints(look, moment) and (is_same(now, seen) or now.is_fade_of(seen)):
            return window.with_look(look, seen)
        following, now = self._measured(window, LATER_MEASURED)
        looks = [look.blend(following, (i + 1) / count) for i in range(count)]
        return replace(window, looks=looks, seen=now)

    def _measured(self, window: _Window, count: int) -> tuple[Look, Glance]:
        """Return the look of some frames of a window, and what they have in common."""
        measured = _telling(window.glances, count)
        moment = self._direction.at(window.frames[-1].time)
        frames = [window.frames[i] for i in measured]
        pictures = list(map(self._working, frames))
        sightings = [window.sightings[i] for i in measured] if window.sightings else []
        style = self._style(frames, moment.style, sightings)
        look = measure_look(
            self._model,
            pictures,
            style,
            moment.alpha,
            self._controls,
            self._memory,
            self._painter,
        )
        return look, _common([window.glances[i] for i in measured])

    def _working(self, frame: Shown) -> Picture:
        """Return a frame at the size at which it is painted."""
        picture = picture_from_array(frame.pixels, "frame")
        side = max(picture.width, picture.height)
        return scale_image(picture, working_side(side, side, self._controls.stroke))

    def _style(
        self,
        frames: Sequence[Shown],
        style: StyleStatistics,
        sightings: "Sequence[Sighting | None]",
    ) -> Style:
        """Return what holds where, as masks and sightings say, of a style or one for each part.

        Args:
            frames: One or more; what holds where is what does on their average.
            style: A style, or one for each part.
            sightings: The faces and people in these frames.
        """
        controls, own = self._controls, [each.masks for each in frames if each.masks is not None]
        styles = style.split() if own or controls.masks or controls.regions else [style]
        picture = picture_from_array(frames[0].pixels, "frame")
        side = max(picture.width, picture.height)
        height, width = scaled_size(picture, working_side(side, side, controls.stroke))
        if self._field is None:
            fixed = replace(controls, keep=NOTHING, only=EVERYWHERE, regions=())
            self._field = style_field(picture, (height, width), styles, fixed)
        field = self._field
        if own:
            strength = field.strength if field else None
            field = StyleField(
                tuple(styles), _mean_masks(own, len(styles), (height, width)), strength
            )
        seen = [each for each in sightings if each is not None]
        if seen:
            from adain.video.following import placed

            field = placed(styles, seen, controls, (height, width), field)
        return style if field is None else replace(field, styles=tuple(styles))


def _mean_masks(
    masks: Sequence[NDArray[Any]], styles: int, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the average of the masks of frames, `(styles, *size)`."""
    shares = np.zeros((styles, *size), np.float32)
    for each in masks:
        if each.ndim != 3 or len(each) != styles:
            raise MaskError(f"expected masks ({styles}, H, W) of a frame, got {each.shape}")
        for share, mask in zip(shares, to_unit(each), strict=True):
            image = Image.fromarray(mask).resize(size[::-1], Image.Resampling.BILINEAR)
            share += np.asarray(image) / len(masks)
    return shares.clip(0, 1)


def _windows(frames: Iterable[Shown], state: State | None) -> Iterator[_Window]:
    """Group frames into windows, each of one shot."""
    before = state.glances if state else ()
    marked = mark_cuts(frames, lambda frame: Glance.of(frame.pixels), before)
    shown: list[Shown] = []
    glances: list[Glance] = []
    begins = state is None
    for frame, glance, cut in marked:
        longest = max(TURN, min(WINDOW, WINDOW_BYTES // frame.pixels.nbytes))
        if shown and (cut or len(shown) >= longest):
            yield _Window(shown, glances, begins)
            shown, glances, begins = [], [], False
        begins = begins or cut
        shown.append(frame)
        glances.append(glance)
    if shown:
        yield _Window(shown, glances, begins)


def _telling(glances: Sequence[Glance], count: int) -> list[int]:
    """Return which frames are measured: evenly spread, of those that show most."""
    most = max(glance.spread for glance in glances)
    among = [i for i, glance in enumerate(glances) if glance.spread >= TELLING * most]
    places = np.linspace(0, len(among) - 1, min(count, len(among)) + 2)[1:-1]
    return sorted({among[round(place)] for place in places})


def _common(glances: Sequence[Glance]) -> Glance:
    """Return what several glances have in common."""
    cells = np.stack([glance.cells for glance in glances]).mean(0)
    reached = np.stack([glance.reached for glance in glances]).mean(0)
    return Glance(cells.astype(np.float32), reached.astype(np.float32))


def is_same(first: Glance, second: Glance) -> bool:
    """Return whether two frames show the same scene, so that one look does for both."""
    return first.moved(second) < MOVED and first.recolored(second) < RECOLORED


def _joined(style: Style) -> StyleStatistics:
    """Return one style, or those of a field beside one another."""
    return style if isinstance(style, StyleStatistics) else stack_styles(style.styles)


def _same(first: Moment, second: Moment) -> bool:
    return first.style is second.style and first.alpha == second.alpha


def _paints(look: Look, moment: Moment) -> bool:
    """Return whether a look was measured for a moment."""
    if look.alpha != moment.alpha:
        return False
    styles = look.style.styles if isinstance(look.style, StyleField) else (look.style,)
    if [style.adapter for style in styles] != [style.adapter for style in moment.style.split()]:
        return False
    vectors = np.concatenate([style.to_vector() for style in styles])
    return np.array_equal(vectors, moment.style.to_vector(), equal_nan=True)


def _ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    count: int,
) -> Iterator[Result]:
    """Yield what becomes of items, in their order; so many are worked on ahead."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
