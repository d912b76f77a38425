from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adain.styles.field import StyleField
from adain.styles.statistics import ChannelStatistics, StyleStatistics

STYLE = StyleStatistics(
    {"relu1_1": ChannelStatistics(np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32))}
)


def test_masks_that_overlap_share_and_those_that_do_not_leave_the_photo() -> None:
    field = StyleField((STYLE, STYLE), np.array([[[1, 0.5, 0.2]], [[1, 0.5, 0]]]))
    shares = field.shares(0, 1)
    assert shares.shape == (2, 1, 3) and shares.dtype == np.float32
    np.testing.assert_allclose(shares[:, 0], [[0.5, 0.5, 0.2], [0.5, 0.5, 0]])
    np.testing.assert_allclose(field.extent(0, 1), [[1, 1, 0.2]])


def test_a_strength_multiplies_every_mask() -> None:
    masks = np.array([[[255, 51]], [[0, 204]]], np.uint8)
    shares = StyleField((STYLE, STYLE), masks, np.array([[0.5, 1]])).shares(0, 1)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares[:, 0], [[0.5, 0.2], [0, 0.8]], rtol=1e-6)


def test_rows_below_the_last_are_mirrored() -> None:
    strength = np.repeat(np.arange(5)[:, None] / 4, 3, axis=1)
    shares = StyleField((STYLE,), strength=strength).shares(2, 8)
    np.testing.assert_array_equal(shares[0, :, 0] * 4, [2, 3, 4, 3, 2, 1])


@pytest.mark.parametrize(
    "masks",
    [
        None,
        np.ones((1, 4, 4)),
        np.ones((4, 4)),
        np.full((2, 4, 4), 1.5),
        np.full((2, 4, 4), -0.5),
        np.full((2, 4, 4), np.nan),
        np.ones((2, 4, 4), int),
    ],
)
def test_impossible_masks_are_refused(masks: NDArray[Any] | None) -> None:
    with pytest.raises(ValueError, match="mask"):
        StyleField((STYLE, STYLE), masks)


def test_a_strength_of_another_size_than_the_masks_is_refused() -> None:
    with pytest.raises(ValueError, match="4x4 pixels, not 5x4"):
        StyleField((STYLE,), np.ones((1, 4, 4)), np.ones((4, 5)))
