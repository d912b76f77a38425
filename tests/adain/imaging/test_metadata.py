import json
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import ExifTags, Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IFDRational

from adain.config import Controls
from adain.imaging.metadata import Notes
from adain.imaging.reading import load_image
from adain.imaging.writing import OUTPUT_FORMATS, encode_image
from adain.styles.adapter import Adapter
from adain.styles.statistics import StyleStatistics
from gallery.config import StylizeConfig
from gallery.use_cases.provenance import result_notes
from gallery.use_cases.styles import ResolvedStyle

SECRETS = (b"47.3769", b"SERIAL-1234", b"MAKERS-BLOCK", b"NEXT-DOOR", b"HOME-ADDRESS")


def photo(format: str = "JPEG") -> bytes:
    """A picture as a telephone writes it: facts, place, serial number, makers' block."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model] = "Camera Works", "C-1"
    exif[Base.Artist], exif[Base.Copyright] = "Ann Onym", "(c) Ann Onym"
    exif[Base.ImageDescription] = "A harbour"
    exif[Base.Orientation] = 6
    exif[Base.Software] = "HOME-ADDRESS"
    capture = exif.get_ifd(ExifTags.IFD.Exif)
    capture[Base.DateTimeOriginal] = "2024:05:06 07:08:09"
    capture[Base.FNumber] = IFDRational(28, 10)
    capture[Base.ISOSpeedRatings] = 400
    capture[Base.BodySerialNumber] = "SERIAL-1234"
    capture[Base.MakerNote] = b"MAKERS-BLOCK"
    capture[Base.UserComment] = b"ASCII\0\0\0NEXT-DOOR"
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLatitude] = (47.0, 22.0, 36.8)
    place[ExifTags.GPS.GPSAreaInformation] = b"47.3769"
    options = {"xmp": b"<x>47.3769</x>", "comment": b"HOME-ADDRESS"} if format == "JPEG" else {}
    buffer = BytesIO()
    Image.new("RGB", (40, 30), (90, 120, 60)).save(buffer, format, exif=exif, **options)
    return buffer.getvalue()


def tags(data: bytes) -> dict[int, Any]:
    with Image.open(BytesIO(data)) as image:
        exif = image.getexif()
        assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
        return {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}


WITH_EXIF = ["jpeg", "png", "webp", "avif"]


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("bits", [8, 16])
def test_facts_are_kept_and_place_and_person_are_not(source: str, bits: int) -> None:
    picture = load_image(photo(source))
    assert (picture.width, picture.height) == (30, 40)
    for format in WITH_EXIF if bits == 8 else ["png"]:
        data = encode_image(picture, format, bits=bits, notes=Notes(facts=picture.facts))
        assert not [secret for secret in SECRETS if secret in data]
        found = tags(data)
        assert found[Base.Make] == "Camera Works"
        assert found[Base.Artist] == "Ann Onym"
        assert found[Base.ImageDescription] == "A harbour"
        assert found[Base.DateTimeOriginal] == "2024:05:06 07:08:09"
        assert float(found[Base.FNumber]) == pytest.approx(2.8)
        assert found[Base.ISOSpeedRatings] == 400
        again = load_image(data)
        assert (again.width, again.height) == (30, 40), "turned twice"
        assert again.facts == picture.facts


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_keeps_the_facts_of_the_picture(bits: int) -> None:
    picture = load_image(photo("TIFF"))
    data = encode_image(picture, "tiff", bits=bits, notes=Notes(facts=picture.facts))
    assert not [secret for secret in SECRETS if secret in data]
    found = tags(data)
    assert (found[Base.Model], found[Base.Copyright]) == ("C-1", "(c) Ann Onym")
    assert found[Base.ImageDescription] == "A harbour"


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_nothing_of_the_photo_is_written_unless_asked_for(format: str) -> None:
    data = encode_image(load_image(photo()), format)
    assert not [word for word in (*SECRETS, b"Camera", b"Onym", b"2024") if word in data]


@pytest.mark.parametrize(
    "exif",
    [
        b"nonsense",
        b"MM\0\x2a\0\0\0\x08\xff\xff" + bytes(9),
        # A text where a number belongs, and a number of 2**32 - 1 entries.
        b"II*\0\x08\0\0\0\x01\0\x27\x88\x02\0\xff\xff\xff\xff\x10\0\0\0\0\0\0\0",
    ],
)
def test_broken_facts_are_left_out(exif: bytes) -> None:
    buffer = BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "PNG", exif=b"Exif\0\0" + exif)
    picture = load_image(buffer.getvalue())
    assert not picture.facts
    assert encode_image(picture, "jpeg", notes=Notes(facts=picture.facts))


def test_numbers_that_are_none_are_left_out_and_endless_texts_cut() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[Base.FNumber] = IFDRational(1, 0)
    exif[Base.Make] = "x" * 100_000
    image = Image.new("RGB", (20, 20))
    buffer = BytesIO()
    image.save(buffer, "PNG", exif=exif)
    facts = load_image(buffer.getvalue()).facts
    assert Base.FNumber not in facts
    assert facts[Base.Make] == "x" * 2000


# Provenance

IRISES = ResolvedStyle("irises", StyleStatistics({}), "painting")

CONFIG = StylizeConfig(
    alpha=0.5,
    model="/home/ann/models/mine.safetensors",
    controls=Controls(strength=b"secret", masks=(b"a", b"b"), stroke=2, preserve_color="linear"),
)


def recipe(data: bytes) -> dict[str, Any]:
    """What a file says made it."""
    with Image.open(BytesIO(data)) as image:
        if "Comment" in image.info:
            text = image.info["Comment"]
        elif Base.UserComment in (exif := tags(data)):
            text = exif[Base.UserComment].decode().removeprefix("ASCII\0\0\0")
        else:
            text = image.getexif()[Base.ImageDescription]
    result: dict[str, Any] = json.loads(text)
    return result


@pytest.mark.parametrize(
    ("format", "bits"),
    [*((format, 8) for format in (*WITH_EXIF, "tiff")), ("png", 16), ("tiff", 16)],
)
def test_a_result_says_what_made_it_and_names_no_path(format: str, bits: int) -> None:
    picture = load_image(photo())
    data = encode_image(picture, format, bits=bits, notes=result_notes(picture, IRISES, CONFIG))
    found = recipe(data)
    version = found.pop("version")
    assert version[0].isdigit() and f"adain {version}".encode() in data
    assert found == {
        "style": "irises",
        "alpha": 0.5,
        "model": "mine",
        "strength": "picture",
        "masks": 2,
        "stroke": 2,
        "preserve_color": "linear",
    }
    for word in (b"/home", b"ann", b"secret", b"Onym"):
        assert word not in data


def test_a_result_names_what_was_learnt() -> None:
    adapter = Adapter("0123456789abcdef", {})
    learnt = replace(IRISES, statistics=StyleStatistics({}, adapters=(adapter,)))
    notes = result_notes(load_image(photo()), learnt, StylizeConfig())
    assert json.loads(notes.comment)["adapter"] == adapter.digest


def test_plain_results_say_little() -> None:
    notes = result_notes(load_image(photo()), IRISES, StylizeConfig())
    assert json.loads(notes.comment).keys() == {"style", "alpha", "model", "version"}


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_provenance_can_be_left_out_and_facts_stay(format: str) -> None:
    picture = load_image(photo())
    config = StylizeConfig(provenance=False)
    assert b"adain" not in encode_image(
        picture, format, notes=result_notes(picture, IRISES, config)
    )
    config = StylizeConfig(provenance=False, keep_metadata=True)
    assert result_notes(picture, IRISES, config) == Notes(facts=picture.facts)


def test_equal_results_are_equal_files() -> None:
    picture = load_image(photo())
    notes = result_notes(picture, IRISES, StylizeConfig(keep_metadata=True))
    for format in OUTPUT_FORMATS:
        assert encode_image(picture, format, notes=notes) == encode_image(
            picture, format, notes=notes
        )
