from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pictures import picture
from PIL import Image
from shipping import ship

from adain.config import STYLE_SIDE, Controls
from adain.engine.model import Model
from adain.engine.torch_engine import TorchEngine
from adain.errors import ImageError, ImageTooLargeError, MaskError
from adain.imaging.color import measure_colors
from adain.imaging.picture import Picture
from adain.imaging.pillow import from_image, to_image
from adain.imaging.reading import ImageLimits, load_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image
from adain.painting.measuring import measure_style
from adain.painting.stylize import stylize_picture
from adain.painting.tiling import NOWHERE, UNCHANGED
from adain.styles.colors import ColorMoments
from adain.styles.statistics import StyleStatistics, interpolate_styles, stack_styles
from gallery.config import database_url
from gallery.database.gallery import Gallery, make_gallery
from gallery.database.paintings import Painting
from gallery.database.style_files import StyleFile
from gallery.errors import StylesError
from gallery.use_cases.references import parse_references
from gallery.use_cases.styles import find_style, stored_style


def stylize_photo(
    model: Model,
    photo: Path | bytes,
    style: StyleStatistics,
    *,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
    **options: Any,
) -> Image.Image:
    return to_image(stylize_picture(model, load_image(photo, limits, name), style, **options))


@pytest.fixture
def style(tiny_model: Model) -> StyleStatistics:
    return measure_style(tiny_model, picture(64, 48, seed=1))


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (200, 101)])
def test_the_result_has_the_size_of_the_photo(
    tiny_model: Model, style: StyleStatistics, size: tuple[int, int]
) -> None:
    image = stylize_photo(tiny_model, picture(*size), style)
    assert (image.size, image.mode) == (size, "RGB")


def test_max_side_shrinks_and_never_enlarges(tiny_model: Model, style: StyleStatistics) -> None:
    photo = picture(200, 100)
    assert stylize_photo(tiny_model, photo, style, max_side=100).size == (100, 50)
    assert stylize_photo(tiny_model, photo, style, max_side=1000).size == (200, 100)


def scenery(width: int, height: int) -> bytes:
    """A picture with large and small shapes."""
    y, x = np.linspace(0, 9, height)[:, None], np.linspace(0, 12, width)[None]
    channels = [np.sin(x + k * y) + 0.5 * np.sin(9 * x - 7 * k * y) for k in (0.5, 1, 2)]
    buffer = BytesIO()
    pixels = (np.stack(channels, axis=2) * 80 + 128).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def stylized(
    model: Model, photo: bytes, style: StyleStatistics, **controls: Any
) -> NDArray[np.float32]:
    """The pixels of a photo repainted under some controls."""
    return stylize_picture(model, load_image(photo), style, controls=Controls(**controls)).pixels


def grey(levels: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.asarray(levels, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


HALVES = np.repeat(np.array([0, 255]), 32)[None].repeat(48, 0)
"""Black on the left, white on the right, 64 x 48."""


@pytest.fixture
def lively_model(tiny_model: Model) -> Model:
    """Random weights that show what they do to a picture."""
    generator = np.random.default_rng(0)
    decoder = {name: value.copy() for name, value in tiny_model.weights.decoder.items()}
    for weight in decoder.values():
        if weight.ndim == 4:
            weight[...] = generator.normal(0, (2 / weight[0].size) ** 0.5, weight.shape)
    last = len(tiny_model.weights.table) - 1
    weight = decoder[f"{last}.weight"]
    weight[...] = generator.normal(0, 0.01, weight.shape)
    decoder[f"{last}.bias"][...] = 0.4
    weights = replace(tiny_model.weights, decoder=decoder)
    return replace(tiny_model, weights=weights, engine=TorchEngine(weights))


@pytest.fixture
def styles(lively_model: Model) -> list[StyleStatistics]:
    return [measure_style(lively_model, each) for each in (picture(64, 48), scenery(64, 48))]


@pytest.mark.parametrize("size", [(1500, 333), (2048, 512)])
def test_a_preview_and_a_print_are_the_same_picture(
    lively_model: Model, styles: list[StyleStatistics], size: tuple[int, int]
) -> None:
    photo = scenery(*size)
    print_ = stylize_photo(lively_model, photo, styles[0])
    preview = stylize_photo(lively_model, photo, styles[0], max_side=400)
    assert print_.size == size and preview.width == 400
    small = np.asarray(print_.resize(preview.size, Image.Resampling.BICUBIC), float)
    assert abs(small - np.asarray(preview)).mean() < 2
    plain = stylize_photo(lively_model, photo, styles[0], max_side=400, controls=Controls(stroke=0))
    assert abs(small - np.asarray(plain)).mean() > 4, "the rule makes no difference here"


@pytest.mark.parametrize(
    ("side", "stroke", "seen"), [(400, 1, 400), (400, 2, 200), (400, 0.5, 800), (1500, 1, 1024)]
)
def test_the_stroke_decides_at_which_size_the_network_sees_the_photo(
    tiny_model: Model,
    style: StyleStatistics,
    monkeypatch: pytest.MonkeyPatch,
    side: int,
    stroke: float,
    seen: int,
) -> None:
    widths = []
    encode = tiny_model.engine.encode

    def record(tile: Any, *rest: Any) -> Any:
        widths.append(tile.shape[1])
        return encode(tile, *rest)

    monkeypatch.setattr(tiny_model.engine, "encode", record)
    result = stylized(tiny_model, picture(side, 100), style, stroke=stroke)
    assert (widths, result.shape) == ([seen], (100, side, 3))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.integers(16, 90),
    height=st.integers(16, 90),
    stroke=st.sampled_from([0, 0.3, 0.7, 1, 1.3, 3]),
    max_side=st.none() | st.integers(16, 99),
)
def test_the_size_of_the_result_does_not_depend_on_the_stroke(
    tiny_model: Model, width: int, height: int, stroke: float, max_side: int | None
) -> None:
    photo = load_image(picture(width, height))
    style = measure_style(tiny_model, photo)
    result = stylize_picture(
        tiny_model, photo, style, max_side=max_side, controls=Controls(stroke=stroke)
    )
    expected = photo if max_side is None else resize_image(photo, max_side)
    assert result.pixels.shape == expected.pixels.shape


def test_a_black_strength_keeps_the_photo_to_the_bit_and_a_white_one_changes_nothing(
    lively_model: Model, styles: list[StyleStatistics]
) -> None:
    photo = picture(64, 48)
    plain = stylized(lively_model, photo, styles[0])
    result = stylized(lively_model, photo, styles[0], strength=grey(HALVES))
    original = load_image(photo).pixels
    np.testing.assert_array_equal(result[:, :32], original[:, :32])
    np.testing.assert_allclose(result[:, 32:], plain[:, 32:], atol=1e-5)
    assert np.abs(plain - original)[:, :32].mean() > 0.02


@pytest.mark.parametrize("width", [64, 1400])
def test_alpha_zero_keeps_the_photo_to_the_bit_and_little_changes_it_little(
    lively_model: Model, styles: list[StyleStatistics], width: int
) -> None:
    photo = load_image(scenery(width, 60))
    steps = [
        stylize_picture(lively_model, photo, styles[0], alpha=alpha).pixels
        for alpha in (0, 0.02, 0.05, 0.099, 0.101)
    ]
    np.testing.assert_array_equal(steps[0], photo.pixels)
    changes = [np.abs(step - photo.pixels).mean() for step in steps]
    assert changes == sorted(changes)
    assert changes[4] - changes[3] < 0.1 * changes[4]


def test_the_strength_of_a_large_photo_keeps_it_to_the_bit_as_well(
    lively_model: Model, styles: list[StyleStatistics]
) -> None:
    photo = scenery(1400, 200)
    black = grey(np.zeros((20, 140)))
    result = stylized(lively_model, photo, styles[0], strength=black, preserve_color="linear")
    np.testing.assert_array_equal(result, load_image(photo).pixels)


def test_each_region_has_its_style(lively_model: Model, styles: list[StyleStatistics]) -> None:
    photo = picture(64, 48)
    both = stack_styles(styles)
    left, right = (stylized(lively_model, photo, style) for style in styles)
    assert np.abs(left - right).mean() > 0.01
    for masks in ((grey(HALVES),), (grey(255 - HALVES), grey(HALVES))):
        result = stylized(lively_model, photo, both, masks=masks, feather=0)
        # Far from the border: one style may reach a little into the other.
        np.testing.assert_allclose(result[:, :16], left[:, :16], atol=0.05)
        np.testing.assert_allclose(result[:, 48:], right[:, 48:], atol=0.05)


def test_where_no_mask_is_white_the_photo_stays(
    lively_model: Model, styles: list[StyleStatistics]
) -> None:
    photo = picture(64, 48)
    result = stylized(lively_model, photo, styles[0], masks=(grey(HALVES),), feather=0)
    np.testing.assert_array_equal(result[:, :32], load_image(photo).pixels[:, :32])


def test_masks_that_do_not_fit_name_themselves(
    tiny_model: Model, style: StyleStatistics, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.png"
    wrong.write_bytes(grey(np.zeros((48, 48))))
    photo = tmp_path / "photo.png"
    photo.write_bytes(picture(64, 48))
    for controls in (Controls(strength=wrong), Controls(masks=(wrong,))):
        with pytest.raises(MaskError, match=r"wrong\.png: 48x48 .*photo\.png, 64x48"):
            stylize_photo(tiny_model, photo, style, controls=controls)
    with pytest.raises(ImageError, match=r"gone\.png: cannot be read"):
        controls = Controls(strength=tmp_path / "gone.png")
        stylize_photo(tiny_model, photo, style, controls=controls)


def test_colors_can_be_those_of_the_photo(
    lively_model: Model, styles: list[StyleStatistics]
) -> None:
    photo = scenery(90, 70)
    wanted = measure_colors(load_image(photo).pixels)

    def distance(mode: str) -> float:
        colors = measure_colors(stylized(lively_model, photo, styles[0], preserve_color=mode))
        return float(np.abs(colors.mean - wanted.mean).max())

    assert distance("none") > 0.05
    assert max(map(distance, ("luminance", "linear", "histogram"))) < 0.04


def test_clear_areas_do_not_count_for_the_colors(
    lively_model: Model, styles: list[StyleStatistics]
) -> None:
    opaque = load_image(scenery(90, 70)).to_array()
    image = Image.fromarray(np.concatenate((opaque, np.full((70, 90, 1), 255, np.uint8)), 2))
    image.paste((255, 0, 255, 0), (45, 0, 90, 70))
    photo = from_image(image)
    result = stylize_picture(
        lively_model, photo, styles[0], controls=Controls(preserve_color="linear")
    )
    np.testing.assert_array_equal(result.transparency, photo.transparency)
    visible, wanted = (
        measure_colors(each.pixels, photo.transparency).mean for each in (result, photo)
    )
    np.testing.assert_allclose(visible, wanted, atol=0.02)


def test_a_photorealistic_result_has_no_edges_of_its_own(
    lively_model: Model, styles: list[StyleStatistics]
) -> None:
    steps = np.repeat(np.array([60, 190]), 128)[None, :, None].repeat(192, 0)
    photo = load_image(picture(256, 192)).pixels * 0.04 + steps / 255
    plain, filtered = (
        stylize_picture(
            lively_model,
            Picture(photo.astype(np.float32)),
            styles[0],
            controls=Controls(photorealistic=photorealistic),
        ).pixels
        for photorealistic in (False, True)
    )
    flat, edge = slice(20, 100), slice(127, 129)
    rough, smooth = (np.diff(each[:, flat], axis=1).std() for each in (plain, filtered))
    assert smooth < 0.5 * rough
    step, wanted = (np.diff(each[:, edge], axis=1).mean((0, 1)) for each in (filtered, plain))
    assert np.abs(step).max() > 0.3 * np.abs(wanted).max()


def test_smoothing_and_sharpening_change_the_contrast_of_neighbours(
    lively_model: Model, styles: list[StyleStatistics]
) -> None:
    photo = scenery(90, 70)

    def roughness(**controls: float) -> float:
        result = stylized(lively_model, photo, styles[0], **controls)
        return float(np.abs(np.diff(result, axis=1)).mean())

    assert roughness(smooth=1) < roughness(smooth=0.5) < roughness() < roughness(sharpen=1)


looks = st.fixed_dictionaries(
    {
        "stroke": st.sampled_from([0, 1, 2, 0.7]),
        "preserve_color": st.sampled_from(["none", "luminance", "linear", "histogram"]),
        "smooth": st.sampled_from([0, 0.6]),
        "sharpen": st.sampled_from([0, 0.5]),
        "photorealistic": st.booleans(),
        "feather": st.sampled_from([0, 5]),
        "strength": st.sampled_from([None, grey(HALVES)]),
        "masks": st.sampled_from([(), (grey(HALVES),), (grey(255 - HALVES), grey(HALVES // 2))]),
    }
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    look=looks,
    alpha=st.sampled_from([0.05, 0.6, 1]),
    mode=st.sampled_from(["RGB", "RGBA"]),
    scale=st.integers(1, 4),
    max_side=st.none() | st.integers(40, 200),
    strip=st.integers(64, 4000),
    memory=st.integers(40, 60).map(lambda part: part * 10**6),
    bits=st.sampled_from([8, 16]),
)
def test_a_print_in_strips_is_the_picture_in_one_piece(
    lively_model: Model,
    styles: list[StyleStatistics],
    look: dict[str, Any],
    alpha: float,
    mode: str,
    scale: int,
    max_side: int | None,
    strip: int,
    memory: int,
    bits: int,
) -> None:
    photo = load_image(picture(64 * scale, 48 * scale, mode))
    style = stack_styles(styles) if look["masks"] else styles[0]
    call = partial(
        stylize_picture,
        lively_model,
        photo,
        style,
        alpha=alpha,
        max_side=max_side,
        controls=Controls(**look),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "adain.painting.masks.LARGE_PIXELS", 0
        )  # Both have masks of 8 bits, as prints do.
        whole = call()
        patch.setattr("adain.imaging.picture.LARGE_PIXELS", 0)
        # That of pictures is also the one by which colours are measured.
        for module in ("adain.imaging.picture", "adain.painting.masks", "adain.painting.stylize"):
            patch.setattr(f"{module}.STRIP_PIXELS", strip)
        strips = call(memory=memory)
        data = encode_image(strips, "png", bits=bits)
    difference = np.abs(strips.pixels - whole.pixels)
    if look["preserve_color"] == "histogram":
        # The quantiles of so small a photo jump wherever it has no pixel between two colours, and
        # a last bit decides on which side: only there may single pixels differ.
        assert difference.mean() <= 0.1 / 255
        assert (difference > 1 / 255).mean() <= 0.02
    else:
        # A print keeps 8 bits over twice the range until its colours are matched, which can raise
        # what is rounded there.
        assert difference.max() <= 2 / 255
        assert difference.mean() <= 0.5 / 255
    # The file holds these levels, but that Pillow, which reads it, cuts 16 bits off to 8.
    opaque = np.asarray(Image.open(BytesIO(data)).convert("RGBA"), np.float32)[..., :3]
    written = strips.pixels * 255
    assert np.abs(opaque - written).max() <= (0.51 if bits == 8 else 1.01)


@pytest.mark.parametrize("stroke", [1, 2])
def test_what_a_style_leaves_alone_keeps_16_bits(
    tiny_model: Model, style: StyleStatistics, stroke: float
) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (40, 30, 3), dtype=np.uint16)
    photo = load_image(encode_image(Picture(levels), "png", bits=16))
    controls = Controls(stroke=stroke)
    result = stylize_picture(tiny_model, photo, style, alpha=0, controls=controls)
    again = load_image(encode_image(result, "tiff", bits=16))
    np.testing.assert_array_equal(again[:], levels)


def test_transparency_is_put_back(tiny_model: Model, style: StyleStatistics) -> None:
    photo = picture(40, 30, "RGBA")
    image = stylize_photo(tiny_model, photo, style)
    assert image.mode == "RGBA"
    alpha = Image.open(BytesIO(photo)).getchannel("A")
    np.testing.assert_array_equal(np.asarray(image.getchannel("A")), np.asarray(alpha))


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    empty = StyleFile((), np.zeros((0, 1), np.float32), "")
    ship(empty, monkeypatch)
    return make_gallery(database_url())


def add(gallery: Gallery, folder: Path, seed: int, **facts: str) -> Painting:
    """Put a picture into the gallery that is not measured yet."""
    path = folder / f"{seed}.png"
    path.write_bytes(picture(64, 48, seed=seed))
    digest = f"{seed:064}"
    painting = Painting("", f"Waves {seed}", path=str(path), sha256=digest, pixel_sha256=digest)
    return gallery.add([replace(painting, **facts)])[0][0]  # type: ignore[arg-type]


def test_a_stored_style_gives_the_very_picture_of_a_measured_one(
    tiny_model: Model, gallery: Gallery, tmp_path: Path
) -> None:
    painting = add(gallery, tmp_path, 1)
    assert gallery.vector(painting, tiny_model.fingerprint) is None
    measured = stored_style(tiny_model, gallery, painting)
    Path(str(painting.path)).unlink()
    cached = stored_style(tiny_model, gallery, painting)
    photo = picture(50, 40)
    images = [stylize_photo(tiny_model, photo, each.statistics) for each in (measured, cached)]
    assert images[0].tobytes() == images[1].tobytes()


def test_a_painting_that_is_neither_measured_nor_here_is_refused(
    tiny_model: Model, gallery: Gallery, tmp_path: Path
) -> None:
    painting = replace(add(gallery, tmp_path, 1), path=None)
    with pytest.raises(StylesError, match=rf"waves-1: .* encoder {tiny_model.fingerprint}"):
        stored_style(tiny_model, gallery, painting)


def test_an_artist_is_what_his_paintings_have_together(
    tiny_model: Model, gallery: Gallery, tmp_path: Path
) -> None:
    works = [add(gallery, tmp_path, seed, artist="Nobody") for seed in (1, 2)]
    for work in works:
        stored_style(tiny_model, gallery, work)
    group = gallery.find_group("artist", "nobody")
    resolved = stored_style(tiny_model, gallery, group)
    assert (resolved.slug, resolved.origin) == (group.slug, "group")
    style = resolved.statistics
    pixels = [load_image(Path(str(work.path))).pixels for work in works]
    one, two = (
        tiny_model.engine.encode(each, UNCHANGED, NOWHERE, (0, 48, 0, 64)).moments
        for each in pixels
    )
    for layer, moments in one.items():
        together = moments.merge(two[layer]).statistics()
        np.testing.assert_allclose(style[layer].mean, together.mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(style[layer].std, together.std, rtol=1e-5)
    colors = ColorMoments.of(np.concatenate(pixels)).distribution()
    assert style.colors is not None
    np.testing.assert_allclose(style.colors.mean, colors.mean, atol=1e-6)
    np.testing.assert_allclose(style.colors.covariance, colors.covariance, atol=1e-6)


def test_a_new_painting_changes_the_style_of_its_artist(
    tiny_model: Model, gallery: Gallery, tmp_path: Path
) -> None:
    stored_style(tiny_model, gallery, add(gallery, tmp_path, 1, artist="Nobody"))
    group = gallery.find_group("artist", "nobody")

    def vector() -> bytes:
        return stored_style(tiny_model, gallery, group).statistics.to_vector().tobytes()

    first = vector()
    assert vector() == first
    second = add(gallery, tmp_path, 2, artist="Nobody")
    stored_style(tiny_model, gallery, second)
    assert vector() != first
    gallery.remove([second.id])
    assert vector() == first


def test_a_mixture_weighs_its_parts(tiny_model: Model, gallery: Gallery, tmp_path: Path) -> None:
    painting = add(gallery, tmp_path, 1)
    add(gallery, tmp_path, 2)
    references = parse_references([f"{painting.path}=3", "waves-2"])
    style = find_style(references, lambda: gallery)
    assert style.slug == "1+waves-2"
    assert style.pictures == [(tmp_path / "1.png", 3), (tmp_path / "2.png", 1)]
    assert [part.resolve(tiny_model).origin for part in style.parts] == ["file", "painting"]
    parts = [stored_style(tiny_model, gallery, gallery.find(f"waves-{i}")) for i in (1, 2)]
    expected = interpolate_styles([part.statistics for part in parts], [0.75, 0.25])
    found = style.resolve(tiny_model).statistics
    assert found.colors is not None
    np.testing.assert_allclose(found.to_vector(), expected.to_vector(), rtol=1e-6)


def test_styles_for_masks_stay_apart(tiny_model: Model, gallery: Gallery, tmp_path: Path) -> None:
    paintings = [add(gallery, tmp_path, seed) for seed in (1, 2)]
    references = parse_references([painting.slug for painting in paintings])
    style = find_style(references, lambda: gallery, separate=True)
    parts = [stored_style(tiny_model, gallery, each).statistics.to_vector() for each in paintings]
    assert style.slug == "waves-1+waves-2"
    found = style.resolve(tiny_model).statistics
    np.testing.assert_array_equal(found.to_vector(), np.concatenate(parts))


def test_paintings_are_measured_at_the_side_asked_for_and_only_the_usual_one_is_kept(
    tiny_model: Model, gallery: Gallery, tmp_path: Path
) -> None:
    painting = add(gallery, tmp_path, 1)
    path = str(painting.path)
    for name in (path, painting.slug):
        style = find_style(parse_references([name]), lambda: gallery, side=24)
        expected = measure_style(tiny_model, Path(path), side=24)
        found = style.resolve(tiny_model).statistics
        np.testing.assert_array_equal(found.to_vector(), expected.to_vector())
    assert gallery.vector(painting, tiny_model.fingerprint) is None
    stored_style(tiny_model, gallery, painting)
    Path(path).unlink()
    with pytest.raises(ImageError, match=r"1\.png"):
        stored_style(tiny_model, gallery, painting, side=24)
    with pytest.raises(StylesError, match=r"waves-1: measured at 512 .* --style-size"):
        stored_style(tiny_model, gallery, replace(painting, path=None), side=24)


def test_large_paintings_are_measured_at_one_size(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    def measure(model: Model, pixels: NDArray[np.float32]) -> None:
        shapes.append(pixels.shape[:2])

    monkeypatch.setattr("adain.painting.measuring.measure_pixels", measure)
    for width, height in [(700, 600), (300, 200)]:
        measure_style(tiny_model, picture(width, height))
    assert shapes == [(STYLE_SIDE, round(700 * STYLE_SIDE / 600)), (200, 300)]


def test_errors_name_the_photo(tiny_model: Model, style: StyleStatistics, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^upload: "):
        stylize_photo(tiny_model, b"not a picture", style, name="upload")
    with pytest.raises(ImageTooLargeError, match=r"^upload: "):
        limits = ImageLimits(max_pixels=100)
        stylize_photo(tiny_model, picture(20, 20), style, limits=limits, name="upload")


OUT_OF_MEMORY = [
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_too_little_memory_is_said_with_the_remedy(
    tiny_model: Model,
    style: StyleStatistics,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tiny_model.engine, "encode", fail)
    with pytest.raises(ImageTooLargeError, match=r"memory for 30x20 pixels; .* smaller max-side"):
        stylize_photo(tiny_model, picture(30, 20), style)


def test_a_memory_limit_that_nothing_fits_is_named(
    tiny_model: Model, style: StyleStatistics
) -> None:
    with pytest.raises(ImageTooLargeError, match=r"^upload: .* pixels need .* allow more"):
        stylize_photo(tiny_model, picture(30, 20), style, memory=10_000, name="upload")


def test_a_limit_of_memory_changes_no_picture(tiny_model: Model, style: StyleStatistics) -> None:
    photo = picture(60, 300, "RGBA")
    whole = stylize_photo(tiny_model, photo, style)
    shares: list[float] = []
    strips = stylize_photo(tiny_model, photo, style, memory=8_000_000, progress=shares.append)
    assert strips.mode == "RGBA"
    assert abs(np.asarray(strips).astype(int) - np.asarray(whole)).max() <= 1
    assert len(shares) > 4 and shares == sorted(shares) and shares[-1] == 1


def test_other_failures_of_the_network_pass_through(
    tiny_model: Model, style: StyleStatistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr(tiny_model.engine, "decode", fail)
    with pytest.raises(RuntimeError, match="device lost"):
        stylize_photo(tiny_model, picture(30, 20), style)
