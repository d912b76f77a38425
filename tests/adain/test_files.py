import os
from pathlib import Path

import pytest

from adain.files import new_file


@pytest.mark.parametrize(("mode", "expected"), [(0o666, 0o640), (0o600, 0o600)])
def test_who_may_use_a_file_follows_its_mode_and_the_umask(
    tmp_path: Path, mode: int, expected: int
) -> None:
    before = os.umask(0o027)
    try:
        with new_file(tmp_path / "a", mode=mode) as file:
            assert Path(file.name).stat().st_mode & 0o777 == expected
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == expected


def test_a_folder_is_made_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "b" / "c" / "a"):
        pass
    with new_file(tmp_path / "b" / "c" / "a", parents=True) as file:
        file.write(b"1")
    assert (tmp_path / "b" / "c" / "a").read_bytes() == b"1"


def test_two_writers_of_one_name_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(FileExistsError), new_file(path) as slow:
        slow.write(b"slow")
        with new_file(path) as fast:
            fast.write(b"fast")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"fast")]
