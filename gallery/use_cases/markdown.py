"""A little Markdown as HTML: headings, paragraphs, lists, emphasis and links; nothing else."""

import html
import re
from itertools import groupby

_ITEM = re.compile(r"[-*] +(.*)")
_HEADING = re.compile(r"(#{1,4}) +(.*)")


def to_html(text: str) -> str:
    """Return Markdown as HTML that holds no tags of its own.

    >>> to_html("*All* of <us>")
    '<p><em>All</em> of &lt;us&gt;</p>'
    """
    lines = [line.strip() for line in text.splitlines()]
    blocks = [list(group) for filled, group in groupby(lines, bool) if filled]
    return "\n".join(part for block in blocks for part in _block(block))


def _block(lines: list[str]) -> list[str]:
    parts: list[str] = []
    for kind, group in groupby(lines, _kind):
        found = list(group)
        if kind == "item":
            items = (f"<li>{_inline(line[1:].strip())}</li>" for line in found)
            parts.append(f"<ul>{''.join(items)}</ul>")
        elif kind == "heading":
            for line in found:
                marks, words = _HEADING.fullmatch(line).groups()  # type: ignore[union-attr]
                level = len(marks) + 1  # The title of the page is the first.
                parts.append(f"<h{level}>{_inline(words)}</h{level}>")
        else:
            parts.append(f"<p>{_inline(' '.join(found))}</p>")
    return parts


def _kind(line: str) -> str:
    if _HEADING.fullmatch(line):
        return "heading"
    return "item" if _ITEM.fullmatch(line) else "text"


def _inline(text: str) -> str:
    text = html.escape(text)
    link = r'<a href="\2" rel="noopener noreferrer">\1</a>'
    text = re.sub(r"\[([^\]]+)\]\((https?://[^\s)]+|mailto:[^\s)]+)\)", link, text)
    text = re.sub(r"\*\*(\S.*?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*(\S.*?)\*", r"<em>\1</em>", text)
