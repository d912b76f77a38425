"""What an engine runs: encoding and decoding of a tile, as torch modules.

`scripts/export` makes ONNX graphs of these modules; the torch engine runs them as they are. So
they use plain operations, with sizes that broadcast: a style that is the same everywhere has
shares of one position.
"""

import torch
from torch import Tensor, nn

from adain.config import STYLE_LAYERS
from adain.network.decoder import Decoder, Maps
from adain.network.encoder import Encoder
from adain.network.statistics import soften

ENCODE_INPUTS = ("tile", "colors", "shares", "rows", "columns")
ENCODE_OUTPUTS = (*STYLE_LAYERS, "mean", "variance")
DECODE_INPUTS = (*STYLE_LAYERS, "style", *(f"shares_{layer}" for layer in STYLE_LAYERS))
DECODE_OUTPUTS = ("image",)


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
        means, variances = [], []
        for i, layer in enumerate(STYLE_LAYERS):
            times = 2 ** (len(STYLE_LAYERS) - 1 - i)
            weights = [each.repeat_interleave(times) for each in (rows, columns)]
            mean = _average(features[layer], *weights)
            # Of the differences from it: those of large sums of squares would be lost.
            squares = (features[layer] - mean[:, None, None]).square()
            means.append(mean)
            variances.append(_average(squares, *weights))
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
        modulated = self.decoder.modulated()
        widths = [features[layer].shape[1] for layer in STYLE_LAYERS] + [w for w, _ in modulated]
        parts = iter(style.split([width for width in widths for _ in ("scale", "shift")], 1))

        def maps(layer: str) -> Maps:
            scale, shift = (_spread(next(parts), shares[layer]) for _ in ("scale", "shift"))
            return 1 + scale, shift

        normalization = {layer: maps(layer) for layer in STYLE_LAYERS}
        modulation = [maps(layer) for _, layer in modulated]
        image: Tensor = self.decoder(features, normalization, modulation)
        return image[0].permute(1, 2, 0)


def _recolor(tile: Tensor, colors: Tensor, shares: Tensor) -> Tensor:
    """Return a tile `(1, 3, h, w)`, each pixel recolored by its share of each map."""
    image = tile.permute(2, 0, 1)
    flat = image.flatten(1)
    mapped = colors[:, :9].unflatten(1, (3, 3)) @ flat + colors[:, 9:, None]
    change = (soften(mapped) - flat).unflatten(2, image.shape[1:])
    recolored: Tensor = image + (shares[:, None] * change).sum(0, keepdim=True)
    return recolored.clamp(0, 1)


def _average(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the mean `(C,)` of features over the core."""
    sums = (features[0] @ columns[:, None])[..., 0] @ rows[:, None]
    return sums[:, 0] / (rows.sum() * columns.sum())


def _spread(values: Tensor, shares: Tensor) -> Tensor:
    """Return values `(K, C)` of styles as `(1, C, h, w)`, blended by their shares `(K, h, w)`."""
    blended: Tensor = (values[:, :, None, None] * shares[:, None]).sum(0, keepdim=True)
    return blended
