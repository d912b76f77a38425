"""ONNX Runtime: the engine that everyone has, on the CPU."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, reduce
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from adain.config import STYLE_LAYERS
from adain.engine.bands import Band, cut_bands
from adain.engine.device import cores
from adain.engine.model import Array, Encoded, ModelWeights, Shares, core_weights
from adain.engine.onnx_import import import_onnxruntime
from adain.engine.quantizing import QUANTIZED, Ranges, quantize, quantized_stage, read_ranges
from adain.errors import EngineError
from adain.network.stages import DecoderStage, EncoderStage, decoder_stages, encoder_stages
from adain.styles.statistics import ChannelMoments

GRAPHS = Path(__file__).parents[1] / "assets"

BAND_VALUES = 2**19
"""Numbers in the widest features of a band: 2 MB, which a core works on in its cache."""

T = TypeVar("T")


class OnnxEngine:
    """Runs the graphs of an architecture with the weights of a model, or with 8 bits of them.

    The graphs (`adain/assets/*.onnx`, by `scripts/export`) hold no weights: these are given when
    a session is made, so that every decoder of the architecture runs, and so does one that an
    adapter was merged into.

    Each stage of a pass runs in bands of rows, as many at a time as there are threads: what a
    thread works on stays in the cache of its core, and memory is needed for what is between two
    stages alone. Threads within an operation would wait for one another at the end of each.
    """

    device = "cpu"
    tile_bytes = 220  # Up to 146 was measured, and gaps that each thread leaves.

    def __init__(
        self,
        weights: ModelWeights,
        threads: int | None = None,
        base: "OnnxEngine | None" = None,
        ranges: Ranges | None = None,
    ) -> None:
        self._weights, self._threads, self._base = weights, threads or cores(), base
        self._ranges, self._measures = ranges, ranges is None
        self._runtime = import_onnxruntime()
        self._encoder_stages = encoder_stages(weights.convolutions)
        self._decoder_stages = decoder_stages(weights.table)
        self._sessions: dict[str, Future[Any]] = {}
        self._values: list[Any] = []  # Sessions do not copy the weights that they are given.
        self._lock = Lock()
        if base is None:
            # While the first picture is decoded.
            self._make_sessions(f"encode{stage.depth}" for stage in self._encoder_stages)

    @staticmethod
    def runs(weights: ModelWeights) -> bool:
        """Return whether there are graphs for these weights."""
        # The others of their architectures lie beside these.
        return all(_graph(weights, name).is_file() for name in ("encode1", "decode1", "blend1"))

    def with_decoder(self, weights: ModelWeights) -> "OnnxEngine":
        """See `Engine`."""
        return OnnxEngine(weights, self._threads, self._base or self, self._ranges)

    def quantized(self) -> "OnnxEngine | None":
        """See `Engine`."""
        ranges = read_ranges(self._weights)
        return None if ranges is None else OnnxEngine(self._weights, self._threads, ranges=ranges)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return self._base._pool if self._base else ThreadPoolExecutor(self._threads, "adain")

    def encode(
        self,
        tile: Array,
        colors: Array,
        shares: Array,
        core: tuple[int, int, int, int],
        keep: bool = True,
    ) -> Encoded:
        """See `Engine`."""
        positions = core_weights(tile, core)
        features: list[Array] = []
        moments: dict[str, ChannelMoments] = {}
        passed = np.ascontiguousarray(tile)
        for stage, layer in zip(self._encoder_stages, STYLE_LAYERS, strict=True):
            inputs = {"colors": colors, "shares": shares} if stage.depth == 1 else {}
            counted = [each.repeat(2 ** (len(STYLE_LAYERS) - stage.depth)) for each in positions]
            found, kept, passed = self._encode(stage, passed, inputs, counted, keep)
            if found is not None:
                moments[layer] = found
            if keep:
                features.append(kept)
        return Encoded(features, moments)

    def _encode(
        self,
        stage: EncoderStage,
        before: Array,
        inputs: Mapping[str, Array],
        counted: Sequence[Array],
        keep: bool,
    ) -> tuple[ChannelMoments | None, Array, Array]:
        """Return the moments of a layer, what is kept for the decoder, and what is passed on."""
        rows, columns = counted
        session = self._session(f"encode{stage.depth}")
        first = stage.depth == 1
        kept, pooled = _Gathered(len(rows)), _Gathered(len(rows) // 2)

        def run(band: Band) -> ChannelMoments | None:
            given: dict[str, Any] = {"pads": band.pads}
            if self._measures:
                given |= {"rows": band.counted(rows), "columns": columns}
            if first:
                given |= {"colors": inputs["colors"], "shares": band.read(inputs["shares"])}
                given["tile"] = before[band.rows().start : band.rows().stop]
            else:
                given["features"] = band.read(before)
            made = session.run(None, given)
            layer, *passed = made[2 * self._measures :]
            if keep:
                kept.put(band.core(layer, 0 if first else 1), band.top)
            for each in passed:
                pooled.put(each, band.top // 2)
            if not self._measures:
                return None
            return _moments(int(given["rows"].sum()) * int(columns.sum()), *made[:2])

        bands = self._bands(stage.depth, len(rows), len(columns), stage.reach)
        parts = self._each(run, bands)
        found = [part for part in parts if part is not None]
        moments = reduce(ChannelMoments.merge, found) if found else None
        return moments, kept.whole, pooled.whole

    def decode(self, features: Sequence[Any], style: Array, shares: Shares) -> Array:
        """See `Engine`."""
        kind = "decode" if all(share.shape == (1, 1, 1) for share in shares) else "blend"
        height, width = features[0].shape[2:]
        self._make_sessions(f"{kind}{stage.depth}" for stage in self._decoder_stages)
        painted: Array | None = None
        for stage in self._decoder_stages:
            i = stage.depth - 1
            inputs = {"style": style, "shares": shares[i]}
            if stage.adds:
                inputs["photo"] = features[i]
            if painted is not None:
                inputs["features"] = painted
            size = (height >> i, width >> i)
            painted = self._decode(stage, self._session(f"{kind}{stage.depth}"), inputs, size)
        assert painted is not None
        return painted.reshape(height, width, 3)

    def _decode(
        self, stage: DecoderStage, session: Any, inputs: Mapping[str, Array], size: tuple[int, int]
    ) -> Array:
        """Return what a stage makes; of an image the rows `(h, w * 3)`."""
        painted = _Gathered(size[0])
        last = stage.depth == 1

        def run(band: Band) -> None:
            given: dict[str, Any] = {"style": inputs["style"], "pads": band.pads}
            given["shares"] = band.read(inputs["shares"])
            if "photo" in inputs:  # relu1_1 is made of it by one more convolution.
                given["photo"] = band.read(inputs["photo"], before=int(last))
            if "features" in inputs:
                given["features"] = band.read(inputs["features"], scale=2)
            made = session.run(None, given)[0]
            made = made.reshape(-1, 3 * size[1]) if last else made
            painted.put(band.core(made, stage.reach), band.top)

        self._each(run, self._bands(stage.depth, *size, stage.halo))
        return painted.whole

    def _bands(self, depth: int, height: int, width: int, halo: int) -> Iterable[Band]:
        channels = list(self._weights.widths.values())[depth - 1]
        return cut_bands(height, BAND_VALUES / (channels * width), halo)

    def _each(self, run: Callable[[Band], T], bands: Iterable[Band]) -> list[T]:
        """Run something for each band, on the threads of the engine."""
        if self._threads == 1:
            return list(map(run, bands))
        return list(self._pool.map(run, bands))

    def _session(self, name: str) -> Any:
        """Return what runs a graph; made when it is first asked for."""
        if self._base is not None and name.startswith("encode"):
            return self._base._session(name)
        self._make_sessions([name])
        return self._sessions[name].result()

    def _make_sessions(self, names: Iterable[str]) -> None:
        """Begin to make what runs graphs, as many at a time as there are threads."""
        with self._lock:
            for name in names:
                if name not in self._sessions:
                    self._sessions[name] = self._pool.submit(self._make_session, name)

    def _make_session(self, name: str) -> Any:
        runtime = self._runtime
        path = _graph(self._weights, name if self._ranges is None else QUANTIZED + name)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Pictures of any size would each keep memory of their own.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        weights = self._stage_weights(name)
        if self._ranges is not None:
            weights = quantize(weights, quantized_stage(name, self._weights), self._ranges)
        values = [runtime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
        self._values += values
        options.add_external_initializers(list(weights), values)
        try:
            return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(
                f"{path.name}: cannot be run ({_first_line(error)}); reinstall the package"
            ) from error

    def _stage_weights(self, name: str) -> dict[str, Array]:
        """Return the weights that a graph uses, by their names in it."""
        depth = int(name[-1])
        convolutions: Sequence[str] = ()
        rows: set[str] = set()
        if name.startswith("encode"):
            convolutions = self._encoder_stages[depth - 1].names
        else:
            stage = next(each for each in self._decoder_stages if each.depth == depth)
            convolutions = self._encoder_stages[0].names[: int(stage.adds and depth == 1)]
            rows = {str(i) for i in range(stage.first, stage.last)}
        encoder, decoder = self._weights.encoder, self._weights.decoder
        return {
            f"encoder.{each}.{kind}": encoder[f"{each}.{kind}"]
            for each in convolutions
            for kind in ("weight", "bias")
        } | {f"decoder.{k}": v for k, v in decoder.items() if k.partition(".")[0] in rows}


class _Gathered:
    """An array `(..., h, w)` that bands make row by row, in any order."""

    def __init__(self, height: int) -> None:
        self._height, self._lock = height, Lock()
        self.whole: Array = np.empty(0, np.float32)

    def put(self, rows: Array, top: int) -> None:
        """Put rows in their place."""
        with self._lock:
            if not self.whole.size:
                self.whole = np.empty((*rows.shape[:-2], self._height, rows.shape[-1]), rows.dtype)
        self.whole[..., top : top + rows.shape[-2], :] = rows


def _moments(count: int, mean: Array, variance: Array) -> ChannelMoments | None:
    """Return the moments of a band of which mean and variance `(C,)` were measured, if any."""
    if not count:
        return None
    mean_, variance_ = (each[None].astype(np.float64) for each in (mean, variance))
    return ChannelMoments(count, mean_, count * variance_)


def _graph(weights: ModelWeights, name: str) -> Path:
    return GRAPHS / weights.graph(name)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
