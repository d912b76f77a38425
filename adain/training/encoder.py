"""Distillation of the encoder from larger ones."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from adain.config import LOSS_LAYERS
from adain.errors import WeightsError
from adain.network.conversion import fold_preprocessing
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.loading import save_encoder
from adain.network.weights import read_weights
from adain.training.objective import Objective, convolution_state


def load_teacher(path: Path) -> Encoder:
    """Load a VGG-19 of any width to distil from.

    Args:
        path: Safetensors with `convK_L` and optionally `embedK_1` tensors, and `preprocess`, a
            1x1 convolution from RGB in [0, 1] to what `conv1_1` expects.

    Raises:
        WeightsError: If the file is damaged or its tensors are not those of a VGG-19.
    """
    tensors = {name: torch.from_numpy(value) for name, value in read_weights(path)[0].items()}
    try:
        matrix, offset = (
            tensors.pop("preprocess.weight")[:, :, 0, 0],
            tensors.pop("preprocess.bias"),
        )
        fold_preprocessing(tensors, matrix, offset)
        blocks = [i for i in range(1, 6) if f"conv{i}_1.weight" in tensors]
        heads = [i for i in blocks if f"embed{i}_1.weight" in tensors]
        config = EncoderConfig(
            tuple(len(tensors[f"conv{i}_1.weight"]) for i in blocks),
            tuple(len(tensors[f"embed{i}_1.weight"]) for i in heads),
        )
        teacher = Encoder(config)
        # A teacher may end within a block; what is missing lies beyond its last layer.
        teacher.load_state_dict(tensors, strict=False)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"{path.name}: not the tensors of a VGG-19 ({error})") from error
    return teacher.requires_grad_(False).eval()


class EncoderDistillation(Objective):
    """Teach a small encoder the embedded features of larger ones.

    Batch normalization follows each convolution while training, without which a plain VGG of
    these widths hardly learns from random weights; it is folded into the convolutions on
    export.

    Args:
        teachers: Each is the target at its layers; where two have a layer, the later one.
        validation: Pictures `(N, 3, S, S)` that evaluation measures on.
        config: Shape of the encoder.
    """

    def __init__(
        self,
        teachers: Mapping[str, Encoder],
        validation: Tensor,
        config: EncoderConfig = EncoderConfig(),
    ) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        for name, module in list(self.encoder.named_children()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            if name.startswith("conv"):
                normalized = nn.Sequential(module, nn.BatchNorm2d(module.out_channels))  # type: ignore[arg-type]
                setattr(self.encoder, name, normalized)
        self.teachers = nn.ModuleDict(teachers).requires_grad_(False)
        self.validation = validation
        self.settled = False

    def forward(self, photos: Tensor, paintings: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error at each layer over the variance of the target."""
        image = torch.cat([photos, paintings])
        with torch.no_grad():
            targets = self.targets(image)
        features = self.encoder.embed(self.encoder(image, LOSS_LAYERS))
        losses = {
            layer: F.mse_loss(value.float(), targets[layer].float()) / targets[layer].float().var()
            for layer, value in features.items()
        }
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def targets(self, image: Tensor) -> dict[str, Tensor]:
        """Return the teachers' features, at the width of the full VGG-19."""
        targets: dict[str, Tensor] = {}
        for teacher in self.teachers.values():
            assert isinstance(teacher, Encoder)
            features = teacher(image, LOSS_LAYERS[: len(teacher.config.widths)])
            targets.update(teacher.embed(features) if teacher.config.embed_widths else features)
        return targets

    def settle(self) -> None:
        """Fix the normalization, so that what is trained is what is exported."""
        self.settled = True
        self.train(self.training)

    def train(self, mode: bool = True) -> "EncoderDistillation":
        """Set training mode; teachers, and the normalization once settled, stay as they are."""
        super().train(mode)
        for module in self.modules():
            if self.settled and isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    @torch.no_grad()
    def evaluate(self) -> tuple[dict[str, float], Tensor]:
        """Return the correlation with the teachers at each layer, and a sheet of feature maps."""
        sums = {layer: torch.zeros(6, dtype=torch.float64) for layer in LOSS_LAYERS}
        sheet: list[Tensor] = []
        device = next(self.parameters()).device
        for images in self.validation.split(5):
            image = images.to(device, memory_format=torch.channels_last)
            features, targets = (
                self.encoder.embed(self.encoder(image, LOSS_LAYERS)),
                self.targets(image),
            )
            for layer in LOSS_LAYERS:
                x, y = features[layer].double().flatten(), targets[layer].double().flatten()
                moments = [torch.tensor(x.numel()), x.sum(), y.sum(), x @ x, y @ y, x @ y]
                sums[layer] += torch.stack([value.double().cpu() for value in moments])
            if len(sheet) < 4:
                sheet.append(_feature_sheet(image, features, targets))
        metrics = {}
        for layer, (n, x, y, xx, yy, xy) in sums.items():
            covariance, spread = xy - x * y / n, ((xx - x * x / n) * (yy - y * y / n)).sqrt()
            metrics[f"correlation_{layer}"] = (covariance / spread).item()
        return metrics, torch.cat(sheet, dim=1)

    def export(self, folder: Path, facts: dict[str, str]) -> None:
        """Write `encoder.safetensors`."""
        save_encoder(self.folded(), folder / "encoder.safetensors", facts)

    def folded(self) -> Encoder:
        """Return a plain encoder that computes the same."""
        encoder = Encoder(self.encoder.config)
        state: dict[str, Tensor] = {}
        for name, module in self.encoder.named_children():
            if isinstance(module, nn.Sequential):
                convolution, norm = module
                assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
                assert norm.running_mean is not None and norm.running_var is not None
                weight, bias = fuse_conv_bn_weights(
                    convolution.weight,
                    convolution.bias,
                    norm.running_mean,
                    norm.running_var,
                    norm.eps,
                    norm.weight,
                    norm.bias,
                )
                state |= {f"{name}.weight": weight.detach(), f"{name}.bias": bias.detach()}
            else:
                state |= convolution_state(name, module)
        encoder.load_state_dict(state)
        return encoder


def _feature_sheet(
    image: Tensor, features: dict[str, Tensor], targets: dict[str, Tensor]
) -> Tensor:
    """Show the liveliest channel of each layer, the teacher's above the student's."""
    size = image.shape[2:]
    rows = [[image[0].cpu()], [image[0].cpu()]]
    for layer in LOSS_LAYERS:
        channel = targets[layer][0].flatten(1).var(1).argmax()
        for row, source in zip(rows, (targets, features), strict=True):
            plane = source[layer][:1, channel : channel + 1].float()
            plane = plane / targets[layer][0, channel].max().clamp_min(1e-6)
            row.append(F.interpolate(plane, size).expand(-1, 3, -1, -1)[0].clamp(0, 1).cpu())
    return torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)
