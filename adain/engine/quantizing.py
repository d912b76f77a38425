"""8-bit numbers in place of float32: which numbers of a stage become so, and by which scales.

Where processors have instructions for these (VNNI, or dot products), convolutions of 8-bit
numbers take a third of the time. Levels of features are `255 (x - low) / (high - low)`, with a
range for each place that was measured once (`scripts/export`); those of a kernel have a scale for
each of its channels. See Jacob et al., "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", arXiv 1712.05877.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.config import STYLE_LAYERS
from adain.engine.model import ModelWeights
from adain.network.stages import decoder_stages, encoder_stages
from adain.styles.adapter import decoder_digest

RANGES = Path(__file__).parents[1] / "assets" / "ranges.json"

QUANTIZED = "quantized_"
"""What the names of 8-bit graphs begin with."""

LEVELS = 64
"""Of a weight, up and down: sums of two products with 255 then fit into 16 bits, which is all that
x86 processors without VNNI keep."""

FIRST = "encoder.conv1_1"
"""The convolution that stays float32: it reads the photo."""

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Quantized:
    """What a stage has in 8 bits; a range is named after the convolution that reads it.

    Attributes:
        inputs: Its inputs of 8 bits, and their ranges.
        outputs: The same of its outputs.
        reads: Convolutions whose input has 8 bits.
        kernels: Those of them whose weights have, too.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    reads: Sequence[str]
    kernels: Sequence[str]

    @property
    def ranges(self) -> list[str]:
        """Return all ranges that it needs."""
        every = (*self.inputs.values(), *self.outputs.values(), *self.reads)
        return list(dict.fromkeys(every))


def can_be_quantized(weights: ModelWeights) -> bool:
    """Return whether a convolution reads each layer, and one ends each stage of the decoder."""
    rows = [row[0] for row in weights.table]
    ends = {rows[stage.last - 1] for stage in decoder_stages(weights.table)[:-1]}
    return ends == {"conv"} and "residual" not in rows and min(weights.convolutions[:3]) > 1


def quantized_stage(graph: str, weights: ModelWeights) -> Quantized:
    """Return what a stage has in 8 bits: `encode`, `decode` or `blend`, and its depth."""
    kind, depth = graph[:-1], int(graph[-1])
    if kind == "encode":
        block = encoder_stages(weights.convolutions)[depth - 1]
        names = [f"encoder.{each}" for each in block.names]
        reads = [each for each in names if each != FIRST]
        inputs = {"features": names[0]} if depth > 1 else {}
        layer = {"layer": _layer(depth)} if depth > 1 else {}
        passed = {"pooled": f"encoder.conv{depth + 1}_1"} if depth < len(STYLE_LAYERS) else {}
        return Quantized(inputs, layer | passed, reads, reads)
    stages = decoder_stages(weights.table)
    stage = next(each for each in stages if each.depth == depth)
    rows = [i for i in range(stage.first, stage.last) if weights.table[i][0] in ("conv", "image")]
    kernels = [i for i in rows if weights.table[i][0] == "conv"]
    photo = {"photo": _layer(depth)} if stage.adds and depth > 1 else {}
    before = [i for i in range(stage.first) if weights.table[i][0] == "conv"]
    features = {"features": f"decoder.{before[-1]}.out"} if before else {}
    painted = {"painted": f"decoder.{kernels[-1]}.out"} if depth > 1 else {}
    reads, kept = ([f"decoder.{i}" for i in each] for each in (rows, kernels))
    return Quantized(photo | features, painted, reads, kept)


def _layer(depth: int) -> str:
    """Return the range of a layer: its second convolution reads it, but for the last."""
    return f"encoder.conv{depth}_2" if depth < len(STYLE_LAYERS) else STYLE_LAYERS[-1]


def read_ranges(weights: ModelWeights) -> Ranges | None:
    """Return the ranges that were measured with these weights, if any were."""
    try:
        known = json.loads(RANGES.read_bytes())
    except (OSError, ValueError):
        return None
    if known.get("measured") != _identity(weights):
        return None
    return {name: (low, high) for name, (low, high) in known["ranges"].items()}


def ranges_file(weights: ModelWeights, ranges: Mapping[str, Sequence[float]]) -> str:
    """Return what `read_ranges` reads: of the ranges those that some stage needs."""
    kinds = ("encode", "decode")
    graphs = [f"{kind}{depth}" for kind in kinds for depth in range(1, len(STYLE_LAYERS) + 1)]
    needed = {name for graph in graphs for name in quantized_stage(graph, weights).ranges}
    kept = {name: list(ranges[name]) for name in sorted(needed)}
    return json.dumps({"measured": _identity(weights), "ranges": kept}, indent=1) + "\n"


def _identity(weights: ModelWeights) -> list[str]:
    return [weights.fingerprint, decoder_digest(weights.decoder)]


def quantize(
    values: Mapping[str, NDArray[Any]], stage: Quantized, ranges: Ranges
) -> dict[str, NDArray[Any]]:
    """Return the weights of a stage by their names in its 8-bit graph.

    Args:
        values: float32.
        stage: What it has in 8 bits.
        ranges: Least and largest number by name; 0 lies within.
    """
    made = dict(values)
    for name in stage.ranges:
        low, high = ranges[name]
        step = (high - low) / 255
        made[f"{name}.scale"] = np.array(step, np.float32)
        made[f"{name}.zero"] = np.array(round(-low / step), np.uint8)
    for name in stage.kernels:
        weight, bias = made.pop(f"{name}.weight"), made.pop(f"{name}.bias")
        scale = made[f"{name}.scale"]
        steps = np.maximum(np.abs(weight).max((1, 2, 3)) / LEVELS, np.abs(bias) / (scale * 2**30))
        steps = np.maximum(steps, np.float32(1e-12))
        sums = scale * steps
        levels = np.rint(weight / steps[:, None, None, None])
        made[f"{name}.weight.levels"] = levels.astype(np.int8)
        made[f"{name}.weight.scale"] = steps.astype(np.float32)
        made[f"{name}.bias.levels"] = np.rint(bias / sums).astype(np.int32)
        made[f"{name}.bias.scale"] = sums.astype(np.float32)
    return made
