"""Files and Pillow images to tensors in [0, 1] and back.

    file, bytes, stream ── load_image ──┐
    Pillow image ───────── from_image ──┴─ Picture ── resize_image ── the network
    file ── save_image ── encode_image ──── Picture ── gather_rows ── strips of its result

A loaded picture is upright, in sRGB, of 8 or 16 bits a channel as its file. HEIC is read with the
extra `heic`. Pictures are worked on strip by strip: beside the levels of a print,
nothing of its size is in memory.
"""

import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from adain import deep
from adain.conversion import (
    fill_clear,
    is_srgb,
    scale_grey,
    split_alpha,
    srgb_conversion,
    srgb_profile,
    turn_levels_upright,
    turn_upright,
)
from adain.errors import ImageError, ImageExistsError, ImageTooLargeError
from adain.files import new_file, one_line, reason
from adain.metadata import Facts, Notes, read_facts
from adain.model import MIN_SIDE
from adain.strokes import Enlarged

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
"""What is read, decided by the content of a file; of animations the first frame."""

_ENCODER_OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"subsampling": "4:4:4"},  # Chroma at full size: brush strokes are coloured edges.
    "png": {},
    "webp": {},
    "tiff": {},
    "bmp": {},
    "avif": {"subsampling": "4:4:4"},
}

OUTPUT_FORMATS = tuple(_ENCODER_OPTIONS)

_ALIASES = {"jpg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "tif": "tiff"}

WRITABLE = frozenset(f".{name}" for name in (*OUTPUT_FORMATS, *_ALIASES))
"""Suffixes that name an output format, in lower case."""

SUFFIXES = WRITABLE | {".gif", ".heic", ".heif"}
"""Suffixes that pictures usually have, in lower case: for searching folders."""

STRIP_PIXELS = 2**18
"""Pixels that are converted at a time."""

LARGE_PIXELS = 2**24
"""A result of more pixels is kept in 16 bits a channel: half the memory, and as good as exact."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
"""What files of phones call themselves, at byte 8."""


@dataclass(frozen=True)
class ImageLimits:
    """What `load_image` accepts; all but `max_bytes` are checked on the header.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height. Pillow itself refuses everything above 178,956,970.
        max_side: Longer side in pixels; 65,535 is what a JPEG can hold.
        min_side: Shorter side in pixels; the network needs this much.
        max_aspect: Longer side over shorter side.
    """

    max_bytes: int = 512 * 2**20
    max_pixels: int = 178_000_000
    max_side: int = 65_535
    min_side: int = MIN_SIDE
    max_aspect: float = 50


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, in as little memory as its file needs.

    Attributes:
        levels: Colours, shape `(1, 3, H, W)`, sRGB, not multiplied by transparency: floating
            point in [0, 1], or uint8 or uint16, where the largest number is white.
        opacity: Alpha channel `(1, 1, H, W)` of any of these types: 0 is clear, the largest is
            opaque. None when the whole picture is opaque.
        name: What error messages call it.
        facts: What its file says about the photo; never its place.
        change: What is added to the colours, kept small until they are read.
    """

    levels: Tensor
    opacity: Tensor | None = None
    name: str = "picture"
    facts: Facts = field(default_factory=dict)
    change: Enlarged | None = None

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return self.levels.shape[3]

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return self.levels.shape[2]

    @property
    def is_large(self) -> bool:
        """Return whether it takes much memory; see `LARGE_PIXELS`."""
        return self.height * self.width > LARGE_PIXELS

    @property
    def shape(self) -> tuple[int, ...]:
        """Return `(H, W, 3)`."""
        return (self.height, self.width, 3)

    @property
    def pixels(self) -> Tensor:
        """Return all colours, shape `(1, 3, H, W)`, floating point in [0, 1]."""
        return self.rows(0, self.height)

    @property
    def transparency(self) -> Tensor | None:
        """Return the alpha channel, shape `(1, 1, H, W)`, floating point in [0, 1]."""
        return None if self.opacity is None else to_unit(self.opacity)

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the colours of some rows, shape `(1, 3, bottom - top, W)`, in [0, 1]."""
        strip = to_unit(self.levels[:, :, top:bottom])
        if self.change is None:
            return strip
        change = self.change[top:bottom].permute(2, 0, 1)[None].to(strip)
        return change.add_(strip).clamp_(0, 1)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return the levels of some rows, shape `(h, W, 3)`."""
        levels = self.levels[:, :, rows]
        if self.change is not None:
            levels = self.rows(*rows.indices(self.height)[:2])
        return levels[0].permute(1, 2, 0).numpy()


def to_unit(levels: Tensor) -> Tensor:
    """Return levels of any type as floating point in [0, 1]."""
    if levels.is_floating_point():
        return levels
    return levels.float().div_(torch.iinfo(levels.dtype).max)


def row_ranges(height: int, width: int, pixels: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the first row of each strip of a picture, and the one behind its last."""
    rows = max(1, (pixels or STRIP_PIXELS) // width)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def result_type(height: int, width: int) -> torch.dtype:
    """Return the type of the levels of a result that is not read from a file."""
    return torch.float32 if height * width <= LARGE_PIXELS else torch.uint16


def gather_rows(strips: Iterable[Tensor], height: int, width: int) -> Tensor:
    """Return the levels `(1, 3, H, W)` of a result that comes in strips `(1, 3, h, W)`."""
    dtype = result_type(height, width)
    levels = torch.empty((height, width, 3), dtype=dtype).permute(2, 0, 1)[None]
    top = 0
    for strip in strips:
        levels[:, :, top : top + strip.shape[2]] = to_levels(strip, dtype)
        top += strip.shape[2]
    return levels


def to_levels(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return colours in [0, 1] as levels of a type, clamped and rounded; see `Picture`.

    Raises:
        ImageError: If a value is not finite.
    """
    if dtype.is_floating_point:
        return pixels.to(dtype)
    pixels = _finite(pixels.float().cpu())
    # Truncation would darken the whole picture by half a level.
    return pixels.clamp(0, 1).mul_(torch.iinfo(dtype).max).round_().to(dtype)


def _finite(pixels: Tensor) -> Tensor:
    # The sum is finite if all values are, and much faster to look at.
    if not pixels.sum().isfinite() and not pixels.isfinite().all():
        raise ImageError("the pixels are not finite numbers; check the weights and the strength")
    return pixels


def load_image(
    source: Path | str | bytes | BinaryIO,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
    side: int | None = None,
) -> Picture:
    """Decode a picture: upright, in sRGB, transparency apart.

    PNG and TIFF of 16 bits a channel are read as such; as 8 bits if they have another profile
    than sRGB, a colour that is clear, or, in TIFF, LZW, tiles or planes.

    Args:
        source: Path of a file, its bytes, or a stream, which is read but not closed.
        limits: What to refuse before any pixel is decoded.
        name: What error messages call the picture; by default the path as given.
        side: Pixels of the longer side that are needed. A JPEG of twice as many or more is decoded
            at a half, a quarter or an eighth of its size, in about half the time.

    Raises:
        ImageTooLargeError: If it exceeds a limit.
        ImageError: If it is missing, unreadable, empty, damaged, incomplete, in another format,
            too small or too thin.
    """
    name = picture_name(source, name)
    with _opened(source, limits, name) as (image, data):
        if side is not None and side < max(image.size):
            scale = side / max(image.size)
            image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
        return _read_deep(image, data, name) or from_image(image, name)


def picture_name(source: Path | str | bytes | BinaryIO, name: str | None = None) -> str:
    """Return what messages call a picture: the name given, else its path."""
    return one_line(name or (str(source) if isinstance(source, str | Path) else "picture"))


def from_image(image: Image.Image, name: str = "picture") -> Picture:
    """Convert a Pillow image of any mode: upright, in sRGB, transparency apart.

    16-bit grey is divided by 257. Modes I and F do not say what white is, so it is the smallest
    of 1 (F alone), 255 and 65535 that no value exceeds; if there is none, or a value is negative,
    the range of the values is stretched to [0, 1]. Pillow has 16-bit colour as 8-bit.

    Raises:
        ImageError: If it cannot be decoded, or holds values that are not finite.
    """
    with _decoding(name):
        return _picture(*_decode(image, name), image, name)


def resize_image(picture: Picture, max_side: int) -> Picture:
    """Shrink a picture so that its longer side is `max_side` pixels; never enlarge it.

    The shorter side keeps at least 16 pixels, if need be at the cost of the aspect ratio.
    """
    return scale_image(picture, min(max_side, max(picture.width, picture.height)))


def resize_shorter_side(picture: Picture, side: int) -> Picture:
    """Shrink a picture so that its shorter side is `side` pixels; never enlarge it."""
    shorter = min(picture.width, picture.height)
    return resize_to(picture, scaled_size(picture, min(side, shorter), shorter))


def scale_image(picture: Picture, side: int) -> Picture:
    """Shrink or enlarge a picture so that its longer side is `side` pixels."""
    return resize_to(picture, scaled_size(picture, side))


def scaled_size(picture: Picture, side: int, old: int | None = None) -> tuple[int, int]:
    """Return the height and width of a picture whose longer side becomes `side` pixels.

    Args:
        picture: The picture as it is.
        side: At least 16 pixels. So has the shorter side then, if need be at the cost of the
            aspect ratio.
        old: The side that becomes `side`; by default the longer one.
    """
    old = old or max(picture.width, picture.height)
    if side < MIN_SIDE and side != old:
        raise ValueError(f"the side must be at least {MIN_SIDE} pixels, got {side}")
    height, width = (
        max(min(MIN_SIDE, each), round(each * side / old))
        for each in (picture.height, picture.width)
    )
    return height, width


def resize_to(picture: Picture, size: tuple[int, int]) -> Picture:
    """Scale a picture to a height and width, by bicubic interpolation without aliases."""
    old = (picture.height, picture.width)
    if size == old:
        return picture
    if picture.levels.dtype == torch.uint8 and picture.opacity is None and picture.change is None:
        # Rounded to levels once more, which nobody sees, in a sixth of the time.
        levels = F.interpolate(picture.levels, size, mode="bicubic", antialias=True)
        return replace(picture, levels=levels)

    def scale(rows: RowReader) -> Tensor:
        return scale_rows(rows, old, size).clamp_(0, 1)

    if picture.opacity is None:
        return replace(picture, levels=scale(picture.rows), change=None)
    opacity = picture.opacity

    def alpha(top: int, bottom: int) -> Tensor:
        return to_unit(opacity[:, :, top:bottom])

    # Weighing by transparency keeps the fill of clear pixels out of the edges.
    transparency = scale(alpha)
    visible = scale(lambda *rows: picture.rows(*rows) * alpha(*rows)) / transparency
    pixels = torch.where(transparency > 0.5 / 255, visible, scale(picture.rows)).clamp_(0, 1)
    return replace(picture, levels=pixels, opacity=transparency, change=None)


RowReader = Callable[[int, int], Tensor]
"""What gives rows `(N, C, bottom - top, W)` of a picture for `top` and `bottom`."""


def scale_rows(rows: RowReader, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Scale what is read row by row, without aliases; first all widths, then the heights.

    Args:
        rows: Gives the rows.
        old: Height and width.
        new: Height and width of the result.
    """
    scale = partial(F.interpolate, mode="bicubic", antialias=True)
    strips = []
    for top, bottom in row_ranges(*old, 4 * STRIP_PIXELS):
        strip, size = rows(top, bottom), (bottom - top, new[1])
        strips.append(strip if old[1] == new[1] else scale(strip, size))
    narrow = torch.cat(strips, 2)
    return narrow if old[0] == new[0] else scale(narrow, new)


def to_image(pixels: Tensor | Picture, transparency: Tensor | None = None) -> Image.Image:
    """Convert a picture or its pixels to an RGB image, or to RGBA if it is not opaque.

    Args:
        pixels: A picture, or shape `(1, 3, H, W)` or `(3, H, W)`; values beyond [0, 1] are
            clamped.
        transparency: Alpha channel of the same height and width, unless a picture is given.

    Raises:
        ValueError: If the shapes are others.
        ImageError: If a value is not finite.
    """
    if not isinstance(pixels, Picture):
        pixels = _checked(pixels, transparency)
    return _to_image(pixels, opaque=False)


def encode_image(
    image: Image.Image | Picture,
    format: str,
    jpeg_quality: int = 95,
    bits: int = 8,
    notes: Notes = Notes(),
) -> bytes:
    """Encode an image, tagged as sRGB and with no other metadata than `notes`.

    Args:
        image: sRGB; modes other than RGB and RGBA are converted.
        format: One of `OUTPUT_FORMATS`, or a usual suffix such as `jpg`. JPEG and BMP have no
            transparency: the image is laid on white.
        jpeg_quality: From 1 to 100, for the lossy formats JPEG, WebP and AVIF.
        bits: Bits of a channel: 8, or 16 in PNG and TIFF. 16 are of use for a `Picture`.
        notes: What the file shall say. BMP has no place for it, TIFF none for facts of capture.

    Raises:
        ImageError: If there is no such format, or it cannot hold an image of this size or depth.
    """
    buffer = BytesIO()
    _write_image(buffer, image, output_format(format, bits), jpeg_quality, bits, notes)
    return buffer.getvalue()


def _write_image(
    file: BinaryIO,
    image: Image.Image | Picture,
    kind: str,
    jpeg_quality: int,
    bits: int,
    notes: Notes,
) -> None:
    """Write what `encode_image` returns, without having all of it in memory.

    Raises:
        ImageError: As `encode_image`.
        OSError: If the file cannot be written.
    """
    if not 1 <= jpeg_quality <= 100:
        raise ValueError(f"jpeg_quality must be from 1 to 100, got {jpeg_quality}")
    try:
        if bits == 16 or kind == "tiff":
            picture = image if isinstance(image, Picture) else from_image(_plain(image, False))
            _write_levels(file, picture, kind, bits, notes)
            return
        opaque = kind in ("jpeg", "bmp")
        image = _to_image(image, opaque) if isinstance(image, Picture) else _plain(image, opaque)
        image.save(cast(BinaryIO, _Sink(file)), kind, **_encoder_options(kind, jpeg_quality, notes))
    except ImageError:
        raise
    except Exception as error:  # Every encoder has its own exceptions.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        size = f"{image.width}x{image.height}"
        raise ImageError(f"cannot encode {size} pixels as {kind}; use png or shrink it") from error


def _write_levels(file: BinaryIO, picture: Picture, kind: str, bits: int, notes: Notes) -> None:
    """Write what Pillow cannot."""
    strips = _level_strips(picture, torch.uint16 if bits == 16 else torch.uint8)
    shape = (picture.height, picture.width, 3 if picture.opacity is None else 4)
    write = deep.write_png if kind == "png" else deep.write_tiff
    write(file, strips, shape, srgb_profile(), notes)


@dataclass(frozen=True)
class _Sink:
    """A file that Pillow does not write past Python, where errors would lose their reason."""

    file: BinaryIO

    def write(self, data: bytes) -> int:
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def output_format(format: str, bits: int = 8) -> str:
    """Return the one of `OUTPUT_FORMATS` that a name or a usual suffix means.

    Raises:
        ImageError: If there is none, or it cannot hold `bits` bits a channel.
    """
    kind = _ALIASES.get(format.lower(), format.lower())
    if kind not in OUTPUT_FORMATS:
        raise ImageError(f"no output format {format!r}; use one of {', '.join(OUTPUT_FORMATS)}")
    if bits == 16 and kind not in deep.FORMATS:
        raise ImageError(f"{kind} has 8 bits a channel; use png or tiff for 16")
    return kind


def save_image(
    image: Image.Image | Picture,
    destination: Path,
    *,
    format: str | None = None,
    jpeg_quality: int = 95,
    overwrite: bool = False,
    bits: int = 8,
    notes: Notes = Notes(),
    name: str | None = None,
) -> None:
    """Write an image file, whole or not at all.

    Args:
        image: What to write; see `encode_image`.
        destination: The file. Its folder must exist.
        format: One of `OUTPUT_FORMATS`; by default the suffix of the file decides.
        jpeg_quality: From 1 to 100; see `encode_image`.
        overwrite: Replace a file that exists.
        bits: 8 or 16; see `encode_image`.
        notes: What the file shall say; see `encode_image`.
        name: What error messages call the file; by default its path.

    Raises:
        ImageExistsError: If the file exists and `overwrite` is false.
        ImageError: If it cannot be encoded or written; nothing is left behind then.
    """
    name = one_line(name or str(destination))
    exists = f"{name}: exists already; choose another name or allow overwriting"
    if not overwrite and os.path.lexists(destination):
        raise ImageExistsError(exists)
    # Replacing a device such as /dev/null would remove it.
    if os.path.exists(destination) and not os.path.isfile(destination):
        raise ImageError(f"{name}: not a regular file; choose another name")
    try:
        kind = output_format(format or destination.suffix[1:], bits)
        with new_file(destination, overwrite) as file:
            _write_image(file, image, kind, jpeg_quality, bits, notes)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except FileExistsError as error:
        raise ImageExistsError(exists) from error
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name}: cannot be written ({reason(error)}); check that its folder exists, its "
            "permissions and the free space"
        ) from error


def _read(source: Path | str | bytes | BinaryIO, limits: ImageLimits, name: str) -> bytes:
    """Return the whole file: at worst half the size of the pixels that it decodes to."""
    try:
        if isinstance(source, bytes):
            data = source
        elif isinstance(source, str | Path):
            with open(source, "rb") as file:
                data = file.read(limits.max_bytes + 1)
        else:
            data = source.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name}: cannot be read ({reason(error)}); check the path and its permissions"
        ) from error
    if not data:
        raise ImageError(f"{name}: is empty; get the file again")
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(
            f"{name}: larger than the limit of {limits.max_bytes:,} bytes; give a smaller file"
        )
    return data


def _check_size(width: int, height: int, limits: ImageLimits, name: str) -> None:
    longer, shorter = max(width, height), min(width, height)
    if width * height > limits.max_pixels or longer > limits.max_side:
        raise ImageTooLargeError(
            f"{name}: {width}x{height} exceeds the limit of {limits.max_pixels:,} pixels, "
            f"{limits.max_side:,} a side; give a smaller version"
        )
    if shorter < limits.min_side or longer > limits.max_aspect * shorter:
        raise ImageError(
            f"{name}: {width}x{height} is too small or too thin; give a picture with sides of at "
            f"least {limits.min_side} pixels, one at most {limits.max_aspect:g} times the other"
        )


class _Quiet:
    """Hides Pillow's warnings while any thread decodes.

    Filters belong to the whole process: overlapping threads with a `catch_warnings` each would
    restore one another's filters. So the first thread in saves them, the last one out restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._saved.__exit__(None, None, None)


_QUIET = _Quiet()


@contextmanager
def _opened(
    source: Path | str | bytes | BinaryIO, limits: ImageLimits, name: str
) -> Iterator[tuple[Image.Image, bytes]]:
    """Open a picture whose format and size are allowed; what fails while it is open is typed."""
    data = _read(source, limits, name)
    formats = FORMATS + (("HEIF",) if _reads_heif() else ())
    if data[8:12] in _HEIC_BRANDS and "HEIF" not in formats:
        raise ImageError(f"{name}: is HEIC; install the extra: pip install 'adain[heic]'")
    with _decoding(name), Image.open(BytesIO(data), formats=formats) as image:
        _check_size(image.width, image.height, limits, name)
        yield image, data


def _read_deep(image: Image.Image, data: bytes, name: str) -> Picture | None:
    """Read a file of 16 bits a channel in full; None if that is not possible, see `load_image`."""
    levels = deep.read_levels(image, data)
    if levels is None:
        return None
    channels = levels.shape[2]
    if not is_srgb("L" if channels < 3 else "RGB", image.info.get("icc_profile")):
        return None
    levels = turn_levels_upright(levels, image)
    colors = levels[..., :3] if channels > 2 else levels[..., :1].repeat(3, axis=2)
    alpha = None if channels % 2 else levels[..., -1]
    if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max:
        return _picture(colors, None, image, name)
    fill_clear(colors, alpha)
    return _picture(colors, alpha, image, name)


def _picture(
    colors: NDArray[Any], alpha: NDArray[Any] | None, image: Image.Image, name: str
) -> Picture:
    levels = torch.from_numpy(colors).permute(2, 0, 1)[None]
    opacity = None if alpha is None else torch.from_numpy(alpha)[None, None]
    return Picture(levels, opacity, name, read_facts(image))


def _decode(image: Image.Image, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return upright sRGB colours `(H, W, 3)`, and the alpha channel `(H, W)` unless opaque."""
    image.load()
    profile = image.info.get("icc_profile")
    image = turn_upright(image)
    clear = None
    if image.mode.startswith(("I", "F")):
        # What is white depends on the whole picture.
        image, clear = scale_grey(image, name)
    levels = np.empty((image.height, image.width, 3), np.uint8)
    transparent = clear is not None or image.has_transparency_data
    opacity = np.empty(levels.shape[:2], np.uint8) if transparent else None
    convert = None
    for top, bottom in row_ranges(image.height, image.width):
        box = (0, top, image.width, bottom)
        colors, alpha = split_alpha(image.crop(box))
        convert = convert or srgb_conversion(colors.mode, profile)
        levels[top:bottom] = np.asarray(convert(colors))
        if opacity is not None:
            opacity[top:bottom] = np.asarray(clear.crop(box) if clear is not None else alpha)
    if opacity is None or opacity.min() == 255:
        return levels, None
    fill_clear(levels, opacity)
    return levels, opacity


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises into one `ImageError`, and silence its warnings.

    Only libtiff still writes to stderr about damaged files; Pillow has no switch for it.
    """
    formats = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    try:
        with _QUIET:
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"{name}: far too many pixels; give a smaller version") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: cannot be read as {formats}; convert it to one of them, "
            "or get the file again if it is one"
        ) from error
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode it; shrink it first") from error
    except Exception as error:  # Damaged files raise anything, from KeyError to struct.error.
        raise ImageError(f"{name}: damaged or incomplete; get the file again") from error


def _plain(image: Image.Image, opaque: bool) -> Image.Image:
    """Return an image in RGB or RGBA without metadata, laid on white if it shall be opaque."""
    if image.mode not in ("RGB", "RGBA"):
        return _to_image(from_image(image), opaque)
    if opaque and image.mode == "RGBA":
        return _on_white(image)
    if not image.info:
        return image
    plain = image.copy()
    plain.info = {}
    return plain


def _on_white(image: Image.Image) -> Image.Image:
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(image, mask=image.getchannel("A"))
    return opaque


def _checked(pixels: Tensor, transparency: Tensor | None) -> Picture:
    """Return pixels and transparency as a picture, if their shapes fit; see `to_image`."""
    if pixels.shape[:-2] not in ((1, 3), (3,)):
        raise ValueError(f"expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    size = pixels.shape[-2:]
    if transparency is not None:
        if transparency.shape[-2:] != size or transparency.shape[:-2].numel() != 1:
            raise ValueError(
                f"transparency of shape {tuple(transparency.shape)} does not fit pixels of shape "
                f"{tuple(pixels.shape)}"
            )
        transparency = transparency.detach().reshape(1, 1, *size)
    return Picture(pixels.detach().reshape(1, 3, *size), transparency)


def _level_strips(picture: Picture, dtype: torch.dtype) -> Iterator[NDArray[Any]]:
    """Yield a picture as levels of `dtype`, shape `(h, W, 3)` or `(h, W, 4)`."""
    for top, bottom in row_ranges(picture.height, picture.width):
        strip = _colors(picture, top, bottom, dtype)
        if picture.opacity is not None:
            opacity = to_levels(to_unit(picture.opacity[0, 0, top:bottom]), dtype)
            strip = torch.cat((strip, opacity[..., None]), 2)
        yield strip.contiguous().numpy()


def _colors(picture: Picture, top: int, bottom: int, dtype: torch.dtype) -> Tensor:
    """Return some rows of a picture as levels of `dtype`, shape `(h, W, 3)`."""
    if picture.change is None or {dtype, picture.levels.dtype} != {torch.uint8}:
        return to_levels(picture.rows(top, bottom), dtype)[0].permute(1, 2, 0)
    # The same, but for rounding, in half the time.
    levels = picture.levels[0, :, top:bottom].permute(1, 2, 0)
    colors = _finite(picture.change[top:bottom].cpu()).mul_(255).add_(levels)
    return colors.clamp_(0, 255).round_().byte()


def _to_image(picture: Picture, opaque: bool) -> Image.Image:
    """Return an image in RGB or RGBA, laid on white if it shall be opaque."""
    mode = "RGB" if opaque or picture.opacity is None else "RGBA"
    image, top = Image.new(mode, (picture.width, picture.height)), 0
    for levels in _level_strips(picture, torch.uint8):
        strip = Image.fromarray(levels)
        image.paste(_on_white(strip) if strip.mode != mode else strip, (0, top))
        top += strip.height
    return image


def _encoder_options(kind: str, jpeg_quality: int, notes: Notes) -> dict[str, Any]:
    options = _ENCODER_OPTIONS[kind] | {"icc_profile": srgb_profile()}
    if kind in ("jpeg", "webp", "avif"):
        options["quality"] = jpeg_quality
    if kind == "png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        for key, text in notes.to_text().items():
            options["pnginfo"].add_text(key, text)
    # PNG has texts of its own for the rest.
    if exif := notes.to_exif() if kind != "png" or notes.facts else b"":
        options["exif"] = exif
    return options


@cache
def _reads_heif() -> bool:
    """Teach Pillow to read HEIF, if the extra is there; return whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return True
