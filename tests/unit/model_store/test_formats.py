"""What a file is called, by its first bytes, and what to do about formats that are not taken."""

import pytest

from model_store.errors import UnsupportedFormat
from model_store.pixels.formats import FORMATS, format_of
from model_store.pixels.preprocessing import preprocess
from model_store.spec import ALL_FORMATS, ImageSpec

BEGINNINGS = {
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": "HEIC",
    b"\0\0\0\x18ftypheix\0\0\0\0mif1heix": "HEIC",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "HEIC",
    b"\0\0\0\x18ftypmsf1\0\0\0\0hevcmsf1": "HEIC",
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf": "AVIF",
    b"\0\0\0\x1cftypavis\0\0\0\0avifmif1miaf": "AVIF",
    b"\0\0\0\x1cftypmif1\0\0\0\0miafmif1avif": "AVIF",
    b"\0\0\0\x14ftypmp42\0\0\0\0isom": "video",
    b"\0\0\0\x20ftypisom\0\0\x02\0": "video",
    b"\0\0\0\x14ftypqt  \0\0\0\0qt  ": "video",
    b"RIFF\0\0\0\0AVI LIST": "video",
    b"\x1a\x45\xdf\xa3": "video",
    b"\0\0\0\x18ftypcrx \0\0\0\1": None,
    b"II*\0\x08\0\0\0": "TIFF",
    b"MM\0*\0\0\0\x08": "TIFF",
    b"II+\0\x08\0\0\0": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51\0": "JPEG 2000",
    b"%PDF-1.7": "PDF",
    b"<!DOCTYPE html><p><svg></svg>": "HTML",
    b"\n <html lang=en>": "HTML",
    b"<svg xmlns='http://www.w3.org/2000/svg'>": "SVG",
    b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<svg>": "SVG",
    b"<?xml version='1.0'?><rss/>": None,
    b"<svgx>": None,
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"RIFF\n\n\n\nWEBPVP8 ": "WEBP",
    b"RIFF\0\0\0\0WAVE": None,
    b"": None,
}


@pytest.mark.parametrize(("data", "name"), BEGINNINGS.items())
def test_first_bytes_name_the_format(data, name):
    assert format_of(data) == name
    assert format_of(data + bytes(500)) == name


@pytest.mark.parametrize("name", FORMATS.keys() - set(ALL_FORMATS))
def test_a_format_that_is_not_taken_is_named_with_what_to_do(name):
    data = next(data for data, found in BEGINNINGS.items() if found == name)

    with pytest.raises(UnsupportedFormat) as refusal:
        preprocess(data, ImageSpec.for_size(8, 8))
    assert str(refusal.value).endswith(f"Received: {name}. {FORMATS[name].advice}")


def test_an_older_model_says_what_to_do_about_the_photographs_of_phones():
    spec = ImageSpec.for_size(8, 8).model_copy(update={"formats": ("JPEG", "PNG")})

    with pytest.raises(UnsupportedFormat, match="one of JPEG, PNG. Received: HEIC. Export it as J"):
        preprocess(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", spec)


def test_every_format_that_is_decoded_has_extensions_and_no_other():
    assert {name for name, one in FORMATS.items() if one.extensions} == set(ALL_FORMATS)


def test_much_space_before_nothing_takes_no_time():
    assert format_of(b"<?" + b" " * 10_000_000) is None
    assert format_of(b" " * 10_000_000 + b"<svg>") is None
