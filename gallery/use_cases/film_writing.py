"""Films that are written: in segments that a killed run leaves whole, then joined with the sound.

    results ── segments beside the film (NUT, times as they are) ── joined ── the film
                                                   sound, subtitles, chapters of the source ┘

A film that FFmpeg writes is encoded once, in its segments; joining copies. Animations are kept
without loss in between, as they need one palette. Pictures are written at once, one by one.
"""

import heapq
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from adain import files
from adain.imaging.writing import WRITABLE, save_image
from adain.painting.sources import picture_from_array
from gallery.errors import OutputError
from gallery.use_cases.film_reading import Facts, beginning, import_av, open_container

PALETTE_FRAMES = 16
"""Frames that the palette of a GIF is made of."""

PALETTE_SIDE = 256
"""Longer side of these frames in pixels."""

WEBP = (("quality", "90"), ("compression_level", "3"))
"""Settings of the encoder of animated WebP."""


@dataclass(frozen=True)
class Container:
    """A container that FFmpeg writes.

    Attributes:
        name: What FFmpeg calls it.
        codec: Encoder of the pictures.
        options: Its settings.
        sounds: Codecs of sound that are copied; None for all.
        sound: Encoder of what cannot be copied.
        subtitles: Codecs of subtitles that are copied.
        text: The codec that other subtitles of text become.
    """

    name: str
    codec: str
    options: tuple[tuple[str, str], ...]
    sounds: frozenset[str] | None
    sound: str
    subtitles: frozenset[str] = frozenset()
    text: str = ""


# Without frames that refer to later ones, segments meet without gaps in their times.
# Else H.264 states the unit of its times as its rate.
X264 = (("crf", "18"), ("preset", "faster"), ("bf", "0"), ("x264-params", "force-cfr=1"))
VP9 = (("crf", "24"), ("b", "0"), ("deadline", "good"), ("cpu-used", "5"), ("row-mt", "1"))
AV1 = (("crf", "28"), ("preset", "8"), ("svtav1-params", "pred-struct=1"))
LOSSLESS = Container("nut", "ffv1", (), frozenset(), "")

_MP4_SOUNDS = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
_MP4 = Container("mp4", "libx264", X264, _MP4_SOUNDS, "aac", frozenset({"mov_text"}), "mov_text")
_IMAGES = frozenset({"dvdsub", "dvd_subtitle", "pgssub", "hdmv_pgs_subtitle", "dvbsub"})

CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": replace(_MP4, name="mov"),
    ".mkv": Container(
        "matroska", "libx264", X264, None, "aac",
        _IMAGES | {"srt", "subrip", "ass", "ssa", "webvtt"}, "srt",
    ),
    ".webm": Container(
        "webm", "libvpx-vp9", VP9, frozenset({"opus", "vorbis"}), "libopus",
        frozenset({"webvtt"}), "webvtt",
    ),
}  # fmt: skip
"""Formats of films, by suffix."""

ANIMATED = {".gif": "gif", ".webp": "libwebp_anim"}
"""Encoders of the animations that are written, by suffix."""

NUMBER = re.compile(r"%(0?\d*)d")

CODECS_OF = {
    suffix: ("vp9", "av1") if suffix == ".webm" else ("h264", "av1") for suffix in CONTAINERS
}
"""Codecs that can be asked for, by suffix."""

_ENCODERS = {"h264": ("libx264", X264), "av1": ("libsvtav1", AV1), "vp9": ("libvpx-vp9", VP9)}

TEXTS = frozenset({"srt", "subrip", "text", "ass", "ssa", "mov_text", "webvtt"})
"""Subtitles of text, which can become one another."""

ASS_FIELDS = 8
"""Fields of a line of ASS before its text."""

ASS_HEADER = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\n\n[Events]\n"
"""Without one, encoders of subtitles do not open."""


@dataclass(frozen=True)
class Target:
    """Where a film goes.

    Attributes:
        path: A file; for pictures their folder.
        pattern: Names of pictures; None for a file.
        codec: One of `CODECS_OF`; None for that of the suffix.
    """

    path: Path
    pattern: str | None = None
    codec: str | None = None

    @staticmethod
    def parse(text: str, codec: str | None = None) -> "Target":
        """Return what a path means.

        Raises:
            OutputError: If no format has its suffix, or it does not take the codec.
        """
        path = Path(text)
        takes = CODECS_OF.get(path.suffix.lower(), ())
        if codec and codec not in takes:
            raise OutputError(
                f"{path}: does not take {codec}; "
                + (
                    f"it takes {' and '.join(takes)}"
                    if takes
                    else f"these do: {', '.join(CODECS_OF)}"
                )
            )
        if NUMBER.search(path.name):
            if path.suffix.lower() not in WRITABLE:
                raise OutputError(f"{path}: no pictures have this suffix; use .png or .jpg")
            return Target(path.parent, path.name)
        if text.endswith("/") or path.is_dir():
            return Target(path, "frame_%06d.png")
        if path.suffix.lower() not in {*CONTAINERS, *ANIMATED}:
            known = ", ".join([*CONTAINERS, *ANIMATED])
            raise OutputError(
                f"{path}: no film has this suffix; use {known}, or a folder with / for pictures"
            )
        return Target(path, None, codec)

    @property
    def keeps_transparency(self) -> bool:
        """Return whether it can be transparent."""
        return self.pattern is not None or self.path.suffix.lower() in ANIMATED

    @property
    def parts(self) -> Path:
        """Return the folder of what is unfinished."""
        return self.path.with_name(f"{self.path.name}.parts")

    @property
    def container(self) -> Container:
        """Return what segments are written as."""
        container = CONTAINERS.get(self.path.suffix.lower(), LOSSLESS)
        if self.codec is None:
            return container
        codec, options = _ENCODERS[self.codec]
        return replace(container, codec=codec, options=options)

    def picture(self, number: int) -> Path:
        """Return the file of a picture."""
        assert self.pattern is not None
        return self.path / NUMBER.sub(lambda found: f"%{found[1]}d" % number, self.pattern, 1)


class Segment:
    """A part of a film that is being written; it gets its name when it is whole.

    Raises:
        OutputError: In every method, if it cannot be written.
    """

    def __init__(self, path: Path, target: Target, facts: Facts, number: int) -> None:
        self.path, self.count = path, 0
        self._target, self._facts, self._number = target, facts, number
        self._partial = path.with_suffix(".partial")
        self._output: Any = None
        self._stream: Any = None

    def add(self, pixels: NDArray[Any], time: float) -> None:
        """Add a frame `(H, W, 3)` or `(H, W, 4)`, uint8, shown at a time in seconds."""
        with writing(self._target.path):
            if self._target.pattern is not None:
                self._save(pixels)
            else:
                self._encode(pixels, time)
        self.count += 1

    def finish(self) -> None:
        """Write what is left, and give it its name."""
        with writing(self._target.path):
            if self._target.pattern is None:
                self._output.mux(self._stream.encode())
                self._output.close()
                self._partial.replace(self.path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._output is not None:
            self._output.close()
        self._partial.unlink(missing_ok=True)

    def _save(self, pixels: NDArray[Any]) -> None:
        file = self._target.picture(self._number + self.count)
        save_image(picture_from_array(pixels), file, format=file.suffix[1:], overwrite=True)

    def _encode(self, pixels: NDArray[Any], time: float) -> None:
        av = import_av()
        container = self._target.container
        if container is not LOSSLESS:
            pixels = even(pixels)
        if self._output is None:
            self._open(pixels)
        kind = "rgba" if pixels.shape[2] == 4 else "rgb24"
        frame = av.VideoFrame.from_ndarray(pixels, format=kind)
        if container is LOSSLESS:
            frame = frame.reformat(format=self._stream.pix_fmt)
        else:
            frame = frame.reformat(
                format="yuv420p", dst_colorspace=matrix_of(pixels), interpolation="BICUBIC"
            )
        frame.pts, frame.time_base = round(time / self._facts.ticks), self._facts.ticks
        self._output.mux(self._stream.encode(frame))

    def _open(self, pixels: NDArray[Any]) -> None:
        av = import_av()
        container = self._target.container
        self._output = av.open(str(self._partial), "w", format="nut")
        stream = self._output.add_stream(container.codec, rate=self._facts.rate)
        stream.width, stream.height = pixels.shape[1], pixels.shape[0]
        stream.pix_fmt = "bgra" if container is LOSSLESS else "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._facts.ticks
        stream.codec_context.framerate = self._facts.rate  # The line above has changed it.
        stream.options = dict(container.options)
        if container is not LOSSLESS:
            standard = 1 if matrix_of(pixels) == "ITU709" else 6
            context, known = stream.codec_context, self._facts
            context.colorspace, context.color_range = standard, 1
            context.color_primaries = standard if known.primaries == 2 else known.primaries
            context.color_trc = standard if known.transfer == 2 else known.transfer
        with _politely():
            stream.codec_context.open()
        self._stream = stream


def even(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return a frame without transparency whose sides are even: each colour is of four pixels."""
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width, :3])


def matrix_of(pixels: NDArray[Any]) -> str:
    """Return the standard by which the colours of a frame are written."""
    return "ITU709" if pixels.shape[0] >= 720 else "ITU601"


@dataclass(frozen=True)
class Joining:
    """The parts of a film.

    Attributes:
        target: Where it goes.
        segments: Its segments in order.
        facts: Of the source.
        source: The file that may have sound.
        start: Seconds of the source at which the film begins.
        end: Seconds at which it ends; None for the end of the source.
        title: What it says about itself; empty for nothing.
    """

    target: Target
    segments: Sequence[Path]
    facts: Facts
    source: Path | None
    start: float
    end: float | None
    title: str = ""

    def write(self, overwrite: bool) -> list[str]:
        """Write the film; return what of the source could not be kept.

        Raises:
            OutputError: If it cannot be written.
        """
        suffix = self.target.path.suffix.lower()
        with writing(self.target.path), files.new_file(self.target.path, overwrite) as file:
            if suffix in ANIMATED:
                self._animate(file, suffix)
                return []
            return self._mux(file)

    def _mux(self, file: BinaryIO) -> list[str]:
        av = import_av()
        container = self.target.container
        options = {"movflags": "+faststart"} if container.name in ("mp4", "mov") else {}
        with (
            av.open(str(self.segments[0])) as first,
            av.open(file, "w", format=container.name, options=options) as output,
        ):
            video = output.add_stream_from_template(first.streams.video[0], opaque=True)
            video.time_base = self.facts.ticks
            sources: list[Iterable[Any]] = [self._pictures(video)]
            lost: list[str] = []
            if self.title:
                output.metadata["comment"] = self.title
            if self.source is None:
                _mux_in_order(output, sources)
                return lost
            with open_container(self.source) as source:
                begin = beginning(source) + Fraction(self.start)
                output.metadata.update(_titles(source.metadata))
                others = list(_others(container, source, lost))
                for kept in others:
                    sources.append(kept.packets(output, self.source, begin, self.end, self.start))
                self._chapters(source, output, begin)
                _mux_in_order(output, [each for each in sources])
            return lost

    def _pictures(self, video: Any) -> Iterator[Any]:
        """Yield the packets of all segments; each lasts until the next, the last as most do."""
        waiting: Any = None
        for packet in self._packets():
            if waiting is not None:
                waiting.duration = packet.pts - waiting.pts
                yield waiting
            packet.stream, waiting = video, packet
        if waiting is not None:
            waiting.duration = max(1, round(1 / self.facts.rate / waiting.time_base))
            yield waiting

    def _packets(self) -> Iterator[Any]:
        av = import_av()
        for segment in self.segments:
            with av.open(str(segment)) as container:
                for packet in container.demux(video=0):
                    if packet.pts is not None:
                        packet.dts = packet.pts  # None is shown out of turn.
                        yield packet

    def _chapters(self, source: Any, output: Any, begin: Fraction) -> None:
        if self.start == 0 and self.end is None and (chapters := source.chapters()):
            output.set_chapters(chapters)

    def _animate(self, file: BinaryIO, suffix: str) -> None:
        av = import_av()
        times = [packet.pts * packet.time_base for packet in self._packets()]
        last = times[-1] - times[-2] if len(times) > 1 else 1 / self.facts.rate
        if suffix == ".gif":
            ticks, convert = Fraction(1, 100), _Palette.of(self._frames(), len(times)).indexed
            # Without a word about it, a GIF is shown once.
            loops = -1 if self.facts.loops == 1 else self.facts.loops
            options = {"loop": str(loops), "final_delay": str(round(last / ticks))}
        else:
            ticks, convert = Fraction(1, 1000), _opaque
            if self.facts.transparent:
                convert = _transparent
            options = {"loop": str(self.facts.loops)}
        with av.open(file, "w", format=suffix[1:], options=options) as output:
            stream = None
            for time, pixels in zip(times, self._frames(), strict=True):
                frame = convert(pixels)
                if stream is None:
                    stream = output.add_stream(ANIMATED[suffix], rate=self.facts.rate)
                    stream.width, stream.height = frame.width, frame.height
                    stream.pix_fmt = frame.format.name
                    stream.time_base = stream.codec_context.time_base = ticks
                    if suffix == ".webp":
                        stream.options = dict(WEBP)
                frame.pts, frame.time_base = round(time / ticks), ticks
                output.mux(stream.encode(frame))
            if stream is not None:
                output.mux(stream.encode())

    def _frames(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of animations, `(H, W, 4)`."""
        av = import_av()
        for segment in self.segments:
            with av.open(str(segment)) as container:
                for frame in container.decode(video=0):
                    yield frame.to_ndarray(format="rgba")


@dataclass(frozen=True, eq=False)
class _Palette:
    """One palette for all frames: with one for each, colours would flicker."""

    image: Any
    colors: NDArray[np.uint8]
    CLEAR = 255

    @staticmethod
    def of(frames: Iterator[NDArray[np.uint8]], count: int) -> "_Palette":
        from PIL import Image

        step = max(1, count // PALETTE_FRAMES)
        kept = []
        for pixels in islice(frames, 0, None, step):
            image = Image.fromarray(pixels[..., :3])
            image.thumbnail((PALETTE_SIDE, PALETTE_SIDE))
            kept.append(np.asarray(image))
        palette = Image.fromarray(np.concatenate(kept)).quantize(
            _Palette.CLEAR, Image.Quantize.MEDIANCUT
        )
        colors = np.zeros((256, 4), np.uint8)  # Alpha, red, green, blue.
        chosen = np.array(palette.getpalette(), np.uint8).reshape(-1, 3)[: _Palette.CLEAR]
        colors[: len(chosen), 1:], colors[: _Palette.CLEAR, 0] = chosen, 255
        return _Palette(palette, colors)

    def indexed(self, pixels: NDArray[np.uint8]) -> Any:
        """Return a frame in these colours; dots that diffuse errors would flicker, too."""
        from PIL import Image

        image = Image.fromarray(pixels[..., :3])
        indexed = np.array(image.quantize(palette=self.image, dither=Image.Dither.NONE))
        indexed[pixels[..., 3] < 128] = self.CLEAR
        return import_av().VideoFrame.from_ndarray((indexed, self.colors), format="pal8")


def _transparent(pixels: NDArray[np.uint8]) -> Any:
    return import_av().VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="bgra")


def _opaque(pixels: NDArray[np.uint8]) -> Any:
    solid = np.ascontiguousarray(pixels[..., :3])
    return import_av().VideoFrame.from_ndarray(solid, format="rgb24").reformat(format="yuv420p")


@dataclass(frozen=True)
class _Kept:
    """A stream of the source that goes into the film."""

    stream: Any
    encoder: str | None

    def packets(
        self, output: Any, source: Path, begin: Fraction, end: float | None, start: float
    ) -> Iterator[Any]:
        """Make its stream in the film at once; return what yields its packets."""
        if self.encoder is None:
            made = output.add_stream_from_template(self.stream, opaque=True)
        elif self.stream.type == "subtitle":
            made = output.add_stream(self.encoder)
            made.time_base = self.stream.time_base
            made.codec_context.subtitle_header = ASS_HEADER
        else:
            made = output.add_stream(self.encoder, rate=_rate(self.stream, self.encoder))
        if language := self.stream.metadata.get("language"):
            made.metadata["language"] = language
        length = None if end is None else Fraction(end) - Fraction(start)
        return self._read(made, source, begin, length)

    def _read(
        self, made: Any, source: Path, begin: Fraction, length: Fraction | None
    ) -> Iterator[Any]:
        with open_container(source) as container:  # Each stream at its own pace.
            stream = container.streams[self.stream.index]
            copied = _rising(_shifted(container.demux(stream), begin, length))
            if stream.type == "subtitle" and self.encoder is not None:
                copied = _texts(copied, stream.codec_context.name, self.encoder)
            if stream.type == "subtitle" or self.encoder is None:
                for packet in copied:
                    packet.stream = made
                    yield packet
            else:
                yield from _encoded(copied, made)


def _shifted(packets: Iterable[Any], begin: Fraction, length: Fraction | None) -> Iterator[Any]:
    """Yield the packets of a part of a film, at their times in it."""
    av = import_av()
    iterator = iter(packets)
    while True:
        try:
            packet = next(iterator)
        except (StopIteration, av.FFmpegError):
            return
        if packet.pts is None or packet.dts is None:
            continue
        time = packet.pts * packet.time_base - begin
        # What comes first may be silence that decoders need; it has a time before the beginning.
        if (begin > 0 and time < 0) or (length is not None and time >= length):
            continue
        shift = round(begin / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        yield packet


def _rising(packets: Iterable[Any]) -> Iterator[Any]:
    """Yield packets whose times rise; damage makes single ones stand out."""
    last: int | None = None
    waiting: Any = None
    for packet in packets:
        if last is not None and packet.dts < last:
            continue
        if waiting is not None and waiting.dts <= packet.dts:
            last = waiting.dts + (waiting.stream.type != "subtitle")
            yield waiting
            if packet.dts < last:
                waiting = None
                continue
        waiting = packet
    if waiting is not None:
        yield waiting


def _texts(packets: Iterable[Any], codec: str, wanted: str) -> Iterator[Any]:
    """Yield subtitles of text in another codec."""
    av = import_av()
    for packet in packets:
        data = bytes(packet)
        if codec == "mov_text":
            data = data[2 : 2 + int.from_bytes(data[:2], "big")]
        elif codec in ("ass", "ssa"):
            line = data.split(b",", ASS_FIELDS)[-1].replace(rb"\N", b"\n")
            data = re.sub(rb"\{[^}]*\}", b"", line)
        if not data:
            continue  # So that codec says that nothing is shown.
        if wanted == "mov_text":
            data = len(data).to_bytes(2, "big") + data
        made = av.Packet(data)
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.time_base = packet.time_base
        yield made


def _encoded(packets: Iterable[Any], made: Any) -> Iterator[Any]:
    """Yield sound in another codec."""
    av = import_av()
    resampler = av.AudioResampler(made.format, made.layout, made.rate)
    for packet in packets:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            frame.pts = packet.pts if frame.pts is None else frame.pts
            for each in resampler.resample(frame):
                yield from made.encode(each)
    for each in resampler.resample(None):
        yield from made.encode(each)
    yield from made.encode(None)


def _others(container: Container, source: Any, lost: list[str]) -> Iterator[_Kept]:
    """Yield the sound and subtitles of a source that go into a film."""
    for stream in source.streams.audio:
        codec = stream.codec_context.name
        copied = container.sounds is None or codec in container.sounds
        yield _Kept(stream, None if copied else container.sound)
    for stream in source.streams.subtitles:
        codec = stream.codec_context.name
        if codec in container.subtitles:
            yield _Kept(stream, None)
        elif codec in TEXTS and container.text:
            yield _Kept(stream, container.text)
        else:
            lost.append(f"subtitles of the kind {codec} do not fit into {container.name}")


def _mux_in_order(output: Any, streams: Sequence[Iterable[Any]]) -> None:
    """Write packets of several streams by their times, or one would be kept in memory whole."""

    def timed(number: int, packets: Iterable[Any]) -> Iterator[tuple[float, int, int, Any]]:
        for count, packet in enumerate(packets):
            yield float(packet.dts * packet.time_base), number, count, packet

    for *_, packet in heapq.merge(*(timed(i, each) for i, each in enumerate(streams))):
        output.mux(packet)


def _rate(stream: Any, encoder: str) -> int:
    return 48000 if encoder == "libopus" else int(stream.codec_context.sample_rate)


def _titles(metadata: dict[str, str]) -> dict[str, str]:
    """Return what a film says about itself; never its place."""
    kept = ("title", "artist", "album", "date", "copyright", "genre", "description")
    return {name: value for name, value in metadata.items() if name.lower() in kept}


@contextmanager
def _politely() -> Iterator[None]:
    """Keep threads out of real time: for root, SVT-AV1 takes its own and the caller there.

    They, and every process that is begun by them, would keep all others from running.
    """
    threads = Path("/proc/self/task")
    if not threads.is_dir():  # Not on Linux.
        yield
        return
    policy = os.sched_getscheduler(0)
    try:
        yield
    finally:
        for thread in (int(each.name) for each in threads.iterdir()):
            with suppress(OSError):  # It has ended meanwhile.
                if os.sched_getscheduler(thread) == os.SCHED_FIFO != policy:
                    os.sched_setscheduler(thread, policy, os.sched_param(0))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make what fails while a film is written one line."""
    try:
        yield
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already; add --overwrite to replace it") from error
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); check the folder and the "
            "free space, then give the same command again: it goes on"
        ) from error
    except import_av().FFmpegError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error
