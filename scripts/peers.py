"""Architectures that the evidence scripts measure the network against.

Both run the way their users run them: eager, float32, default memory format (NCHW), reflection
padding as an operation of its own before each convolution. What a peer computes is kept,
operation by operation; nothing is made faster or slower than it is there.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.errors import WeightsError
from adain.network.weights import read_weights

MICROAST_FILES = tuple(
    f"peer_microast_{part}.safetensors"
    for part in ("content_encoder", "style_encoder", "modulator", "decoder")
)
"""Files that `load_microast` reads from its folder."""


def _convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    # MicroAST pads its 1x1 convolutions too, by nothing: a copy of the features.
    padding = nn.ReflectionPad2d(kernel // 2)
    return nn.Sequential(padding, nn.Conv2d(inputs, outputs, kernel, stride, groups=groups))


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each channel, each of shape `(N, C, 1, 1)`."""

    mean: Tensor
    std: Tensor


def _moments(features: Tensor) -> Moments:
    # Both peers divide by the number of positions less one.
    flat = features.flatten(2)
    std = (flat.var(dim=2) + 1e-5).sqrt()
    return Moments(flat.mean(dim=2)[:, :, None, None], std[:, :, None, None])


def _normalize(features: Tensor, style: Moments, alpha: float) -> Tensor:
    content = _moments(features)
    target = (features - content.mean) / content.std * style.std + style.mean
    return alpha * target + (1 - alpha) * features


@dataclass(frozen=True)
class Modulation:
    """Factors of a modulated convolution: `weight * conv(x) + bias * x`, each `(N, C, 1, 1)`."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class MicroAstStyle:
    """All that MicroAST takes from a painting, at each of its two levels, shallow first."""

    moments: tuple[Moments, Moments]
    modulations: tuple[Modulation, Modulation]


class _Residual(nn.Module):
    """Two convolutions beside the identity; a style may modulate both."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _convolution(64, 64)
        self.second = _convolution(64, 64)

    def forward(self, x: Tensor, style: Modulation | None = None) -> Tensor:
        if style is None:
            plain: Tensor = self.second(F.relu(self.first(x), inplace=True))
            return x + plain
        inner = F.relu(style.weight * self.first(x) + style.bias * x, inplace=True)
        outer: Tensor = style.weight * self.second(inner) + style.bias * inner
        return x + outer


class _MicroAstEncoder(nn.Module):
    """Image to features at two levels, both `(N, 64, H/4, W/4)`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for convolution in (
            _convolution(3, 16, kernel=9),
            _convolution(16, 32, stride=2, groups=16),
            _convolution(32, 32, kernel=1),
            _convolution(32, 64, stride=2, groups=32),
            _convolution(64, 64, kernel=1),
        ):
            layers += [convolution, nn.ReLU(inplace=True)]
        self.shallow = nn.Sequential(*layers, _Residual())
        self.deep = _Residual()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        shallow = self.shallow(image)
        return shallow, self.deep(shallow)


class _MicroAstModulator(nn.Module):
    """Style features to the factors of the decoder's convolutions."""

    def __init__(self) -> None:
        super().__init__()
        # Biases first: the order of the names in the weights file.
        self.biases = nn.ModuleList(_convolution(64, 64, groups=64) for _ in range(2))
        self.weights = nn.ModuleList(_convolution(64, 64, groups=64) for _ in range(2))

    def forward(self, features: tuple[Tensor, Tensor]) -> tuple[Modulation, Modulation]:
        first, second = (
            Modulation(
                F.adaptive_avg_pool2d(self.weights[level](value), 1),
                F.adaptive_avg_pool2d(self.biases[level](value), 1),
            )
            for level, value in enumerate(features)
        )
        return first, second


class _MicroAstDecoder(nn.Module):
    """Content features and a style to an image, unclamped."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = _Residual()
        self.shallow = _Residual()
        layers: list[nn.Module] = []
        for inputs, outputs in ((64, 32), (32, 16)):
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            layers += [_convolution(inputs, outputs, groups=outputs), nn.ReLU(inplace=True)]
            layers += [_convolution(outputs, outputs, kernel=1), nn.ReLU(inplace=True)]
        self.image = nn.Sequential(*layers, _convolution(16, 3, kernel=9))

    def forward(self, features: Tensor, style: MicroAstStyle, alpha: float) -> Tensor:
        x = self.deep(_normalize(features, style.moments[1], alpha), style.modulations[1])
        x = self.shallow(_normalize(x, style.moments[0], alpha), style.modulations[0])
        image: Tensor = self.image(x)
        return image


class MicroAst(nn.Module):
    """MicroAST (Wang et al., AAAI 2023): two micro encoders, a modulator and a micro decoder.

    The painting's half is separate, so that a known style costs the content path alone. The
    peer's own program runs both halves for every result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.content_encoder = _MicroAstEncoder()
        self.style_encoder = _MicroAstEncoder()
        self.modulator = _MicroAstModulator()
        self.decoder = _MicroAstDecoder()

    @torch.no_grad()
    def measure_style(self, painting: Tensor) -> MicroAstStyle:
        """Return the style of paintings `(N, 3, H, W)`, RGB in [0, 1]."""
        features = self.style_encoder(painting)
        return MicroAstStyle(
            (_moments(features[0]), _moments(features[1])), self.modulator(features)
        )

    @torch.no_grad()
    def stylize(self, photo: Tensor, style: MicroAstStyle, alpha: float = 1.0) -> Tensor:
        """Repaint photos `(N, 3, H, W)`, RGB in [0, 1], sides multiples of 4; unclamped."""
        _, features = self.content_encoder(photo)
        image: Tensor = self.decoder(features, style, alpha)
        return image


def load_microast(folder: Path) -> MicroAst:
    """Load MicroAST from the four `MICROAST_FILES` of a folder.

    Raises:
        WeightsError: If a file is missing, damaged or not MicroAST's.
    """
    model = MicroAst()
    for name in MICROAST_FILES:
        part = name.removeprefix("peer_microast_").removesuffix(".safetensors")
        _fill_in_order(model.get_submodule(part), folder / name)
    return model.requires_grad_(False).eval()


def _fill_in_order(module: nn.Module, path: Path) -> None:
    """Give the convolutions of a module, first to last, the tensors of a file in name order."""
    tensors = {name: torch.from_numpy(value) for name, value in read_weights(path)[0].items()}
    names = sorted({name.rpartition(".")[0] for name in tensors}, key=_natural)
    convolutions = [child for child in module.modules() if isinstance(child, nn.Conv2d)]
    try:
        for name, convolution in zip(names, convolutions, strict=True):
            state = {part: tensors[f"{name}.{part}"] for part in ("weight", "bias")}
            convolution.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        detail = " ".join(str(error).split())
        raise WeightsError(f"{path.name}: not the tensors of MicroAST ({detail})") from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort `enc1.10` behind `enc1.2`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"[.]", name)]


class FullWidthAdain(nn.Module):
    """The AdaIN paper's network as pytorch-AdaIN builds it, with random weights.

    VGG-19 to `relu4_1` behind a 1x1 preprocessing convolution, and its mirror image as decoder.
    For timing only: the time does not depend on the weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _full_width_encoder()
        self.decoder = _full_width_decoder()
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def stylize(self, photo: Tensor, painting: Tensor, alpha: float = 1.0) -> Tensor:
        """Repaint photos in the style of paintings, both `(N, 3, H, W)`, sides multiples of 8."""
        content, style = self.encoder(photo), self.encoder(painting)
        image: Tensor = self.decoder(_normalize(content, _moments(style), alpha))
        return image


def _full_width_encoder() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 3, kernel_size=1)]
    inputs = 3
    for widths in ((64, 64), (128, 128), (256, 256, 256, 256), (512,)):
        if inputs != 3:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        for width in widths:
            layers += [_convolution(inputs, width), nn.ReLU()]
            inputs = width
    return nn.Sequential(*layers)


def _full_width_decoder() -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 512
    for widths in ((256,), (256, 256, 256, 128), (128, 64), (64,)):
        if inputs != 512:
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        for width in widths:
            layers += [_convolution(inputs, width), nn.ReLU()]
            inputs = width
    return nn.Sequential(*layers, _convolution(inputs, 3))
