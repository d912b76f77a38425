"""Films for tests: drawn frames that can be told apart, with a tone."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = Fraction(30000, 1001)
SOUND = 22050


def drawn(number: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Return a frame of soft stripes that move by a pixel each."""
    rows, columns = np.mgrid[:height, :width]
    wave = 0.5 + 0.25 * np.sin((columns + number) / 5.0) + 0.2 * np.cos(rows / 7.0)
    colors = wave[..., None] * np.array((250, 160, 90))
    levels: NDArray[np.uint8] = colors.astype(np.uint8)
    return levels


def write_film(
    path: Path,
    count: int = 40,
    width: int = 64,
    height: int = 48,
    *,
    times: list[float] | None = None,
    sound: str | None = "aac",
    codec: str = "libx264",
    rotation: int = 0,
    **context: Any,
) -> Path:
    """Write a film of drawn frames, with a tone as long as it.

    Args:
        path: The file, whose suffix tells the container.
        count: Frames.
        width: Width in pixels.
        height: Height in pixels.
        times: Seconds at which frames are shown; by default `RATE`.
        sound: Codec of the tone; None for silence.
        codec: Codec of the frames.
        rotation: Degrees by which players turn the film.
        context: What is set on the encoder.
    """
    import av

    with av.open(str(path), "w") as output:
        video: Any = output.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt = width, height, context.pop("pix_fmt", "yuv420p")
        ticks = Fraction(1, 30000)
        video.codec_context.time_base = ticks
        for name, value in context.items():
            setattr(video.codec_context, name, value)
        audio: Any = output.add_stream(sound, rate=SOUND) if sound else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(drawn(number, width, height), format="rgb24")
            frame.time_base = ticks
            shown = times[number] if times else number / RATE
            frame.pts = round(shown / ticks)
            output.mux(video.encode(frame))
        output.mux(video.encode())
        if audio is not None:
            length = times[-1] if times else count / float(RATE)
            samples = np.sin(np.arange(round(length * SOUND)) * 2 * np.pi * 440 / SOUND)
            for start in range(0, len(samples), 1024):
                part = samples[start : start + 1024].astype(np.float32)[None]
                tone = av.AudioFrame.from_ndarray(part, format="flt", layout="mono")
                tone.sample_rate, tone.pts = SOUND, start
                tone.time_base = Fraction(1, SOUND)
                output.mux(audio.encode(tone))
            output.mux(audio.encode())
    return path


def times_of(path: Path, kind: str = "video") -> list[float]:
    """Return the seconds at which the frames, or packets of sound, of a film are shown."""
    import av

    with av.open(str(path)) as container:
        begin = (container.start_time or 0) / 1e6
        if kind == "video":
            return [float(frame.time) - begin for frame in container.decode(video=0)]
        packets = container.demux(audio=0)
        return [float(p.pts * p.time_base) - begin for p in packets if p.pts is not None]


def pictures_of(path: Path) -> list[NDArray[np.uint8]]:
    """Return the frames of a film."""
    import av

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [np.asarray(frame, np.uint8) for frame in frames]
