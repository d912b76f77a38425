import os
from pathlib import Path

import pytest

from gallery.errors import OutputError
from gallery.files import new_file, sweep


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with new_file(tmp_path / "a") as file:
        file.write(b"1")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_after_an_error_there_is_nothing_new(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyError), new_file(tmp_path / "a", overwrite=True) as file:
        file.write(b"new")
        raise KeyError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_is_there_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OutputError, match="exists; choose another name"), new_file(tmp_path / "a"):
        pass
    with pytest.raises(OutputError, match="exists"), new_file(tmp_path / "b"):
        (tmp_path / "b").touch()  # Another program was faster.
    with new_file(tmp_path / "a", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new" and (tmp_path / "b").read_bytes() == b""
    with pytest.raises(OutputError, match="cannot be written"), new_file(tmp_path / "no" / "a"):
        pass


def test_what_was_left_half_written_goes_once_it_is_old(tmp_path: Path) -> None:
    for name in (".adain-old.tmp", ".adain-young.tmp", "picture.png"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ".adain-old.tmp", (0, 0))
    os.utime(tmp_path / "picture.png", (0, 0))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".adain-young.tmp", "picture.png"}
