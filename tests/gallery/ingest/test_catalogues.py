import json
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gallery.database.paintings import read_facts
from gallery.errors import DownloadError, ManifestError
from gallery.ingest.catalogues import (
    AIC_API,
    CatalogueEntry,
    fetch_entries,
    find_entries,
    read_records,
)
from gallery.ingest.museums import (
    aic_row,
    cleveland_row,
    met_number,
    met_row,
    nga_image_is_open,
    nga_row,
)

PAINTING = "painting"

OBJECTS = (
    "objectid,uuid,accessioned,accessionnum,locationid,title,displaydate,beginyear,endyear,"
    "visualbrowsertimespan,medium,dimensions,inscription,markings,attributioninverted,attribution,"
    "provenancetext,creditline,classification,subclassification,visualbrowserclassification,"
    "parentid,isvirtual,departmentabbr,portfolio,series,volume,watermarks,"
    "lastdetectedmodification,wikidataid,customprinturl\n"
    '7,u7,1,1937.1.7,10,"The ""Old"" Mill\nat Dusk",c. 1640/1650,1640,1650,1601 to 1650,'
    'oil on canvas,"1 x 1 m",,,"Rijn, R.","Attributed to Rembrandt van Rijn",,Widener Collection,'
    "Painting,,painting,,0,CR,,,,,2024-01-01,Q1,\n"
    "8,u8,1,1937.1.8,10,Mountain,1900,1900,1900,,bronze,,,,,Someone,,Gift,Sculpture,,,,0,,,,,,,,\n"
    "9,u9,1,1937.1.9,10,Closed,1950,1950,1950,,oil,,,,,Someone,,Gift,Painting,,,,0,,,,,,,,\n"
    "10,u10,1,1937.1.10,10,Odd,,0,0,,oil,,,,,,,,Painting,,,,0,,,,,,,,,too,many\n"
    "x11,u11,1,1937.1.11,10,Numberless,,0,0,,oil,,,,,,,,Painting,,,,0,,,,,,,,\n"
    "12,u12,1,1937.1.12,10,,n.d.,,,,oil,,,,,,,,Painting,,,,0,,,,,,,,\n"
)
IMAGES = (
    "uuid,iiifurl,iiifthumburl,viewtype,sequence,width,height,maxpixels,openaccess,created,"
    "modified,depictstmsobjectid,assistivetext\n"
    "a,https://api.nga.gov/iiif/a,,primary,0,3000,2000,,1,,,7,\n"
    "b,https://api.nga.gov/iiif/b,,alternate,1,3000,2000,,1,,,7,\n"
    "c,https://api.nga.gov/iiif/c,,primary,0,3000,2000,640,0,,,9,\n"
    "d,https://api.nga.gov/iiif/d,,primary,0,3000,2000,,1,,,x11,\n"
    "e,https://api.nga.gov/iiif/e,,primary,0,3000,2000,,1,,,12,\n"
)
TERMS = (
    "termid,objectid,termtype,term,visualbrowsertheme,visualbrowserstyle\n"
    "1,7,Style,Baroque,,Baroque\n1,9,Style,Modern,,\n2,7,School,Dutch,,\n"
    "3,7,Place Executed,Delft,,\n"
)


def write_nga(folder: Path, images: str = IMAGES) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "objects.csv").write_text("\ufeff" + OBJECTS, encoding="utf-8")
    (folder / "published_images.csv").write_text(images)
    (folder / "objects_terms.csv").write_text(TERMS)
    return folder


def rows(entries: Sequence[CatalogueEntry]) -> list[dict[str, Any]]:
    return [entry.row for entry in entries if entry.row is not None]


def problems(entries: Sequence[CatalogueEntry]) -> list[str]:
    return [str(entry.error) for entry in entries if entry.error is not None]


def reasons(entries: Sequence[CatalogueEntry]) -> list[str]:
    return [entry.reason for entry in entries if entry.reason]


def test_the_national_gallery_joins_its_tables(tmp_path: Path) -> None:
    folder = write_nga(tmp_path / "data")
    found = list(find_entries("nga", [folder]))
    mill, untitled = rows(found)
    assert mill == {
        "schema": "adain-manifest/1",
        "id": "nga:7",
        "source": "nga",
        "source_id": "7",
        "url": "https://api.nga.gov/iiif/a/full/!1024,1024/0/default.jpg",
        "iiif": "https://api.nga.gov/iiif/a",
        "title": 'The "Old" Mill at Dusk',
        "artist": "Attributed to Rembrandt van Rijn",
        "year_from": 1640,
        "year_to": 1650,
        "date_text": "c. 1640/1650",
        "styles": ["Baroque"],
        "medium": "oil on canvas",
        "credit": "Widener Collection",
        "page_url": "https://www.nga.gov/collection/art-object-page.7.html",
        "rights": "CC0-1.0",
        "rights_url": "https://creativecommons.org/publicdomain/zero/1.0/",
        "public_domain": True,
    }
    assert (untitled["title"], "year_to" in untitled) == ("Untitled", False)
    assert reasons(found) == ["another kind of work", "no open picture"]
    assert [problem.partition("objects.csv:")[2] for problem in problems(found)] == [
        "6: more values than columns",
        "7: objectid must be a number, got 'x11'",
    ]


def test_older_tables_of_the_national_gallery_say_it_by_the_size() -> None:
    image = {"iiifurl": "https://x", "viewtype": "primary"}
    assert nga_image_is_open({**image, "maxpixels": ""})
    assert not nga_image_is_open({**image, "maxpixels": "640"})
    assert not nga_image_is_open({**image, "maxpixels": "", "viewtype": "alternate"})
    assert not nga_image_is_open({**image, "maxpixels": "", "openaccess": "0"})
    assert not nga_image_is_open({**image, "openaccess": "1", "iiifurl": ""})


def test_a_missing_table_of_the_national_gallery_is_named(tmp_path: Path) -> None:
    folder = write_nga(tmp_path / "data")
    (folder / "published_images.csv").unlink()
    with pytest.raises(ManifestError, match=r"published_images\.csv is missing\. Get .*opendata"):
        list(find_entries("nga", [folder]))
    (folder / "published_images.csv").write_text("version https://git-lfs")
    with pytest.raises(ManifestError, match="has no column iiifurl"):
        list(find_entries("nga", [folder]))


AIC = {
    "id": 11,
    "title": "Self-Portrait",
    "thumbnail": {"lqip": "data:image/gif;base64,R0", "width": 6125, "height": 8002},
    "date_start": 1878,
    "date_end": 1879,
    "date_display": "1878/79",
    "artist_display": "Walter Shirlaw\nAmerican, 1838-1909",
    "medium_display": "Oil on canvas",
    "credit_line": "Gift of Joseph M. Rogers",
    "is_public_domain": True,
    "artwork_type_title": "Painting",
    "artist_title": "Walter Shirlaw",
    "style_titles": ["Realism"],
    "subject_titles": ["self-portraits", None],
    "image_id": "7b7a6f39-1cd8-ea2f-9811-18b0e23edac0",
}


def test_chicago_gives_the_size_that_it_asks_for() -> None:
    row = aic_row(AIC, PAINTING)
    assert isinstance(row, dict)
    assert row["url"] == f"https://www.artic.edu/iiif/2/{AIC['image_id']}/full/843,/0/default.jpg"
    assert (row["artist"], row["year_from"], row["year_to"]) == ("Walter Shirlaw", 1878, 1879)
    assert (row["styles"], row["tags"]) == (["Realism"], ["self-portraits"])
    assert row["page_url"] == "https://www.artic.edu/artworks/11"
    assert row["credit"] == "Gift of Joseph M. Rogers" and row["rights"] == "CC0-1.0"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"artwork_type_title": "Print"}, "another kind of work"),
        ({"artwork_type_title": None}, "another kind of work"),
        ({"is_public_domain": False}, "not in the public domain"),
        ({"is_public_domain": None}, "not in the public domain"),
        ({"is_public_domain": "true"}, "not in the public domain"),
        ({"image_id": None}, "no picture"),
        ({"image_id": "../../etc"}, "no picture"),
    ],
)
def test_works_of_chicago_that_are_not_taken(change: dict[str, Any], reason: str) -> None:
    assert aic_row({**AIC, **change}, PAINTING) == reason
    assert isinstance(aic_row({**AIC, "artwork_type_title": "Print"}, "print"), dict)
    assert isinstance(aic_row({**AIC, "artwork_type_title": "Print"}, "any"), dict)


@pytest.mark.parametrize(
    ("shown", "title", "artist"),
    [
        ("Workshop of Rembrandt van Rijn\nDutch", "Rembrandt van Rijn",
         "Workshop of Rembrandt van Rijn"),
        ("Attributed to El Greco (Greek, 1541-1614)", "El Greco", "Attributed to El Greco"),
        ("Claude Monet (French, 1840-1926)", "Claude Monet", "Claude Monet"),
        ("Artist unknown\nItalian", None, "Artist unknown"),
        (None, None, None),
    ],
)  # fmt: skip
def test_doubts_about_the_artist_stay(
    shown: str | None, title: str | None, artist: str | None
) -> None:
    row = aic_row({**AIC, "artist_display": shown, "artist_title": title}, PAINTING)
    assert isinstance(row, dict) and row.get("artist") == artist


def test_pages_dumps_and_lists_hold_the_same(tmp_path: Path) -> None:
    page = {"pagination": {"total": 1}, "data": [AIC, 3], "config": {"iiif_url": "https://i.org/2"}}
    (tmp_path / "page.json").write_text(json.dumps(page))
    (tmp_path / "list.json").write_text(json.dumps([AIC]))
    (tmp_path / "one.json").write_text(json.dumps({"data": AIC}))
    (tmp_path / "lines.jsonl").write_text(json.dumps(AIC) + "\n{\n")
    dump = tmp_path / "dump" / "json" / "artworks"
    dump.mkdir(parents=True)
    (dump / "11.json").write_text(json.dumps(AIC, indent=4))
    (dump.parent / "agents").mkdir()
    (dump.parent / "agents" / "1.json").write_text('{"id": 1}')
    with tarfile.open(tmp_path / "dump.tar.bz2", "w:bz2") as archive:
        archive.add(tmp_path / "dump", "artic-api-data")
    for name in ("list.json", "one.json", "lines.jsonl", "dump", "dump.tar.bz2"):
        found = list(find_entries("aic", [tmp_path / name]))
        assert rows(found) == [aic_row(AIC, PAINTING)], name
        assert len(problems(found)) == (name == "lines.jsonl") and not reasons(found)
    found = list(find_entries("aic", [tmp_path / "page.json"]))
    assert rows(found)[0]["iiif"].startswith("https://i.org/2/")
    assert problems(found) == [f"{tmp_path / 'page.json'}:2: not a JSON object but a int"]


def test_a_list_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text(json.dumps([AIC, AIC])[:-100])
    found = list(find_entries("aic", [tmp_path / "cut.json"]))
    assert len(rows(found)) == 1 and "not JSON to its end" in problems(found)[0]
    (tmp_path / "cut.tar.bz2").write_bytes(b"BZh9 nothing")
    with pytest.raises(ManifestError, match="cannot be read"):
        list(find_entries("aic", [tmp_path / "cut.tar.bz2"]))


CLEVELAND = {
    "id": 125249,
    "accession_number": "1947.209",
    "share_license_status": "CC0",
    "title": "The Large Plane Trees",
    "creation_date": "1889",
    "creation_date_earliest": 1889,
    "creation_date_latest": "1890",
    "type": "Painting",
    "technique": "oil on fabric",
    "creditline": "Gift of the Hanna Fund",
    "creators": [
        {"description": "Vincent van Gogh (Dutch, 1853-1890)", "role": "artist", "qualifier": None}
    ],
    "images": {
        "web": {"url": "https://cdn.org/web.jpg", "width": "893", "height": "700"},
        "print": {"url": "https://cdn.org/print.jpg", "width": "3400", "height": "2600"},
        "full": {"url": "https://cdn.org/full.tif", "width": "9000", "height": "7000"},
    },
    "url": "https://clevelandart.org/art/1947.209",
}


def test_cleveland_gives_facts_and_a_picture_that_is_large_enough() -> None:
    row = cleveland_row(CLEVELAND, PAINTING)
    assert isinstance(row, dict)
    assert (row["artist"], row["url"]) == ("Vincent van Gogh", "https://cdn.org/web.jpg")
    assert (row["year_from"], row["year_to"]) == (1889, 1890)
    assert (row["credit"], row["page_url"]) == (CLEVELAND["creditline"], CLEVELAND["url"])
    small = {"url": "https://cdn.org/web.jpg", "width": 893, "height": 300}
    images: Any = {**CLEVELAND["images"], "web": small}  # type: ignore[dict-item]
    assert cleveland_row({**CLEVELAND, "images": images}, PAINTING)["url"].endswith("print.jpg")  # type: ignore[index]
    only = cleveland_row({**CLEVELAND, "images": {"web": small}}, PAINTING)
    assert isinstance(only, dict) and only["url"] == small["url"]


def test_works_of_cleveland_that_are_not_taken() -> None:
    for change, reason in (
        ({"share_license_status": "Copyrighted"}, "not in the public domain"),
        ({"share_license_status": None}, "not in the public domain"),
        ({"images": None}, "no picture"),
        ({"images": {"web": {"url": "ftp://x"}}}, "no picture"),
        ({"images": {}}, "no picture"),
        ({"type": "Textile"}, "another kind of work"),
    ):
        assert cleveland_row({**CLEVELAND, **change}, PAINTING) == reason


def test_several_artists_are_named_together() -> None:
    creators = [{"description": f"{name} (Flemish, 1577-1640)"} for name in ("Rubens", "Brueghel")]
    row = cleveland_row({**CLEVELAND, "creators": creators}, PAINTING)
    assert isinstance(row, dict) and row["artist"] == "Rubens and Brueghel"
    workshop = [{"description": "Titian (Italian)", "qualifier": "workshop of"}, "x", {}]
    row = cleveland_row({**CLEVELAND, "creators": workshop}, PAINTING)
    assert isinstance(row, dict) and row["artist"] == "Workshop of Titian"
    many = [{"description": str(i)} for i in range(5)]
    row = cleveland_row({**CLEVELAND, "creators": many}, PAINTING)
    assert isinstance(row, dict) and row["artist"] == "0 and 1 and 2 and others"


def test_the_table_of_cleveland(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(
        "id,accession_number,share_license_status,title,creation_date,creation_date_earliest,"
        "creation_date_latest,creators,technique,type,creditline,url,image_web,image_print\n"
        '1,1.1,CC0,Trees,1889,1889,1890,"Vincent van Gogh (Dutch, 1853-1890), artist",oil,Painting,'
        "Gift,https://clevelandart.org/art/1.1,https://cdn.org/w.jpg,https://cdn.org/p.jpg\n"
        "2,1.2,,Other,1889,1889,1890,,oil,Painting,,,https://cdn.org/w.jpg,\n"
    )
    found = list(find_entries("cleveland", [tmp_path / "data.csv"]))
    (row,) = rows(found)
    assert (row["artist"], row["url"]) == ("Vincent van Gogh", "https://cdn.org/w.jpg")
    assert reasons(found) == ["not in the public domain"]


MET = {
    "objectID": 436535,
    "isPublicDomain": True,
    "primaryImage": "https://images.metmuseum.org/CRDImages/ep/original/DT 1567.jpg",
    "primaryImageSmall": "https://images.metmuseum.org/CRDImages/ep/web-large/DT 1567.jpg",
    "objectName": "Painting",
    "title": "Wheat Field with Cypresses",
    "artistPrefix": "",
    "artistDisplayName": "Vincent van Gogh",
    "objectDate": "1889",
    "objectBeginDate": 1889,
    "objectEndDate": 1889,
    "medium": "Oil on canvas",
    "creditLine": "Purchase, The Annenberg Foundation Gift, 1993",
    "classification": "Paintings",
    "objectURL": "https://www.metmuseum.org/art/collection/search/436535",
    "tags": [{"term": "Landscapes", "AAT_URL": "http://x"}, None],
}


def test_the_met_gives_facts_and_a_picture() -> None:
    row = met_row(MET, PAINTING)
    assert isinstance(row, dict)
    assert (row["artist"], row["tags"]) == ("Vincent van Gogh", ["Landscapes"])
    assert row["url"] == MET["primaryImageSmall"] and row["page_url"] == MET["objectURL"]
    doubtful = met_row({**MET, "artistPrefix": "Attributed to", "tags": 1}, PAINTING)
    assert isinstance(doubtful, dict) and doubtful["artist"] == "Attributed to Vincent van Gogh"
    for change, reason in (
        ({"isPublicDomain": False}, "not in the public domain"),
        ({"primaryImage": "", "primaryImageSmall": ""}, "no picture"),
        ({"classification": "Prints", "objectName": "Print"}, "another kind of work"),
    ):
        assert met_row({**MET, **change}, PAINTING) == reason


TABLE = (
    "\ufeffObject Number,Is Highlight,Is Timeline Work,Is Public Domain,Object ID,Gallery Number,"
    "Department,AccessionYear,Object Name,Title,Culture,Artist Display Name,Object Date,"
    "Object Begin Date,Object End Date,Medium,Classification,Link Resource,Tags\n"
    '1,False,False,True,436535,,European Paintings,1993,Painting,"Wheat\nField",,A|B,1889,1889,'
    "1889,Oil,Paintings,http://www.metmuseum.org/art/collection/search/436535,Landscapes|Trees\n"
    "2,False,False,False,2,,Modern Art,1993,Painting,Modern,,C,1989,1989,1989,Oil,Paintings,,\n"
    "3,False,False,True,3,,Arms,1993,Sword,Sword,,C,1989,1989,1989,Iron,Swords,,\n"
    "4,False,False,True,none,,Modern Art,1993,Painting,Bad,,C,1989,1989,1989,Oil,Paintings,,\n"
    "5,False,False,True,5,,Paintings,1993,Painting,Gone,,C,1889,1889,1889,Oil,Paintings,,\n"
)


def test_the_table_of_the_met_needs_its_api(tmp_path: Path) -> None:
    table = tmp_path / "MetObjects.csv"
    table.write_text(TABLE, encoding="utf-8")
    with pytest.raises(ManifestError, match="has no pictures; add --fetch"):
        list(find_entries("met", [table]))
    asked = []

    def download(url: str) -> bytes:
        asked.append(url.rpartition("/")[2])
        if asked[-1] == "5":
            raise DownloadError(f"{url}: the server answers 404 Not Found")
        return json.dumps(MET).encode()

    for keep in (None, tmp_path, tmp_path):
        found = list(fetch_entries("met", [table], download, keep=keep))
        assert rows(found) == [met_row(MET, PAINTING)]
        assert reasons(found) == ["not in the public domain", "another kind of work"]
        bad, gone = problems(found)
        assert "Object ID must be a number, got 'none'" in bad and "404" in gone
    # What is kept is not asked for again, and is a catalogue itself.
    assert asked == ["436535", "5", "436535", "5", "5"]
    assert rows(list(find_entries("met", [tmp_path / "436535.json"]))) == [met_row(MET, PAINTING)]
    assert met_number({"Classification": "Prints"}, PAINTING) == "another kind of work"


def test_pointers_and_other_tables_are_told_from_catalogues(tmp_path: Path) -> None:
    pointer = tmp_path / "MetObjects.csv"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ManifestError, match=r"pointer of Git LFS.* MetObjects\.csv from https"):
        list(find_entries("met", [pointer]))
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    for museum in ("met", "cleveland", "aic"):
        with pytest.raises(ManifestError, match="not a table of this museum"):
            list(find_entries(museum, [other]))
    with pytest.raises(ManifestError, match=r"is not there\. Get"):
        list(find_entries("aic", [tmp_path / "gone"]))


def test_the_api_of_chicago_is_read_by_ascending_numbers() -> None:
    works = [{**AIC, "id": number} for number in range(1, 251)]
    urls = []

    def download(url: str) -> bytes:
        urls.append(url)
        assert url.startswith(f"{AIC_API}?params=")
        query = json.loads(url.partition("params=")[2])
        last = query["query"]["bool"]["must"][1]["range"]["id"]["gt"]
        data = [work for work in works if work["id"] > last][: query["limit"]]
        return json.dumps({"data": data, "config": {"iiif_url": "https://i.org"}}).encode()

    found = rows(list(fetch_entries("aic", [], download)))
    assert [int(row["source_id"]) for row in found] == list(range(1, 251))
    assert found[0]["iiif"].startswith("https://i.org/") and len(urls) == 4


def test_the_api_of_cleveland_is_read_page_by_page() -> None:
    works = [{**CLEVELAND, "id": number} for number in range(130)]

    def download(url: str) -> bytes:
        assert "cc0=1&has_image=1&type=Painting&limit=100" in url
        skip = int(url.rpartition("skip=")[2])
        return json.dumps({"info": {"total": 130}, "data": works[skip : skip + 100]}).encode()

    assert len(rows(list(fetch_entries("cleveland", [], download)))) == 130
    with pytest.raises(ManifestError, match="not understood"):
        list(fetch_entries("cleveland", [], lambda _: b"<html>"))


@pytest.mark.parametrize("layout", ["list", "page", "lines"])
def test_large_files_are_read_piece_by_piece(tmp_path: Path, layout: str) -> None:
    text = json.dumps({**CLEVELAND, "description": "x" * 5000})
    separator = "\n" if layout == "lines" else ","
    start, end = {"list": "[]", "page": ('{"data":[', "]}"), "lines": ("", "")}[layout]
    path = tmp_path / f"data.{'jsonl' if layout == 'lines' else 'json'}"
    path.write_text(start + separator.join([text] * 2000) + end)
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_records("cleveland", [path]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 2000 and peak < path.stat().st_size / 10


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(st.data())
def test_any_record_gives_a_line_or_a_reason(data: st.DataObject) -> None:
    for record, convert in ((AIC, aic_row), (CLEVELAND, cleveland_row), (MET, met_row)):
        keys = data.draw(st.lists(st.sampled_from(sorted(record)), max_size=4))
        changed = {**record, **{key: data.draw(VALUES) for key in keys}}
        try:
            row = convert(changed, PAINTING)
        except ManifestError:
            continue
        if isinstance(row, dict):
            read_facts(json.loads(json.dumps(row).encode()))
    work = {key: data.draw(st.text()) for key in ("objectid", "title", "beginyear", "attribution")}
    image = {"iiifurl": "https://x"}
    try:
        assert nga_row({**work, "classification": "Painting"}, PAINTING, image, [])
    except ManifestError as error:
        assert "objectid" in str(error)
