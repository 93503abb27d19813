"""Forms read into memory: what clients send comes out, and what is broken is refused."""

import asyncio
import tempfile
from collections.abc import Awaitable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from app.errors import AppError, MalformedUpload, TooManyImages
from app.http.uploads import read_image, read_images

FORM = "multipart/form-data; boundary=b"


def request_of(body: bytes, content_type: str, piece: int = 7) -> Request:
    """A request whose body comes in pieces: of `piece` bytes at first, then twice as many, …"""
    rest = body

    async def receive() -> dict:
        nonlocal rest, piece
        head, rest = rest[:piece], rest[piece:]
        piece *= 2
        return {"type": "http.request", "body": head, "more_body": bool(rest)}

    headers = [(b"content-type", content_type.encode())]
    return Request({"type": "http", "headers": headers}, receive)


def form(parts: list[tuple[str, bytes]]) -> Request:
    request = httpx.Request("POST", "http://x", files=[(name, ("f", data)) for name, data in parts])
    return request_of(request.read(), request.headers["content-type"])


def run(work: Awaitable[list[bytes]]) -> list[bytes]:
    async def read() -> list[bytes]:
        return await work

    return asyncio.run(read())


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=12))
def test_httpx_forms_come_out_as_they_went_in(images):
    assert run(read_images(form([("files", image) for image in images]), 20)) == images


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body):
    for wrapped in (body, b"--b" + body, b"--b\r\n" + body + b"\r\n--b--"):
        try:
            images = run(read_images(request_of(wrapped, FORM), 3))
        except AppError:
            continue
        assert all(isinstance(image, bytes) for image in images)


async def test_nothing_is_written_to_disk(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    image = bytes(5_000_000)

    assert await read_image(form([("file", image)])) == image


async def test_other_fields_and_files_are_ignored_beside_images():
    request = form([("files", b"1"), ("more", b"x"), ("files", b"2")])

    assert await read_images(request, 3) == [b"1", b"2"]


@pytest.mark.parametrize("disposition", ['name="x"', 'name="files"; filename="x"'])
async def test_a_flood_of_tiny_parts_is_refused_without_reading_them_all(disposition):
    part = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n\r\n".encode()

    with pytest.raises(TooManyImages):
        await read_images(request_of(part * 100_000 + b"--b--", FORM), 3)


@pytest.mark.parametrize(
    "disposition", ['"file"; filename=x', 'file; filename="a\\"b; name=x.png"']
)
async def test_names_with_and_without_quotes(disposition):
    header = f"content-disposition: form-data; name={disposition}".encode()
    body = b"--b\r\nContent-Type: image/png\r\n" + header + b"\r\n\r\ndata\r\n--b--\r\n"

    assert await read_image(request_of(body, FORM)) == b"data"


@pytest.mark.parametrize("charset", ["undefined", "punycode", "rot13", "none"])
async def test_charsets_that_decode_nothing_are_no_error_of_ours(charset):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xff"\r\n\r\nx\r\n--b--\r\n'
    )
    request = request_of(body, f"{FORM}; charset={charset}")
    try:
        assert await read_image(request) == b"x"
    except MalformedUpload as error:
        assert charset in ("undefined", "punycode"), error


async def test_a_file_of_another_name_is_refused_with_the_names_that_came():
    body = (
        b'--b\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\nx\r\n--b--\r\n'
    )

    with pytest.raises(MalformedUpload, match="a file named 'file'. Received the fields: 'photo'"):
        await read_image(request_of(body, FORM))


PREAMBLES = [
    b"\r\n",
    b"\n",
    b"This is a multipart message.\r\n",
    b"\r\nA form - with -- dashes\r\n--and more\r\n\r\n",
    b"text before a boundary that begins no line --b\r\n",
    b"--\r\n" * 1000,
]


@pytest.mark.parametrize("preamble", PREAMBLES, ids=lambda preamble: repr(preamble[:12]))
@pytest.mark.parametrize("piece", [1, 7, 100_000])
async def test_what_stands_before_the_first_boundary_is_ignored(preamble, piece):
    part = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\ndata\r\n--b--\r\n'
    )
    body = preamble + part + b"and after the last"

    assert await read_image(request_of(body, FORM, piece)) == b"data"


async def test_a_form_without_its_boundary_is_refused():
    with pytest.raises(MalformedUpload, match="ends with its boundary"):
        await read_image(request_of(b"no boundary --b here" * 1000, FORM))
