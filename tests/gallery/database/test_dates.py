import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallery.database.dates import Years, read_years
from gallery.database.paintings import read_facts


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("c. 1900", 1900, 1900),
        ("ca.1650/60", 1650, 1660),
        ("1890s", 1890, 1899),
        ("mid-1890s", 1893, 1896),
        ("before 1900", None, 1900),
        ("by 1665", None, 1665),
        ("after c. 1660", 1660, None),
        ("1660 or later", 1660, None),
        ("1889-90", 1889, 1890),
        ("1889 \u2013 ca. 1890", 1889, 1890),
        ("ca. 1704\u20139", 1704, 1709),
        ("between 1880 and 1885", 1880, 1885),
        ("1640s\u201350s", 1640, 1659),
        ("19th century", 1801, 1900),
        ("early 17th c.", 1601, 1633),
        ("second half of the 18th century", 1751, 1800),
        ("18th\u201319th century", 1701, 1900),
        ("mid 1700s", 1733, 1766),
        ("17. Jh.", 1601, 1700),
        ("XIXe siècle", 1801, 1900),
        ("2nd century BC", -200, -101),
        ("c. 500 B.C.", -500, -500),
        ("12 March 1889", 1889, 1889),
        ("1889-03-12", 1889, 1889),
        ("12.3.1889", 1889, 1889),
        ("1895; reworked by 1901", 1895, 1901),
        ("[1665?]", 1665, 1665),
        ("n.d.", None, None),
        ("undated", None, None),
    ],
)
def test_dates_are_read_as_catalogues_write_them(
    text: str, first: int | None, last: int | None
) -> None:
    assert read_years(text) == Years(first, last)
    assert read_years(f"  {text.upper()} ") == Years(first, last)


@pytest.mark.parametrize(
    "text",
    ["soon", "acquired 1950", "inv. 1889", "dated 1039 AH/1630 CE", "1900-1889", "12 pieces",
     "99th century", "1889" * 50],
)  # fmt: skip
def test_what_may_mean_something_else_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_years(text)


@given(st.text(max_size=120) | st.from_regex(r"(ca?\. ?)?1\d{3}[-/s ]{0,3}\d{0,4}.{0,9}"))
def test_any_text_gives_years_in_order_or_a_reason(text: str) -> None:
    try:
        years = read_years(text)
    except ValueError as error:
        assert str(error)
    else:
        assert years.first is None or years.last is None or years.first <= years.last


@given(st.integers(1000, 2099), st.integers(0, 99), st.sampled_from("-\u2013/"))
def test_a_short_second_year_is_of_the_century_of_the_first(
    first: int, short: int, dash: str
) -> None:
    last = first // 100 * 100 + short
    text = f"ca. {first}{dash}{short:02}"
    if last < first and dash == "-" and 1 <= short <= 12:
        assert read_years(text) == Years(first, first)  # A month.
    elif last < first:
        with pytest.raises(ValueError, match="before it begins"):
            read_years(text)
    else:
        assert read_years(text) == Years(first, last)


def test_the_years_of_a_painting_may_be_words() -> None:
    painting = read_facts({"title": "A", "date": "1889-90"})
    assert (painting.year_from, painting.year, painting.years) == (1889, 1890, "1889-1890")
    painting = read_facts({"year": "c. 1900", "date": "1700"})
    assert (painting.year_from, painting.year) == (None, 1900)
    painting = read_facts({"year_from": "c. 1650", "year_to": "1660s"})
    assert (painting.year_from, painting.year) == (1650, 1669)
    assert read_facts({"date": "after 1660"}).years == "1660-"
