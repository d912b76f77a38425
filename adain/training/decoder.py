"""Training of the decoder by perceptual losses."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import STYLE_LAYERS
from adain.network.decoder import DECODER_TABLE, Decoder, DecoderTable, Residual, StyleModulation
from adain.network.encoder import Encoder
from adain.network.loading import fingerprint, save_decoder
from adain.network.losses import content_loss, covariance_loss, style_loss, total
from adain.network.pixel_losses import (
    chroma_curvature_loss,
    palette_loss,
    ragged_edge_loss,
    stray_color_loss,
    total_variation_loss,
)
from adain.network.statistics import (
    FeatureStatistics,
    color_moments,
    layer_statistics,
    normalization_maps,
    recolor_as,
    style_vector,
    to_style,
)
from adain.quality.metrics import coarse_pairs, coarse_similarity, structural_similarity
from adain.styles.recoloring import StyleColors
from adain.training.config import DecoderLosses
from adain.training.data import CropBatches, Pictures
from adain.training.objective import Objective, convolution_state

MAX_GAIN = 2.0
"""Limit of the gain of new decoders: a smaller one takes the strength from the style."""


def initial_decoder(
    table: DecoderTable = DECODER_TABLE,
    colors: StyleColors | None = None,
    modulation: StyleModulation | None = None,
) -> Decoder:
    """Return a decoder of random weights that makes a nearly grey image.

    Its shallow skips are louder than the deep path. With the usual gain the sum of all skips
    starts several times out of range, and the first thousand steps go into taking it back: after
    120 steps of pure reconstruction the error was 30 times larger.
    """
    decoder = Decoder(table, MAX_GAIN, colors, modulation)
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    for module in decoder.modules():
        if isinstance(module, Residual):  # Adds nothing at first.
            nn.init.zeros_(module.b.weight)
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
        (
            to_style(layer_statistics(encoder(batch, STYLE_LAYERS))),
            color_moments(batch).distribution(),
        )
        for batch in batches
    )


STYLE_SHARES = {"relu1_1": 1.5, "relu2_1": 1.5, "relu3_1": 1.2, "relu4_1": 0.9}
"""Weight of each layer in the style loss: colours and fine texture matter more than shapes, which
are the photo's."""

COVARIANCE_LAYERS = ("relu1_1", "relu2_1", "relu3_1")


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
            style = layer_statistics(style_features)
            features = self.encoder(self._recolor(photos, paintings), STYLE_LAYERS)
            embedded_style = layer_statistics(self._embed_some(style_features))
            embedded_content = self._embed_content(photos)
        result = self._decode(features, style)
        painted = self.encoder(result, STYLE_LAYERS)
        embedded = self._embed_some(painted)
        # Variances are small differences of averages, which half precision would drown.
        with torch.autocast(result.device.type, enabled=False):
            losses: dict[str, Tensor] = {
                "content": content_loss(embedded["relu4_1"].float(), embedded_content.float()),
                "style": total(
                    share * style_loss(embedded[layer], embedded_style[layer])
                    for layer, share in STYLE_SHARES.items()
                ),
                "covariance": total(
                    covariance_loss(painted[layer].float(), style_features[layer].float())
                    for layer in COVARIANCE_LAYERS
                ),
                **self._pixel_losses(result.float(), photos, paintings),
            }
        loss = total(getattr(weights, f"{name}_weight") * value for name, value in losses.items())
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

    def _recolor(self, photos: Tensor, paintings: Tensor) -> Tensor:
        """Return the photos as the encoder gets them."""
        if self.decoder.colors is None:
            return photos
        with torch.autocast(photos.device.type, enabled=False):
            return recolor_as(photos, color_moments(paintings).distribution())

    def _decode(
        self,
        features: dict[str, Tensor],
        style: dict[str, FeatureStatistics],
        decoder: Decoder | None = None,
    ) -> Tensor:
        decoder = decoder or self.decoder
        with torch.no_grad():
            normalization = normalization_maps(features, style, max_gain=decoder.max_gain)
        image: Tensor = decoder(features, normalization, decoder.maps(style_vector(style)))
        return image

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
            features = self.encoder(self._recolor(photo, painting), STYLE_LAYERS)
            result = self._decode(features, layer_statistics(style_features)).clamp(0, 1)
            embedded = self.encoder.embed(self.encoder(result, STYLE_LAYERS))
            embedded_style = layer_statistics(self.encoder.embed(style_features))
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
        own = self.decoder
        decoder = Decoder(own.table, own.max_gain, own.colors, deepcopy(own.modulation))
        state: dict[str, Tensor] = {}
        for name, module in own.named_modules():
            if isinstance(module, nn.Conv2d):
                state |= convolution_state(name, module)
        decoder.load_state_dict(state, strict=False)  # The modulation is there already.
        save_decoder(decoder, folder / "decoder.safetensors", fingerprint(self.encoder), facts)
