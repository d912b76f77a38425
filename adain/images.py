"""Files and Pillow images to tensors in [0, 1] and back.

    file, bytes, stream ── load_image ──┐
    Pillow image ───────── from_image ──┴─ Picture ── resize_image ── the network
    file, bytes, stream ── load_levels ─── Levels ─── shrink ──────── the network
    file ── save_image ── encode_image ── Pillow image ── to_image ── pixels and transparency

A loaded picture is upright, in sRGB, of 8 bits a channel whatever its file holds. HEIC is read
with the extra `heic`.
"""

import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from adain import deep
from adain.conversion import (
    convert_to_srgb,
    fill_clear,
    split_alpha,
    srgb_profile,
    turn_upright,
)
from adain.errors import ImageError, ImageExistsError, ImageTooLargeError
from adain.files import one_line, reason, write_atomically
from adain.metadata import Facts, Notes, read_facts
from adain.model import MIN_SIDE

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

STRIP_ROWS = 256
"""Rows of pixels that are converted at a time."""

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
    """A decoded picture.

    Attributes:
        pixels: Shape `(1, 3, H, W)`, float32, sRGB in [0, 1], not multiplied by transparency.
        transparency: Alpha channel `(1, 1, H, W)` in [0, 1]: 0 is clear, 1 is opaque. None when
            the whole picture is opaque.
        name: What error messages call it.
        facts: What its file says about the photo; never its place.
    """

    pixels: Tensor
    transparency: Tensor | None = None
    name: str = "picture"
    facts: Facts = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return self.pixels.shape[3]

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return self.pixels.shape[2]


@dataclass(frozen=True, eq=False)
class Levels:
    """A decoded picture as files hold it, in a quarter of the memory of a `Picture`.

    Attributes:
        colors: Shape `(H, W, 3)`, uint8, sRGB, not multiplied by transparency.
        transparency: Alpha channel `(H, W)`, uint8. None when the whole picture is opaque.
        name: What error messages call it.
        facts: What its file says about the photo; never its place.
    """

    colors: NDArray[np.uint8]
    transparency: NDArray[np.uint8] | None = None
    name: str = "picture"
    facts: Facts = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return int(self.colors.shape[1])

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return int(self.colors.shape[0])

    def shrink(self, size: tuple[int, int]) -> "Levels":
        """Scale an opaque picture down to a height and width, as `resize_to` does."""
        if size == (self.height, self.width):
            return self
        assert self.transparency is None
        colors = torch.from_numpy(self.colors).permute(2, 0, 1)[None]
        scaled = F.interpolate(colors, size, mode="bicubic", antialias=True)
        return replace(self, colors=scaled[0].permute(1, 2, 0).contiguous().numpy())

    def picture(self) -> Picture:
        """Return it as the network takes it; clear pixels get the mean visible colour."""
        rgb = self.colors.transpose(2, 0, 1)[None]
        pixels = np.divide(rgb, 255, dtype=np.float32, order="C")
        if self.transparency is None:
            return Picture(torch.from_numpy(pixels), None, self.name, self.facts)
        transparency = np.divide(self.transparency[None, None], 255, dtype=np.float32)
        fill_clear(pixels, transparency)
        return Picture(
            torch.from_numpy(pixels), torch.from_numpy(transparency), self.name, self.facts
        )


def load_image(
    source: Path | str | bytes | BinaryIO,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
) -> Picture:
    """Decode a picture: upright, in sRGB, transparency apart.

    Args:
        source: Path of a file, its bytes, or a stream, which is read but not closed.
        limits: What to refuse before any pixel is decoded.
        name: What error messages call the picture; by default the path as given.

    Raises:
        ImageTooLargeError: If it exceeds a limit.
        ImageError: If it is missing, unreadable, empty, damaged, incomplete, in another format,
            too small or too thin.
    """
    name = picture_name(source, name)
    with _opened(source, limits, name) as image:
        return from_image(image, name)


def load_levels(
    source: Path | str | bytes | BinaryIO,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
    side: int | None = None,
) -> Levels:
    """Decode a picture as `load_image` does, and take and raise the same.

    Args:
        source: As for `load_image`.
        limits: As for `load_image`.
        name: As for `load_image`.
        side: Pixels of the longer side that are needed. A JPEG of twice as many or more is decoded
            at a half, a quarter or an eighth of its size, in about half the time.
    """
    name = picture_name(source, name)
    with _opened(source, limits, name) as image:
        if side is not None and side < max(image.size):
            scale = side / max(image.size)
            image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
        return _to_stored(image, name)


def open_image(
    source: Path | str | bytes | BinaryIO,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
) -> Image.Image:
    """Decode a picture as `load_image` does, into a Pillow image: upright sRGB, RGB or RGBA.

    It takes 4 bytes a pixel, a quarter of a `Picture`, for pictures that are read in strips. It
    is RGBA if it is not fully opaque.

    Raises:
        ImageTooLargeError: If it exceeds a limit.
        ImageError: If it cannot be used; see `load_image`.
    """
    name = picture_name(source, name)
    with _opened(source, limits, name) as image:
        colors, alpha = _decode(image, name)
    colors.info = {}  # What it says about orientation and colour holds no more.
    if alpha is not None:
        colors.putalpha(alpha)
    return colors


def picture_name(source: Path | str | bytes | BinaryIO, name: str | None = None) -> str:
    """Return what messages call a picture: the name given, else its path."""
    return one_line(name or (str(source) if isinstance(source, str | Path) else "picture"))


def from_image(image: Image.Image, name: str = "picture") -> Picture:
    """Convert a Pillow image of any mode: upright, in sRGB, transparency apart.

    16-bit grey is divided by 257. Modes I and F do not say what white is, so it is the smallest
    of 1 (F alone), 255 and 65535 that no value exceeds; if there is none, or a value is negative,
    the range of the values is stretched to [0, 1]. Pillow reads 16-bit colour as 8-bit.

    Raises:
        ImageError: If it cannot be decoded, or holds values that are not finite.
    """
    with _decoding(name):
        return _to_stored(image, name).picture()


def _to_stored(image: Image.Image, name: str) -> Levels:
    colors, alpha = _decode(image, name)
    transparency = None if alpha is None else np.array(alpha)
    return Levels(np.array(colors), transparency, name, read_facts(image))


class ImageRows:
    """Rows `(H, W, 3)` of an upright sRGB image in mode RGB or RGBA, uint8, without a copy of all.

    Fully clear pixels have the mean visible colour, as in a `Picture`.
    """

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.shape = (image.height, image.width, 3)
        self._mean = _visible_mean(image) if image.mode == "RGBA" else None

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        top, bottom, _ = rows.indices(self.image.height)
        box = (0, top, self.image.width, bottom)
        levels: NDArray[np.uint8] = np.array(self.image.crop(box))
        if self._mean is not None:
            levels[levels[..., 3] == 0, :3] = self._mean
        return levels[..., :3]


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


def scaled_size(picture: Picture | Levels, side: int, old: int | None = None) -> tuple[int, int]:
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
    if size == (picture.height, picture.width):
        return picture
    if picture.transparency is None:
        return replace(picture, pixels=_interpolate(picture.pixels, size))
    # Weighing by transparency keeps the fill of clear pixels out of the edges.
    transparency = _interpolate(picture.transparency, size)
    visible = _interpolate(picture.pixels * picture.transparency, size) / transparency
    pixels = torch.where(transparency > 0.5 / 255, visible, _interpolate(picture.pixels, size))
    return replace(picture, pixels=pixels.clamp(0, 1), transparency=transparency)


def to_image(pixels: Tensor, transparency: Tensor | None = None) -> Image.Image:
    """Convert pixels to an RGB image, or to RGBA if transparency is given.

    Args:
        pixels: Shape `(1, 3, H, W)` or `(3, H, W)`; values beyond [0, 1] are clamped.
        transparency: Alpha channel of the same height and width.

    Raises:
        ValueError: If the shapes are others.
        ImageError: If a value is not finite.
    """
    return Image.fromarray(_to_levels(pixels, transparency, torch.uint8))


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
    if not 1 <= jpeg_quality <= 100:
        raise ValueError(f"jpeg_quality must be from 1 to 100, got {jpeg_quality}")
    kind = output_format(format, bits)
    try:
        if bits == 16:
            picture = image if isinstance(image, Picture) else from_image(image)
            levels = _to_levels(picture.pixels, picture.transparency, torch.uint16)
            encode = deep.encode_png if kind == "png" else deep.encode_tiff
            return encode(levels, srgb_profile(), notes)
        if isinstance(image, Picture):
            image = to_image(image.pixels, image.transparency)
        image = _plain(image, opaque=kind in ("jpeg", "bmp"))
        if kind == "tiff":
            return deep.encode_tiff(np.asarray(image), srgb_profile(), notes)
        options = _encoder_options(kind, jpeg_quality, notes)
        buffer = BytesIO()
        image.save(buffer, kind, **options)
    except ImageError:
        raise
    except Exception as error:  # Every encoder has its own exceptions.
        size = f"{image.width}x{image.height}"
        raise ImageError(f"cannot encode {size} pixels as {kind}; use png or shrink it") from error
    return buffer.getvalue()


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

    Raises:
        ImageExistsError: If the file exists and `overwrite` is false.
        ImageError: If it cannot be encoded or written; nothing is left behind then.
    """
    name = one_line(str(destination))
    exists = f"{name}: exists already; choose another name or allow overwriting"
    if not overwrite and os.path.lexists(destination):
        raise ImageExistsError(exists)
    # Replacing a device such as /dev/null would remove it.
    if os.path.exists(destination) and not os.path.isfile(destination):
        raise ImageError(f"{name}: not a regular file; choose another name")
    try:
        kind = format or destination.suffix[1:]
        data = encode_image(image, kind, jpeg_quality, bits, notes)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    try:
        write_atomically(data, destination, overwrite)
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
) -> Iterator[Image.Image]:
    """Open a picture whose format and size are allowed; what fails while it is open is typed."""
    data = _read(source, limits, name)
    formats = FORMATS + (("HEIF",) if _reads_heif() else ())
    if data[8:12] in _HEIC_BRANDS and "HEIF" not in formats:
        raise ImageError(f"{name}: is HEIC; install the extra: pip install 'adain[heic]'")
    with _decoding(name), Image.open(BytesIO(data), formats=formats) as image:
        _check_size(image.width, image.height, limits, name)
        yield image


def _decode(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Return an upright RGB image in sRGB, and its alpha channel unless it is opaque."""
    image.load()
    colors, alpha = split_alpha(turn_upright(image), name)
    rgb = convert_to_srgb(colors, image.info.get("icc_profile"))
    return rgb, None if alpha is None or alpha.getextrema()[0] == 255 else alpha


def _visible_mean(image: Image.Image) -> NDArray[np.uint8]:
    """Return the mean colour of an RGBA image, weighed by its alpha channel."""
    total = np.zeros(4)
    for top in range(0, image.height, 256):
        box = (0, top, image.width, min(top + 256, image.height))
        levels = np.asarray(image.crop(box)).reshape(-1, 4).astype(np.float64)
        total[:3] += levels[:, 3] @ levels[:, :3]
        total[3] += levels[:, 3].sum()
    mean = total[:3] / total[3] if total[3] else np.full(3, 127.5)
    color: NDArray[np.uint8] = np.rint(mean).astype(np.uint8)
    return color


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


def _interpolate(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def _plain(image: Image.Image, opaque: bool) -> Image.Image:
    """Return it in RGB or RGBA without metadata, laid on white if it shall be opaque."""
    if image.mode not in ("RGB", "RGBA"):
        picture = from_image(image)
        image = to_image(picture.pixels, picture.transparency)
    if not image.info and not (opaque and image.mode == "RGBA"):
        return image
    plain = image.copy()
    if opaque and image.mode == "RGBA":
        plain = Image.new("RGB", image.size, "white")
        plain.paste(image, mask=image.getchannel("A"))
    plain.info = {}
    return plain


def _to_levels(pixels: Tensor, transparency: Tensor | None, dtype: torch.dtype) -> NDArray[Any]:
    """Return levels of `dtype`, shape `(H, W, 3)` or `(H, W, 4)`; see `to_image`."""
    if pixels.shape[:-2] not in ((1, 3), (3,)):
        raise ValueError(f"expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    channels = [pixels.detach().reshape(3, *pixels.shape[-2:])]
    if transparency is not None:
        if transparency.shape[-2:] != pixels.shape[-2:] or transparency.shape[:-2].numel() != 1:
            raise ValueError(
                f"transparency of shape {tuple(transparency.shape)} does not fit pixels of shape "
                f"{tuple(pixels.shape)}"
            )
        channels.append(transparency.detach().reshape(1, *pixels.shape[-2:]))
    height, width = pixels.shape[-2:]
    count = sum(map(len, channels))
    result = np.empty((height, width, count), np.uint8 if dtype == torch.uint8 else np.uint16)
    # Strip by strip: copies of a whole print would take gigabytes.
    for top in range(0, height, STRIP_ROWS):
        area = slice(top, top + STRIP_ROWS)
        parts = [part[:, area].float().cpu() for part in channels]
        strip = torch.cat(parts) if len(parts) > 1 else parts[0]
        # If a value is not finite, the sum is not, and it is much faster to look at.
        if not torch.isfinite(strip.sum()):
            raise ImageError(
                "the pixels are not finite numbers; check the weights and the strength"
            )
        # Truncation would darken the whole picture by half a level.
        levels = strip.clamp(0, 1).mul_(torch.iinfo(dtype).max).round_().to(dtype)
        result[area] = levels.permute(1, 2, 0).numpy()
    return result


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
