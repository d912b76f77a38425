"""Files and Pillow images to tensors in [0, 1] and back.

    file, bytes, stream ── load_image ──┐
    Pillow image ───────── from_image ──┴─ Picture ── resize_image ── the network
    file ── save_image ── encode_image ── Pillow image ── to_image ── pixels and transparency

A loaded picture is upright, in sRGB, of 8 bits a channel whatever its file holds.
"""

import os
import secrets
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from adain.errors import ImageError, ImageExistsError, ImageTooLargeError
from adain.model import MIN_SIDE

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
"""What is read, decided by the content of a file; of animations the first frame."""

_ENCODER_OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"subsampling": "4:4:4"},  # Chroma at full size: brush strokes are coloured edges.
    "png": {},
    "webp": {},
    "tiff": {"compression": "tiff_adobe_deflate"},
    "bmp": {},
    "avif": {"subsampling": "4:4:4"},
}

OUTPUT_FORMATS = tuple(_ENCODER_OPTIONS)

_ALIASES = {"jpg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "tif": "tiff"}

SUFFIXES = frozenset(f".{name}" for name in (*OUTPUT_FORMATS, *_ALIASES, "gif"))
"""Suffixes that such files usually have, in lower case: for searching folders."""

MAX_PROFILE_BYTES = 4 * 2**20
"""Larger colour profiles are ignored; those of printers take 2 MB at most."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""


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
    """

    pixels: Tensor
    transparency: Tensor | None = None
    name: str = "picture"

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return self.pixels.shape[3]

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return self.pixels.shape[2]


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
    content = BytesIO(_read(source, limits, name))
    with _decoding(name), Image.open(content, formats=FORMATS) as image:
        _check_size(image.width, image.height, limits, name)
        return from_image(image, name)


def picture_name(source: Path | str | bytes | BinaryIO, name: str | None = None) -> str:
    """Return what messages call a picture: the name given, else its path."""
    return _one_line(name or (str(source) if isinstance(source, str | Path) else "picture"))


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
    content = BytesIO(_read(source, limits, name))
    with _decoding(name), Image.open(content, formats=FORMATS) as image:
        _check_size(image.width, image.height, limits, name)
        colors, alpha = _decode(image, name)
    colors.info = {}  # What it says about orientation and colour holds no more.
    if alpha is not None:
        colors.putalpha(alpha)
    return colors


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


def _decode(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Return an upright RGB image in sRGB, and its alpha channel unless it is opaque."""
    image.load()
    colors, alpha = _split_alpha(_turn_upright(image), name)
    rgb = _convert_to_srgb(colors, image.info.get("icc_profile"))
    return rgb, None if alpha is None or alpha.getextrema()[0] == 255 else alpha


def from_image(image: Image.Image, name: str = "picture") -> Picture:
    """Convert a Pillow image of any mode: upright, in sRGB, transparency apart.

    16-bit grey is divided by 257. Modes I and F do not say what white is, so it is the smallest
    of 1 (F alone), 255 and 65535 that no value exceeds; if there is none, or a value is negative,
    the range of the values is stretched to [0, 1]. Pillow reads 16-bit colour as 8-bit.

    Raises:
        ImageError: If it cannot be decoded, or holds values that are not finite.
    """
    with _decoding(name):
        colors, alpha = _decode(image, name)
        rgb = np.asarray(colors).transpose(2, 0, 1)[None]
        pixels = np.divide(rgb, 255, dtype=np.float32, order="C")
        if alpha is None:
            return Picture(torch.from_numpy(pixels), None, name)
        transparency = np.divide(np.asarray(alpha)[None, None], 255, dtype=np.float32)
        _fill_clear(pixels, transparency)
        return Picture(torch.from_numpy(pixels), torch.from_numpy(transparency), name)


def resize_image(picture: Picture, max_side: int) -> Picture:
    """Shrink a picture so that its longer side is `max_side` pixels; never enlarge it.

    The shorter side keeps at least 16 pixels, if need be at the cost of the aspect ratio.
    """
    return _shrink(picture, max_side, max(picture.width, picture.height))


def shrink_image(image: Image.Image, max_side: int) -> Image.Image:
    """Shrink an RGB or RGBA image as `resize_image` does a picture, to 8 bits a channel."""
    size = _shrunken_size(image.width, image.height, max_side, max(image.size))
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def resize_shorter_side(picture: Picture, side: int) -> Picture:
    """Shrink a picture so that its shorter side is `side` pixels; never enlarge it."""
    return _shrink(picture, side, min(picture.width, picture.height))


def to_image(pixels: Tensor, transparency: Tensor | None = None) -> Image.Image:
    """Convert pixels to an RGB image, or to RGBA if transparency is given.

    Args:
        pixels: Shape `(1, 3, H, W)` or `(3, H, W)`; values beyond [0, 1] are clamped.
        transparency: Alpha channel of the same height and width.

    Raises:
        ValueError: If the shapes are others.
        ImageError: If a value is not finite.
    """
    if pixels.shape[:-2] not in ((1, 3), (3,)):
        raise ValueError(f"expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    channels = pixels.detach().reshape(3, *pixels.shape[-2:])
    if transparency is not None:
        if transparency.shape[-2:] != pixels.shape[-2:] or transparency.shape[:-2].numel() != 1:
            raise ValueError(
                f"transparency of shape {tuple(transparency.shape)} does not fit pixels of shape "
                f"{tuple(pixels.shape)}"
            )
        alpha = transparency.detach().reshape(1, *pixels.shape[-2:])
        channels = torch.cat((channels, alpha.to(channels)))
    if not torch.isfinite(channels).all():
        raise ImageError("the pixels are not finite numbers; check the weights and the strength")
    # Truncation would darken the whole picture by half a level.
    levels = channels.float().clamp(0, 1).mul(255).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().contiguous().numpy())


def encode_image(image: Image.Image, format: str, jpeg_quality: int = 95) -> bytes:
    """Encode an image, tagged as sRGB and with no other metadata.

    Args:
        image: sRGB; modes other than RGB and RGBA are converted.
        format: One of `OUTPUT_FORMATS`, or a usual suffix such as `jpg`. JPEG and BMP have no
            transparency: the image is laid on white.
        jpeg_quality: From 1 to 100, for the lossy formats JPEG, WebP and AVIF.

    Raises:
        ImageError: If there is no such format, or it cannot hold an image of this size.
    """
    if not 1 <= jpeg_quality <= 100:
        raise ValueError(f"jpeg_quality must be from 1 to 100, got {jpeg_quality}")
    kind = _ALIASES.get(format.lower(), format.lower())
    if kind not in OUTPUT_FORMATS:
        raise ImageError(f"no output format {format!r}; use one of {', '.join(OUTPUT_FORMATS)}")
    buffer = BytesIO()
    options = _ENCODER_OPTIONS[kind] | {"icc_profile": _srgb_profile()}
    if kind in ("jpeg", "webp", "avif"):
        options["quality"] = jpeg_quality
    try:
        _plain(image, opaque=kind in ("jpeg", "bmp")).save(buffer, kind, **options)
    except Exception as error:  # Every encoder has its own exceptions.
        size = f"{image.width}x{image.height}"
        raise ImageError(f"cannot encode {size} pixels as {kind}; use png or shrink it") from error
    return buffer.getvalue()


def save_image(
    image: Image.Image,
    destination: Path,
    *,
    format: str | None = None,
    jpeg_quality: int = 95,
    overwrite: bool = False,
) -> None:
    """Write an image file, whole or not at all.

    Args:
        image: What to write; see `encode_image`.
        destination: The file. Its folder must exist.
        format: One of `OUTPUT_FORMATS`; by default the suffix of the file decides.
        jpeg_quality: From 1 to 100; see `encode_image`.
        overwrite: Replace a file that exists.

    Raises:
        ImageExistsError: If the file exists and `overwrite` is false.
        ImageError: If it cannot be encoded or written; nothing is left behind then.
    """
    name = _one_line(str(destination))
    exists = f"{name}: exists already; choose another name or allow overwriting"
    if not overwrite and os.path.lexists(destination):
        raise ImageExistsError(exists)
    # Replacing a device such as /dev/null would remove it.
    if os.path.exists(destination) and not os.path.isfile(destination):
        raise ImageError(f"{name}: not a regular file; choose another name")
    try:
        data = encode_image(image, format or destination.suffix[1:], jpeg_quality)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    try:
        _write_atomically(data, destination, overwrite)
    except FileExistsError as error:
        raise ImageExistsError(exists) from error
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name}: cannot be written ({_reason(error)}); check that its folder exists, its "
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
            f"{name}: cannot be read ({_reason(error)}); check the path and its permissions"
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


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # The pixels are good even when the EXIF block is not.
        method = None
    return image if method is None else image.transpose(method)


def _split_alpha(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours, in L if they are grey, and the alpha channel if there is one."""
    if image.mode.startswith(("I", "F")):
        # Pillow would clip to 255 and turn a 16-bit scan white.
        grey = _scale_grey(image, name)
        if (clear := image.info.get("transparency")) is None:
            return grey, None
        return grey, Image.fromarray((np.asarray(image) != clear).astype(np.uint8) * 255)
    if not image.has_transparency_data:
        return image, None
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    grey_modes = ("1", "L", "LA", "La")
    colors = rgba.getchannel("R") if image.mode in grey_modes else rgba.convert("RGB")
    return colors, rgba.getchannel("A")


def _scale_grey(image: Image.Image, name: str) -> Image.Image:
    """Scale 16-bit, 32-bit and floating-point grey to 8 bits, as `from_image` says."""
    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(values).all():
        raise ImageError(f"{name}: holds values that are not finite numbers; export it again")
    if image.mode.startswith("I;16"):
        low, high = 0, 65535
    elif low >= 0 and high <= 65535:
        whites = (1, 255, 65535) if image.mode == "F" else (255, 65535)
        low, high = 0, next(white for white in whites if high <= white)
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to RGB through the embedded profile; one that is broken or unfit is ignored."""
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            # Grey files often carry the RGB profile of the program that wrote them.
            mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}[space]
            if image.mode == mode or (mode == "RGB" and image.mode != "CMYK"):
                converted = ImageCms.profileToProfile(
                    image.convert(mode),
                    source,
                    ImageCms.createProfile("sRGB"),
                    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                assert converted is not None
                return converted
        except (ImageCms.PyCMSError, OSError, KeyError, TypeError, ValueError):
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


def _fill_clear(pixels: NDArray[np.float32], transparency: NDArray[np.float32]) -> None:
    """Give fully clear pixels the mean visible colour, in place.

    Their hidden colour, often black, would otherwise count in the statistics of the style and
    shine through at the edges. The mean shifts the statistics least.
    """
    total = transparency.sum(dtype=np.float64)
    mean = np.tensordot(pixels[0], transparency[0, 0], 2) / total if total else np.full(3, 0.5)
    pixels[0][:, transparency[0, 0] == 0] = np.clip(mean, 0, 1)[:, None]


def _shrink(picture: Picture, target: int, side: int) -> Picture:
    """Scale a picture by `target / side` if that is below 1."""
    width, height = _shrunken_size(picture.width, picture.height, target, side)
    if (width, height) == (picture.width, picture.height):
        return picture
    size = [height, width]
    if picture.transparency is None:
        return Picture(_interpolate(picture.pixels, size), None, picture.name)
    # Weighing by transparency keeps the fill of clear pixels out of the edges.
    transparency = _interpolate(picture.transparency, size)
    visible = _interpolate(picture.pixels * picture.transparency, size) / transparency
    pixels = torch.where(transparency > 0.5 / 255, visible, _interpolate(picture.pixels, size))
    return Picture(pixels.clamp(0, 1), transparency, picture.name)


def _shrunken_size(width: int, height: int, target: int, side: int) -> tuple[int, int]:
    """Return sides scaled by `target / side` if that is below 1, none below what is allowed."""
    if target < MIN_SIDE:
        raise ValueError(f"the side must be at least {MIN_SIDE} pixels, got {target}")
    if target >= side:
        return width, height
    scaled = (min(old, max(MIN_SIDE, round(old * target / side))) for old in (width, height))
    return next(scaled), next(scaled)


def _interpolate(image: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def _plain(image: Image.Image, opaque: bool) -> Image.Image:
    """Return a copy in RGB or RGBA without metadata, laid on white if it shall be opaque."""
    if image.mode not in ("RGB", "RGBA"):
        picture = from_image(image)
        image = to_image(picture.pixels, picture.transparency)
    plain = image.copy()
    if opaque and image.mode == "RGBA":
        plain = Image.new("RGB", image.size, "white")
        plain.paste(image, mask=image.getchannel("A"))
    plain.info = {}
    return plain


@cache
def _srgb_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Without the date of creation, equal pictures make equal files.
    return profile[:24] + bytes(12) + profile[36:]


def _write_atomically(data: bytes, destination: Path, overwrite: bool) -> None:
    # Not tempfile, which creates files that only their owner can read.
    temporary = destination.with_name(f".adain-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, destination)
        else:
            _publish(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, destination: Path) -> None:
    """Give a file its name unless another one has it, even since a moment ago."""
    try:
        os.link(temporary, destination)
        return
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network shares): claim the name, then fill the claim.
        open(destination, "xb").close()
    try:
        os.replace(temporary, destination)
    except BaseException:
        destination.unlink()
        raise


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "not a valid path"


def _one_line(name: str) -> str:
    """Return a name that cannot break a line or a terminal."""
    return name if name and name.isprintable() else ascii(name)
