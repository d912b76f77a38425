import numpy as np
import pytest
from drawings import picture_of

from adain.imaging.enlarging import Enlarged


@pytest.mark.parametrize("size", [(40, 50), (41, 50), (133, 220), (300, 51)], ids=str)
def test_an_image_is_enlarged_as_by_torch(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    image = picture_of(40, 50).pixels
    channels = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(channels, size, mode="bicubic")
    np.testing.assert_allclose(
        Enlarged(image, *size)[:], expected[0].permute(1, 2, 0).numpy(), atol=1e-5
    )


def test_rows_are_those_of_the_whole() -> None:
    enlarged = Enlarged(picture_of(40, 50).pixels, 133, 90)
    whole = enlarged[:]
    assert whole.shape == (133, 90, 3) and whole.dtype == np.float32
    for top, bottom in ((0, 1), (5, 40), (100, 133), (132, 133)):
        np.testing.assert_allclose(enlarged[top:bottom], whole[top:bottom], atol=1e-6)


def test_what_is_flat_stays_flat_up_to_the_border() -> None:
    flat = np.full((20, 30, 3), 0.25, np.float32)
    np.testing.assert_allclose(Enlarged(flat, 47, 61)[:], 0.25, atol=1e-6)
