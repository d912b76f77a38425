"""What a visitor's own device paints with: the network as one file, and a style as another.

Both are safetensors, which `gallery/web/static/device/` reads: a service gives them to the page,
and a site (`gallery.use_cases.site`) holds the first.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from adain.engine.model import Array, Model, ModelWeights
from adain.engine.onnx_engine import GRAPHS, OnnxEngine
from adain.network.stages import decoder_stages, encoder_stages
from adain.styles.colors import VECTOR_SIZE
from adain.styles.recoloring import style_colors
from adain.styles.statistics import StyleStatistics

STATIC = Path(__file__).parents[1] / "web" / "static"

RUNTIME = STATIC / "runtime"
"""onnxruntime-web, where `scripts/fetch_runtime` puts it."""


def has_runtime() -> bool:
    """Return whether what runs the network in a browser is there."""
    return (RUNTIME / "VERSION").is_file()


def paints_on_devices(model: Model) -> bool:
    """Return whether a browser can run a network here."""
    return has_runtime() and OnnxEngine.runs(model.weights)


def network_file(model: Model) -> bytes:
    """Return the network: weights, a graph for each stage as bytes, and facts as metadata."""
    weights = model.weights
    encode = [f"encode{stage.depth}" for stage in encoder_stages(weights.convolutions)]
    stages = decoder_stages(weights.table)
    names = [*encode, *(f"{kind}{each.depth}" for kind in ("decode", "blend") for each in stages)]
    graphs = {
        f"graph.{name}": np.frombuffer((GRAPHS / weights.graph(name)).read_bytes(), np.uint8)
        for name in names
    }
    facts = {
        "widths": list(weights.widths.values()),
        "maxGain": weights.max_gain,
        "recolors": "colors.weight" in weights.decoder,
        "reach": model.reach,
        "encoderReach": model.encoder_reach,
        "encode": encode,
        "decode": [{"depth": each.depth, "adds": each.adds} for each in stages],
    }
    return save(dict(_tensors(weights)) | graphs, {"network": json.dumps(facts)})


def _tensors(weights: ModelWeights) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield the weights that are needed to paint, in half precision where that loses nothing."""
    names = {name for stage in encoder_stages(weights.convolutions) for name in stage.names}
    for part, tensors in (("encoder", weights.encoder), ("decoder", weights.decoder)):
        for name, value in tensors.items():
            wanted = name.partition(".")[0] in names if part == "encoder" else "colors" not in name
            if wanted:
                half = value.astype(np.float16)
                exact = np.array_equal(half.astype(np.float32), value)
                yield f"{part}.{name}", np.ascontiguousarray(half if exact else value)


def style_vector(model: Model, style: StyleStatistics) -> Array:
    """Return the statistics and colours of a style, `(1, D + 9)`; those unknown are estimated."""
    vector = style.to_vector()
    if style.colors is not None:
        return vector
    if model.colors is None:
        return np.pad(vector, ((0, 0), (0, VECTOR_SIZE)))
    colors = style_colors(style, model.colors)
    return np.concatenate((vector, colors.to_vector()), axis=1)


def style_file(model: Model, style: StyleStatistics) -> bytes:
    """Return a style: its `vector`, and the tensors of what was learnt of it."""
    adapter = style.adapter
    tensors = {} if adapter is None else adapter.tensors
    learnt = {name: np.ascontiguousarray(value, np.float16) for name, value in tensors.items()}
    return save(learnt | {"vector": np.ascontiguousarray(style_vector(model, style))})
