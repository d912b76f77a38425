"""The decoder: normalized features to an image, as a table of operations says."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.network.encoder import Convolution
from adain.styles.modulation import GAIN, REACH
from adain.styles.recoloring import StyleColors

DecoderTable = tuple[tuple[Any, ...], ...]
"""Rows of a decoder, one operation each, first to last:

    ("start", layer, strength)   take the features of a layer, normalized to this degree, by
                                 default wholly; the first row
    ("conv", inputs, outputs)    3x3 convolution with reflection padding, then ReLU
    ("residual", width)          add a 3x3 convolution of the ReLU of a 3x3 convolution
    ("upsample", mode)           double the size, "nearest" or "bilinear"
    ("add", layer, inputs, outputs)   add a 1x1 convolution of the normalized features of a layer,
                                      or with twice its channels as inputs, of these and the
                                      photo's own
    ("image", inputs)            3x3 convolution to RGB; the last row
"""


DECODER_TABLE: DecoderTable = (
    ("start", "relu4_1", 0.2625),
    ("conv", 128, 64),
    ("upsample", "bilinear"),
    ("add", "relu3_1", 128, 64),
    ("conv", 64, 64),
    ("conv", 64, 64),
    ("conv", 64, 32),
    ("upsample", "nearest"),
    ("add", "relu2_1", 64, 32),
    ("conv", 32, 16),
    ("upsample", "nearest"),
    ("add", "relu1_1", 32, 16),
    ("conv", 16, 16),
    ("image", 16),
)
"""The shipped decoder: the encoder mirrored, with skips that keep the photo's drawing.

Normalized features do not tell what is black in the photo from what is merely darker than most
of it; the photo's own do, and as both come from the same numbers they cost nothing more. Where
the coarsest size is doubled, nearest positions would show as combs of 8 pixels beside edges.
"""

Maps = tuple[Tensor, Tensor]
"""Scale and shift of each channel, `(N, C, 1, 1)` or `(1, C, H, W)`."""


class Residual(nn.Module):
    """Two 3x3 convolutions of a residual row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = Convolution(width, width)
        self.b = Convolution(width, width)


class StyleModulation(nn.Module):
    """`adain.styles.modulation.Modulation` as a module that can be trained.

    Args:
        inputs: Statistics of a style.
        hidden: Width of the layer between.
        outputs: Scales and shifts.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, outputs)
        self.style_mean = nn.Buffer(torch.zeros(inputs))
        self.style_spread = nn.Buffer(torch.ones(inputs))

    def forward(self, style: Tensor) -> Tensor:
        """Return changes of scales and shifts `(N, P)` for styles `(N, D)`."""
        values = ((style - self.style_mean) / self.style_spread).clamp(-REACH, REACH)
        changes: Tensor = GAIN * self.out(torch.tanh(self.hidden(values)))
        return changes


class Decoder(nn.Module):
    """Normalized features to an image, as a `DecoderTable` says.

    Attributes:
        max_gain: What `adain.styles.normalization.limit_gain` holds its features to, or None.
        colors: Tells the colours of a style, which photos then take before they are encoded.
        modulation: Tells from a style what scales and shifts the channels of the 3x3
            convolutions, but for the last; None where nothing does.
        start_strength: How far the features that it starts from are normalized, in [0, 1].
    """

    def __init__(
        self,
        table: DecoderTable = DECODER_TABLE,
        max_gain: float | None = None,
        colors: StyleColors | None = None,
        modulation: StyleModulation | None = None,
    ) -> None:
        super().__init__()
        if max_gain is not None and not 1 <= max_gain < math.inf:
            raise ValueError(f"the limit of the gain must be at least 1, got {max_gain}")
        self.table = table
        self.max_gain = max_gain
        self.colors = colors
        self.modulation = modulation
        self.layers = tuple(dict.fromkeys(row[1] for row in table if row[0] in ("start", "add")))
        self.start_strength = float(table[0][2]) if len(table[0]) > 2 else 1.0
        if not 0 <= self.start_strength <= 1:
            raise ValueError(f"the strength of the start must be in [0, 1], got {table[0][2]}")
        for i, (operation, *arguments) in enumerate(table):
            if operation == "conv":
                self.add_module(str(i), Convolution(*arguments))
            elif operation == "residual":
                self.add_module(str(i), Residual(*arguments))
            elif operation == "add":
                self.add_module(str(i), nn.Conv2d(arguments[1], arguments[2], kernel_size=1))
            elif operation == "image":
                self.add_module(str(i), Convolution(arguments[0], 3))
            elif operation == "upsample" and arguments[0] not in ("nearest", "bilinear"):
                raise ValueError(f"unknown upsampling {arguments[0]!r} in row {i}")
            elif operation not in ("start", "upsample"):
                raise ValueError(f"unknown decoder operation {operation!r} in row {i}")
        outputs = 2 * sum(width for width, _ in self.modulated())
        if modulation is not None and modulation.out.out_features != outputs:
            raise ValueError(
                f"the modulation has {modulation.out.out_features} outputs, not {outputs}"
            )

    def modulated(self) -> list[tuple[int, str]]:
        """Return the width of each modulated convolution, and the layer whose size it has."""
        if self.modulation is None:
            return []
        found, depth = [], 0
        for operation, *arguments in self.table:
            if operation == "start":
                depth = int(arguments[0][4])
            elif operation == "upsample":
                depth -= 1
            elif operation == "conv":
                found.append((arguments[1], f"relu{depth}_1"))
            elif operation == "residual":
                found += [(arguments[0], f"relu{depth}_1")] * 2
        return found

    def maps(self, style: Tensor) -> list[Maps]:
        """Return what styles `(N, D)`, vectors without colours, do to modulated convolutions."""
        if self.modulation is None:
            return []
        widths = [width for width, _ in self.modulated() for _ in ("scale", "shift")]
        changes = iter(self.modulation(style)[:, :, None, None].split(widths, 1))
        return [(1 + scale, shift) for scale, shift in zip(changes, changes, strict=True)]

    def forward(
        self,
        photo: Mapping[str, Tensor],
        normalization: Mapping[str, Maps],
        maps: Sequence[Maps] = (),
    ) -> Tensor:
        """Return an image `(N, 3, H, W)`, unclamped.

        Args:
            photo: Features of the photo at `self.layers`.
            normalization: What normalizes them.
            maps: One for each of `self.modulated()`.

        Raises:
            ValueError: If there are more or fewer maps.
        """
        if len(maps) != len(self.modulated()):
            raise ValueError(f"expected {len(self.modulated())} maps, got {len(maps)}")
        return self.run(range(len(self.table)), None, photo, normalization, iter(maps))

    def run(
        self,
        rows: range,
        x: Tensor | None,
        photo: Mapping[str, Tensor],
        normalization: Mapping[str, Maps],
        maps: Iterator[Maps],
    ) -> Tensor:
        """Return what some rows of the table make of features, which the first row starts from."""
        for i in rows:
            operation, *arguments = self.table[i]
            if operation == "start":
                x = self._start(photo[arguments[0]], *normalization[arguments[0]])
                continue
            assert x is not None
            if operation == "upsample":
                x = F.interpolate(x, scale_factor=2, mode=arguments[0])
                continue
            module = self.get_submodule(str(i))
            if operation == "conv":
                x = F.relu(_modulate(module(x), maps), inplace=True)
            elif operation == "residual":
                assert isinstance(module, Residual)
                inner = F.relu(_modulate(module.a(x), maps), inplace=True)
                x = x + _modulate(module.b(inner), maps)
            elif operation == "add":
                assert isinstance(module, nn.Conv2d)
                x = x + _project(module, photo[arguments[0]], *normalization[arguments[0]])
            else:
                x = module(x)
        assert x is not None
        return x

    def _start(self, photo: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return the features of a photo, normalized as far as the start says."""
        scale = 1 + self.start_strength * (scale - 1)
        return photo * scale + self.start_strength * shift


def _project(projection: nn.Conv2d, photo: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return a 1x1 convolution of normalized features, or of these and the photo's own."""
    width = photo.shape[1]
    kernel, own = projection.weight[:, :width], projection.weight[:, width:]
    if scale.shape == (1, width, 1, 1):
        # The same for all positions: into the kernel, so that nothing is normalized in memory.
        joined = kernel * scale.flatten()[:, None, None]
        joined = joined + own if projection.in_channels > width else joined
        return F.conv2d(photo, joined, F.conv2d(shift, kernel, projection.bias).flatten())
    projected = F.conv2d(photo * scale + shift, kernel, projection.bias)
    return projected + F.conv2d(photo, own) if projection.in_channels > width else projected


def _modulate(x: Tensor, maps: Iterator[Maps]) -> Tensor:
    """Return `x`, scaled and shifted by the next map if there is one."""
    scale, shift = next(maps, (None, None))
    if scale is None or shift is None:
        return x
    return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))
