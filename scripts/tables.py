"""Tables that several scripts print."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adain.quality.metrics import Quality

COLUMNS = (
    "",
    "style loss",
    "Gram loss",
    "content loss",
    "SSIM to photo",
    "of areas",
    "palette, 1e-3",
    "coloured dots, 1e-4",
    "ms",
)


def quality_table(rows: Mapping[str, tuple["Quality", float | None]]) -> list[str]:
    """Return the lines of a Markdown table of qualities and milliseconds by name."""
    lines = []
    for name, (quality, milliseconds) in rows.items():
        losses = (quality.style_loss, quality.gram_loss, quality.content_loss)
        colors = (1e3 * quality.palette_loss, 1e4 * quality.chroma_curvature)
        cells = [
            name,
            *(f"{loss:.4g}" for loss in losses),
            f"{quality.ssim:.3f}",
            f"{quality.coarse_similarity:.3f}",
            *(f"{color:.2f}" for color in colors),
            "" if milliseconds is None else f"{milliseconds:.1f}",
        ]
        lines.append(cells)
    return markdown_table(COLUMNS, lines)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table whose first column is text and whose others are not."""
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    lines[0] = lines[0].replace("|  |", "| |", 1)
    return [lines[0], f"|---|{'---:|' * (len(columns) - 1)}", *lines[1:]]
