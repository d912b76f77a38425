import errno
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from drawings import (
    ALPHA,
    COLORS,
    SMOOTH,
    WIDTH,
    converted,
    encoded,
    levels,
    picture_of,
    with_alpha,
)
from PIL import Image

from adain.errors import ImageError, ImageExistsError
from adain.imaging.pillow import from_image, to_image
from adain.imaging.reading import load_image
from adain.imaging.writing import OUTPUT_FORMATS, WRITABLE, encode_image, save_image


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_every_output_format_is_read_back(format: str) -> None:
    data = encode_image(SMOOTH, format.upper())
    with Image.open(BytesIO(data)) as image:
        assert image.format == format.upper()
        profile = image.info.get("icc_profile", bytes(128))
    assert (b"acsp" in profile) == (format != "bmp")
    assert profile[24:36] == bytes(12), "a date would make every file another one"
    tolerance = 0 if format in ("png", "tiff", "bmp") else 3
    assert abs(levels(load_image(data)).round() - COLORS).mean() <= tolerance
    assert encode_image(SMOOTH, format) == data


@pytest.mark.parametrize("format", ["jpeg", "avif"])
def test_lossy_formats_keep_chroma_at_full_size(format: str) -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    assert (
        abs(levels(load_image(encode_image(Image.fromarray(stripes), format))) - stripes).mean() < 9
    )


def test_quality_changes_the_size() -> None:
    noise = to_image(picture_of(64, 64).pixels)
    for format in ("jpeg", "webp", "avif"):
        assert len(encode_image(noise, format, 50)) < len(encode_image(noise, format, 95))


@pytest.mark.parametrize("format", ["jpg", "bmp"])
def test_formats_without_transparency_lay_the_image_on_white(format: str) -> None:
    pixels = levels(load_image(encode_image(with_alpha(ALPHA), format)))
    expected = 255 + (COLORS - 255.0) * ALPHA[..., None] / 255
    assert abs(pixels - expected).mean() < 2


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_metadata_of_the_source_is_not_written(format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET"
    source = encoded(SMOOTH, "JPEG", exif=exif, comment="SECRET", xmp=b"<x>SECRET</x>")
    with Image.open(BytesIO(source)) as image:
        image.info["transparency"] = (1, 2, 3)
        data = encode_image(image, format)
        assert image.info["comment"] == b"SECRET"
    assert b"SECRET" not in data
    assert load_image(data).transparency is None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16", "F", "HSV"])
def test_images_of_other_modes_are_converted(mode: str) -> None:
    image = Image.new("I;16", (20, 20), 30000) if mode == "I;16" else converted(mode)
    again = load_image(encode_image(image, "png"))
    assert np.array_equal(again.pixels, from_image(image).pixels)


@pytest.mark.parametrize("format", ["gif", "psd", "", "JPEG 2000"])
def test_an_unknown_output_format_names_the_known_ones(format: str) -> None:
    with pytest.raises(ImageError, match=r"no output format .*; use one of jpeg, png, webp"):
        encode_image(SMOOTH, format)


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_out_of_range_is_a_value_error(quality: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 100"):
        encode_image(SMOOTH, "jpeg", quality)


def test_a_size_that_the_format_cannot_hold_is_an_image_error(tmp_path: Path) -> None:
    path = tmp_path / "wide.webp"
    with pytest.raises(ImageError, match=r"wide\.webp: cannot encode 16384x16 .* use png"):
        save_image(Image.new("RGB", (16384, 16)), path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_the_suffix_decides_the_format(suffix: str, tmp_path: Path) -> None:
    save_image(SMOOTH, tmp_path / f"a{suffix.upper()}")
    assert os.listdir(tmp_path) == [f"a{suffix.upper()}"]
    assert load_image(tmp_path / f"a{suffix.upper()}").width == WIDTH


def test_the_format_may_differ_from_the_suffix(tmp_path: Path) -> None:
    save_image(SMOOTH, tmp_path / "a", format="png")
    assert (tmp_path / "a").read_bytes() == encode_image(SMOOTH, "png")


def no_hard_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["hard links", "no hard links"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a file system that has hard links, and on one that has none."""
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", no_hard_links)
    return tmp_path


def test_an_existing_file_is_kept_unless_overwriting_is_allowed(folder: Path) -> None:
    path = folder / "a.png"
    save_image(SMOOTH, path)
    first = path.read_bytes()
    with pytest.raises(ImageExistsError, match=r"a\.png: exists already; choose another name"):
        save_image(Image.new("RGB", (20, 20)), path)
    assert path.read_bytes() == first
    save_image(Image.new("RGB", (20, 20)), path, overwrite=True)
    assert path.read_bytes() != first
    assert os.listdir(folder) == ["a.png"]


def test_a_file_that_appears_meanwhile_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "a.png"
    monkeypatch.setattr(os, "fsync", lambda _: path.write_bytes(b"other"))
    with pytest.raises(ImageExistsError):
        save_image(SMOOTH, path)
    assert path.read_bytes() == b"other"
    assert os.listdir(folder) == ["a.png"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), MemoryError(), KeyboardInterrupt()],
    ids=["disk full", "memory", "interrupt"],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_folder_as_it_was(
    call: str,
    error: BaseException,
    overwrite: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    path = tmp_path / "a.png"
    if overwrite:
        path.write_bytes(b"before")
    monkeypatch.setattr(os, "link", no_hard_links)
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ImageError if isinstance(error, OSError) else type(error)) as caught:
        save_image(SMOOTH, path, overwrite=overwrite)
    if isinstance(error, OSError):
        assert "a.png: cannot be written (No space left on device); check" in str(caught.value)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"before"] * overwrite


def test_a_write_that_the_system_cuts_short_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = to_image(picture_of(200, 200).pixels)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(ImageError, match="File too large"):
            save_image(noise, tmp_path / "a.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_folder_is_an_image_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ImageError, match="Permission denied"):
        save_image(SMOOTH, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/a.png", "No such file or directory"),
        ("file/a.png", "Not a directory"),
        ("x" * 400 + ".png", "File name too long"),
        ("null\0.png", "not a valid path"),
    ],
)
def test_a_path_that_cannot_be_written_is_one_line_with_a_remedy(
    path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(ImageError) as caught:
        save_image(SMOOTH, Path(path))
    name = path if path.isprintable() else ascii(path)
    assert str(caught.value) == (
        f"{name}: cannot be written ({reason}); check that its folder exists, its permissions "
        "and the free space"
    )
    assert os.listdir() == ["file"]


def test_a_folder_or_device_is_never_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(ImageError, match="not a regular file"):
            save_image(SMOOTH, path, format="png", overwrite=True)
    assert not Path(os.devnull).is_file()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_permissions_follow_the_umask(mask: int, mode: int, folder: Path) -> None:
    before = os.umask(mask)
    try:
        save_image(SMOOTH, folder / "a.png")
    finally:
        os.umask(before)
    assert (folder / "a.png").stat().st_mode & 0o777 == mode
