"""Strokes that keep their size against the picture, whatever its resolution.

The network paints strokes of a size in pixels: a large photo would get fine ones, and its
preview coarse ones. So every photo is stylized at about the same number of pixels, and the
result is brought to the photo's size with the photo's own fine detail:

    photo (H, W) ── resize ── working (h, w) ── the network ── painted (h, w)
                                                                  │
    result (H, W) = photo + enlarge(painted - working) ───────────┘

Scaled down again, the result is `painted`: preview and print are the same picture. Where the
network changes nothing, the result is the photo to the bit. A `Picture` holds photo and change
apart, and adds them when its rows are read.
"""

from adain.config import MIN_SIDE

STROKE_SIDE = 1024
"""Longer side in pixels at which larger photos are stylized, for strokes of size 1."""

MAX_SIDE = 8192
"""Longer side in pixels to which a photo is enlarged for finer strokes."""


def working_side(photo_side: int, result_side: int, stroke: float) -> int:
    """Return the longer side in pixels at which a photo is stylized.

    It does not depend on the size of the result unless `stroke` is 0. A photo smaller than
    `STROKE_SIDE` is stylized as it is, for strokes of size 1.

    Args:
        photo_side: Longer side of the photo.
        result_side: Longer side of the result.
        stroke: Size of the strokes: 2 doubles it, 0.5 halves it; 0 is the finest.
    """
    if stroke == 0:
        return result_side
    side = round(min(photo_side, STROKE_SIDE) / stroke)
    return min(max(side, MIN_SIDE), max(MAX_SIDE, photo_side))


def needed_side(result_side: int, stroke: float) -> int:
    """Return the longer side in pixels at which all is seen that counts for a smaller result."""
    return max(working_side(STROKE_SIDE, result_side, stroke), STROKE_SIDE, result_side)
