"""torch: the engine for CUDA, MPS, and models of other architectures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from adain.engine.model import Array, Encoded, ModelWeights, Shares, core_weights, tile_moments
from adain.network.loading import build_decoder, build_encoder
from adain.network.passes import Decode, Encode


class TorchEngine:
    """Runs the network as torch modules."""

    tile_bytes = 680  # Up to 545 was measured, and gaps.

    def __init__(self, weights: ModelWeights, device: str = "cpu") -> None:
        self.device = device
        self._weights = weights
        encode = Encode(build_encoder(weights.config, weights.encoder))
        decode = Decode(build_decoder(weights.table, weights.decoder, weights.max_gain))
        self.networks = self._encode, self._decode = tuple(
            each.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for each in (encode, decode)
        )

    def with_decoder(self, weights: ModelWeights) -> "TorchEngine":
        """See `Engine`."""
        return TorchEngine(weights, self.device)

    def quantized(self) -> None:
        """See `Engine`."""

    @torch.no_grad()
    def encode(
        self,
        tile: Array,
        colors: Array,
        shares: Array,
        core: tuple[int, int, int, int],
        keep: bool = True,
    ) -> Encoded:
        """See `Engine`."""
        rows, columns = core_weights(tile, core)
        inputs = (self._tensor(each) for each in (tile, colors, shares, rows, columns))
        *features, mean, variance = self._encode(*inputs)
        moments = tile_moments(
            mean.cpu().numpy(), variance.cpu().numpy(), core, self._weights.widths
        )
        return Encoded(features if keep else (), moments)

    @torch.no_grad()
    def decode(self, features: Sequence[Any], style: Array, shares: Shares) -> Array:
        """See `Engine`."""
        image: Array = self._decode(*features, *map(self._tensor, (style, *shares))).cpu().numpy()
        return image

    def _tensor(self, values: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
