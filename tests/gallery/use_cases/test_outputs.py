from pathlib import Path

import pytest

from adain.imaging.writing import OUTPUT_FORMATS, WRITABLE
from gallery.errors import OutputError
from gallery.use_cases.outputs import Output, plan_each, plan_outputs


def paths(*arguments: object, **options: object) -> list[str]:
    return [str(output.path) for output in plan_outputs(*arguments, **options)]  # type: ignore[arg-type]


def test_a_result_lies_beside_its_photo_and_is_named_after_both() -> None:
    assert paths(["a/sea.jpg", "b.PNG"], "irises") == ["a/sea.irises.jpg", "b.irises.PNG"]


def test_formats_that_cannot_be_written_become_png() -> None:
    assert paths(["a.gif", "b", "c.heic"], "x") == ["a.x.png", "b.x.png", "c.x.png"]


def test_the_format_asked_for_wins_over_that_of_the_photo() -> None:
    (output,) = plan_outputs(["a.png"], "x", format="webp")
    assert output == Output("a.png", Path("a.x.webp"), "webp")


def test_standard_input_goes_to_standard_output_unless_told_otherwise(tmp_path: Path) -> None:
    assert plan_outputs(["-"], "x") == [Output("-", None, "png")]
    assert plan_outputs(["-"], "x", format="jpg") == [Output("-", None, "jpg")]
    assert paths(["-"], "x", str(tmp_path)) == [str(tmp_path / "stdin.x.png")]
    assert paths(["-", "a.jpg"], "x") == ["stdin.x.png", "a.x.jpg"]
    assert plan_outputs(["a.jpg"], "x", "-")[0].path is None


def test_one_photo_and_a_file(tmp_path: Path) -> None:
    out = str(tmp_path / "new.webp")
    assert plan_outputs(["a.jpg"], "x", out) == [Output("a.jpg", Path(out), "webp")]


@pytest.mark.parametrize("photos", [["a.jpg"], ["a.jpg", "b.jpg"]])
def test_a_slash_or_a_folder_that_exists_makes_a_folder(tmp_path: Path, photos: list[str]) -> None:
    for out in (str(tmp_path), f"{tmp_path}/new/"):
        outputs = plan_outputs(photos, "x", out)
        assert [output.path for output in outputs] == [
            Path(out) / f"{Path(photo).stem}.x.jpg" for photo in photos
        ]


def test_several_photos_make_a_folder_even_without_a_slash(tmp_path: Path) -> None:
    assert paths(["a.jpg", "b.jpg"], "x", f"{tmp_path}/new")[0] == f"{tmp_path}/new/a.x.jpg"


def test_contradictions_are_refused_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for photos, output, format, message in [
        (["a.jpg", "b.jpg"], "-", None, "one result"),
        (["-", "-"], None, None, "standard input holds one photo"),
        (["a.jpg", "b.jpg"], str(file), None, "several results need a folder"),
        (["a.jpg", "b.jpg"], "new.jpg", None, "such as new/"),
        (["a.jpg"], "out.gif", None, "out.gif: no format has this suffix"),
        (["a.jpg"], "painted", None, "painted: a folder. then give painted/;"),
        (["a.jpg"], "out", None, "give --format"),
        (["a.jpg"], None, "psd", "no output format 'psd'; use one of avif, bmp"),
        (["a/x.jpg", "b/x.jpg"], f"{tmp_path}/", None, "a/x.jpg and b/x.jpg would both become"),
    ]:
        with pytest.raises(OutputError, match=message):
            plan_outputs(photos, "s", output, format)


def test_what_is_no_suffix_stays_in_the_name() -> None:
    assert paths(["a=0.5", "b.1.JPG"], "x") == ["a=0.5.x.png", "b.1.x.JPG"]


def test_a_name_is_never_longer_than_the_system_takes() -> None:
    (path,) = paths([f"{'é' * 130}.jpg"], "irises")
    assert path.endswith("é.irises.jpg")
    assert len(path.encode()) in (254, 255)


def test_every_output_format_has_a_writable_suffix() -> None:
    assert {f".{name}" for name in OUTPUT_FORMATS} <= WRITABLE


def test_results_in_several_styles_go_into_a_folder_or_beside_their_photo(tmp_path: Path) -> None:
    planned = plan_each(["a.jpg", "b.jpg"], ["x", "y"], f"{tmp_path}/new")
    names = [[each.path and each.path.name for each in outputs] for outputs in planned]
    assert names == [["a.x.jpg", "b.x.jpg"], ["a.y.jpg", "b.y.jpg"]]
    assert plan_each(["a.jpg"], ["x"], "one.png") == [plan_outputs(["a.jpg"], "x", "one.png")]
    assert plan_each(["a.jpg"], ["x", "y"])[1][0].path == Path("a.y.jpg")
    for photos, styles, output, reason in (
        (["a.jpg"], ["x", "y"], "one.png", "several results need a folder"),
        (["a.jpg"], ["x", "y"], "-", "standard output takes one result"),
        (["-"], ["x", "y"], None, "standard output takes one result"),
        (["a.jpg"], ["x", "x"], None, "two styles are called x"),
    ):
        with pytest.raises(OutputError, match=reason):
            plan_each(photos, styles, output)
