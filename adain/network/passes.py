"""The passes of an engine, as torch modules: encoding and decoding of a tile, whole or in stages.

The torch engine runs `Encode` and `Decode`. `scripts/export` makes an ONNX graph of each stage
(`adain.network.stages`); together these do the same. So they use plain operations, with sizes that
broadcast: a style that is the same everywhere has shares of one position.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import STYLE_LAYERS
from adain.network.decoder import Decoder, Maps
from adain.network.encoder import Encoder
from adain.network.stages import DecoderStage, EncoderStage
from adain.network.statistics import soften


class Encode(nn.Module):
    """Recolor and encode a tile, and measure its core."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, tile: Tensor, colors: Tensor, shares: Tensor, rows: Tensor, columns: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the features `(1, C, h, w)` of each layer, then mean and variance of all.

        Args:
            tile: Shape `(h, w, 3)`, RGB in [0, 1], sides multiples of 8.
            colors: A matrix, row by row, and a shift for each style, `(K, 12)`.
            shares: Shape `(K, h, w)` or `(K, 1, 1)`.
            rows: 1 for each row of `relu4_1` in the core, else 0: `(h / 8,)`.
            columns: The same for its columns, `(w / 8,)`.
        """
        features = self.encoder(_recolor(tile, colors, shares), STYLE_LAYERS)
        moments = []
        for i, layer in enumerate(STYLE_LAYERS):
            times = 2 ** (len(STYLE_LAYERS) - 1 - i)
            weights = [each.repeat_interleave(times) for each in (rows, columns)]
            moments.append(_moments(features[layer], *weights))
        means, variances = zip(*moments, strict=True)
        return (
            *(features[layer] for layer in STYLE_LAYERS),
            torch.cat(means),
            torch.cat(variances),
        )


class Decode(nn.Module):
    """Normalize and decode the features of a tile."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the image `(h, w, 3)`, unclamped.

        Args:
            inputs: Features `(1, C, h, w)` of each layer; the maps of each style, `(K, P)`;
                shares `(K, h, w)` or `(K, 1, 1)` at each layer. The maps are what is added to
                a scale of 1 and the shift of each channel, layer by layer, then the modulation.
        """
        count = len(STYLE_LAYERS)
        features = dict(zip(STYLE_LAYERS, inputs[:count], strict=True))
        style, shares = inputs[count], dict(zip(STYLE_LAYERS, inputs[count + 1 :], strict=True))
        parts = _style_parts(self.decoder, [each.shape[1] for each in features.values()], style)
        maps = [_maps(next(parts), shares[layer]) for layer in STYLE_LAYERS]
        modulation = [_maps(next(parts), shares[layer]) for _, layer in self.decoder.modulated()]
        normalization = dict(zip(STYLE_LAYERS, maps, strict=True))
        image: Tensor = self.decoder(features, normalization, modulation)
        return image[0].permute(1, 2, 0)


class EncodeStage(nn.Module):
    """Encode a band, and measure it."""

    def __init__(self, encoder: Encoder, stage: EncoderStage) -> None:
        super().__init__()
        self.encoder, self.stage = encoder, stage

    @property
    def inputs(self) -> list[str]:
        """Return the names of its inputs."""
        first = ["tile", "colors", "shares"] if self.stage.depth == 1 else ["features"]
        return [*first, "rows", "columns"]

    @property
    def outputs(self) -> list[str]:
        """Return the names of its outputs."""
        kept = ["layer" if self.stage.depth > 1 else "recolored"]
        passed = ["pooled"] if self.stage.depth < len(STYLE_LAYERS) else []
        return ["mean", "variance", *kept, *passed]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return mean and variance of the band, what is kept, and what the next stage takes.

        Kept are the features at the layer, or at the size of the photo the recolored photo.

        Args:
            inputs: What `Encode` takes, or what the stage before gives; then 1 for each row and
                each column that is measured, else 0.
        """
        *source, rows, columns = inputs
        first, *rest = self.stage.names
        image = _recolor(*source) if self.stage.depth == 1 else source[0]
        x = F.relu(self.encoder.get_submodule(first)(image))
        results = [*_moments(x, rows, columns), x if self.stage.depth > 1 else image]
        for name in rest:
            x = F.relu(self.encoder.get_submodule(name)(x))
        if self.stage.depth < len(STYLE_LAYERS):
            results.append(F.max_pool2d(x, 2))
        return tuple(results)


class DecodeStage(nn.Module):
    """Decode a band, with what the stage before made of it."""

    def __init__(self, encoder: Encoder, decoder: Decoder, stage: DecoderStage) -> None:
        super().__init__()
        self.encoder, self.decoder, self.stage = encoder, decoder, stage

    @property
    def inputs(self) -> list[str]:
        """Return the names of its inputs."""
        before = ["features"] if self.stage.first else []
        photo = ["photo"] if self.stage.adds else []
        return [*before, *photo, "style", "shares"]

    @property
    def channels(self) -> int:
        """Return how many channels the stage before gives."""
        before = [row[2] for row in self.decoder.table[: self.stage.first] if row[0] == "conv"]
        return int([self.encoder.widths[self.decoder.table[0][1]], *before][-1])

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return features `(1, C, h, w)`, of the last stage the image `(h, w, 3)`, unclamped.

        Args:
            inputs: What the stage before gives, unless it is the first; what the photo has at
                this size, which is its features, or at its own the recolored photo; the maps of
                each style, as for `Decode`; shares.
        """
        stage, table = self.stage, self.decoder.table
        *source, style, shares = inputs
        x = source.pop(0) if stage.first else None
        layer = STYLE_LAYERS[stage.depth - 1]
        photo = {layer: self._features(source[0])} if stage.adds else {}
        widths = [self.encoder.widths[each] for each in STYLE_LAYERS]
        parts = [*_style_parts(self.decoder, widths, style)]
        normalization = {layer: _maps(parts[stage.depth - 1], shares)}
        modulated = zip(self.decoder.modulated(), parts[len(widths) :], strict=True)
        # No two stages have the same size.
        maps = iter([_maps(part, shares) for (_, each), part in modulated if each == layer])
        last = stage.last == len(table)
        rows = range(stage.first, stage.last - last)
        x = self.decoder.run(rows, x, photo, normalization, maps)
        return _image(self.decoder.get_submodule(str(len(table) - 1)), x) if last else x

    def _features(self, photo: Tensor) -> Tensor:
        first = self.encoder.get_submodule("conv1_1")
        return F.relu(first(photo)) if self.stage.depth == 1 else photo


def _recolor(tile: Tensor, colors: Tensor, shares: Tensor) -> Tensor:
    """Return a tile `(1, 3, h, w)`, each pixel recolored by its share of each map."""
    image = tile.permute(2, 0, 1)
    matrices, shifts = colors[:, :9].unflatten(1, (3, 3)), colors[:, 9:, None, None]
    mapped = (matrices @ image.flatten(1)).unflatten(2, image.shape[1:]) + shifts
    change = shares[:, None] * (soften(mapped) - image)
    return (image + change.sum(0)).clamp(0, 1).unsqueeze(0)


def _moments(features: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance `(C,)` of features `(1, C, h, w)` over some rows and columns."""
    features = features.squeeze(0)
    mean = _average(features, rows, columns)
    # Of the differences from it: those of large sums of squares would be lost.
    away = features - mean[:, None, None]
    return mean, _average(away * away, rows, columns)


def _average(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    sums = (features @ columns[:, None])[..., 0] @ rows[:, None]
    return sums[:, 0] / (rows.sum() * columns.sum())


def _style_parts(
    decoder: Decoder, widths: list[int], style: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield scale and shift `(K, C)` of each layer, then of each modulated convolution."""
    every = [*widths, *(width for width, _ in decoder.modulated())]
    parts = iter(style.split([width for width in every for _ in ("scale", "shift")], 1))
    return zip(parts, parts, strict=True)


def _maps(part: tuple[Tensor, Tensor], shares: Tensor) -> Maps:
    """Return scale and shift `(1, C, h, w)` of styles, blended by their shares `(K, h, w)`."""
    scale, shift = (
        (each[:, :, None, None] * shares[:, None]).sum(0, keepdim=True) for each in part
    )
    return 1 + scale, shift


def _image(convolution: nn.Module, x: Tensor) -> Tensor:
    """Return the image of features `(1, C, h, w)`, by the last convolution.

    It has the shape `(h / 2, 2, w / 2, 6)`, which in memory is `(h, w, 3)`.

    Four pixels at a time: kernels run for 8 or 16 channels at once, and 3 would leave most idle.
    """
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    weight, places = convolution.weight, (0, 1)
    kernels = [F.pad(weight, (left, 1 - left, top, 1 - top)) for top in places for left in places]
    kernel, bias = torch.cat(kernels), convolution.bias.repeat(4)
    blocks = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, bias, stride=2)
    upper, lower = blocks[0].permute(1, 2, 0).chunk(2, 2)
    return torch.stack((upper, lower), 1)
