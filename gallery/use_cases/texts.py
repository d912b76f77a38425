"""The texts of the page: written to a file, so that they can be translated, and read from one."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from gallery.errors import OutputError
from gallery.use_cases.device import STATIC

ATTRIBUTES = ("title", "aria-label", "placeholder", "alt")

SILENT = ("script", "style", "code")

KEYS = re.compile(
    "(GET$|POST$|DELETE$|Arrow|Abort|Escape|Enter|Home|End|Content|Retry|X-|Authorization|Bearer)"
)
"""What programs say to one another."""

_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`')
_VALUE = re.compile(r"\$\{(?:[^{}]|\{[^{}]*\})*\}")


def page_texts() -> list[str]:
    """Return what the page says, in English; `{}` stands for what differs each time."""
    texts = dict.fromkeys(_page_words((STATIC / "index.html").read_text(encoding="utf-8")))
    for path in sorted(STATIC.glob("*.js")):
        texts |= dict.fromkeys(_script_words(path.read_text(encoding="utf-8")))
    return [text for text in texts if re.search(r"[A-Za-z]{2}", text)]


def read_texts(path: Path) -> dict[str, Any]:
    """Return the language of a file of texts, and the texts.

    Raises:
        OutputError: If it is not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise OutputError(f"{path}: not JSON ({error}); 'adain export texts' writes one") from error
    facts = content if isinstance(content, dict) else {}
    lang, texts = facts.get("lang"), facts.get("texts")
    if not isinstance(lang, str) or not isinstance(texts, dict):
        raise OutputError(f"{path}: has no 'lang' and 'texts'; 'adain export texts' writes one")
    for text, other in texts.items():
        if not isinstance(other, str) or (other and other.count("{}") != text.count("{}")):
            raise OutputError(f"{path}: {text!r}: needs a text with as many {{}}")
    return {"lang": lang, "texts": {text: other for text, other in texts.items() if other}}


def _page_words(page: str) -> Iterator[str]:
    parser = _Words()
    parser.feed(page)
    return iter(parser.words)


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in SILENT
        self.words += [value for name, value in attrs if name in ATTRIBUTES and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.words.append(" ".join(data.split()))


def _script_words(script: str) -> Iterator[str]:
    lines = (line for line in script.splitlines() if not line.lstrip().startswith(("//", "import")))
    for plain, template in _LITERAL.findall("\n".join(lines)):
        text = _VALUE.sub("{}", template) if template else plain
        text = " ".join(text.split())
        sentence = re.match(r"(\{\} )?[A-Z“]", text) and (" " in text or text.isalpha())
        if sentence and not KEYS.match(text) and not re.search(r"[<>;=]|\$\{", text):
            yield text
