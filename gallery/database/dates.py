"""Years as catalogues write them: `c. 1900`, `1890s`, `1889-90`, `late 19th century`, `n.d.`.

Of the libraries that read such dates, `edtf` takes `1889-90` with a long dash for 1990, and `late
19th c.` for any year; `undate` reads none of the above. A wrong year is worse than none.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

MAX_LENGTH = 100

_DASH = re.compile("\\s*[\u2010-\u2015\u2212/~]\\s*|\\s+(?:to|until|till|bis)\\s+")

_NOT_KNOWN = re.compile(r"[\s?.-]*|[ns]\. ?d\.?|o\. ?j\.?|no date|undated|date unknown|unknown|"
                        r"not dated|undatiert|unbekannt|sans date|senza data|none|n/a")  # fmt: skip
"""Words that say that there is no date."""

_FILLING = re.compile(
    r"\b(?:circa|ca|c|about|around|approximately|approx|probably|possibly|perhaps|presumably|"
    r"dated|signed|painted|made|executed|begun|started|finished|completed|reworked|revised|carved|"
    r"printed|published|designed|in|the|of|and|or|year|years|um|vers|env|environ|hacia|verso|wohl|"
    r"spring|summer|autumn|fall|winter|ad|a\.d|ce)\b|[,;()\[\]?.]|(?<=\d)e\b"
)
"""Words that do not change the years."""

_MONTH = re.compile(
    r"\b(?:(?:jan|feb|mar|apr|jun|jul|aug|sep|oct|nov|dec)[a-z]*|may|mai|januar|februar|märz|juni|"
    r"juli|oktober|dezember)\b"
)
_DAY = re.compile(r"\b(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?\b")
_FULL_DATE = re.compile(r"\b(\d{4})-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./](\d{4})\b")
_ISO_MONTH = re.compile(r"\b(\d\d)(\d\d)-(0[1-9]|1[0-2])\b")

_BEFORE = re.compile(
    r"\b(?:before|by|until|not after|no later than|or earlier|at the latest|vor|avant|antes de)\b"
)
_AFTER = re.compile(r"\b(?:after|since|from|not before|nach|après|después de)\b|or later|onwards?")

_CENTURY = re.compile(
    r"\b(?P<n>\d{1,2}|[ivx]+)(?:st|nd|rd|th|e|ème|\.)?[ -]*"
    r"(?:century|cent\b\.?|c\b\.?|jahrhunderts?|jhs?\b\.?|si[eè]cle|siglo|secolo)"
    r"|\b(?:siglo|secolo|sec\.|s\.) *(?P<m>[ivx]+)\b"
)
_YEAR = re.compile(r"(?<!\d)(\d{3,4})(?:\.0+)?(?!\d)")
_DECADE = re.compile(r"\b(?P<y>\d{3}0)(?:'?s|er)\b")

_PARTS = {
    r"\b(?:early|beginning of(?: the)?|anfang|fr[üu]hes|début du)\b": (0, 1 / 3),
    r"\b(?:mid|middle of(?: the)?|mitte)\b-?": (1 / 3, 2 / 3),
    r"\b(?:late|end of(?: the)?|ende|sp[äa]tes|fin du)\b": (2 / 3, 1),
    r"\b(?:first|1st|1\.) (?:half|hälfte)(?: of(?: the)?| des)?\b": (0, 1 / 2),
    r"\b(?:second|2nd|2\.|latter) (?:half|hälfte)(?: of(?: the)?| des)?\b": (1 / 2, 1),
    **{
        rf"\b(?:{word}) (?:quarter|viertel)(?: of(?: the)?| des)?\b": (i / 4, (i + 1) / 4)
        for i, word in enumerate((r"first|1st|1\.", r"second|2nd|2\.", r"third|3rd|3\.",
                                  r"fourth|last|4th|4\."))
    },
}  # fmt: skip
"""Parts of a century or a decade."""

_ROMAN = {"i": 1, "v": 5, "x": 10}


@dataclass(frozen=True)
class Years:
    """When a work was made, as far as it is known.

    Attributes:
        first: The earliest year; negative before Christ.
        last: The latest year.
    """

    first: int | None = None
    last: int | None = None


def read_years(text: str) -> Years:
    """Read the years of a date in words; both are None if it says that there is none.

    Raises:
        ValueError: If it is not understood.

    >>> read_years("c. 1900")
    Years(first=1900, last=1900)
    >>> read_years("1889-90")
    Years(first=1889, last=1890)
    >>> read_years("late 19th century")
    Years(first=1868, last=1900)
    >>> read_years("before 1900")
    Years(first=None, last=1900)
    """
    plain = " ".join(text[: MAX_LENGTH + 1].casefold().split())
    if _NOT_KNOWN.fullmatch(plain):
        return Years()
    if len(plain) > MAX_LENGTH:
        raise ValueError("too long")
    era = re.search(r"\bb\.? ?c\.?(?: ?e\b\.?)?(?!\w)", plain)
    if era:
        plain = plain[: era.start()] + plain[era.end() :]
    plain = _FULL_DATE.sub(lambda date: date[1] or date[2], plain)
    plain = _ISO_MONTH.sub(lambda d: d[1] + d[2] if int(d[3]) <= int(d[2]) else d[0], plain)
    plain = _DASH.sub("-", plain)
    plain = re.sub(r"\bbetween (.*?) and ", r"\1-", plain)
    years = _read(plain, bool(era))
    if years.first is not None and years.last is not None and years.first > years.last:
        raise ValueError("ends before it begins")
    return years


def _read(plain: str, is_before_christ: bool) -> Years:
    begin, end = _AFTER.search(plain) or plain.endswith("-"), _BEFORE.search(plain)
    spans = [_span(part.strip(), is_before_christ) for part in _parts(plain)]
    first, last = spans[0][0], spans[-1][1]
    if any(one[0] > other[1] for one, other in pairwise(spans)):
        raise ValueError("ends before it begins")
    if begin and len(spans) == 1:
        return Years(first, None)
    if end and len(spans) == 1 and (first == last or _DECADE.search(plain)):
        return Years(None, first)
    return Years(first, last)


def _parts(plain: str) -> list[str]:
    """Cut `1889-90` into its two, and give each what it shares with the other."""
    plain = _BEFORE.sub(" ", _AFTER.sub(" ", plain))
    # A dash within words, as in "mid-1890s", cuts nothing.
    pieces = re.split(r"(?<![a-z])-|(?<=\ds)-|(?<=\d[nrst][dht])-", plain.strip(" -"))
    if len(pieces) == 2:
        former = re.search(r"(\d+)(\d\d)s?\W*$", pieces[0])
        short = re.fullmatch(r"\W*(\d\d?)(s?)\W*", pieces[1])
        if former and short:
            whole = former[1] + former[2]
            pieces[1] = whole[: -len(short[1])] + short[1] + short[2]
        elif _CENTURY.search(pieces[1]) and not re.search(r"\d{3}", pieces[0]):
            pieces[0] += "" if _CENTURY.search(pieces[0]) else " century"
    return pieces


def _span(part: str, is_before_christ: bool) -> tuple[int, int]:
    """Return the first and the last year of a year, a decade or a century."""
    shares = (0.0, 1.0)
    for pattern, share in _PARTS.items():
        part, count = re.subn(pattern, " ", part)
        if count:
            shares = share
            break
    if century := _CENTURY.search(part):
        rest = part[: century.start()] + part[century.end() :]
        number = _ordinal(century["n"] or century["m"])
        begin, length = 100 * (number - 1) + 1, 100
    elif decade := _DECADE.search(part):
        rest = part[: decade.start()] + part[decade.end() :]
        begin, length = int(decade["y"]), 100 if decade["y"].endswith("00") else 10
    else:
        return _one_year(part, is_before_christ)  # "Early 1889" is 1889.
    _check_rest(rest)
    first = begin + round(length * shares[0])
    last = begin + round(length * shares[1]) - 1
    return (-last, -first) if is_before_christ else (first, last)


def _one_year(part: str, is_before_christ: bool) -> tuple[int, int]:
    years = [int(year) for year in _YEAR.findall(part)]
    if not years or (is_before_christ and len(years) > 1):
        raise ValueError("no year")
    rest = _YEAR.sub(" ", part)
    if _MONTH.search(rest):
        rest = _DAY.sub(" ", _MONTH.sub(" ", rest))
    _check_rest(rest)
    if is_before_christ:
        return -years[0], -years[0]
    return min(years), max(years)


def _check_rest(rest: str) -> None:
    """Refuse words that are not known: they may say that the year is of something else."""
    left = _FILLING.sub(" ", rest).strip(" -")
    if left:
        raise ValueError(f"{left!r:.40} is not understood")


def _ordinal(text: str) -> int:
    if text.isdigit():
        number = int(text)
    else:
        values = [_ROMAN[letter] for letter in text] + [0]
        number = sum(-a if a < b else a for a, b in pairwise(values))
    if not 1 <= number <= 21:
        raise ValueError(f"no century: {text}")
    return number
