"""What is learned: the encoder by distillation, the decoder by perceptual losses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from adain.config import LOSS_LAYERS, STYLE_LAYERS
from adain.errors import WeightsError
from adain.network.decoder import DECODER_TABLE, Decoder, DecoderTable
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.losses import (
    chroma_curvature_loss,
    content_loss,
    covariance_loss,
    palette_loss,
    ragged_edge_loss,
    stray_color_loss,
    style_loss,
    total_variation_loss,
)
from adain.network.model import normalize_features
from adain.network.pretrained import fold_preprocessing
from adain.network.weights import encoder_fingerprint, read_weights, save_decoder, save_encoder
from adain.quality.metrics import coarse_pairs, coarse_similarity, structural_similarity
from adain.styles.recoloring import ColorMoments, StyleColors, color_transfer
from adain.styles.statistics import style_statistics
from adain.training.data import CropBatches, Pictures
from adain.training.loop import Objective


def load_teacher(path: Path) -> Encoder:
    """Load a VGG-19 of any width to distil from.

    Args:
        path: Safetensors with `convK_L` and optionally `embedK_1` tensors, and `preprocess`, a
            1x1 convolution from RGB in [0, 1] to what `conv1_1` expects.

    Raises:
        WeightsError: If the file is damaged or its tensors are not those of a VGG-19.
    """
    tensors, _ = read_weights(path)
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
                state |= _plain_state(name, module)
        encoder.load_state_dict(state)
        return encoder


def _plain_state(name: str, module: nn.Module) -> dict[str, Tensor]:
    """Return a convolution's tensors, computed where the optimiser sees the weight otherwise."""
    assert isinstance(module, nn.Conv2d) and module.bias is not None
    return {f"{name}.weight": module.weight.detach(), f"{name}.bias": module.bias.detach()}


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


MAX_GAIN = 2.0
"""Limit of the gain of new decoders: a smaller one takes the strength from the style."""


def initial_decoder(
    table: DecoderTable = DECODER_TABLE, colors: StyleColors | None = None
) -> Decoder:
    """Return a decoder of random weights that makes a nearly grey image.

    Its shallow skips are louder than the deep path. With the usual gain the sum of all skips
    starts several times out of range, and the first thousand steps go into taking it back: after
    120 steps of pure reconstruction the error was 30 times larger.
    """
    decoder = Decoder(table, MAX_GAIN, colors)
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    image = decoder.get_submodule(str(len(decoder.table) - 1))
    assert isinstance(image, nn.Conv2d) and image.bias is not None
    with torch.no_grad():
        image.weight.mul_(0.1)
        image.bias.fill_(0.5)
    return decoder


COLOR_CROPS = 1600
"""Crops of paintings from which `fit_colors` learns; more than it has unknowns."""


@torch.no_grad()
def fit_colors(encoder: Encoder, pictures: Pictures, crop: int, seed: int) -> StyleColors:
    """Find what tells the colours of a style, from crops of paintings."""
    crops = CropBatches(pictures, 8, crop, seed=seed)
    batches = (crops[i][0] for i in range(min(COLOR_CROPS // 8, len(pictures))))
    return StyleColors.fit(
        (style_statistics(encoder(batch, STYLE_LAYERS)), ColorMoments.of(batch).distribution())
        for batch in batches
    )


STYLE_SHARES = {"relu1_1": 1.5, "relu2_1": 1.5, "relu3_1": 1.2, "relu4_1": 0.9}
"""Weight of each layer in the style loss: colours and fine texture matter more than shapes, which
are the photo's."""

COVARIANCE_LAYERS = ("relu1_1", "relu2_1", "relu3_1")


@dataclass(frozen=True)
class DecoderLosses:
    """Weights of the decoder's loss terms.

    Attributes:
        content_weight: Distance of the result's embedded features to the photo's.
        style_weight: Distance of the result's embedded channel statistics to the painting's.
        covariance_weight: Distance of the result's features at `COVARIANCE_LAYERS` to the
            painting's; against colours and textures that it has, but not together.
        structure_weight: Structural dissimilarity of the result to the photo: light and dark stay
            where they were, and what is flat in the photo stays flat.
        coarse_structure_weight: The same of areas, from a half to a sixteenth of the size,
            brightness aside; against blots, halos and dark areas of which only outlines stay.
        identity_weight: Difference of the pixels where a photo is painted in its own style.
        tv_weight: Total variation of the result where the photo is flat; against hatching.
        coarse_tv_weight: The same at these sizes; against blots.
        ragged_edge_weight: Slopes along the photo's edges; against combs and ragged halos.
        chroma_weight: Curvature of the result's colours; against coloured dots and fringes.
        stray_color_weight: Colours that nothing in the photo explains; against blots and fringes.
        palette_weight: Distance of the result's colours to the painting's; against a grey wash.
        identities: Photos of each batch that are painted in their own style.
    """

    content_weight: float = 2.4
    style_weight: float = 32.0
    covariance_weight: float = 18.0
    structure_weight: float = 0.9
    coarse_structure_weight: float = 3.2
    identity_weight: float = 30.0
    tv_weight: float = 300.0
    coarse_tv_weight: float = 450.0
    ragged_edge_weight: float = 7500.0
    chroma_weight: float = 1500.0
    stray_color_weight: float = 700.0
    palette_weight: float = 300.0
    identities: int = 1


class DecoderTraining(Objective):
    """Teach a decoder to paint: the recipe of the AdaIN paper (section 5).

    Departures: the losses work on embedded features (on raw ones a narrow encoder steers
    weakly), some photos are painted in their own style, which must give them back, and content
    is compared with the photo, not with its normalized features: these turn dark areas into
    outlines and faint channels into blots, which the decoder shall not learn.

    Args:
        encoder: Frozen; its features are normalized and its embedded features judge.
        photos: Validation photos `(P, 3, S, S)`.
        paintings: Validation paintings `(Q, 3, S, S)`.
        decoder: Trained further in place; by default a new one of the shipped architecture.
        weights: Weights of the loss terms.
    """

    def __init__(
        self,
        encoder: Encoder,
        photos: Tensor,
        paintings: Tensor,
        decoder: Decoder | None = None,
        weights: DecoderLosses = DecoderLosses(),
    ) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.decoder = decoder or initial_decoder()
        self.weights = weights
        self.validation = (photos, paintings)

    def forward(self, photos: Tensor, paintings: Tensor) -> dict[str, Tensor]:
        """Paint each photo in the style of the painting of the same index; return the losses."""
        weights = self.weights
        count = weights.identities
        with torch.no_grad():
            paintings = torch.cat([photos[:count], paintings[count:]])
            style_features = self.encoder(paintings, STYLE_LAYERS)
            features, normalized = self._normalize(photos, paintings, style_features)
            embedded_style = style_statistics(self._embed_some(style_features))
            embedded_content = self._embed_content(photos)
        result = self.decoder(features, normalized)
        painted = self.encoder(result, STYLE_LAYERS)
        embedded = self._embed_some(painted)
        # Variances are small differences of averages, which half precision would drown.
        with torch.autocast(result.device.type, enabled=False):
            losses: dict[str, Tensor] = {
                "content": content_loss(embedded["relu4_1"].float(), embedded_content.float()),
                "style": _sum(
                    share * style_loss(embedded[layer], embedded_style[layer])
                    for layer, share in STYLE_SHARES.items()
                ),
                "covariance": _sum(
                    covariance_loss(painted[layer].float(), style_features[layer].float())
                    for layer in COVARIANCE_LAYERS
                ),
                **self._pixel_losses(result.float(), photos, paintings),
            }
        loss = _sum(getattr(weights, f"{name}_weight") * value for name, value in losses.items())
        return {"loss": loss, **losses}

    def _pixel_losses(self, result: Tensor, photos: Tensor, paintings: Tensor) -> dict[str, Tensor]:
        count = self.weights.identities
        coarse_tv = [
            total_variation_loss(small, guide=guide)
            for small, guide in coarse_pairs(result, photos)
        ]
        return {
            "structure": 1 - structural_similarity(result, photos).mean(),
            "coarse_structure": 1 - coarse_similarity(result, photos).mean(),
            "identity": F.mse_loss(result[:count], photos[:count]),
            "tv": total_variation_loss(result, guide=photos),
            "coarse_tv": torch.stack(coarse_tv).mean(),
            "ragged_edge": ragged_edge_loss(result, photos),
            "chroma": chroma_curvature_loss(result),
            "stray_color": stray_color_loss(result, photos),
            "palette": palette_loss(result, paintings),
        }

    def _normalize(
        self, photos: Tensor, paintings: Tensor, style: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the features of the photos as the encoder gets them, and the same normalized."""
        if self.decoder.colors is not None:
            with torch.autocast(photos.device.type, enabled=False):
                given, wanted = (ColorMoments.of(x).distribution() for x in (photos, paintings))
                photos = color_transfer(given, wanted).apply(photos)
        features = self.encoder(photos, STYLE_LAYERS)
        return features, normalize_features(
            features, style_statistics(style), max_gain=self.decoder.max_gain
        )

    def _embed_content(self, photos: Tensor) -> Tensor:
        return self.encoder.embed(self.encoder(photos, ("relu4_1",)))["relu4_1"]

    def _embed_some(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embed features, at relu1_1 those of every second row and column.

        At full width and size relu1_1 would take a third of the step. Statistics of a quarter
        of the positions do as well; their random offset lets no position go without gradient.
        """
        top, left = torch.randint(2, (2,)).tolist()
        thinned = features["relu1_1"][:, :, top::2, left::2]
        return self.encoder.embed({**features, "relu1_1": thinned})

    @torch.no_grad()
    def evaluate(self) -> tuple[dict[str, float], Tensor]:
        """Return losses over validation pairs, and a sheet: photo, painting, result in columns."""
        device = next(self.parameters()).device
        photos, paintings = (
            images.to(device, memory_format=torch.channels_last) for images in self.validation
        )
        results, sums = [], {"content": 0.0, "style": 0.0, "ssim": 0.0}
        for i, photo in enumerate(photos.split(1)):
            painting = paintings[i % len(paintings)][None]
            style_features = self.encoder(painting, STYLE_LAYERS)
            features, normalized = self._normalize(photo, painting, style_features)
            result = self.decoder(features, normalized).clamp(0, 1)
            embedded = self.encoder.embed(self.encoder(result, STYLE_LAYERS))
            embedded_style = style_statistics(self.encoder.embed(style_features))
            content = self._embed_content(photo)
            sums["content"] += content_loss(embedded["relu4_1"], content).item()
            sums["style"] += sum(
                style_loss(value, embedded_style[layer]).item() for layer, value in embedded.items()
            )
            sums["ssim"] += structural_similarity(result, photo).item()
            results.append(torch.cat([photo[0], painting[0], result[0]], dim=1).cpu())
        metrics = {f"validation_{name}": value / len(photos) for name, value in sums.items()}
        return metrics, torch.cat(results[:8], dim=2)

    def export(self, folder: Path, facts: dict[str, str]) -> None:
        """Write `decoder.safetensors`."""
        decoder = Decoder(self.decoder.table, self.decoder.max_gain, self.decoder.colors)
        state: dict[str, Tensor] = {}
        for name, module in self.decoder.named_children():
            if isinstance(module, nn.Conv2d):
                state |= _plain_state(name, module)
        decoder.load_state_dict(state, strict=False)  # The colours are there already.
        save_decoder(
            decoder, folder / "decoder.safetensors", encoder_fingerprint(self.encoder), facts
        )


def _sum(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum()
