import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adain.errors import AdainError, ImageError, ImageTooLargeError
from gallery.errors import ManifestError
from gallery.ingest import archives as module
from gallery.ingest.archives import Member, find_members


def write(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def errors(members: list[Member]) -> list[str]:
    return [str(member.error) for member in members if member.error is not None]


def test_pictures_are_read_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    entries = {"b.png": b"2", "a/A.JPG": b"1", "notes.txt": b"x", "inner.zip": b"PK", "d.png/": b"",
               ".c.png": b"x", "__MACOSX/a/_A.jpg": b"x"}  # fmt: skip
    members = list(find_members(write(tmp_path / "p.zip", **entries)))
    assert [(member.name, member.read and member.read()) for member in members] == [
        ("a/A.JPG", b"1"),
        ("b.png", b"2"),
    ]


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/a.png", "a/../../b.png", "..\\a.png", "C:\\a.png", "C:/a.png"]
)
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    (reason,) = errors(list(find_members(write(tmp_path / "p.zip", **{name: b"x"}))))
    assert reason.endswith("its name leaves the archive")


def test_links_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert errors(list(find_members(tmp_path / "p.zip"))) == [
        f"{tmp_path / 'p.zip'}/link.png: is a link"
    ]


def test_a_name_that_comes_twice_is_used_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a.png", b"first")
        archive.writestr("a.png", b"second")
    first, second = find_members(tmp_path / "p.zip")
    assert first.read is not None and first.read() == b"first"
    assert second.read is None and "holds this name twice" in str(second.error)


def test_encrypted_pictures_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "p.zip", **{"a.png": b"x"})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    assert "is encrypted" in errors(list(find_members(path)))[0]


def test_bombs_are_refused_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "p.zip", **{"a.png": bytes(10**6), "b.png": bytes(100)})
    bomb, small = find_members(path)
    assert isinstance(bomb.error, ImageTooLargeError) and "200 times" in str(bomb.error)
    assert small.error is None
    monkeypatch.setattr(module, "MAX_RATIO", 10**6)
    monkeypatch.setattr(module, "MAX_TOTAL", 10**6 + 50)
    assert ["before it unpack to" in error for error in errors(list(find_members(path)))] == [True]
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    assert "larger than the limit" in errors(list(find_members(path)))[0]


def test_no_more_is_unpacked_than_the_archive_says(tmp_path: Path) -> None:
    path = write(tmp_path / "p.zip", **{"a.png": bytes(10**5)})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    (member,) = find_members(path)
    assert member.read is not None
    with pytest.raises(ImageError, match="cannot be unpacked"):
        member.read()


def test_too_many_entries_and_too_long_lists_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "p.zip", **{f"{i}.png": b"x" for i in range(20)})
    monkeypatch.setattr(module, "MAX_ENTRIES", 19)
    assert "more than 19 entries" in errors(list(find_members(path)))[0]
    monkeypatch.setattr(module, "MAX_DIRECTORY", 500)
    assert "list of entries is too long" in errors(list(find_members(path)))[0]


def test_what_is_no_archive_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(b"nothing")
    for name in ("p.zip", "gone.zip"):
        (member,) = find_members(tmp_path / name)
        assert isinstance(member.error, ManifestError) and str(tmp_path / name) in str(member.error)


@settings(max_examples=100)
@given(st.integers(0, 400), st.integers(0, 255))
def test_any_changed_byte_gives_bytes_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int
) -> None:
    path = write(tmp_path_factory.mktemp("z") / "p.zip", **{"a.png": b"abc" * 50, "b.png": b"d"})
    data = bytearray(path.read_bytes())
    data[at % len(data)] = value
    path.write_bytes(data)
    for member in find_members(path):
        if member.read is not None:
            try:
                assert len(member.read()) < 10**6
            except AdainError as error:
                assert str(path) in str(error)
