"""Faces and people in photos: what is found, and how strongly it is painted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import adain
from adain.config import Controls
from adain.engine import people
from adain.errors import WeightsError
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from adain.imaging.resizing import scale_image
from adain.painting import regions
from adain.painting.regions import (
    Sighting,
    find_faces,
    find_regions,
    kept_strength,
    sought,
    style_shares,
)

PORTRAIT = Path(adain.__file__).parent / "assets" / "photos" / "astronaut.jpg"

FLAT = np.full((96, 128, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def portrait() -> Picture:
    """A photo with one face."""
    return scale_image(load_image(PORTRAIT), 320)


def test_a_face_is_found_where_it_is_at_every_size(portrait: Picture) -> None:
    (face,) = find_faces(portrait)
    (larger,) = find_faces(scale_image(portrait, 800))
    assert np.allclose(larger.landmarks, 2.5 * face.landmarks, atol=8)
    x, y, width, height = face.box
    assert ((face.landmarks > (x, y)) & (face.landmarks < (x + width, y + height))).all()


def test_the_mask_of_a_face_holds_eyes_and_mouth_and_is_soft(portrait: Picture) -> None:
    mask = find_regions(portrait, ["face"])["face"]
    assert mask.shape == (portrait.height, portrait.width)
    assert mask.min() == 0 and mask.max() == 1
    x, y = find_faces(portrait)[0].landmarks.T.astype(int)
    assert mask[y, x].min() > 0.9
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.4


def test_the_wall_behind_a_face_is_no_part_of_its_mask(portrait: Picture) -> None:
    found = find_regions(portrait, ["face", "person"])
    assert (found["face"] <= found["person"] + 1e-6).all()


def test_a_person_and_the_background_are_the_whole(portrait: Picture) -> None:
    found = find_regions(portrait, ["person", "background"])
    assert np.allclose(found["person"] + found["background"], 1, atol=1e-3)
    x, y = find_faces(portrait)[0].landmarks.T.astype(int)
    assert found["person"][y, x].min() > 0.9
    assert 0.1 < found["person"].mean() < 0.9


def test_nothing_is_found_where_nobody_is() -> None:
    assert find_regions(FLAT) == {}
    notes: list[str] = []
    controls = Controls(keep="face", only="person")
    size, dtype = FLAT.shape[:2], np.dtype(np.float32)
    assert (
        kept_strength(
            Sighting.of(Picture(FLAT), sought(controls)), size, controls, dtype, notes.append
        )
        is None
    )
    assert notes == ["no face found to keep", "no person found; painted as a whole"]


def test_strengths_of_prints_are_those_of_photos_in_8_bits(portrait: Picture) -> None:
    size = (portrait.height, portrait.width)
    controls = Controls(keep="face=0.25", only="person")
    sighting = Sighting.of(portrait, sought(controls))
    fine, coarse = (
        kept_strength(sighting, size, controls, np.dtype(dtype)) for dtype in (np.float32, np.uint8)
    )
    assert fine is not None and coarse is not None
    assert np.abs(fine - coarse / 255).max() < 0.01
    faces = find_regions(portrait, ["face"])["face"]
    assert fine[faces == 1].max() == pytest.approx(0.25, abs=0.01)


def test_a_kept_face_stays_nearer_to_the_photo_and_the_rest_is_painted(portrait: Picture) -> None:
    painting = np.zeros((64, 64, 3), np.uint8)
    painting[:, ::8] = (30, 60, 200)
    plain = adain.stylize(portrait, painting).pixels
    kept = adain.stylize(portrait, painting, keep="face=0").pixels
    faces = find_regions(portrait, ["face"])["face"]
    photo = portrait.pixels
    assert np.abs(kept - photo)[faces == 1].max() < 2 / 255
    assert np.abs(plain - photo)[faces == 1].mean() > 0.1
    assert np.abs(kept - photo)[faces == 0].mean() > 0.1


def test_styles_share_a_photo_without_a_gap_between_them(portrait: Picture) -> None:
    size, dtype = (portrait.height, portrait.width), np.dtype(np.float32)
    sighting = Sighting.of(portrait, {"face", "person"})
    found = find_regions(portrait)
    background, face, person = style_shares(sighting, size, ("background", "face", "person"), dtype)
    assert np.allclose(face, found["face"], atol=1e-5)
    assert np.allclose(face + person, np.maximum(found["face"], found["person"]), atol=1e-5)
    assert np.allclose(background + face + person, 1, atol=1e-5)
    rest, face = style_shares(sighting, size, ("rest", "face"), dtype)
    assert np.allclose(rest + face, 1, atol=1e-5)


def test_styles_of_what_is_not_there() -> None:
    nothing, size, dtype = Sighting(), (4, 5), np.dtype(np.uint8)
    notes: list[str] = []
    shares = style_shares(nothing, size, ("person", "background"), dtype, notes.append)
    assert (shares == np.array([0, 255]).reshape(2, 1, 1)).all()
    (alone,) = style_shares(nothing, size, ("face",), dtype, notes.append)
    assert (alone == 255).all()
    assert not style_shares(nothing, size, ("face",), dtype, whole=False).any()
    assert notes == ["no person found", "no face found; painted as a whole"]


def test_each_part_of_a_photo_takes_its_style(portrait: Picture) -> None:
    red, blue = (np.full((64, 64, 3), color, np.uint8) for color in ((200, 40, 30), (30, 60, 200)))
    painted = adain.stylize(portrait, {"subject": red, "background": blue}).pixels
    person = find_regions(portrait, ["person"])["person"]
    inside, outside = painted[person > 0.99].mean(0), painted[person < 0.01].mean(0)
    assert inside[0] > inside[2] + 0.2 and outside[2] > outside[0] + 0.2
    with pytest.raises(ValueError, match="'sky'"):
        adain.stylize(portrait, {"sky": red})


def test_no_border_of_the_mask_is_seen(portrait: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    painting = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    painting = np.asarray(Image.fromarray(painting).resize((256, 256), Image.Resampling.BICUBIC))
    mask = find_regions(portrait, ["face"])["face"]
    down, along = np.gradient(mask)
    slope = np.hypot(down, along)
    rim = (mask > 0.05) & (mask < 0.95) & (slope > 0.01)
    assert rim.sum() > 300

    def across(picture: Picture) -> float:
        """Return the mean slope of the brightness across the rim of the mask."""
        rows, columns = np.gradient(picture.pixels.mean(2))
        return float((np.abs(rows * down + columns * along)[rim] / slope[rim]).mean())

    plain, kept = (adain.stylize(portrait, painting, keep=keep) for keep in ("none", "face"))
    usual = max(across(plain), across(portrait))
    assert across(kept) < 1.02 * usual
    monkeypatch.setattr(regions, "CORE", 0.97)  # A hard edge is seen.
    assert across(adain.stylize(portrait, painting, keep="face")) > 1.08 * usual


def test_small_faces_are_found_in_large_photos(portrait: Picture) -> None:
    (face,) = find_faces(portrait)
    small = scale_image(portrait, round(320 * 22 / face.box[3])).pixels
    canvas = np.full((1000, 1000, 3), 0.5, np.float32)
    canvas[: len(small), : small.shape[1]] = small
    (found,) = find_faces(Picture(canvas))
    assert found.box[3] == pytest.approx(22, abs=4)


def test_what_is_not_there_changes_nothing() -> None:
    painting = Image.effect_noise((64, 64), 80).convert("RGB")
    notes: list[str] = []
    kept = adain.stylize(FLAT, painting, keep="face", notice=notes.append)
    assert (kept.to_array() == adain.stylize(FLAT, painting).to_array()).all()
    assert notes == ["no face found to keep"]


@pytest.mark.parametrize("keep", ["eyes", "face=", "face=1.5", "face=nan", "face=x", ""])
def test_what_keep_can_be(keep: str) -> None:
    with pytest.raises(ValueError, match=r"face=STRENGTH"):
        Controls(keep=keep)


@pytest.mark.parametrize(
    "controls",
    [
        {"strength": b"picture", "keep": "face"},
        {"strength": b"picture", "only": "person"},
        {"masks": (b"picture",), "only": "person"},
        {"masks": (b"picture",), "regions": ("person",)},
        {"only": "person", "regions": ("person",)},
    ],
)
def test_pictures_that_contradict(controls: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="both say where"):
        Controls(**controls)


def test_a_face_is_kept_among_regions_of_styles() -> None:
    assert Controls(masks=(b"picture",), keep="face").kept == 0.4


def test_the_subject_is_the_person() -> None:
    assert Controls(only="subject") == Controls(only="person")
    assert Controls(regions=("subject", "rest")).regions == ("person", "rest")
    with pytest.raises(ValueError, match="same part"):
        Controls(regions=("subject", "person"))


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="kinds must be of face, person, background"):
        find_regions(FLAT, ["sky"])


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_missing_or_damaged_network(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / people.FACES).write_bytes(content)
    monkeypatch.setattr(people, "ASSETS", tmp_path)
    people._session.cache_clear()
    with pytest.raises(WeightsError, match=r"faces.onnx: .*reinstall"):
        find_regions(FLAT, ["face"])
    people._session.cache_clear()
