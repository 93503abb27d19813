"""Forms parsed in memory: what clients send comes out, and what is broken is refused."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import AppError, MalformedUpload, TooManyImages
from app.http.uploads import parse_form


def encode(parts: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    request = httpx.Request("POST", "http://x", files=[(name, ("f", data)) for name, data in parts])
    return request.read(), request.headers["content-type"]


@given(st.lists(st.binary(max_size=200), max_size=12))
def test_httpx_forms_come_out_as_they_went_in(images: list[bytes]) -> None:
    body, content_type = encode([("files", image) for image in images] or [("other", b"")])
    if images:
        assert parse_form(body, content_type, "files", 20) == images
    else:
        with pytest.raises(MalformedUpload):
            parse_form(body, content_type, "files", 20)


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    for wrapped in (body, b"--b" + body, b"--b\r\n" + body + b"\r\n--b--"):
        try:
            images = parse_form(wrapped, "multipart/form-data; boundary=b", "file", 3)
        except AppError:
            continue
        assert all(isinstance(image, bytes) for image in images)


def test_other_fields_are_ignored_beside_images() -> None:
    body, content_type = encode([("note", b"hi"), ("files", b"1"), ("more", b"x"), ("files", b"2")])

    assert parse_form(body, content_type, "files", 2) == [b"1", b"2"]


def test_more_images_than_allowed_are_refused() -> None:
    body, content_type = encode([("files", b"x")] * 4)

    with pytest.raises(TooManyImages):
        parse_form(body, content_type, "files", 3)


def test_a_flood_of_tiny_parts_is_refused_without_reading_them_all() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 100_000 + b"--b--"

    with pytest.raises(TooManyImages):
        parse_form(body, "multipart/form-data; boundary=b", "file", 1)


@pytest.mark.parametrize("name", ['"file"', "file", '"file"; filename="a\\"b; name=x.png"'])
def test_names_with_and_without_quotes(name: str) -> None:
    header = f"content-disposition: form-data; name={name}".encode()
    body = b"--b\r\nContent-Type: image/png\r\n" + header + b"\r\n\r\ndata\r\n--b--\r\n"

    assert parse_form(body, "multipart/form-data; boundary=b", "file", 1) == [b"data"]


def test_images_may_hold_line_ends_and_dashes() -> None:
    image = b"\r\n--\r\n\r\n--c--\r\n\r\r\n-"
    body, content_type = encode([("file", image)])

    assert parse_form(body, content_type, "file", 1) == [image]
