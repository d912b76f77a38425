"""A network that is ready to paint: what its files say, and the engine that runs it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from adain.config import STRIDE, STYLE_LAYERS, VGG19
from adain.errors import WeightsError
from adain.network.weights import (
    DECODER_FORMAT,
    ENCODER_FORMAT,
    ModelFiles,
    architecture,
    encoder_fingerprint,
    read_weights,
)
from adain.styles.adapter import Adapter, decoder_digest
from adain.styles.modulation import Modulation
from adain.styles.recoloring import StyleColors
from adain.styles.statistics import ChannelMoments

Array = NDArray[np.float32]

KEPT_ADAPTERS = 16
"""Adapters whose merged weights are kept: a mixture at several strengths, in several regions."""

Shares = tuple[Array, ...]
"""Shares `(K, h, w)` of `K` styles at each position of `relu1_1 ... relu4_1`; `(K, 1, 1)` where
they are the same everywhere."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A tile, encoded.

    Attributes:
        features: Those at `relu1_1 ... relu4_1`, as the engine keeps them; none where they are
            not wanted.
        moments: Those of the tile's core at each layer; none from a `quantized` engine.
    """

    features: Sequence[Any]
    moments: dict[str, ChannelMoments]


class Engine(Protocol):
    """Runs the network on tiles; used by several threads at a time.

    Attributes:
        device: `cpu`, `cuda`, `cuda:N` or `mps`.
        tile_bytes: Memory for each pixel of a tile at the peak of a pass.
    """

    device: str
    tile_bytes: int

    def encode(
        self,
        tile: Array,
        colors: Array,
        shares: Array,
        core: tuple[int, int, int, int],
        keep: bool = True,
    ) -> Encoded:
        """Recolor and encode a tile.

        Args:
            tile: Shape `(h, w, 3)`, RGB in [0, 1]; sides are multiples of `STRIDE`, from 16.
            colors: For each of `K` styles, perhaps none, a matrix, row by row, and a shift:
                `(K, 12)`.
            shares: How far each recolors each pixel, `(K, h, w)` or `(K, 1, 1)`.
            core: Top, bottom, left and right in pixels of the part that is measured, multiples
                of `STRIDE`.
            keep: Whether the features are wanted, not their moments alone.
        """

    def with_decoder(self, weights: "ModelWeights") -> "Engine":
        """Return an engine on the same device that decodes by other weights."""

    def quantized(self) -> "Engine | None":
        """Return an engine of 8-bit numbers, which measures nothing; None where there is none."""

    def decode(self, features: Sequence[Any], style: Array, shares: Shares) -> Array:
        """Normalize and decode the features of a tile.

        Args:
            features: From `encode`.
            style: For each of `K` styles, `(K, P)`: at each of `relu1_1 ... relu4_1` what is
                added to a scale of 1 and the shift of each channel; then the modulation.
            shares: Of each style at each layer.

        Returns:
            The image `(h, w, 3)`, unclamped.
        """


@dataclass(frozen=True, eq=False)
class ModelWeights:
    """The content of the files of a model.

    Attributes:
        encoder: Weights of the encoder by name, float32.
        decoder: The same of the decoder, with its colours and modulation.
        config: Widths and convolutions of the encoder.
        table: Rows of the decoder (`adain.network.decoder.DecoderTable`).
        max_gain: Limit of `adain.styles.normalization.limit_gain`, or None.
        fingerprint: Identifies the encoder for caches of style statistics.
    """

    encoder: Mapping[str, Array] = field(repr=False)
    decoder: Mapping[str, Array] = field(repr=False)
    config: Mapping[str, Sequence[int]]
    table: tuple[tuple[Any, ...], ...]
    max_gain: float | None
    fingerprint: str

    @staticmethod
    def read(files: ModelFiles) -> "ModelWeights":
        """Read the files of a model.

        Raises:
            WeightsError: If one is missing, damaged or of another kind, or they do not belong
                together.
        """
        encoder, encoder_facts = read_weights(files.encoder, ENCODER_FORMAT)
        decoder, facts = read_weights(files.decoder, DECODER_FORMAT)
        config = architecture(files.encoder, encoder_facts, dict)
        table = architecture(files.decoder, facts, list)
        try:
            fingerprint = encoder_fingerprint(encoder, config["widths"])
            weights = ModelWeights(
                encoder,
                decoder,
                {key: list(map(int, value)) for key, value in config.items()},
                tuple(tuple(row) for row in table),
                float(facts["max_gain"]) if "max_gain" in facts else None,
                fingerprint,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{files.decoder.name}: the architectures make no network ({error})"
            ) from error
        if facts.get("encoder") != fingerprint:
            raise WeightsError(
                f"{files.decoder.name}: trained with encoder {facts.get('encoder', 'unknown')}, "
                f"not with {fingerprint}; give the encoder file that belongs to it"
            )
        return weights

    @property
    def widths(self) -> dict[str, int]:
        """Return the channels of `relu1_1 ... relu4_1`."""
        return dict(zip(STYLE_LAYERS, self.config["widths"], strict=False))

    @property
    def convolutions(self) -> Sequence[int]:
        """Return how many each block of the encoder has."""
        return self.config.get("convolutions", VGG19)

    def graph(self, name: str) -> str:
        """Return the file name of a graph that these weights fit into.

        Args:
            name: `encode`, `decode` or `blend`, and the depth of its stage; of 8-bit numbers with
                `quantized_` before it.
        """
        modulated = any(each.startswith("modulation.") for each in self.decoder)
        encodes = "encode" in name
        facts = sorted(self.config.items()) if encodes else (self.table, modulated)
        return f"{name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}.onnx"


@dataclass(frozen=True, eq=False)
class Model:
    """A network that is ready to paint.

    Attributes:
        name: What it was loaded by.
        files: Where its weights are.
        weights: What they say.
        engine: What runs it.
    """

    name: str
    files: ModelFiles
    weights: ModelWeights
    engine: Engine

    @property
    def fingerprint(self) -> str:
        """Identify the encoder, for caches of style statistics."""
        return self.weights.fingerprint

    @property
    def device(self) -> str:
        """Return the device that it runs on."""
        return self.engine.device

    @property
    def parameters(self) -> int:
        """Return how many numbers its networks have."""
        return sum(value.size for _, value in self._networks())

    @cached_property
    def digest(self) -> bytes:
        """Identify all weights together."""
        digest = hashlib.sha256()
        for name, value in self._networks():
            digest.update(name.encode())
            digest.update(value.tobytes())
        return digest.digest()

    @property
    def widths(self) -> dict[str, int]:
        """Return the channels of `relu1_1 ... relu4_1`."""
        return self.weights.widths

    @cached_property
    def colors(self) -> StyleColors | None:
        """Return what tells the colours of a style; None where photos are not recolored."""
        return StyleColors.of(self.weights.decoder)

    @cached_property
    def modulation(self) -> Modulation | None:
        """Return what tells the modulation of a style; None where there is none."""
        return Modulation.of(self.weights.decoder)

    @cached_property
    def base(self) -> str:
        """Identify the decoder to the adapters that were learnt for it."""
        return decoder_digest(self.weights.decoder)

    def adapted(self, adapter: Adapter | None, alpha: float = 1.0) -> Engine:
        """Return the engine that paints with an adapter; those used last are kept.

        Args:
            adapter: Learnt for this decoder; None for the decoder itself.
            alpha: Strength of the style, which is that of the adapter as far as 1.

        Raises:
            WeightsError: If it was learnt for another decoder.
        """
        strength = min(max(alpha, 0.0), 1.0)
        if adapter is None or strength == 0:
            return self.engine
        if adapter.base != self.base:
            raise WeightsError(
                f"the adapter was learnt for decoder {adapter.base}, not for {self.base}; learn "
                "the painting again, or paint without it"
            )
        return self._adapted(adapter, strength)

    @cached_property
    def _adapted(self) -> Callable[[Adapter, float], Engine]:
        @lru_cache(KEPT_ADAPTERS)
        def engine(adapter: Adapter, strength: float) -> Engine:
            merged = adapter.merged(self.weights.decoder, strength)
            return self.engine.with_decoder(replace(self.weights, decoder=merged))

        return engine

    @cached_property
    def quantized(self) -> "Model":
        """Return a model that paints by 8-bit numbers what another has measured.

        It is this one itself where none was prepared: for another decoder, or on a GPU.
        """
        engine = self.engine.quantized()
        return self if engine is None else replace(self, engine=engine)

    @cached_property
    def encoder_reach(self) -> int:
        """Return how far in pixels a feature looks, rounded up to whole positions."""
        return whole_strides(self._encoder_reach)

    @cached_property
    def reach(self) -> int:
        """Return how far in pixels a painted pixel looks, rounded up to whole positions."""
        return whole_strides(self._encoder_reach + _decoder_reach(self.weights.table))

    @property
    def _encoder_reach(self) -> int:
        """Count a position for each convolution, and for a pooling the rest of its own."""
        blocks = [*self.weights.convolutions[:3], 1]
        return int(sum(count * 2**i for i, count in enumerate(blocks))) + STRIDE - 1

    def _networks(self) -> list[tuple[str, Array]]:
        parts = {"encoder": self.weights.encoder, "decoder": self.weights.decoder}
        return sorted(
            (f"{part}.{name}", value)
            for part, values in parts.items()
            for name, value in values.items()
        )


def core_weights(tile: Array, core: tuple[int, int, int, int]) -> tuple[Array, Array]:
    """Return 1 for each row and each column of `relu4_1` that is in the core of a tile, else 0."""
    rows, columns = (np.zeros(side // STRIDE, np.float32) for side in tile.shape[:2])
    top, bottom, left, right = (side // STRIDE for side in core)
    rows[top:bottom] = columns[left:right] = 1
    return rows, columns


def tile_moments(
    mean: Array, variance: Array, core: tuple[int, int, int, int], widths: Mapping[str, int]
) -> dict[str, ChannelMoments]:
    """Return the moments of each layer of a tile.

    Args:
        mean: Means of the channels of all layers.
        variance: Their variances.
        core: As for `Engine.encode`.
        widths: Channels of each layer.
    """
    top, bottom, left, right = core
    moments, at = {}, 0
    for i, (layer, width) in enumerate(widths.items()):
        count = (bottom - top) * (right - left) // 4**i
        mean_, variance_ = (
            each[None, at : at + width].astype(np.float64) for each in (mean, variance)
        )
        moments[layer] = ChannelMoments(count, mean_, count * variance_)
        at += width
    return moments


def whole_strides(pixels: int) -> int:
    """Return a number of pixels, rounded up to a multiple of `STRIDE`."""
    return pixels + -pixels % STRIDE


def _decoder_reach(table: Sequence[Sequence[Any]]) -> int:
    """Return how far the decoder looks, and the position that a pixel lies in."""
    scale = int(2 ** (int(table[0][1][len("relu")]) - 1))
    reach = scale - 1
    for operation, *arguments in table:
        if operation in ("conv", "image"):
            reach += scale
        elif operation == "residual":
            reach += 2 * scale
        elif operation == "upsample":
            reach += scale if arguments == ["bilinear"] else 0
            scale //= 2
    return reach
