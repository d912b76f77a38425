from pathlib import Path

import pytest

from gallery.ingest.wikiart import RIGHTS, is_wikiart, read_genres, read_name


@pytest.mark.parametrize(
    ("path", "artist", "title", "year"),
    [
        ("Realism/ivan-shishkin_oak-grove-1887.jpg", "Ivan Shishkin", "Oak Grove", 1887),
        ("Realism/a-b_the-road-to-rome-1887-1.jpg", "A B", "The Road to Rome", 1887),
        ("Realism/a-b_bridge-1887(2).jpg", "A B", "Bridge", 1887),
        ("Realism/a-b_bridge(2).jpg", "A B", "Bridge", None),
        ("Realism/a-b_1887.jpg", "A B", "1887", None),
        ("Realism/a-b_room-3000.jpg", "A B", "Room 3000", None),
        ("Cubism/m.c.-escher_hand.jpg", "M.C. Escher", "Hand", None),
        ("Cubism/vincent-van-gogh_a_b-1888.jpg", "Vincent van Gogh", "A B", 1888),
        ("Cubism/joaquã\xadn-sorolla_niã±o-1904.jpg", "Joaquín Sorolla", "Niño", 1904),
        (
            "Cubism/kathe-kollwitz_not_detected_23.jpg",
            "Kathe Kollwitz",
            "Untitled 23",
            None,
        ),
        ("Cubism/nobody_.jpg", "Nobody", "Untitled", None),
        ("Cubism/odd.jpg", "Odd", "Untitled", None),
        ("Cubism/.jpg", "", "Untitled", None),
    ],
)
def test_names_tell_artist_title_and_year(
    path: str, artist: str, title: str, year: int | None
) -> None:
    painting = read_name(Path(path), {})
    assert (painting.artist, painting.title, painting.year) == (artist, title, year)
    assert painting.rights == RIGHTS


@pytest.mark.parametrize(
    ("folder", "style"),
    [
        ("Art_Nouveau_Modern", "Art Nouveau"),
        ("Ukiyo_e", "Ukiyo-e"),
        ("Pop_Art", "Pop Art"),
    ],
)
def test_folders_are_movements(folder: str, style: str) -> None:
    assert read_name(Path(folder, "a_b.jpg"), {}).styles == (style,)


@pytest.mark.parametrize("place", ["", "Genre", "..", "../Genre"])
def test_genres_come_from_the_lists_where_they_are(tmp_path: Path, place: str) -> None:
    root = tmp_path / "wikiart"
    (root / "Realism").mkdir(parents=True)
    folder = root / place
    folder.mkdir(exist_ok=True)
    (folder / "genre_class").write_text("0 abstract_painting\n1 cityscape\n\n")
    (folder / "genre_train.csv").write_bytes(b"Realism/a_b.jpg,1\r\nRealism/c_d.jpg,0\r\nodd\r\n")
    (folder / "genre_val.csv").write_bytes(b"Realism/e_f.jpg,9\r\n")
    genres = read_genres(root)
    assert genres == {"Realism/a_b.jpg": "cityscape", "Realism/c_d.jpg": "abstract painting"}
    assert read_name(root / "Realism" / "a_b.jpg", genres).genres == ("cityscape",)
    assert is_wikiart(root) and not is_wikiart(root / "Realism")
