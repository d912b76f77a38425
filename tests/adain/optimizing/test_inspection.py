"""What the network sees: the library, its sheet, and the command `adain inspect`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner, Result

from adain.errors import how_to_install
from adain.imaging.picture import Picture
from adain.network.encoder import Encoder
from adain.network.losses import gram_matrix
from adain.network.statistics import feature_statistics
from adain.optimizing.inspection import (
    channel_profile,
    feature_maps,
    gram_picture,
    invert_features,
    layer_features,
    layer_names,
)
from gallery.cli import app
from gallery.config import InspectConfig
from gallery.use_cases.inspect import inspect_picture
from gallery.use_cases.sheets import Cell, Section, colorize, make_sheet

QUICK = ("--iterations", "2", "--max-side", "64", "--maps", "5")


def waves(height: int = 48, width: int = 64) -> NDArray[np.float32]:
    y, x, c = np.ogrid[:height, :width, :3]
    return (0.5 + 0.4 * np.sin(x / 5 + c) * np.cos(y / 7 - c)).astype(np.float32)


def test_every_layer_of_the_network_has_a_name_and_features(tiny_encoder: Encoder) -> None:
    names = layer_names(tiny_encoder)
    assert names[0] == "relu1_1" and names[-1] == "relu5_1" and len(names) == 13
    for name in names:
        assert layer_features(tiny_encoder, waves(), name).shape[:2] == (
            1,
            tiny_encoder.config.widths[int(name[4]) - 1],
        )


def test_the_strongest_maps_come_first_and_fill_their_range(tiny_encoder: Encoder) -> None:
    found = feature_maps(tiny_encoder, waves(), "relu3_1", 5)
    features = layer_features(tiny_encoder, waves(), "relu3_1")[0]
    energy = features.square().sum((1, 2))
    assert [each.channel for each in found] == energy.topk(5).indices.tolist()
    assert [each.share for each in found] == sorted((each.share for each in found), reverse=True)
    assert sum(each.share for each in feature_maps(tiny_encoder, waves(), "relu3_1", 99)) == (
        pytest.approx(1)
    )
    assert all(each.values.shape == (12, 16) for each in found)
    assert found[0].values.max() == 1 and found[0].values.min() >= 0


def test_channels_that_never_respond_are_maps_of_zeros(tiny_encoder: Encoder) -> None:
    convolution = tiny_encoder.get_submodule("conv3_1")
    assert isinstance(convolution, torch.nn.Conv2d) and convolution.bias is not None
    with torch.no_grad():
        convolution.weight[2] = 0
        convolution.bias[2] = -1
    silent = [each for each in feature_maps(tiny_encoder, waves(), "relu3_1", 8) if not each.share]
    assert 2 in [each.channel for each in silent]
    assert all(each.values.max() == 0 for each in silent)
    profile = channel_profile(tiny_encoder, waves(), "relu3_1")
    assert profile.active[2] == 0
    picture = gram_picture(tiny_encoder, waves(), "relu3_1")
    assert np.abs(picture[-1]).max() == 0
    assert picture.trace() == pytest.approx(8 - len(silent))


def test_the_profile_has_what_a_style_is_made_of(tiny_encoder: Encoder) -> None:
    profile = channel_profile(tiny_encoder, waves(), "relu2_1")
    expected = feature_statistics(layer_features(tiny_encoder, waves(), "relu2_1"))
    np.testing.assert_allclose(profile.mean, expected.mean[0].detach(), rtol=1e-6)
    np.testing.assert_allclose(profile.std, expected.std[0].detach(), rtol=1e-6)
    assert profile.share.sum() == pytest.approx(1)
    assert profile.active.min() >= 0 and profile.active.max() <= 1


def test_the_gram_picture_has_the_cosines_in_another_order(tiny_encoder: Encoder) -> None:
    picture = gram_picture(tiny_encoder, waves(), "relu3_1")
    gram = gram_matrix(layer_features(tiny_encoder, waves(), "relu3_1"))[0]
    norms = gram.diagonal().sqrt()
    alive = norms > 0
    cosines = (gram / norms[:, None] / norms)[alive][:, alive].detach().numpy()
    np.testing.assert_allclose(picture, picture.T)
    np.testing.assert_allclose(
        np.sort(picture[: len(cosines), : len(cosines)], axis=None),
        np.sort(cosines, axis=None),
        atol=1e-4,
    )
    assert picture.min() >= 0 and picture.max() <= 1


def test_channels_that_go_together_become_neighbours() -> None:
    class Groups(Encoder):
        """Channels 0, 2, 4 respond left, 1, 3, 5 right."""

        def forward(
            self, image: Tensor, layers: object = (), pool: object = None
        ) -> dict[str, Tensor]:
            left = torch.zeros(1, 1, 8, 8)
            left[..., :4] = torch.rand(4, generator=torch.Generator().manual_seed(0))
            return {"relu1_1": torch.cat([left, left.flip(3)] * 3, 1)}

    picture = gram_picture(Groups(), waves(), "relu1_1")
    assert picture[:3, :3].min() > 0.9 and picture[3:, 3:].min() > 0.9
    assert picture[:3, 3:].max() < 0.1


def test_an_inversion_comes_near_the_features_and_knows_its_seed(tiny_encoder: Encoder) -> None:
    steps: list[int] = []
    near = invert_features(tiny_encoder, waves(), "relu2_1", 40, on_step=steps.append)
    far = invert_features(tiny_encoder, waves(), "relu2_1", 1)
    assert steps == list(range(1, 41)) and near.layer == "relu2_1"
    assert near.distance < 0.3 * far.distance
    assert near.image.shape == waves().shape
    assert near.image.min() >= 0 and near.image.max() <= 1
    again = invert_features(tiny_encoder, waves(), "relu2_1", 1)
    other = invert_features(tiny_encoder, waves(), "relu2_1", 1, seed=1)
    np.testing.assert_allclose(far.image, again.image)
    assert np.abs(far.image - other.image).max() > 0.01


@pytest.mark.parametrize(
    ("photo", "layer", "words"),
    [
        (waves(), "relu9_1", "no layer 'relu9_1'; this network has relu1_1, .*relu5_1"),
        (waves(), "conv1_1", "no layer"),
        (waves(), "", "no layer"),
        (waves(16, 64), "relu5_1", "relu5_1 needs sides of at least 32 pixels, got 64x16"),
        (waves()[None], "relu1_1", "a photo of shape"),
        (waves()[0], "relu1_1", "a photo of shape"),
    ],
)
def test_what_cannot_be_seen_is_said(
    tiny_encoder: Encoder, photo: NDArray[np.float32], layer: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        layer_features(tiny_encoder, photo, layer)


def test_counts_must_be_positive(tiny_encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="count"):
        feature_maps(tiny_encoder, waves(), "relu1_1", 0)
    with pytest.raises(ValueError, match="iterations"):
        invert_features(tiny_encoder, waves(), "relu1_1", 0)


def test_colours_rise_in_brightness() -> None:
    levels = list(colorize(np.linspace(0, 1, 9, dtype=np.float32)[None]).convert("L").tobytes())
    assert levels == sorted(levels) and levels[0] < 20 and levels[-1] > 230


def test_a_sheet_holds_every_picture_and_shortens_long_lines() -> None:
    cells = [Cell(Image.new("RGB", (50, 50 + 10 * i), color), ("x" * 500,)) for i, color in
             enumerate(("red", "lime", "blue"))]  # fmt: skip
    sheet = make_sheet([Section("Three\nsquares", cells, 2)], width=400)
    assert sheet.width == 400
    colors = {color for _, color in sheet.getcolors(100_000) or []}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= colors


def test_small_photos_are_remade_from_the_layers_that_they_fill(tiny_encoder: Encoder) -> None:
    seen = inspect_picture(
        tiny_encoder, Picture(waves(16, 40)), InspectConfig(iterations=1, layer="relu2_2", maps=2)
    )
    assert [each["layer"] for each in seen.reconstructions] == [
        f"relu{block}_1" for block in range(1, 5)
    ]
    assert [each["channel"] for each in seen.channels] == [0, 1, 2, 3]


def test_large_photos_are_looked_at_small(tiny_encoder: Encoder) -> None:
    shares: list[float] = []
    config = InspectConfig(max_side=64, iterations=1)
    large, small = (
        inspect_picture(tiny_encoder, Picture(waves(60 * k, 80 * k)), config, shares.append)
        for k in (8, 4)
    )
    assert large.sheet.size == small.sheet.size
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1] * 2)


@pytest.mark.parametrize("options", [{"maps": 0}, {"max_side": 16}, {"max_side": 9999}])
def test_settings_have_limits(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        InspectConfig(**options)  # type: ignore[arg-type]


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((96, 72), 40).convert("RGB").save("a.jpg")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *arguments])


def test_the_sheet_lies_beside_the_photo(photo: Path) -> None:
    result = run("a.jpg", *QUICK)
    assert (result.exit_code, result.stdout) == (0, "a.relu3_1.png\n"), result.stderr
    with Image.open("a.relu3_1.png") as sheet:
        assert sheet.format == "PNG" and sheet.width > 1000
    assert run("a.jpg", *QUICK).exit_code == 4  # It is not replaced unasked.
    assert run("a.jpg", *QUICK, "--overwrite").exit_code == 0


def test_json_has_the_figures(photo: Path) -> None:
    result = run("a.jpg", *QUICK, "--layer", "relu4_1", "-o", "b.jpg", "--json")
    facts = json.loads(result.stdout)
    assert facts["output"] == "b.jpg" and len(facts["channels"]) == 128
    assert set(facts["channels"][0]) == {"channel", "mean", "std", "active", "share"}
    assert [each["layer"] for each in facts["reconstructions"]][-1] == "relu5_1"
    with Image.open("b.jpg") as sheet:
        assert sheet.format == "JPEG"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("a.jpg", "--layer", "relu7_1"), 2, "this network has relu1_1"),
        (("a.jpg", "--maps", "0"), 2, "maps must be from 1"),
        (("a.jpg", "--max-side", "100000"), 2, "max-side must be from 32 to 2048"),
        (("a.jpg", "-o", "none/x.png"), 4, "make it first"),
        (("a.jpg", "-o", "x.gif"), 2, "no format"),
        (("missing.jpg",), 4, "missing.jpg"),
        (("-",), 2, "needs files"),
        (("a.jpg", "--device", "abacus"), 2, "abacus"),
    ],
)
def test_mistakes_give_one_line(
    photo: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run(*arguments, *(() if "--maps" in arguments or "--max-side" in arguments else QUICK))
    assert result.exit_code == code, result.output
    assert words in " ".join(result.stderr.split())
    assert sorted(path.name for path in photo.iterdir()) == ["a.jpg"]


def test_without_torch_one_line_says_what_to_do(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("a.jpg", *QUICK)
    assert result.exit_code == 4
    assert result.stderr == f"adain: inspecting needs PyTorch; run: {how_to_install('torch')}\n"
