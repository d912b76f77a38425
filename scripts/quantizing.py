"""Graphs of 8-bit numbers, made from those of float32, and the ranges that they need.

Wherever features are mirrored, they are of 8 bits; ONNX Runtime makes one operation of what
stands between two such places, where it is a convolution of 8-bit weights.
"""

from collections import defaultdict
from collections.abc import MutableSequence, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TypeVar

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional as F

import adain
from adain.engine.model import Model
from adain.engine.onnx_engine import GRAPHS
from adain.engine.quantizing import Quantized
from adain.engine.torch_engine import TorchEngine
from adain.network.encoder import Convolution
from adain.styles.statistics import StyleStatistics
from gallery.database.gallery import starter_gallery

MOMENTS = ("mean", "variance")

FLOAT = "_float"
"""What names of float32 values end with where an input, output or weight of 8 bits has the name."""

MOST, PICTURES = 0.9999, 0.8
"""A range holds so much of a picture, for so many pictures: less is cut off than is gained."""

STYLES = 60
"""Paintings in which ranges are measured, beside those that were learnt."""

T = TypeVar("T")


class Quantizer:
    """Turns the graph of a stage into one of 8-bit numbers, which measures nothing."""

    def __init__(self, model: onnx.ModelProto, stage: Quantized) -> None:
        self._graph, self._stage = model.graph, stage
        self._nodes: list[onnx.NodeProto] = []
        self._levels: dict[tuple[str, str], str] = {}  # Of a value by a range.
        self._known = {each.name for each in model.graph.initializer}

    def run(self) -> None:
        """Change the graph."""
        graph = self._graph
        kept = [each for each in graph.output if each.name not in MOMENTS]
        _replace(graph.output, kept)
        _drop_unused(graph)
        self._rename()
        readers = {node.input[0]: node for node in graph.node if node.op_type == "Conv"}
        for name, values in self._stage.inputs.items():
            self._dequantize(name, values, f"{name}{FLOAT}")
        for node in graph.node:
            if node.op_type == "Pad" and "pads" in node.input:
                self._mirror(node, self._reader(readers[node.output[0]]))
                continue
            kernel = node.op_type == "Conv" and node.input[1].removesuffix(".weight")
            if kernel in self._stage.kernels:
                self._use_levels(node)
            self._nodes.append(node)
        for name, values in self._stage.outputs.items():
            self._quantize(f"{name}{FLOAT}", values)
        _replace(graph.node, self._nodes)
        _drop_unused(graph)

    def _rename(self) -> None:
        """Give what is float32 inside of the graph other names than its inputs and outputs."""
        names = {*self._stage.inputs, *self._stage.outputs}
        for node in self._graph.node:
            for values in (node.input, node.output):
                for i, value in enumerate(values):
                    if value in names:
                        values[i] = f"{value}{FLOAT}"
        for value in (*self._graph.input, *self._graph.output):
            if value.name in names:
                value.type.tensor_type.elem_type = TensorProto.UINT8

    def _reader(self, node: onnx.NodeProto) -> str:
        # The kernel of the last convolution is made of its weights within the graph.
        weight = node.input[1]
        return weight.removesuffix(".weight") if weight in self._known else self._stage.reads[-1]

    def _mirror(self, node: onnx.NodeProto, reader: str) -> None:
        if reader not in self._stage.reads:
            self._nodes.append(node)
            return
        whole = node.output[0]
        node.input[0] = self._quantize(node.input[0], reader)
        node.output[0] = f"{whole}_levels"
        self._nodes.append(node)
        self._dequantize(node.output[0], reader, whole)

    def _quantize(self, value: str, name: str) -> str:
        """Return the levels of a value, made once; they may be an output."""
        if (value, name) not in self._levels:
            output = value.removesuffix(FLOAT)
            is_output = self._stage.outputs.get(output) == name
            made = output if is_output else f"{value}_{name}_levels"
            inputs = [value, *self._scale(name)]
            self._nodes.append(helper.make_node("QuantizeLinear", inputs, [made]))
            self._levels[value, name] = made
        return self._levels[value, name]

    def _dequantize(self, levels: str, name: str, value: str) -> None:
        inputs = [levels, *self._scale(name)]
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, [value]))

    def _scale(self, name: str) -> list[str]:
        self._add(f"{name}.scale", TensorProto.FLOAT, [])
        self._add(f"{name}.zero", TensorProto.UINT8, [])
        return [f"{name}.scale", f"{name}.zero"]

    def _use_levels(self, node: onnx.NodeProto) -> None:
        weight, bias = node.input[1], node.input[2]
        shape = next(each.dims for each in self._graph.initializer if each.name == weight)
        kinds = (weight, TensorProto.INT8, shape), (bias, TensorProto.INT32, shape[:1])
        for i, (name, kind, dims) in enumerate(kinds, 1):
            self._add(f"{name}.levels", kind, dims)
            self._add(f"{name}.scale", TensorProto.FLOAT, shape[:1])
            inputs = [f"{name}.levels", f"{name}.scale"]
            made = f"{name}{FLOAT}"
            self._nodes.append(helper.make_node("DequantizeLinear", inputs, [made], axis=0))
            node.input[i] = made

    def _add(self, name: str, kind: int, shape: list[int]) -> None:
        if name in self._known:
            return
        self._known.add(name)
        tensor = onnx.TensorProto(name=name, data_type=kind, dims=shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=name)
        self._graph.initializer.append(tensor)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Drop what no output needs."""
    needed = {each.name for each in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    _replace(graph.node, nodes[::-1])
    for values in (graph.input, graph.initializer):
        _replace(values, [each for each in values if each.name in needed])


def _replace(values: MutableSequence[T], kept: Sequence[T]) -> None:
    del values[:]
    values.extend(kept)


def starter_styles(model: Model) -> list[StyleStatistics]:
    """Return some paintings of the starter gallery, and all that were learnt."""
    with closing(starter_gallery()) as shipped:
        numbers, vectors = shipped.vectors(model.fingerprint)
        learnt = shipped.learnt_adapters(model.base)
    styles = StyleStatistics.from_vector(vectors, model.widths).split()
    some = styles[:: max(1, len(styles) // STYLES)]
    return [*some, *(replace(styles[numbers.index(i)], adapters=(learnt[i],)) for i in learnt)]


def measure_ranges(model: Model) -> dict[str, list[float]]:
    """Return what features reach in shipped photos and paintings, by the convolution they go into.

    Args:
        model: On torch.
    """
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    watched: set[nn.Module] = set()

    def watch(name: str, module: nn.Module) -> None:
        def look(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found[name].append(_reach(inputs[0]))
            found[f"{name}.out"].append(_reach(F.relu(output)))

        module.register_forward_hook(look)

    styles = starter_styles(model)
    for photo in sorted((GRAPHS / "photos").glob("*.jpg")):
        for style in styles:
            engine = model.adapted(style.adapter)
            assert isinstance(engine, TorchEngine) and isinstance(model.engine, TorchEngine)
            for network in {model.engine.networks[0], engine.networks[1]} - watched:
                watched.add(network)
                for name, module in network.named_modules():
                    if isinstance(module, Convolution):
                        watch(name, module)
            adain.stylize(photo, style, model=model)
    found["relu4_1"] = found["encoder.conv4_1.out"]
    return {name: _common(each) for name, each in found.items()}


def _reach(values: Tensor) -> tuple[float, float]:
    few = values.flatten()[:: max(1, values.numel() // 2**20)]
    low, high = few.quantile(torch.tensor([1 - MOST, MOST])).tolist()
    return min(low, 0.0), max(high, 1e-3)


def _common(each: Sequence[tuple[float, float]]) -> list[float]:
    lows, highs = np.transpose(each)
    return [
        round(float(each), 3)
        for each in (np.quantile(lows, 1 - PICTURES), np.quantile(highs, PICTURES))
    ]
