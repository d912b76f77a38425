"""Models by name or file, on the engine that suits the machine."""

from pathlib import Path

from adain.config import DEFAULT_MODEL
from adain.engine.device import choose_device
from adain.engine.model import Engine, Model, ModelWeights
from adain.engine.onnx_engine import OnnxEngine
from adain.engine.torch_extra import require_torch
from adain.network.weights import find_model


def load_model(
    name: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    encoder: Path | None = None,
    threads: int | None = None,
) -> Model:
    """Load a model: weights, and the engine that runs them.

    Args:
        name: Name of a shipped or an imported model, or the path of a decoder file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        encoder: Encoder file to use with a decoder that was trained with another encoder than
            the shipped one. By default one that lies beside `NAME.decoder.safetensors` as
            `NAME.encoder.safetensors`, else the shipped one.
        threads: Threads of a pass on the CPU; by default one for each core.

    Raises:
        WeightsError: If a file is missing, truncated, altered, of another kind, holds numbers
            that are not finite, or decoder and encoder do not belong together.
        EngineError: If ONNX Runtime cannot be used.
        TorchMissing: If the model or the device needs torch, which is not installed.
        ValueError: If there is no such device.

    Example:
        >>> model = load_model("compact", device="cpu")
        >>> painted = adain.stylize("photo.jpg", "painting.jpg", model=model)
    """
    place = choose_device(device)
    files = find_model(name, encoder)
    weights = ModelWeights.read(files)
    return Model(str(name), files, weights, _engine(weights, place, threads))


def _engine(weights: ModelWeights, device: str, threads: int | None) -> Engine:
    if device == "cpu" and OnnxEngine.runs(weights):
        return OnnxEngine(weights, threads)
    require_torch(f"the device {device}" if device != "cpu" else "a model of this architecture")
    from adain.engine.torch_engine import TorchEngine

    return TorchEngine(weights, device)
