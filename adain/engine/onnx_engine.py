"""ONNX Runtime: the engine that everyone has, on the CPU."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from adain.config import STYLE_LAYERS
from adain.engine.model import Array, Encoded, ModelWeights, Shares, core_weights, tile_moments
from adain.engine.onnx_import import import_onnxruntime
from adain.errors import EngineError

GRAPHS = Path(__file__).parents[1] / "assets"


class OnnxEngine:
    """Runs the graphs of an architecture with the weights of a model.

    The graphs (`adain/assets/*.onnx`, by `scripts/export`) hold no weights: these are given when
    a session is made, so that every decoder of the architecture runs, and so does one that an
    adapter was merged into.
    """

    device = "cpu"

    def __init__(self, weights: ModelWeights, threads: int | None = None) -> None:
        self._weights, self._threads = weights, threads
        self._runtime = import_onnxruntime()

    @staticmethod
    def runs(weights: ModelWeights) -> bool:
        """Return whether there are graphs for these weights."""
        return all(_graph(weights, name).is_file() for name in ("encode", "decode", "blend"))

    @cached_property
    def _encoder(self) -> Any:
        # What is deeper than relu4_1, and the heads, are for losses.
        blocks = self._weights.convolutions[:3]
        names = [f"conv{i}_{j + 1}" for i, count in enumerate(blocks, 1) for j in range(count)]
        kinds = [f"{name}.{kind}" for name in (*names, "conv4_1") for kind in ("weight", "bias")]
        return self._session("encode", {f"encoder.{k}": self._weights.encoder[k] for k in kinds})

    @cached_property
    def _decoder(self) -> Any:
        return self._decoding("decode")

    @cached_property
    def _blender(self) -> Any:
        return self._decoding("blend")

    def _decoding(self, graph: str) -> Any:
        rows = {k: v for k, v in self._weights.decoder.items() if k[0].isdecimal()}
        return self._session(graph, {f"decoder.{k}": v for k, v in rows.items()})

    def encode(
        self, tile: Array, colors: Array, shares: Array, core: tuple[int, int, int, int]
    ) -> Encoded:
        """See `Engine`."""
        rows, columns = core_weights(tile, core)
        inputs = {
            "tile": np.ascontiguousarray(tile),
            "colors": colors,
            "shares": shares,
            "rows": rows,
            "columns": columns,
        }
        *features, mean, variance = self._run(self._encoder, inputs)
        moments = tile_moments(mean.numpy(), variance.numpy(), core, self._weights.widths)
        return Encoded(features, moments)

    def decode(self, features: Sequence[Any], style: Array, shares: Shares) -> Array:
        """See `Engine`."""
        inputs = dict(zip(STYLE_LAYERS, features, strict=True)) | {"style": style}
        inputs |= {f"shares_{k}": v for k, v in zip(STYLE_LAYERS, shares, strict=True)}
        everywhere = all(share.shape == (1, 1, 1) for share in shares)
        image: Array = self._run(self._decoder if everywhere else self._blender, inputs)[0].numpy()
        return image

    def _run(self, session: Any, inputs: Mapping[str, Any]) -> list[Any]:
        values = {
            name: self._runtime.OrtValue.ortvalue_from_numpy(value)
            if isinstance(value, np.ndarray)
            else value
            for name, value in inputs.items()
        }
        outputs: list[Any] = session.run_with_ort_values(None, values)
        return outputs

    def _session(self, name: str, weights: Mapping[str, Array]) -> Any:
        """Make what runs a graph with these weights."""
        runtime, path = self._runtime, _graph(self._weights, name)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._threads or _cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Pictures of any size would each keep memory of their own.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        # Threads that wait in a loop take the cores from other processes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        values = [runtime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
        options.add_external_initializers(list(weights), values)
        try:
            return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(
                f"{path.name}: cannot be run ({_first_line(error)}); reinstall the package"
            ) from error


def _graph(weights: ModelWeights, name: str) -> Path:
    return GRAPHS / weights.graph(name)


def _cores() -> int:
    import psutil

    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
