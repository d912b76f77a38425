from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallery.database.paintings import MAX_TEXT, Painting, clean, facts, fold, read_facts, slugify
from gallery.database.style_files import load_styles
from gallery.errors import ManifestError


@given(st.text())
def test_a_slug_is_made_of_any_text_and_stays_itself(text: str) -> None:
    slug = slugify(text)
    assert slugify(slug) == slug
    assert slug == "" or all(word.isalnum() and word.isascii() for word in slug.split("-"))


@given(st.text())
def test_any_text_becomes_one_short_line_without_controls(text: str) -> None:
    line = clean(text)
    assert len(line) <= MAX_TEXT
    assert not any(c in line for c in "\0\n\r\t\x1b\u202e\u2066")
    assert clean(line) == line


@given(st.text())
def test_words_hold_nothing_that_a_query_could_mean(text: str) -> None:
    assert all(word.isalnum() for word in fold(text))


def test_facts_are_read_from_a_manifest_line() -> None:
    painting = read_facts(
        {
            "title": " Sunday\n1884 ",
            "artist": "Georges Seurat",
            "year_from": "1884",
            "year_to": 1886,
            "styles": "Pointillism|Neo-Impressionism|Pointillism",
            "genre": "genre painting",
            "page_url": "https://example.org/27992",
            "sha256": "AB" * 32,
            "unknown": {"column": 1},
        }
    )
    assert painting.title == "Sunday 1884"
    assert (painting.year_from, painting.year, painting.years) == (1884, 1886, "1884-1886")
    assert painting.styles == ("Pointillism", "Neo-Impressionism")
    assert painting.genres == ("genre painting",)
    assert painting.sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"title": ["a"]}, "title must be text, got list"),
        ({"year": "soon"}, "year 'soon' is not understood"),
        ({"year": 10**30}, "year is out of range"),
        ({"year": "9" * 5000}, "year is out of range"),
        ({"styles": {"a": 1}}, "styles must be a list"),
        ({"styles": [1]}, "styles must be a list"),
        ({"sha256": "xyz"}, "sha256 must be 64 hexadecimal digits"),
        ({"page_url": "javascript:alert(1)"}, "page_url must begin with http"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_facts(values)


def test_facts_survive_a_round_trip_without_path_and_number() -> None:
    painting = Painting("a", "A", "B", 1900, ("C",), ("D",), ("E", "F"), 1899, path="/x", id=7)
    kept = facts(painting)
    assert "path" not in kept and "id" not in kept
    assert read_facts(kept) == Painting(
        "a", "A", "B", 1900, ("C",), ("D",), ("E", "F"), year_from=1899
    )


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Ночь", "noch"),
        ("北斎", "beizhai"),
        ("Γκερνίκα", "gkernika"),
        ("Café № 7", "cafe-no-7"),
        ("Ночь 1889", "1889"),  # As before, so that names that are known stay.
        ("!?", ""),
    ],
)
def test_a_title_in_another_script_has_a_slug(title: str, slug: str) -> None:
    assert slugify(title) == slug


def test_the_slugs_of_the_starter_gallery_are_those_of_their_titles() -> None:
    for painting in load_styles().paintings:
        assert painting.slug.isascii() and slugify(painting.slug) == painting.slug
