from pathlib import Path

import pytest

from gallery.errors import StyleNotFound
from gallery.use_cases.style_lists import expand_styles


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a folder of pictures, and what is none."""
    (tmp_path / "styles").mkdir()
    for name in ("b.PNG", "a.jpg", ".hidden.jpg", "notes.txt"):
        (tmp_path / "styles" / name).touch()
    (tmp_path / "odd[1].jpg").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_and_a_pattern_stand_for_their_pictures(folder: Path) -> None:
    both = ["styles/a.jpg", "styles/b.PNG"]
    assert expand_styles(["irises", "styles", "styles/a.jpg"]) == ["irises", *both]
    assert expand_styles(["styles/"]) == both
    assert expand_styles(["styles/*.[jP]*"]) == both
    # A file is itself, and what matches nothing is a name that is looked up, and not found.
    assert expand_styles(["odd[1].jpg", "who?"]) == ["odd[1].jpg", "who?"]


def test_a_list_has_one_style_a_line(folder: Path) -> None:
    lines = ["# of the exhibition", "", "the great wave # loved", "artist:monet", "a.jpg", "styles"]
    (folder / "styles" / "list.txt").write_text("\ufeff" + "\n".join(lines))
    found = expand_styles(["irises"], [Path("styles/list.txt")])
    expected = ["irises", "the great wave", "artist:monet", "styles/a.jpg", "styles/b.PNG"]
    assert found == expected


def test_what_has_no_style_is_named(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "none.txt").write_text("# nothing\n")
    for texts, lists, reason in (
        (["empty"], [], "empty: a folder without pictures"),
        ([], ["none.txt"], "no style in this list; write one a line"),
        ([], ["gone.txt"], "cannot be read .No such file"),
        ([], ["styles"], "cannot be read .Is a directory"),
    ):
        with pytest.raises(StyleNotFound, match=reason):
            expand_styles(texts, list(map(Path, lists)))
