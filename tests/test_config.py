import pytest

from gallery.config import parse_memory


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2G", 2 * 2**30),
        ("512M", 512 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("900 mb", 900 * 2**20),
        ("4096", 4096),
        ("1t", 2**40),
    ],
)
def test_sizes_of_memory(text: str, expected: int) -> None:
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["", "G", "-1G", "2X", "1e9", "2G2", "inf"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2G or 512M"):
        parse_memory(text)
