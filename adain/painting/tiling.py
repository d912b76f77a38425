"""Photos of any size in bounded memory, equal to one pass over the whole photo.

The photo flows through the network in strips of full width. A convolution keeps the last two
rows of a strip for the next one, so every position is computed once, from the very neighbours
that it has in the whole photo: there are no margins, and no seams that could show.

    photo ── strips ── moments of the colours                                  if they are changed
    photo ── strips ── recolor ── encoder ── moments of each layer             first pass
    photo ── strips ── recolor ── encoder ── normalize ── decoder ── result    second pass

Each stage is an iterator over strips; the deeper it is, the further it lags behind the photo. As
many features of the first pass as fit into the memory are kept for the second.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import MIN_SIDE, STRIDE
from adain.engine.device import free_memory, is_out_of_memory
from adain.errors import ImageTooLargeError
from adain.imaging.picture import to_unit
from adain.network.decoder import Decoder, add_features
from adain.network.encoder import Convolution, Encoder, halve
from adain.network.model import (
    StyleTransferModel,
    content_affines,
    field_affines,
    layer_scale,
    layer_shares,
    recoloring,
)
from adain.styles.field import StyleField
from adain.styles.normalization import BlendedAffine, ChannelAffine
from adain.styles.recoloring import ColorMoments
from adain.styles.statistics import ChannelMoments, ChannelStatistics, StyleStatistics

WHOLE_PIXELS = 2**21
"""Photos up to this size go through a CPU in one piece, which is faster for them. Beyond it strips
are as fast, since the caches hold them, and take a part of the memory."""

STRIP_PIXELS = (2**19, 2**18)
"""Pixels of a strip on a CPU; the first if all layers that pay are kept beside it. It takes a tenth
less time than the second, while computing these layers anew takes a fifth more."""

DEVICE_STRIP_PIXELS = (2**22,)
"""The same for other devices, which need more at a time to be busy."""

HEAP_FACTOR = 2.25
"""What strips take over the sum of their tensors, as blocks of many sizes leave gaps: from 1.7 to
2.15 was measured, with `keep_freed_memory`."""

MEMORY_SHARE = 0.5
"""Share of the free memory that is used when no limit is given."""

FLOAT_BYTES = 4

Strips = Iterator[Tensor]
"""Rows `(1, C, h, W)` of a picture or a layer, top to bottom, any number at a time."""


class Rows(Protocol):
    """Rows of a photo `(H, W, 3)`: RGB, uint8, uint16 or float32 in [0, 1].

    A `Picture`, a NumPy array, also one that is mapped from a file, or whatever gives slices of
    rows.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Return `(H, W, 3)`."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class StripPlan:
    """How a photo is cut up to fit into memory.

    Attributes:
        rows: Rows of a strip, a multiple of `STRIDE`.
        kept: Layers whose features are kept from the first pass for the second.
    """

    rows: int
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rows < STRIDE or self.rows % STRIDE:
            raise ValueError(f"the rows of a strip must be a multiple of {STRIDE}, got {self.rows}")


def stylize_rows(
    model: StyleTransferModel,
    photo: Rows,
    style: StyleStatistics | StyleField,
    alpha: float = 1.0,
    *,
    memory: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Strips:
    """Repaint a photo of any size, in one piece or by `stylize_strips`, whichever is better.

    Args:
        model: The network.
        photo: Rows of the photo, read twice or more; sides of at least 16 pixels.
        style: One style, or what holds where.
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.
        memory: Bytes that may be used beside the network, the photo and the result; by default
            half of what is free.
        progress: Told the share of the work that is done, in [0, 1].

    Returns:
        Iterator over rows of the result, as that of `stylize_strips`, on the CPU.

    Raises:
        ValueError: If a shape does not fit or `alpha` is not finite.
        ImageTooLargeError: If the memory is too small for this photo.
    """
    height, width = _check_shape(photo)
    memory, field = memory_limit(model, memory), isinstance(style, StyleField)
    if fits_whole(model, width, height, memory, field):
        try:
            return iter([model.stylize(_pixels(photo[:], model.device), style, alpha).cpu()])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
    plan = plan_strips(model, width, height, memory, field)
    strips = stylize_strips(model, photo, style, alpha, plan=plan, progress=progress)
    return (strip.cpu() for strip in strips)


def stylize_strips(
    model: StyleTransferModel,
    photo: Rows,
    style: StyleStatistics | StyleField,
    alpha: float = 1.0,
    *,
    plan: StripPlan | None = None,
    progress: Callable[[float], None] | None = None,
) -> Strips:
    """Repaint a photo strip by strip, however small, as `StyleTransferModel.stylize` would whole.

    Where neither the plan nor the device of the strips matters, `stylize_rows` is better: it goes
    this way only if one piece is too large.

    Args:
        model: The network.
        photo: Rows of the photo, read twice or more; sides of at least 16 pixels.
        style: One style, or what holds where.
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.
        plan: How to cut it up; by default as suits the free memory.
        progress: Told the share of the work that is done, in [0, 1].

    Returns:
        Iterator over rows of the result, `(1, 3, h, W)` in [0, 1], on the model's device.

    Raises:
        ValueError: If a shape does not fit or `alpha` is not finite.
        ImageTooLargeError: If the memory does not hold the smallest strips.
    """
    height, width = _check_shape(photo)
    if isinstance(style, StyleField):
        style.check_size(height, width)
    if plan is None:
        plan = plan_strips(model, width, height, memory_limit(model), isinstance(style, StyleField))
    return _stylize(model, photo, style.to(model.device), alpha, plan, progress or (lambda _: None))


@torch.no_grad()
def _stylize(
    model: StyleTransferModel,
    photo: Rows,
    style: StyleStatistics | StyleField,
    alpha: float,
    plan: StripPlan,
    progress: Callable[[float], None],
) -> Strips:
    height, width = photo.shape[:2]
    padded = height + -height % STRIDE
    recolor = _recoloring(model, photo, plan.rows, alpha)
    # Styles of a field as if each held everywhere; then nothing of that can be kept.
    apart = isinstance(style, StyleField) and model.decoder.colors is not None
    parts = style.styles if isinstance(style, StyleField) and apart else (style,)
    keep = () if apart else plan.kept
    contents = []
    for i, part in enumerate(parts):
        told = partial(_tell_part, progress, i, len(parts))
        strips = recolor(part, _photo_strips(photo, plan.rows, model.device, told))
        content, kept = _measure(model, strips, padded, keep)
        contents.append(content)
    styles = _layer_styles(contents, style, alpha, model.decoder.max_gain)
    strips = recolor(style, _photo_strips(photo, plan.rows, model.device))
    features = {layer: _take(queue) for layer, queue in kept.items()}
    features |= _features(model, strips, padded, [name for name in content if name not in kept])
    top = 0
    for image in _decode(model.decoder, features, padded, styles):
        visible = image[:, :, : height - top, :width]
        top += visible.shape[2]
        if visible.shape[2]:
            yield visible.clamp_(0, 1)
        progress((1 + top / height) / 2)


def memory_limit(model: StyleTransferModel, memory: int | None = None) -> int:
    """Return the bytes that may be used: those given, else a share of what is free."""
    return int(MEMORY_SHARE * free_memory(model.device)) if memory is None else memory


def fits_whole(
    model: StyleTransferModel, width: int, height: int, memory: int, field: bool = False
) -> bool:
    """Return whether a photo is best stylized in one piece."""
    if model.device.type == "cpu" and width * height > WHOLE_PIXELS:
        return False
    features, work = _bytes_per_pixel(model, field)
    if field:  # The normalized features stand beside the photo's own.
        features *= 2
    return width * height * (features + work) <= memory


def plan_strips(
    model: StyleTransferModel,
    width: int,
    height: int,
    memory: int,
    field: bool = False,
) -> StripPlan:
    """Cut a photo into strips that fit into memory.

    Args:
        model: The network.
        width: Width of the photo in pixels.
        height: Its height.
        memory: Bytes that may be used.
        field: Whether the style differs from place to place, which takes more memory.

    Raises:
        ImageTooLargeError: If the memory does not hold the smallest strips.
    """
    columns = width + -width % STRIDE
    features, work = _bytes_per_pixel(model, field)
    # A layer waits until what the decoder makes of the deeper ones has caught up.
    waiting = HEAP_FACTOR * columns * features * _reach(model)
    row = HEAP_FACTOR * columns * (features + work)
    affordable = int((memory - waiting) / row) // STRIDE * STRIDE
    if affordable < STRIDE:
        least = waiting + row * STRIDE
        raise ImageTooLargeError(
            f"{width}x{height} pixels need {least / 2**20:.0f} MiB of memory beside the picture, "
            f"and {max(memory, 0) / 2**20:.0f} MiB are left; allow more, or give a smaller picture"
        )
    # The deepest cost most to compute anew and least to keep; relu1_1 is as fast anew.
    layers = sorted(model.decoder.layers, key=layer_scale, reverse=True)
    layers = [layer for layer in layers if layer_scale(layer) > 1]
    pixels = columns * (height + -height % STRIDE)
    sizes = np.cumsum([_layer_bytes(model, layer) * pixels for layer in layers])
    for best in STRIP_PIXELS if model.device.type == "cpu" else DEVICE_STRIP_PIXELS:
        rows = min(affordable, max(STRIDE, best // width // STRIDE * STRIDE))
        kept = int((sizes <= memory - waiting - row * rows).sum())
        if kept == len(layers):
            break
    return StripPlan(rows, tuple(layers[:kept]))


def _layer_bytes(model: StyleTransferModel, layer: str) -> float:
    """Return the bytes that the features of a layer take per pixel of the photo."""
    return FLOAT_BYTES * model.encoder.widths[layer] / layer_scale(layer) ** 2


def _bytes_per_pixel(model: StyleTransferModel, field: bool) -> tuple[float, float]:
    """Return what features take, and the largest stage of the network, per pixel at work."""
    features = sum(_layer_bytes(model, layer) for layer in model.decoder.layers)
    work = 0.0
    for module, scale in _convolutions(model):
        # The input, once more with the rows of its neighbours, and the output.
        channels = 2 * module.in_channels + module.out_channels
        work = max(work, FLOAT_BYTES * channels / scale**2)
    if field:  # Scale, shift and sum at each position, of the widest layer.
        work += 3 * max(_layer_bytes(model, layer) for layer in model.decoder.layers)
    return features, work


def _reach(model: StyleTransferModel) -> float:
    """Return the rows of the photo that the network looks at above and below a pixel."""
    return sum(scale for _, scale in _convolutions(model))


def _convolutions(model: StyleTransferModel) -> Iterator[tuple[Convolution, float]]:
    """Go through the 3x3 convolutions, each with the pixels per position along a side."""
    deepest = max(map(layer_scale, model.decoder.layers))
    for i, block in enumerate(model.encoder.config.blocks):
        for name in block:
            if 2**i < deepest or (2**i == deepest and name == block[0]):
                yield getattr(model.encoder, f"conv{name}"), 2**i
    scale = float(layer_scale(model.decoder.layers[0]))
    for i, (operation, *_) in enumerate(model.decoder.table):
        if operation == "upsample":
            scale /= 2
        elif operation in ("conv", "image"):
            module = model.decoder.get_submodule(str(i))
            assert isinstance(module, Convolution)
            yield module, scale


def _check_shape(photo: Rows) -> tuple[int, int]:
    if len(photo.shape) != 3 or photo.shape[2] != 3:
        raise ValueError(f"expected a photo of shape (H, W, 3), got {tuple(photo.shape)}")
    height, width = photo.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"sides must be at least {MIN_SIDE} pixels, got {width}x{height}")
    return height, width


def _photo_strips(
    photo: Rows,
    rows: int,
    device: torch.device,
    progress: Callable[[float], None] = lambda _: None,
) -> Strips:
    """Yield a photo as the network takes it, padded right and bottom like a whole one."""
    height, width = photo.shape[:2]
    right, below = -width % STRIDE, -height % STRIDE
    for top in range(0, height, rows):
        strip = np.array(photo[top : top + rows])
        if below and top + rows >= height:
            strip = np.concatenate((strip, photo[height - 1 - below : height - 1][::-1]))
        pixels = _pixels(strip, device)
        yield F.pad(pixels, (0, right, 0, 0), mode="reflect") if right else pixels
        progress(min(1, (top + rows) / height) / 2)


def _tell_part(progress: Callable[[float], None], part: int, parts: int, done: float) -> None:
    """Tell of the half of the work that measuring is, which is done in so many parts."""
    progress((part / 2 + done) / parts)


def _recoloring(
    model: StyleTransferModel, photo: Rows, rows: int, alpha: float
) -> Callable[[StyleStatistics | StyleField, Strips], Strips]:
    """Measure the photo's colours, if need be; return what gives strips those of a style."""
    colors = model.decoder.colors
    if colors is None:
        return lambda style, strips: strips
    moments = [ColorMoments.of(strip) for strip in _photo_strips(photo, rows, model.device)]
    measured = sum(moments[1:], start=moments[0]).distribution()

    def recolor(style: StyleStatistics | StyleField, strips: Strips) -> Strips:
        change = recoloring(colors, measured, style, alpha)
        top = 0
        for strip in strips:
            changed = [change(strip, top)]
            top += strip.shape[2]
            del strip
            yield changed.pop()

    return recolor


def _pixels(rows: NDArray[Any], device: torch.device) -> Tensor:
    """Return rows `(H, W, 3)` as a tensor `(1, 3, H, W)` in [0, 1]."""
    return to_unit(torch.from_numpy(rows).to(device).permute(2, 0, 1)[None]).float()


def _measure(
    model: StyleTransferModel, strips: Strips, height: int, keep: Sequence[str]
) -> tuple[dict[str, ChannelStatistics], dict[str, deque[Tensor]]]:
    """Run the encoder once; return the statistics of each layer, and the features of some."""
    moments: dict[str, ChannelMoments] = {}
    kept: dict[str, deque[Tensor]] = {layer: deque() for layer in keep}

    def observe(layer: str, features: Tensor) -> Tensor:
        measured = ChannelMoments.of(features)
        moments[layer] = moments[layer].merge(measured) if layer in moments else measured
        if layer in kept:
            kept[layer].append(features)
        return features

    def tap(layer: str, strips: Strips) -> Strips:
        return map(partial(observe, layer), strips)

    for _ in _encode(model.encoder, strips, height, model.decoder.layers, tap):
        pass
    return {layer: pieces.statistics() for layer, pieces in moments.items()}, kept


def _features(
    model: StyleTransferModel, strips: Strips, height: int, layers: Sequence[str]
) -> dict[str, Strips]:
    """Return the features of some layers, to be read side by side."""
    features: dict[str, Strips] = {}

    def tap(layer: str, strips: Strips) -> Strips:
        features[layer] = strips
        if len(features) < len(layers):
            strips, features[layer] = _fork(strips)
        return strips

    if layers:
        _encode(model.encoder, strips, height, layers, tap)
    return features


# A suspended generator keeps its variables. Those that hold a strip are let go before it yields,
# else every stage would keep what the next has done with long ago. `map` keeps nothing.


def _encode(
    encoder: Encoder,
    strips: Strips,
    height: int,
    layers: Sequence[str],
    tap: Callable[[str, Strips], Strips],
) -> Strips:
    """Return the deepest of some layers; the strips of each go through `tap`."""
    deepest = max(layers, key=layer_scale)
    for i, block in enumerate(encoder.config.blocks):
        if i:
            strips = map(halve, _even_rows(strips))
        for name in block:
            strips = _convolve(encoder.get_submodule(f"conv{name}"), strips, height >> i)
            if f"relu{name}" in layers:
                strips = tap(f"relu{name}", strips)
            if f"relu{name}" == deepest:
                return strips
    raise ValueError(f"this encoder has no layer {deepest}")


def _decode(
    decoder: Decoder, features: Mapping[str, Strips], height: int, style: "_LayerStyles"
) -> Strips:
    """Return the image, unclamped, that the features of a photo become in a style."""
    start = decoder.layers[0]
    rows = height // layer_scale(start)
    strips = _start(decoder, features[start], style[start])
    for i, (operation, *arguments) in enumerate(decoder.table):
        if operation in ("conv", "image"):
            strips = _convolve(decoder.get_submodule(str(i)), strips, rows, operation == "conv")
        elif operation == "upsample":
            rows *= 2
            strips = _upsample(strips, arguments[0])
        elif operation == "add":
            layer, projection = arguments[0], decoder.get_submodule(str(i))
            assert isinstance(projection, nn.Conv2d)
            strips = _add(strips, features[layer], style[layer], projection)
    return strips


def _convolve(convolution: nn.Module, strips: Strips, height: int, rectify: bool = True) -> Strips:
    """Convolve strips of a layer of so many rows."""
    assert isinstance(convolution, Convolution)
    convolved = _convolved(convolution, strips, height)
    return map(partial(F.relu, inplace=True), convolved) if rectify else convolved


def _convolved(convolution: Convolution, strips: Strips, height: int) -> Strips:
    """Convolve the first rows as a window; what is between without a copy.

    The last row goes with the last strip: alone it would be a tiny strip more for each layer.
    """
    above: list[Tensor] = []
    seen, started = 0, False
    for strip in strips:
        seen += strip.shape[2]
        if started and strip.shape[2] >= 2:
            done = [convolution.next_rows(above.pop(), strip)]
            above = [strip[:, :, -2:].clone()]
            if seen == height:
                done.append(convolution.inner_rows(torch.cat((above[0], above[0][:, :, :1]), 2)))
                done = [torch.cat(done, 2)]
            del strip
        else:
            above.append(strip)
            del strip
            if _rows(above) < 2:
                continue
            window = torch.cat(above, 2) if len(above) > 1 else above.pop()
            above = [window[:, :, -2:].clone()]
            mirrored = [window] if started else [window[:, :, 1:2], window]
            del window
            if seen == height:
                mirrored.append(above[0][:, :, :1])
            done = [convolution.inner_rows(torch.cat(mirrored, 2))]
            del mirrored
            started = True
        yield done.pop()


def _upsample(strips: Strips, mode: str) -> Strips:
    upsample = partial(F.interpolate, scale_factor=2, mode=mode)
    if mode == "nearest":
        return map(upsample, strips)
    # Between two rows, bilinear values depend on both; beyond the outermost, on that alone.
    return (block[:, :, 2:-2] for block in map(upsample, _windows(strips)))


def _windows(strips: Strips) -> Strips:
    """Give strips one more row above and below; the first and the last are repeated."""
    held: list[Tensor] = []
    started = False
    for strip in strips:
        held.append(strip)
        del strip
        if not started:
            held.insert(0, held[0][:, :, :1])
            started = True
        if _rows(held) > 2:
            window = [torch.cat(held, 2)]
            held = [window[0][:, :, -2:].clone()]
            yield window.pop()
    last = torch.cat(held, 2)
    yield torch.cat((last, last[:, :, 1:]), 2)


def _rows(strips: Iterable[Tensor]) -> int:
    return sum(strip.shape[2] for strip in strips)


def _even_rows(strips: Strips) -> Strips:
    """Cut strips anew, so that each has an even number of rows."""
    rest: list[Tensor] = []
    for strip in strips:
        whole = [torch.cat((*rest, strip), 2) if rest else strip]
        even = whole[0].shape[2] // 2 * 2
        rest = [whole[0][:, :, even:].clone()] if whole[0].shape[2] > even else []
        del strip
        if even:
            yield whole.pop()[:, :, :even]


def _start(decoder: Decoder, features: Strips, style: "_LayerStyle") -> Strips:
    """Normalize features as far as the decoder wants them."""
    top = 0
    for strip in features:
        started = [decoder.start(strip, style.apply(strip, top))]
        top += strip.shape[2]
        del strip
        yield started.pop()


def _add(strips: Strips, features: Strips, style: "_LayerStyle", projection: nn.Conv2d) -> Strips:
    """Add a 1x1 convolution of features, whose strips may be cut otherwise."""
    top = 0
    piece: Tensor | None = None
    for strip in strips:
        row = 0
        while row < strip.shape[2]:
            if piece is None:
                piece = next(features)
            rows = min(strip.shape[2] - row, piece.shape[2])
            style.add(strip[:, :, row : row + rows], piece[:, :, :rows], top, projection)
            piece = piece[:, :, rows:] if piece.shape[2] > rows else None
            row += rows
            top += rows
        done = [strip]
        del strip
        yield done.pop()


def _fork(strips: Strips) -> tuple[Strips, Strips]:
    """Return two iterators over the same strips, as `itertools.tee`, which keeps 57 for long."""
    queues: tuple[deque[Tensor], deque[Tensor]] = (deque(), deque())

    def branch(own: deque[Tensor]) -> Strips:
        while True:
            if not own:
                strip = next(strips, None)
                if strip is None:
                    return
                for queue in queues:
                    queue.append(strip)
                del strip
            yield own.popleft()

    return branch(queues[0]), branch(queues[1])


def _take(kept: deque[Tensor]) -> Strips:
    """Yield strips and forget them."""
    while kept:
        yield kept.popleft()


class _LayerStyle(Protocol):
    """Adaptive instance normalization of the strips of one layer, the first at row `top`."""

    def apply(self, features: Tensor, top: int) -> Tensor:
        """Return normalized features."""

    def add(self, x: Tensor, features: Tensor, top: int, projection: nn.Conv2d) -> None:
        """Add a 1x1 convolution of features to `x`, in place, as `add_features`."""


_LayerStyles = Mapping[str, _LayerStyle]


@dataclass(frozen=True)
class _Uniform:
    """The same everywhere."""

    affine: ChannelAffine

    def apply(self, features: Tensor, top: int) -> Tensor:
        return self.affine.apply(features)

    def add(self, x: Tensor, features: Tensor, top: int, projection: nn.Conv2d) -> None:
        add_features(x, features, self.affine, projection)


@dataclass(frozen=True)
class _Blended:
    """Different from place to place."""

    layer: str
    affine: BlendedAffine
    field: StyleField

    def apply(self, features: Tensor, top: int) -> Tensor:
        shares = layer_shares(self.field, self.layer, top, top + features.shape[2])
        return self.affine.apply(features, shares)

    def add(self, x: Tensor, features: Tensor, top: int, projection: nn.Conv2d) -> None:
        add_features(x, features, self.apply(features, top), projection)


def _layer_styles(
    contents: Sequence[Mapping[str, ChannelStatistics]],
    style: StyleStatistics | StyleField,
    alpha: float,
    max_gain: float | None,
) -> _LayerStyles:
    if isinstance(style, StyleField):
        blends = field_affines(contents, style, alpha, max_gain)
        return {layer: _Blended(layer, affine, style) for layer, affine in blends.items()}
    affines = content_affines(contents[0], style, alpha, max_gain)
    return {layer: _Uniform(affine) for layer, affine in affines.items()}
