"""Films that are read: what FFmpeg reads, animations, and folders of pictures.

Frames come upright, with square pixels, of one size, 8 bits a channel, with the time at which they
are shown. Needs the extra `video` for what FFmpeg reads.
"""

import hashlib
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from adain.config import MIN_SIDE
from adain.errors import how_to_install
from adain.imaging.reading import SUFFIXES, load_image
from adain.imaging.resizing import resize_to
from adain.video.frames import RATE, Shown
from gallery.errors import FilmError

ANIMATIONS = (b"GIF8", b"\x89PNG", b"RIFF")
"""Beginnings of what Pillow reads, with its transparency; AVI begins with the last, too."""

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,nut,mxf,gxf,dv,"
    "rm,wtv,ivf,h264,hevc,obu,m4v,gif,apng,yuv4mpegpipe,y4m,bink,smk,roq,flic,swf,mv,nsv,vivo"
)
"""What FFmpeg may take a file for: a list of other files or addresses is no film."""

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""What decodes the transparency of WebM, which FFmpeg's own decoders leave out."""

HDR = {16: "PQ (HDR10)", 18: "HLG"}
"""Transfer functions whose light does not fit into 8 bits."""

ATTACHED_PICTURE = 0x400
"""The flag of streams that are a cover."""

MAX_PIXELS = 2**26
"""Most pixels of a frame: 8192 x 8192."""

MAX_RATE = 480
"""Frames a second beyond which no film is believed to have so many."""

TICKS = Fraction(1, 1000)
"""Seconds of a unit of time in animations."""


@dataclass(frozen=True)
class Facts:
    """The facts about a film before it is read.

    Attributes:
        width: Width of its frames as they come, in pixels.
        height: Height of them.
        rate: Frames a second, on the average.
        frames: How many there are, nearly; None where that is not known.
        seconds: How long it takes; None where that is not known.
        ticks: Seconds of a unit of its times.
        transparent: Whether frames have a fourth channel.
        loops: How often an animation is repeated, 0 for ever.
        primaries: Number of the primary colours in ITU-T H.273; 2 where that is not known.
        transfer: Number of the curve of light, likewise.
    """

    width: int
    height: int
    rate: Fraction
    frames: int | None
    seconds: float | None
    ticks: Fraction
    transparent: bool = False
    loops: int = 0
    primaries: int = 2
    transfer: int = 2


@dataclass
class Damage:
    """Frames that could not be read, counted while frames are read."""

    parts: int = 0
    last: str = ""
    ended: float | None = None


class Film(Protocol):
    """A film that is read.

    Attributes:
        facts: What is known of it.
        path: Where it is.
        sound: The file that has its sound, subtitles and chapters, if it may have any.
    """

    facts: Facts
    path: Path
    sound: Path | None

    @property
    def damage(self) -> Damage:
        """Return what could not be read."""

    def frames(self, start: float = 0.0) -> Iterator[Shown]:
        """Yield the frames that are shown from a time on, in seconds from its beginning."""

    def digest(self) -> str:
        """Return what tells that it is still the same."""


def open_film(path: Path, rate: Fraction | None = None, max_side: int | None = None) -> Film:
    """Open a film.

    Args:
        path: A file, a folder of pictures, or a pattern of their names such as `frame_%05d.png`.
        rate: Frames a second of pictures.
        max_side: Longest side of the frames; larger ones are made smaller.

    Raises:
        FilmError: If it is none, or one that cannot be read here.
        ImageError: If a picture cannot be read.
    """
    if path.is_dir() or re.search(r"%0?\d*d", path.name):
        return PictureFilm(path, rate or Fraction(RATE), max_side)
    if not os.path.lexists(path):
        raise FilmError(f"{path}: no such file or folder; check the path")
    if not path.is_file():
        raise FilmError(f"{path}: is no file that can be read twice; give a file, a folder, or -")
    if _is_animation(path):
        return AnimationFilm(path, max_side)
    return MovieFilm(path, max_side)


def _is_animation(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise FilmError(f"{path}: cannot be read ({error.strerror})") from error
    return head.startswith(ANIMATIONS) and (head[:4] != b"RIFF" or head[8:] == b"WEBP")


def stamps(paths: Sequence[Path]) -> str:
    """Return what tells that files are still the same."""
    digest = hashlib.sha256()
    for path in paths:
        status = os.stat(path)
        digest.update(repr((str(path), status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()


def import_av() -> Any:
    """Return PyAV.

    Raises:
        FilmError: If it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise FilmError(
            f"films need PyAV, which is not installed; run: {how_to_install('video')}"
        ) from error
    av.logging.set_level(av.logging.PANIC)
    os.environ.setdefault("SVT_LOG", "1")  # Else the encoder of AV1 tells its settings.
    return av


def open_container(path: Path) -> Any:
    """Return a film of FFmpeg, open.

    Raises:
        FilmError: If it is none.
    """
    return _container(str(path), str(path))


def piped_container(file: BinaryIO) -> Any:
    """Return a film of FFmpeg that is read once, from its beginning to its end.

    Raises:
        FilmError: If it is none.
    """
    return _container(_Pipe(file), "-")


class _Pipe:
    """A file that cannot go back, nor says that it could."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read


def _container(source: Any, name: str) -> Any:
    av = import_av()
    # A film that names other files or addresses could have their content shown.
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        return av.open(source, options=options)
    except av.FFmpegError as error:
        raise FilmError(
            f"{name}: not a film that FFmpeg can read ({_said(error)}); "
            "it may be another kind of file, damaged or not wholly downloaded"
        ) from error


class MovieFilm:
    """A film that FFmpeg reads: its first video stream."""

    def __init__(self, path: Path, max_side: int | None = None) -> None:
        self._prepare(path)
        with open_container(path) as container:
            self._look(container, max_side)

    def _prepare(self, path: Path) -> None:
        self._av = import_av()
        self.path, self.damage = path, Damage()
        self.sound: Path | None = path

    def _look(self, container: Any, max_side: int | None) -> tuple[Any, Any, Iterator[Any]]:
        """Read the facts; return the stream, its first frame, and the others."""
        stream = _video_stream(self.path, container)
        self._start = beginning(container)
        decoded = self._decoded(container, stream)
        frame = self._first(decoded)
        self._refuse_hdr(frame)
        self._turn = round((frame.rotation or 0) / 90) % 4
        size = _square(frame, stream)
        self._size = _fitted(self.path, *size, max_side)
        alpha = any(component.is_alpha for component in frame.format.components)
        height, width = self._size[::-1] if self._turn % 2 else self._size
        seconds = _seconds(container, stream)
        rates = (stream.average_rate, stream.guessed_rate, Fraction(RATE))
        # Some files have the unit of their times in its place.
        rate = next(each for each in rates if each and each <= MAX_RATE)
        frames = stream.frames or (round(seconds * rate) if seconds else None)
        ticks = Fraction(stream.time_base)
        light = int(frame.color_primaries or 2), int(frame.color_trc or 2)
        self.facts = Facts(width, height, Fraction(rate), frames, seconds, ticks, alpha, 0, *light)
        return stream, frame, decoded

    def digest(self) -> str:
        """See `Film`."""
        return stamps([self.path])

    def frames(self, start: float = 0.0) -> Iterator[Shown]:
        """See `Film`."""
        last = -math.inf
        with open_container(self.path) as container:
            stream = _video_stream(self.path, container)
            stream.thread_type = "AUTO"
            if start > 0:
                with suppress(self._av.FFmpegError):  # Else it is read from its beginning.
                    container.seek(round((start + float(self._start)) * 1_000_000), backward=True)
            for frame in self._decoded(container, stream):
                time = self._time(frame, last)
                if time <= last:
                    continue  # Streams that start anew, or stand still.
                if time >= start - 1e-6:
                    yield Shown(self._pixels(frame), time)
                last = time
        if last > -math.inf:
            self.damage.ended = last

    def _time(self, frame: Any, last: float) -> float:
        if frame.pts is None:
            return max(0.0, last + 1 / float(self.facts.rate)) if last > -math.inf else 0.0
        return float(frame.pts * frame.time_base - self._start)

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield frames; what is damaged is left out, and counted."""
        packets, decode = container.demux(stream), self._decoder(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except self._av.FFmpegError as error:
                self._count(error)
                return
            try:
                yield from decode(packet)
            except self._av.EOFError:
                return
            except self._av.FFmpegError as error:
                self._count(error)

    def _decoder(self, stream: Any) -> Callable[[Any], Any]:
        """Return what decodes packets."""
        name = ALPHA_DECODERS.get(stream.codec_context.name)
        if name is None or stream.metadata.get("alpha_mode") != "1":
            return lambda packet: packet.decode()
        context = self._av.CodecContext.create(name, "r")
        context.extradata = stream.codec_context.extradata

        def decode(packet: Any) -> Any:
            for frame in context.decode(packet if packet.size else None):
                frame.time_base = stream.time_base
                yield frame

        return decode

    def _count(self, error: Exception) -> None:
        self.damage.parts += 1
        self.damage.last = _said(error)

    def _first(self, decoded: Iterator[Any]) -> Any:
        for frame in decoded:
            return frame
        detail = f" ({self.damage.last})" if self.damage.last else ""
        raise FilmError(f"{self.path}: has no frame that can be decoded{detail}")

    def _refuse_hdr(self, frame: Any) -> None:
        kind = HDR.get(int(frame.color_trc or 0))
        if kind:
            raise FilmError(
                f"{self.path}: is HDR, {kind}; convert it to SDR first, with FFmpeg's tonemap say"
            )

    def _pixels(self, frame: Any) -> NDArray[np.uint8]:
        height, width = self._size
        # Without a word about it, small pictures are by the standard of small television.
        space = int(frame.colorspace or 2)
        matrix = {1: "ITU709", 9: "BT2020", 10: "BT2020", 7: "SMPTE240M"}.get(space)
        if matrix is None:
            matrix = "ITU709" if space == 2 and frame.height >= 720 else "ITU601"
        kind = "rgba" if self.facts.transparent else "rgb24"
        shown = frame.reformat(
            width, height, kind, src_colorspace=matrix, interpolation="BICUBIC"
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(shown, self._turn)) if self._turn else shown


class AnimationFilm:
    """A GIF, an animated WebP or PNG."""

    def __init__(self, path: Path, max_side: int | None = None) -> None:
        self.path, self.damage = path, Damage()
        self.sound: Path | None = None
        with self._opened() as image:
            count = int(getattr(image, "n_frames", 1))
            if count < 2:
                raise FilmError(f"{path}: is a single picture; use 'adain stylize' for it")
            self._size = _fitted(path, image.height, image.width, max_side)
            loops = int(image.info.get("loop", 1 if image.format == "GIF" else 0))
            clear = image.format != "GIF" or "transparency" in image.info or image.mode == "RGBA"
        self.facts = Facts(
            self._size[1], self._size[0], Fraction(10), count, None, TICKS, clear, loops
        )

    def digest(self) -> str:
        """See `Film`."""
        return stamps([self.path])

    def frames(self, start: float = 0.0) -> Iterator[Shown]:
        """See `Film`."""
        from PIL import Image

        time = 0.0
        with self._opened() as image:
            for number in range(self.facts.frames or 0):
                try:
                    image.seek(number)
                    shown = image.convert("RGBA" if self.facts.transparent else "RGB")
                except (OSError, EOFError, ValueError, SyntaxError) as error:
                    self.damage.parts, self.damage.last = 1, str(error)
                    break
                if time >= start - 1e-6:
                    if shown.size != self._size[::-1]:
                        shown = shown.resize(self._size[::-1], Image.Resampling.BICUBIC)
                    yield Shown(np.array(shown), time)
                # Browsers show what has no time, or next to none, for a tenth of a second.
                duration = float(image.info.get("duration", 0) or 0)
                time += (duration if duration > 10 else 100.0) / 1000
        self.damage.ended = time

    def _opened(self) -> Any:
        from PIL import Image, UnidentifiedImageError

        try:
            return Image.open(self.path)
        except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
            raise FilmError(
                f"{self.path}: not an animation that can be read; it may be damaged"
            ) from error


@dataclass
class PictureFilm:
    """Pictures of a folder in the order of the numbers in their names."""

    path: Path
    rate: Fraction
    max_side: int | None = None
    damage: Damage = field(default_factory=Damage)
    sound: Path | None = None

    def __post_init__(self) -> None:
        self._files = _numbered(self.path)
        if not self._files:
            raise FilmError(f"{self.path}: no pictures here; give a folder or a pattern of some")
        first = load_image(self._files[0])
        self._size = _fitted(self._files[0], first.height, first.width, self.max_side)
        self.facts = Facts(
            self._size[1],
            self._size[0],
            self.rate,
            len(self._files),
            float(len(self._files) / self.rate),
            1 / self.rate,
            first.opacity is not None,
        )

    def digest(self) -> str:
        """See `Film`."""
        return stamps(self._files)

    def frames(self, start: float = 0.0) -> Iterator[Shown]:
        """See `Film`."""
        first = max(0, math.ceil(start * self.rate - 1e-6))
        for number, file in enumerate(self._files[first:], first):
            picture = resize_to(load_image(file), self._size)
            pixels = picture.to_array()
            if self.facts.transparent and pixels.shape[2] == 3:
                pixels = np.dstack((pixels, np.full(pixels.shape[:2], 255, np.uint8)))
            yield Shown(pixels[..., : 3 + self.facts.transparent], float(number / self.rate))


def _numbered(path: Path) -> list[Path]:
    """Return the pictures of a folder, or those whose names fit a pattern, by their numbers."""
    folder, pattern = (path, None) if path.is_dir() else (path.parent, path.name)
    wanted = None
    if pattern:
        wanted = re.compile(re.sub(r"%0?\\?\d*d", r"\\d+", re.escape(pattern).replace(r"\%", "%")))
    if not folder.is_dir():
        return []
    files = [
        each
        for each in folder.iterdir()
        if each.suffix.lower() in SUFFIXES and not each.name.startswith(".")
        if wanted is None or wanted.fullmatch(each.name)
    ]
    return sorted(files, key=lambda each: [_order(part) for part in re.split(r"(\d+)", each.name)])


def _order(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)


def beginning(container: Any) -> Fraction:
    """Return the time in seconds at which a container begins: its zero."""
    return Fraction(container.start_time or 0, 1_000_000)


def _video_stream(path: Path, container: Any) -> Any:
    # A picture of the cover is a stream, too.
    streams = [each for each in container.streams.video if not _is_cover(each)]
    if not streams:
        raise FilmError(f"{path}: has no video stream; it may be sound only")
    return streams[0]


def _is_cover(stream: Any) -> bool:
    return bool(int(stream.disposition) & ATTACHED_PICTURE)


def _seconds(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None


def _square(frame: Any, stream: Any) -> tuple[int, int]:
    """Return height and width of a frame with square pixels, before it is turned upright."""
    ratio = stream.sample_aspect_ratio or 1
    if not 0.1 < ratio < 10:
        ratio = 1
    return frame.height, max(1, round(frame.width * ratio))


def _fitted(path: Path, height: int, width: int, max_side: int | None) -> tuple[int, int]:
    """Return the size that frames get."""
    if min(height, width) < MIN_SIDE:
        raise FilmError(f"{path}: {width}x{height} pixels; sides must be at least {MIN_SIDE}")
    if height * width > MAX_PIXELS:
        raise FilmError(f"{path}: {width}x{height} pixels are too many; make it smaller first")
    if max_side is None or max(height, width) <= max_side:
        return height, width
    share = max_side / max(height, width)
    return max(MIN_SIDE, round(height * share)), max(MIN_SIDE, round(width * share))


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().splitlines()[0]
