"""Films: read and written with their times and sound, and never lost."""

import os
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

pytest.importorskip("av")

from films import RATE, drawn, pictures_of, times_of, write_film

from adain.config import Controls
from adain.engine.model import Model
from adain.painting.tiling import measure_pixels
from adain.video import frames as frames_module
from adain.video.direction import Direction
from gallery.errors import FilmError, OutputError
from gallery.use_cases import film_reading, film_scenes
from gallery.use_cases.film_masks import MaskedFilm, is_film
from gallery.use_cases.film_reading import MovieFilm, open_film
from gallery.use_cases.film_scenes import FilmOrder, FilmSource, find_scenes, paint_scenes
from gallery.use_cases.film_writing import Target
from gallery.use_cases.video import Report, VideoConfig, expected_frames, paint_film

WHOLE = VideoConfig()


def paint(
    model: Model,
    source: Path,
    result: str | Path,
    config: VideoConfig = WHOLE,
    advance: Callable[[int], None] = lambda count: None,
    **options: Any,
) -> Report:
    style = measure_pixels(model, drawn(7)[..., ::-1].astype(np.float32) / np.float32(255))
    film = open_film(source, **options)
    target, direction = Target.parse(str(result)), Direction(((0.0, style),))
    return paint_film(model, film, target, direction, Controls(), config, {}, advance)


def test_times_length_and_sound_are_kept(tiny_model: Model, tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4")
    report = paint(tiny_model, source, tmp_path / "b.mp4")
    assert (report.frames, report.width, report.height) == (40, 64, 48)
    assert times_of(tmp_path / "b.mp4") == pytest.approx(times_of(source), abs=1e-6)
    sound = times_of(tmp_path / "b.mp4", "audio")
    assert sound == pytest.approx(times_of(source, "audio"), abs=1e-3)
    assert not (tmp_path / "b.mp4.parts").exists()


def test_variable_rates_are_kept(tiny_model: Model, tmp_path: Path) -> None:
    times = [0, 0.1, 0.15, 0.4, 0.5, 1.25, 1.3, 1.4]
    source = write_film(tmp_path / "a.mp4", 8, times=times)
    paint(tiny_model, source, tmp_path / "b.mp4")
    assert times_of(tmp_path / "b.mp4") == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
def test_containers_take_the_sound_or_have_it_encoded(
    tiny_model: Model, tmp_path: Path, suffix: str
) -> None:
    import av

    source = write_film(tmp_path / "a.mkv", 20, sound="pcm_s16le")
    report = paint(tiny_model, source, tmp_path / f"b{suffix}")
    assert report.frames == 20 and not report.notes
    assert float(open_film(tmp_path / f"b{suffix}").facts.rate) == pytest.approx(RATE, rel=0.1)
    with av.open(str(tmp_path / f"b{suffix}")) as result:
        assert result.streams.video[0].average_rate == pytest.approx(RATE, rel=0.1)
        assert (result.duration or 0) / 1e6 == pytest.approx(20 / float(RATE), abs=0.03)
    times = times_of(tmp_path / f"b{suffix}")
    assert times == pytest.approx([i / float(RATE) for i in range(20)], abs=2e-3)
    sound = times_of(tmp_path / f"b{suffix}", "audio")
    assert sound[-1] == pytest.approx(20 / float(RATE), abs=0.1)


def test_a_part_of_a_film_has_its_part_of_the_sound(tiny_model: Model, tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4", 60)
    config = VideoConfig(start=0.5, end=1.5)
    report = paint(tiny_model, source, tmp_path / "b.mp4", config)
    assert report.frames == 30 == expected_frames(open_film(source), config)
    assert times_of(tmp_path / "b.mp4", "audio")[-1] == pytest.approx(1.0, abs=0.06)
    preview = VideoConfig(every=10)
    assert paint(tiny_model, source, tmp_path / "c.mp4", preview).frames == 6
    assert open_film(tmp_path / "c.mp4").facts.seconds == pytest.approx(60 / RATE, abs=1e-3)
    with pytest.raises(FilmError, match="no frames in that part"):
        paint(tiny_model, source, tmp_path / "d.mp4", VideoConfig(start=9))
    assert not list(tmp_path.glob("d.mp4*"))


def test_films_come_upright_square_and_smaller(tiny_model: Model, tmp_path: Path) -> None:
    wide = write_film(tmp_path / "a.mp4", 3, sample_aspect_ratio=Fraction(2, 1))
    assert open_film(wide).facts.width == 128
    assert paint(tiny_model, wide, tmp_path / "b.mp4", max_side=64).width == 64
    turned = write_film(tmp_path / "turned.mp4", 3)
    data = turned.read_bytes()
    upright = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 2**30)
    quarter = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 48 * 65536, 0, 2**30)
    place = data.index(upright, data.index(b"tkhd"))
    turned.write_bytes(data[:place] + quarter + data[place + 36 :])
    film = open_film(turned)
    assert (film.facts.width, film.facts.height) == (48, 64)
    shown = next(iter(film.frames())).pixels
    clockwise = np.rot90(drawn(0), -1)
    assert np.abs(shown.astype(int) - clockwise).mean() < 12
    assert paint(tiny_model, turned, tmp_path / "d.mp4").width == 48


def test_odd_sizes_lose_a_pixel_in_films_and_none_in_pictures(
    tiny_model: Model, tmp_path: Path
) -> None:
    source = write_film(tmp_path / "a.mkv", 3, 51, 33, codec="ffv1", pix_fmt="yuv444p")
    paint(tiny_model, source, tmp_path / "b.mp4")
    assert pictures_of(tmp_path / "b.mp4")[0].shape == (32, 50, 3)
    paint(tiny_model, source, f"{tmp_path}/frames/")
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["frame_000000.png", "frame_000001.png", "frame_000002.png"]
    with Image.open(tmp_path / "frames" / names[0]) as image:
        assert image.size == (51, 33)
    paint(tiny_model, tmp_path / "frames", tmp_path / "c.mkv", rate=Fraction(12))
    assert times_of(tmp_path / "c.mkv") == pytest.approx([0, 1 / 12, 2 / 12], abs=1e-3)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_keep_times_loops_and_transparency(
    tiny_model: Model, tmp_path: Path, suffix: str
) -> None:
    rows, columns = np.mgrid[:48, :64]
    disc = np.where((rows - 24) ** 2 + (columns - 32) ** 2 < 500, 255, 0).astype(np.uint8)
    images = [Image.fromarray(drawn(4 * i)).convert("RGBA") for i in range(4)]
    for image in images:
        image.putalpha(Image.fromarray(disc))
    source = tmp_path / f"a{suffix}"
    images[0].save(
        source, save_all=True, append_images=images[1:], duration=[100, 200, 300, 100], loop=0,
        disposal=0 if suffix == ".png" else 2,
    )  # fmt: skip
    for end in (".gif", ".webp"):
        paint(tiny_model, source, tmp_path / f"b{end}")
        with Image.open(tmp_path / f"b{end}") as result:
            assert result.info.get("loop") == 0
            durations = [frame.info["duration"] for frame in ImageSequence.all_frames(result)]
            # The encoder of WebP joins frames that look alike, as those of a tiny network do.
            assert durations == [100, 200, 300, 300] or end == ".webp"
            assert sum(durations) in (800, 900)
            shown = np.asarray(result.convert("RGBA"))
            assert shown[0, 0, 3] == 0 and shown[24, 32, 3] == 255
    paint(tiny_model, source, tmp_path / "b.mp4")
    assert len(times_of(tmp_path / "b.mp4")) == 4


def test_what_was_killed_goes_on_and_is_as_if_it_had_not(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "WINDOW", 8)
    source = write_film(tmp_path / "a.mp4", 60)
    config = VideoConfig(segment_seconds=0, stable=True)
    paint(tiny_model, source, tmp_path / "whole.mp4", config)

    done = 0

    def interrupt(count: int) -> None:
        nonlocal done
        done += count
        if done >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paint(tiny_model, source, tmp_path / "b.mp4", config, interrupt)
    assert not (tmp_path / "b.mp4").exists()
    assert len(list((tmp_path / "b.mp4.parts").glob("*.npz"))) == 3
    (tmp_path / "b.mp4.parts" / "000007.partial").write_bytes(b"half")
    report = paint(tiny_model, source, tmp_path / "b.mp4", config)
    assert (report.frames, report.resumed) == (60, 24)
    assert times_of(tmp_path / "b.mp4") == times_of(tmp_path / "whole.mp4")
    sound = (times_of(tmp_path / name, "audio") for name in ("b.mp4", "whole.mp4"))
    assert next(sound) == next(sound)
    for one, other in zip(
        pictures_of(tmp_path / "b.mp4"), pictures_of(tmp_path / "whole.mp4"), strict=True
    ):
        assert np.abs(one.astype(int) - other).mean() < 1


def test_other_settings_begin_anew(tiny_model: Model, tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4", 20)

    def interrupt(count: int) -> None:
        if count:
            raise KeyboardInterrupt

    for config in (VideoConfig(segment_seconds=0), VideoConfig(segment_seconds=0, end=0.5)):
        with pytest.raises(KeyboardInterrupt):
            paint(tiny_model, source, tmp_path / "b.mp4", config, interrupt)
    report = paint(tiny_model, source, tmp_path / "b.mp4", VideoConfig(end=0.5))
    assert report.resumed == 0 and report.frames == 15


def test_bad_films_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a film\n" * 100)
    good = write_film(tmp_path / "good.mp4", 10)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 3])
    still = tmp_path / "still.png"
    Image.new("RGB", (32, 32)).save(still)
    (tmp_path / "empty").mkdir()
    small = write_film(tmp_path / "small.mkv", 2, 8, 8, codec="ffv1", pix_fmt="yuv444p")
    hdr = write_film(tmp_path / "hdr.mkv", 2, color_trc=16)
    for path, words in (
        (text, "not a film"),
        (cut, "not wholly downloaded"),
        (tmp_path / "none.mp4", "no such file"),
        (still, "adain stylize"),
        (tmp_path / "empty", "no pictures"),
        (small, "at least 16"),
        (hdr, "HDR"),
    ):
        with pytest.raises(FilmError, match=words) as caught:
            open_film(path)
        assert "\n" not in str(caught.value)

    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(FilmError, match=r"pip install 'adain\[video\]'"):
        film_reading.import_av()


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=22050)
        tone = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="flt", layout="mono"
        )
        tone.sample_rate = 22050
        output.mux(stream.encode(tone))
        output.mux(stream.encode())
    with pytest.raises(FilmError, match="no video stream"):
        MovieFilm(tmp_path / "sound.mp4")


def test_what_ends_early_or_is_damaged_is_painted_and_told(
    tiny_model: Model, tmp_path: Path
) -> None:
    source = write_film(tmp_path / "a.mkv", 90, sound=None, gop_size=10)
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) * 6 // 10])
    report = paint(tiny_model, source, tmp_path / "b.mp4")
    assert report.incomplete and 20 < report.frames < 80
    broken = bytearray(whole)
    broken[len(whole) // 2 : len(whole) // 2 + 300] = bytes(300)
    source.write_bytes(broken)
    report = paint(tiny_model, source, tmp_path / "c.mp4")
    assert report.frames > 50


def test_a_second_run_waits_its_turn_and_names_are_checked(
    tiny_model: Model, tmp_path: Path
) -> None:
    source = write_film(tmp_path / "a.mp4", 4)
    (tmp_path / "b.mp4").write_bytes(b"mine")
    with pytest.raises(OutputError, match="--overwrite"):
        paint(tiny_model, source, tmp_path / "b.mp4")
    assert (tmp_path / "b.mp4").read_bytes() == b"mine"
    paint(tiny_model, source, tmp_path / "b.mp4", VideoConfig(overwrite=True))
    assert len(times_of(tmp_path / "b.mp4")) == 4
    for name in ("b.avi", "b", "b_%04d.mp4"):
        with pytest.raises(OutputError, match="use"):
            Target.parse(str(tmp_path / name))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_subtitles_and_chapters_go_where_the_film_goes(tiny_model: Model, tmp_path: Path) -> None:
    import av

    source = with_subtitles(write_film(tmp_path / "a.mp4", 20), tmp_path / "s.mkv")
    for suffix, codec in ((".mp4", "mov_text"), (".webm", "webvtt"), (".mkv", "srt")):
        result = tmp_path / f"b{suffix}"
        assert not paint(tiny_model, source, result).notes
        with av.open(str(result)) as container:
            (stream,) = container.streams.subtitles
            assert stream.codec_context.name == codec
            texts = [bytes(packet).lstrip(b"\0\5") for packet in container.demux(stream)]
            assert [text for text in texts if text] == [b"Hello", b"World"]
            assert [each["metadata"]["title"] for each in container.chapters()] == ["One"]
    again = tmp_path / "c.mkv"
    paint(tiny_model, tmp_path / "b.mp4", again)
    with av.open(str(again)) as container:
        assert bytes(next(container.demux(subtitles=0))) == b"Hello"


def with_subtitles(film: Path, result: Path) -> Path:
    """Add two lines and a chapter to a film."""
    import av

    lines = film.with_suffix(".srt")
    lines.write_text(
        "1\n00:00:00,100 --> 00:00:00,300\nHello\n\n2\n00:00:00,400 --> 00:00:00,600\nWorld\n"
    )
    with av.open(str(film)) as one, av.open(str(lines)) as other, av.open(str(result), "w") as to:
        made = [to.add_stream_from_template(stream) for stream in one.streams]
        made.append(to.add_stream_from_template(other.streams[0]))
        to.set_chapters(
            [{"id": 1, "start": 0, "end": 600, "time_base": Fraction(1, 1000),
              "metadata": {"title": "One"}}]
        )  # fmt: skip
        packets = [(each, made[each.stream.index]) for each in one.demux() if each.dts is not None]
        packets += [(each, made[-1]) for each in other.demux() if each.dts is not None]
        for packet, stream in sorted(
            packets, key=lambda each: float(each[0].time_base * (each[0].dts or 0))
        ):
            packet.stream = stream
            to.mux(packet)
    return result


def real_time_threads() -> int:
    """Return how many threads of this process run before all others, on Linux."""
    count = 0
    for thread in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # It has ended meanwhile.
            count += os.sched_getscheduler(int(thread.name)) == os.SCHED_FIFO
    return count


def test_transparent_films_av1_and_lists_of_files(tiny_model: Model, tmp_path: Path) -> None:
    import av

    disc = np.zeros((48, 64), np.uint8)
    disc[12:36, 16:48] = 255
    with av.open(str(tmp_path / "a.webm"), "w") as output:
        stream: Any = output.add_stream("libvpx-vp9", rate=25, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(np.dstack((drawn(number), disc)), format="rgba")
            output.mux(stream.encode(frame.reformat(format="yuva420p")))
        output.mux(stream.encode())
    assert open_film(tmp_path / "a.webm").facts.transparent
    paint(tiny_model, tmp_path / "a.webm", f"{tmp_path}/frames/")
    with Image.open(tmp_path / "frames" / "frame_000003.png") as image:
        alpha = np.asarray(image)[..., 3]
        assert alpha[2, 2] == 0 and alpha[24, 32] == 255
    style = measure_pixels(tiny_model, drawn(7).astype(np.float32) / np.float32(255))
    film, target = open_film(tmp_path / "a.webm"), Target.parse(str(tmp_path / "b.mp4"), "av1")
    recipe: dict[str, Any] = {}
    urgent: list[int] = []
    paint_film(
        tiny_model,
        film,
        target,
        Direction(((0.0, style),)),
        Controls(),
        WHOLE,
        recipe,
        lambda _: urgent.append(real_time_threads()),
    )
    assert set(urgent) == {0}  # For root, SVT-AV1 would keep all others from running.
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == "av1"
    assert len(times_of(tmp_path / "b.mp4")) == 4
    with pytest.raises(OutputError, match="h264 and av1"):
        Target.parse(str(tmp_path / "b.mp4"), "vp9")
    listing = tmp_path / "list.mp4"
    listing.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(FilmError, match="not a film"):
        open_film(listing)
    listing.write_text("ffconcat version 1.0\nfile b.mp4\n")
    with pytest.raises(FilmError, match="not a film"):
        open_film(listing)


def test_masks_may_be_films(tiny_model: Model, tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mkv", 6, codec="ffv1", pix_fmt="bgr0", sound=None)
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in range(4):  # They end early.
        mask = np.zeros((48, 64), np.uint8)
        mask[:, : 16 * number] = 255
        Image.fromarray(mask).save(folder / f"{number}.png")
    assert is_film(folder) and not is_film(folder / "0.png") and is_film(source)
    film = MaskedFilm(open_film(source), [folder], 1, 0.0)
    style = measure_pixels(tiny_model, drawn(7)[..., ::-1].astype(np.float32) / np.float32(255))
    plan, target = Direction(((0.0, style),)), Target.parse(f"{tmp_path}/out/")
    paint_film(tiny_model, film, target, plan, Controls(), WHOLE, {}, lambda count: None)
    for number, edge in ((0, 0), (2, 16), (5, 48)):
        with Image.open(tmp_path / "out" / f"frame_{number:06d}.png") as image:
            changed = np.abs(np.asarray(image).astype(int) - drawn(number)).max(-1) > 3
        assert not changed[:, edge:].any() and (edge == 0 or changed[:, :edge].mean() > 0.5)


def test_runs_share_scenes(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_scenes, "LEAST_SECONDS", 0.0)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(36):
        pixels = drawn(number) if number % 24 < 12 else 255 - drawn(3 * number)[::-1]
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    style = measure_pixels(tiny_model, drawn(7)[..., ::-1].astype(np.float32) / np.float32(255))
    config = VideoConfig(start=0.2)
    plan = Direction(((0.0, style), (0.5, style)), ((0.0, 1.0), (1.0, 0.5)))

    def order(name: str) -> FilmOrder:
        target = Target.parse(f"{tmp_path}/{name}")
        return FilmOrder(FilmSource(folder), target, plan, Controls(), config, {})

    film = open_film(folder)
    assert [each.first for each in find_scenes(film, config)] == [0, 7, 19]
    whole = Target.parse(f"{tmp_path}/whole/")
    paint_film(tiny_model, film, whole, plan, Controls(), config, {}, lambda count: None)
    told: list[int] = []
    helper = paint_scenes(tiny_model, order("shared/"), told.append, join=False)
    assert (helper.frames, sum(told)) == (31, 31)
    (tmp_path / "shared.parts" / "scene-00001" / "done.json").unlink()  # As if it had died.
    report = paint_scenes(tiny_model, order("shared/"), lambda count: None)
    assert (report.frames, report.resumed, report.width) == (31, 19, 64)
    assert not (tmp_path / "shared.parts").exists()
    for path in (tmp_path / "whole").iterdir():
        with Image.open(path) as one, Image.open(tmp_path / "shared" / path.name) as other:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    paint_scenes(tiny_model, order("b.mkv"), lambda count: None)
    assert times_of(tmp_path / "b.mkv") == pytest.approx([i / 25 for i in range(31)], abs=1e-3)
    with pytest.raises(FilmError, match="no frames in that part"):
        late = replace(order("c.mkv"), config=VideoConfig(start=9))
        paint_scenes(tiny_model, late, lambda count: None)
    assert not list(tmp_path.glob("c.mkv*"))
