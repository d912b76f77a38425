from pathlib import Path

import pytest
from shipping import ship

from gallery.config import database_url
from gallery.database.gallery import Gallery, make_gallery, starter_gallery
from gallery.database.queries import Group
from gallery.database.style_files import StyleFile
from gallery.errors import StyleNotFound
from gallery.use_cases.references import (
    MAX_STYLES,
    Reference,
    file_slug,
    find_target,
    parse_references,
    style_regions,
)


@pytest.fixture
def gallery(styles: StyleFile, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    ship(styles, monkeypatch)
    return starter_gallery()


def test_a_weight_stands_behind_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd=2").touch()
    texts = ["irises", "artist:monet=0.7", "a=b", "e=mc2=-1", "odd=2", "odd=2=3"]
    assert parse_references(texts) == [
        Reference("irises"),
        Reference("artist:monet", 0.7),
        Reference("a=b"),
        Reference("e=mc2", -1),
        Reference("odd=2"),
        Reference("odd=2", 3),
    ]


def test_a_part_of_the_photo_stands_behind_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("team@face", "me@person.png"):
        Path(name).touch()
    texts = ["a@person=2", "a=2@subject", "b@sky", "team@face", "team@face@face",
             "me@person.png@background", "@face", "e=m@rest"]  # fmt: skip
    references = parse_references(texts, regions=True)
    assert references == [
        Reference("a", 2, region="person"),
        Reference("a", 2, region="person"),
        Reference("b@sky"),
        Reference("team@face"),
        Reference("team@face", region="face"),
        Reference("me@person.png", region="background"),
        Reference("@face"),
        Reference("e=m", region="rest"),
    ]
    assert style_regions(references) == ("person", "rest", "face", "background")
    assert style_regions(parse_references(["a", "b=2"])) == ()
    with pytest.raises(ValueError, match="@person: styles are for parts of a photo in"):
        parse_references(["a@person"])
    with pytest.raises(ValueError, match="sum to more than 0"):
        parse_references(["a@person=0", "b"], regions=True)


def test_a_part_that_cannot_be_found_is_refused_with_those_that_can(gallery: Gallery) -> None:
    with pytest.raises(StyleNotFound, match=r"'@sky'.* face, person, background, subject or rest"):
        find_target(gallery, "irises@sky")


@pytest.mark.parametrize("texts", [["a=nan"], ["a=inf"], ["a=0"], ["a=1", "b=-1"], ["a=-1"]])
def test_weights_without_meaning_are_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="finite and sum to more than 0"):
        parse_references(texts)
    with pytest.raises(ValueError, match=f"at most {MAX_STYLES}"):
        parse_references(texts * (MAX_STYLES + 1))


def test_a_prefix_asks_for_all_of_an_artist_or_a_movement(gallery: Gallery) -> None:
    artist = find_target(gallery, "artist:Van Gogh")
    assert isinstance(artist, Group)
    assert (artist.kind, artist.slug, artist.paintings) == ("artist", "vincent-van-gogh", 2)
    style = find_target(gallery, "style:impressionism")
    assert isinstance(style, Group)
    assert (style.kind, style.slug, style.paintings) == ("style", "impressionism", 3)
    assert find_target(gallery, "van gogh: irises").slug == "irises"


def test_a_miss_names_three_artists(gallery: Gallery) -> None:
    with pytest.raises(StyleNotFound, match=r"no artist named 'mnet'; did you mean 'artist:claude"):
        find_target(gallery, "artist:mnet")
    with pytest.raises(StyleNotFound, match="'adain gallery styles' lists all"):
        find_target(gallery, "style:")


def test_a_painting_that_ships_with_a_newer_version_is_had_by_import(gallery: Gallery) -> None:
    older = make_gallery(database_url())
    older.remove([older.find("irises").id])
    with pytest.raises(StyleNotFound, match=r"^irises ships with this .* gallery import$"):
        find_target(older, "gogh irises")
    with pytest.raises(StyleNotFound, match=r"fits several|no painting"):
        find_target(older, "impressionism")


def test_a_picture_that_is_missing_is_not_searched_for(gallery: Gallery) -> None:
    with pytest.raises(StyleNotFound, match=r"^irises\.png: no such file$"):
        find_target(gallery, "irises.png")


@pytest.mark.parametrize("name", ["https://a.org/irises.jpg", "HTTP://a.org/irises?size=2"])
def test_a_picture_of_the_web_is_not_fetched(gallery: Gallery, name: str) -> None:
    with pytest.raises(StyleNotFound, match=r"not fetched here; download it and give the file$"):
        find_target(gallery, name)


def test_a_folder_is_no_style(tmp_path: Path) -> None:
    with pytest.raises(StyleNotFound, match="is a folder"):
        file_slug(Reference(str(tmp_path)))
    assert file_slug(Reference("x/Été 1.png")) == "ete-1"
    assert file_slug(Reference("星.png")) == "xing"
    assert file_slug(Reference("!?.png")) == "painting"
