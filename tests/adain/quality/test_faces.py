"""Whether faces are themselves in a result, and that `--quality auto` keeps those that are not."""

from pathlib import Path

import numpy as np
import pytest

import adain
from adain.config import Controls
from adain.engine.model import Model
from adain.imaging.filters import gaussian_blur
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from adain.imaging.resizing import scale_image
from adain.optimizing.config import GatysConfig
from adain.painting.measuring import measure_style
from adain.painting.regions import find_faces, find_regions
from adain.quality.faces import MIN_LIKENESS, face_likeness
from adain.quality.gate import Gate
from adain.styles.statistics import StyleStatistics
from gallery.use_cases.refine import Refinement, stylize_refined

PORTRAIT = Path(adain.__file__).parent / "assets" / "photos" / "astronaut.jpg"

QUICK = GatysConfig(min_side=32, first_iterations=3, iterations=2)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def portrait() -> Picture:
    """A photo with one face."""
    return scale_image(load_image(PORTRAIT), 256)


@pytest.fixture
def style(tiny_model: Model) -> StyleStatistics:
    painting = np.random.default_rng(1).random((48, 48, 3), np.float32)
    return measure_style(tiny_model, Picture(painting))


def test_a_face_is_itself_in_other_colours_and_not_when_it_dissolves(portrait: Picture) -> None:
    photo, faces = portrait.pixels, find_faces(portrait)
    assert face_likeness(photo, photo, faces) == [pytest.approx(1, abs=1e-4)]
    blue = (0.2 + 0.5 * photo[..., ::-1]).astype(np.float32)
    assert face_likeness(photo, blue, faces)[0] > 0.95
    blurred = gaussian_blur(photo, 6.0)
    assert face_likeness(photo, blurred, faces)[0] < MIN_LIKENESS
    flat = np.full_like(photo, 0.5)
    assert np.isfinite(face_likeness(photo, flat, faces)).all()
    assert face_likeness(photo, photo, [faces[0].scaled(0.05)]) == []
    with pytest.raises(ValueError, match="two equal shapes"):
        face_likeness(photo, photo[1:], faces)


def refined(
    model: Model, photo: Picture, style: StyleStatistics, gate: Gate, controls: Controls
) -> Refinement:
    painting = np.random.default_rng(1).random((48, 48, 3), np.float32)
    return stylize_refined(
        model, photo, style, [(painting, 1.0)], judged=True, controls=controls, gate=gate,
        config=QUICK,
    )  # fmt: skip


@pytest.mark.parametrize("gate", [Gate(1e9, 1e9), Gate(-1, -1)])
def test_a_face_that_would_be_damaged_is_kept_and_that_is_said(
    tiny_model: Model, portrait: Picture, style: StyleStatistics, gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("gallery.use_cases.refine.face_likeness", lambda *_: [0.95, 0.5])
    result = refined(tiny_model, portrait, style, gate, Controls())
    assert result.keeps_faces
    assert "1 of 2 faces would be damaged (likeness 0.50 is under 0.88): kept" in result.reason
    monkeypatch.setattr("gallery.use_cases.refine.face_likeness", lambda *_: [0.95])
    plain = refined(tiny_model, portrait, style, gate, Controls())
    assert not plain.keeps_faces and "face" not in plain.reason
    kept = refined(tiny_model, portrait, style, gate, Controls(keep="face"))
    assert np.abs(result.picture.pixels - kept.picture.pixels).max() < 1e-3
    assert np.abs(result.picture.pixels - plain.picture.pixels).max() > 0.1


def test_a_render_keeps_faces_and_paints_the_rest(
    tiny_model: Model, portrait: Picture, style: StyleStatistics
) -> None:
    result = refined(tiny_model, portrait, style, Gate(-1, -1), Controls(keep="face=0"))
    assert result.way == "render" and not result.keeps_faces
    face = find_regions(portrait, ["face"])["face"]
    change = np.abs(result.picture.pixels - portrait.pixels)
    assert change[face > 0.995].mean() < 0.02 and change[face == 0].mean() > 0.1
