import json
import sys
from datetime import date
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from adain.errors import how_to_install
from gallery.ingest.sources import SCHEMA, Candidate, Remote, find_candidates


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(candidates: list[Candidate]) -> list[str]:
    return [Path(found.painting.path or "").name for found in candidates if found.painting]


def reasons(candidates: list[Candidate]) -> list[str]:
    return [str(found.error) for found in candidates if found.error]


def test_folders_give_their_pictures_in_order(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("b.png", "A.JPG", "notes.txt", ".hidden.png")))
    touch(tmp_path / "sub" / "c.webp", tmp_path / ".git" / "d.png")
    assert names(list(find_candidates(tmp_path))) == ["A.JPG", "b.png"]
    assert names(list(find_candidates(tmp_path, recursive=True))) == ["A.JPG", "b.png", "c.webp"]
    (only,) = find_candidates(tmp_path / "b.png")
    assert only.painting is not None
    assert (only.painting.title, only.painting.path) == ("b", str(tmp_path / "b.png"))


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "secret" / "a.png", tmp_path / "in" / "b.png")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret" / "a.png")
    (tmp_path / "in" / "alias.png").symlink_to("b.png")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "loop").symlink_to(".")
    found = list(find_candidates(tmp_path / "in", recursive=True))
    assert names(found) == ["alias.png", "b.png"]
    assert [reason.endswith("give its target instead") for reason in reasons(found)] == [True]


def test_sidecars_tell_the_facts(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a.png", "b.png", "c.png")))
    (tmp_path / "a.png.json").write_text(json.dumps({"title": "Waves", "styles": ["Ukiyo-e"]}))
    (tmp_path / "b.json").write_text("[1]")
    found = list(find_candidates(tmp_path))
    titles = [item.painting.title for item in found if item.painting]
    assert titles == ["Waves", "b", "c"]
    assert reasons(found) == [f"{tmp_path / 'b.json'}: not a JSON object but a list"]


def test_sidecars_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.png", folder / "deep" / "b.png")
    for name in ("secret", "in/shared"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"title": f"from {name}"}))
    (folder / "a.json").symlink_to(tmp_path / "secret.json")
    (folder / "deep" / "b.json").symlink_to(folder / "shared.json")
    found = list(find_candidates(folder, recursive=True))
    assert [item.painting.title for item in found if item.painting] == ["a", "from in/shared"]
    assert [str(folder / "a.json") in each for each in reasons(found)] == [True]


def test_the_wikiart_layout_is_recognized(tmp_path: Path) -> None:
    touch(tmp_path / "Ukiyo_e" / "katsushika-hokusai_waves-1831.jpg")
    touch(tmp_path / "Rococo" / "nobody_rose.jpg", tmp_path / "other" / "x.jpg")
    facts = [found.painting for found in find_candidates(tmp_path)]
    assert [(p.artist, p.year, p.styles) for p in facts if p] == [
        ("Nobody", None, ("Rococo",)),
        ("Katsushika Hokusai", 1831, ("Ukiyo-e",)),
    ]


LINE = {"schema": SCHEMA, "path": "images/1.png", "title": "One", "year_to": 1900}


def test_manifests_of_both_kinds_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        "\ufeff" + json.dumps({**LINE, "styles": ["A", "B"]}) + "\n\n"
    )
    header = "schema,path,title,year_to,styles,extra"
    (tmp_path / "m.csv").write_text(f"\ufeff{header}\n{SCHEMA},images/1.png,One,1900,A|B,x\n")
    rows = [next(find_candidates(tmp_path / name)) for name in ("m.jsonl", "m.csv")]
    assert rows[0].painting == rows[1].painting
    assert rows[0].painting is not None
    assert rows[0].painting.path == str(tmp_path / "images" / "1.png")
    assert rows[0].painting.styles == ("A", "B")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"path": "../secret.png"}, "is not in the folder of the manifest"),
        ({"path": "/etc/passwd"}, "is not in the folder of the manifest"),
        ({"path": "link/secret.png"}, "is not in the folder of the manifest"),
        ({"path": "a\0b.png"}, "no path of a picture"),
        ({"path": ["a.png"]}, "no path of a picture"),
        ({"path": None}, "no path of a picture"),
        (
            {"path": None, "url": "https://example.org/1.png"},
            "is on the web; add --fetch",
        ),
        ({"schema": "adain-manifest/9"}, "this program reads adain-manifest/1"),
        ({"sha256": "0"}, "sha256 must be 64 hexadecimal digits"),
    ],
)
def test_a_bad_line_is_named_and_the_others_go_on(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    manifest = folder / "m.jsonl"
    rows = [{**LINE, **change}, LINE]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    bad, good = find_candidates(manifest)
    assert bad.painting is None
    assert str(bad.error).startswith(f"{manifest}:1: ") and reason in str(bad.error)
    assert good.name == f"{manifest}:2" and good.error is None


def test_an_absolute_path_in_the_folder_of_the_manifest_is_taken(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"path\n{tmp_path / 'images' / '1.png'}\n{tmp_path.parent / '2.png'}\n")
    inside, outside = find_candidates(manifest)
    assert inside.painting is not None
    assert inside.painting.path == str(tmp_path / "images" / "1.png")
    assert str(outside.error).endswith(
        "put the picture there, or the manifest where the pictures are"
    )


def test_what_is_not_understood_is_left_out_and_noted(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("Path , Title,Date,page_url\na.png,A,soon,www.a.org\nb.png,B,c. 1900,\n")
    vague, dated = find_candidates(manifest)
    assert vague.painting is not None and dated.painting is not None
    assert (vague.painting.title, vague.painting.year, vague.painting.page_url) == ("A", None, "")
    assert vague.notes == (
        f"{manifest}:2: date 'soon' is not understood (no year)",
        f"{manifest}:2: page_url must begin with http:// or https://, got 'www.a.org'",
    )
    assert (dated.painting.year, dated.notes) == (1900, ())


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_table_of_a_spreadsheet_is_taken_as_it_is(tmp_path: Path, mark: str) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"Title{mark}Filename{mark}Date\nSun, Rise{mark}a.png{mark}1872\n")
    (found,) = find_candidates(manifest)
    assert found.painting is not None
    assert (found.painting.title, found.painting.year) == ("Sun, Rise", 1872)
    assert found.painting.path == str(tmp_path / "a.png")


def write_sheet(path: Path, *rows: list[Any]) -> None:
    book = Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(path)


def test_an_excel_file_says_the_same_as_a_csv_file(tmp_path: Path) -> None:
    columns = ["path", "title", "year", "styles"]
    cells = ["images/1.png", "One", 1900.0, "A|B"]
    write_sheet(tmp_path / "m.xlsx", columns, cells, [], ["2.png", None, date(1889, 3, 1)],
                ["3.png", "C", None, None, "a note"])  # fmt: skip
    (tmp_path / "m.csv").write_text("path,title,year,styles\nimages/1.png,One,1900,A|B\n")
    (expected,) = find_candidates(tmp_path / "m.csv")
    first, second, third = find_candidates(tmp_path / "m.xlsx")
    assert first.painting == expected.painting
    assert second.name == f"{tmp_path / 'm.xlsx'}:4" and second.painting is not None
    assert (second.painting.title, second.painting.year) == ("2", 1889)
    assert third.painting is not None and third.painting.title == "C"


def test_a_broken_excel_file_and_a_missing_library_give_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.xlsx").write_bytes(b"PK\3\4 nothing")
    (found,) = find_candidates(tmp_path / "m.xlsx")
    assert "not an Excel file" in str(found.error)
    with ZipFile(tmp_path / "m.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<a>")
    (found,) = find_candidates(tmp_path / "m.xlsx")
    assert "not an Excel file" in str(found.error)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (found,) = find_candidates(tmp_path / "m.xlsx")
    assert f"{how_to_install('excel')}, or save it as CSV (UTF-8)" in str(found.error)


def test_lines_that_are_no_objects_are_named(tmp_path: Path) -> None:
    lines = [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b"x" * 2**21, json.dumps(LINE).encode()]
    (tmp_path / "m.jsonl").write_bytes(b"\n".join(lines))
    found = list(find_candidates(tmp_path / "m.jsonl"))
    assert [item.error is not None for item in found] == [True] * 5 + [False]
    (tmp_path / "m.csv").write_bytes(b"path,title\na.png,A,extra\nb\xff.png,B\n" + b"c" * 2**18)
    found = list(find_candidates(tmp_path / "m.csv"))
    assert [item.error is not None for item in found] == [True, False, True]


def test_a_manifest_that_cannot_be_read_gives_one_line(tmp_path: Path) -> None:
    (gone,) = find_candidates(tmp_path / "gone.csv")
    assert "cannot be read (No such file or directory)" in str(gone.error)


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from([".csv", ".jsonl"]))
def test_any_bytes_give_candidates_or_reasons(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    manifest = folder / f"m{suffix}"
    manifest.write_bytes(data)
    for found in find_candidates(manifest):
        assert (found.painting is None) == (found.error is not None)
        if found.painting is not None:
            assert Path(found.painting.path or "").resolve().is_relative_to(folder.resolve())


def test_remote_pictures_are_read_when_they_are_wanted(tmp_path: Path) -> None:
    url = "https://example.org/a/Water%20Lilies.png?x=1"
    lines = [{"url": url}, {"url": "https://example.org/b", "title": "B/../C", "page_url": ""},
             {"url": ["x"]}, {"url": "http://[::1"}, {"url": "javascript:x"}]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    asked = []

    def download(address: str) -> bytes:
        asked.append(address)
        return b"bytes"

    first, second, wrong, broken, script = find_candidates(
        tmp_path / "m.jsonl", remote=Remote(download)
    )
    assert asked == [] and first.read is not None and first.read() == b"bytes" and asked == [url]
    assert first.painting is not None and not first.keep
    assert (first.painting.title, first.painting.path) == ("Water Lilies", None)
    assert first.painting.page_url == url  # By which it is known when it comes again.
    assert second.painting is not None and second.painting.title == "B/../C"
    assert "url must be text" in str(wrong.error) and "url is none" in str(broken.error)
    assert script.painting is not None and script.painting.page_url == ""


def test_kept_pictures_have_a_place_by_their_url(tmp_path: Path) -> None:
    lines = [{"url": f"https://example.org/{i}/../x.png", "title": "B/../C é"} for i in range(2)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    remote = Remote(lambda _: b"", tmp_path / "kept")
    first, second = find_candidates(tmp_path / "m.jsonl", remote=remote)
    assert first.painting is not None and second.painting is not None
    path = Path(first.painting.path or "")
    assert path.parent == tmp_path / "kept" and path.name.startswith("b-c-e-")
    assert path.suffix == ".png" and first.painting.path != second.painting.path
    assert first.keep and first.read is not None
    touch(path)
    (again, _) = find_candidates(tmp_path / "m.jsonl", remote=remote)
    assert again.read is None and again.painting == first.painting


def test_the_pictures_of_an_archive_are_candidates(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("old/Sun Rise.png", b"bytes")
        archive.writestr("../out.png", b"bytes")
    out, sun = find_candidates(tmp_path / "p.zip")
    assert out.painting is None and "leaves the archive" in str(out.error)
    assert sun.painting is not None and sun.read is not None
    assert (sun.painting.title, sun.painting.path, sun.read()) == ("Sun Rise", None, b"bytes")
    assert sun.name == f"{tmp_path / 'p.zip'}/old/Sun Rise.png"
