"""How a pass is cut into stages: one for each size that features have, each done in bands.

    photo  1/1   encode 1 ───────────────────────── decode 4 ── image
                   │ pool                              ↑ double
           1/2   encode 2 ── relu2_1 ────────────── decode 3
                   │                                   ↑
           1/4   encode 3 ── relu3_1 ────────────── decode 2
                   │                                   ↑
           1/8   encode 4 ── relu4_1 ────────────── decode 1

What is between two stages is small; what is within one exists for a band of rows only, which fits
into the cache of a core. A band reads as many rows beyond it as the convolutions of its stage look
far. relu1_1, larger than all else together, is never kept: the last stage makes it anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adain.config import STYLE_LAYERS

Table = Sequence[Sequence[Any]]
"""Rows of a decoder: `adain.network.decoder.DecoderTable`."""


@dataclass(frozen=True)
class EncoderStage:
    """A block of the encoder.

    Attributes:
        depth: Its number, from 1; it works at `1 / 2 ** (depth - 1)` of the photo's size.
        names: Its convolutions.
    """

    depth: int
    names: tuple[str, ...]

    @property
    def reach(self) -> int:
        """Return how many rows its convolutions look beyond a band."""
        return len(self.names)


@dataclass(frozen=True)
class DecoderStage:
    """The rows of a decoder that work at one size.

    Attributes:
        depth: As of the encoder's block of this size.
        first: The first of its rows, the start or an upsampling.
        last: The row behind its last one.
        reach: How many rows its convolutions look beyond a band.
        halo: How many rows a band reads beyond it: they begin at a whole row of half the size.
        adds: Whether it takes the photo's features.
    """

    depth: int
    first: int
    last: int
    reach: int
    halo: int
    adds: bool


def encoder_stages(convolutions: Sequence[int]) -> list[EncoderStage]:
    """Return the stages of an encoder up to relu4_1, given the convolutions of its blocks."""
    counts = [*convolutions[: len(STYLE_LAYERS) - 1], 1]
    return [
        EncoderStage(depth, tuple(f"conv{depth}_{i + 1}" for i in range(count)))
        for depth, count in enumerate(counts, 1)
    ]


def decoder_stages(table: Table) -> list[DecoderStage]:
    """Return the stages of a decoder."""
    depth = STYLE_LAYERS.index(table[0][1]) + 1
    firsts = [i for i, row in enumerate(table) if row[0] in ("start", "upsample")]
    stages = []
    for first, last in zip(firsts, [*firsts[1:], len(table)], strict=True):
        rows = [table[i][0] for i in range(first, last)]
        reach = sum({"conv": 1, "image": 1, "residual": 2}.get(row, 0) for row in rows)
        smooth = list(table[first]) == ["upsample", "bilinear"]
        halo = reach + smooth
        adds = any(row in ("start", "add") for row in rows)
        stages.append(DecoderStage(depth, first, last, reach, halo + halo % 2, adds))
        depth -= 1
    return stages
