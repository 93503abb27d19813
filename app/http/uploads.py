"""Request bodies to images in memory: the raw body, or a form's parts. Nothing touches a disk."""

from collections.abc import Mapping, Sequence

from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.types import Receive

from app.errors import ClientGone, EmptyUpload, MalformedUpload, TooManyImages

# Fields beside the images are of no use here, but some clients send a few.
MAX_OTHER_PARTS = 16
MAX_HEADER_BYTES = 4096


async def read_image(request: Request) -> bytes:
    """Return the one image of a request: the form field `file`, or the whole body.

    Raises:
        MalformedUpload: a form that does not hold exactly one `file`.
        EmptyUpload: no bytes.
    """
    body = await read_body(request.receive)
    if is_form(request.headers):
        body = _only(parse_form(body, request.headers["content-type"], "file", MAX_OTHER_PARTS))
    if not body:
        raise EmptyUpload(
            "Expected an image as the body, or as the form field 'file'. Received: no bytes"
        )
    return body


async def read_images(request: Request, max_images: int) -> list[bytes]:
    """Return the images of the form field `files`, in order; parts may be empty.

    Raises:
        MalformedUpload: not a form, or one that cannot be parsed.
        EmptyUpload: no part named `files`.
        TooManyImages: more than `max_images`.
    """
    if not is_form(request.headers):
        raise MalformedUpload(
            "Expected multipart/form-data with the field 'files', repeated. Received: "
            f"{request.headers.get('content-type', 'no content type')[:100]!r}"
        )
    body = await read_body(request.receive)
    if not body:
        raise EmptyUpload("Expected a form with the field 'files'. Received: no bytes")
    images = parse_form(body, request.headers["content-type"], "files", max_images)
    if not images:
        raise EmptyUpload("Expected at least one image in the field 'files'. Received: none")
    return images


async def read_body(receive: Receive) -> bytes:
    """Return all bytes of the body.

    Raises:
        ClientGone: the connection closed before the end.
    """
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client closed the connection during its upload.")
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def is_form(headers: Mapping[str, str]) -> bool:
    """Return whether the body is multipart; anything else is taken as one raw image."""
    return headers.get("content-type", "")[:20].lower().startswith("multipart/form-data")


def parse_form(body: bytes, content_type: str, wanted: str, max_images: int) -> list[bytes]:
    """Return the bytes of every part named `wanted`, in order (RFC 7578).

    The whole body is in memory already, so a split does what a streaming parser would, without
    Python code per byte and without files.

    Raises:
        MalformedUpload: not a complete multipart body, or it has other fields only.
        TooManyImages: more than `max_images` parts with that name.
    """
    names, images = [], []
    for part in _split(body, _boundary(content_type), max_images + MAX_OTHER_PARTS):
        name, data = _read_part(part)
        names.append(name)
        if name == wanted:
            images.append(data)
    if len(images) > max_images:
        raise TooManyImages(f"Expected at most {max_images} images. Received: {len(images)}")
    if names and not images:
        received = ", ".join(repr(name[:40]) for name in names)
        raise MalformedUpload(f"Expected a form field named {wanted!r}. Received: {received}")
    return images


def _boundary(content_type: str) -> bytes:
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046, section 5.1.1
        raise MalformedUpload("Expected a boundary of 1 to 70 characters in Content-Type.")
    return boundary


def _split(body: bytes, boundary: bytes, max_parts: int) -> list[bytes]:
    """Return what stands between the boundaries; each part begins with its headers."""
    first, between = b"--" + boundary, b"\r\n--" + boundary
    if not body.startswith(first):
        raise MalformedUpload("Expected a multipart body that begins with its boundary.")
    *parts, end = body.split(between, max_parts + 1)
    if len(parts) > max_parts:
        raise TooManyImages(f"Expected at most {max_parts} form fields. Received: more")
    if not parts:
        parts, end = [], end.removeprefix(first)
    else:
        parts[0] = parts[0].removeprefix(first)
    if not end.startswith(b"--"):
        raise MalformedUpload("Expected a multipart body that ends with its boundary.")
    return parts


def _read_part(part: bytes) -> tuple[str, bytes]:
    """Split a part into its field name and its content."""
    head, separator, data = part.partition(b"\r\n\r\n")
    if separator and len(head) <= MAX_HEADER_BYTES:
        for line in head.split(b"\r\n"):
            header, _, value = line.partition(b":")
            if header.strip().lower() == b"content-disposition":
                name = parse_options_header(value)[1].get(b"name", b"")
                return name.decode("utf-8", "replace"), data
    raise MalformedUpload("Expected a Content-Disposition header in every part.")


def _only(images: Sequence[bytes]) -> bytes:
    if not images:
        raise MalformedUpload("Expected a form field named 'file'. Received: an empty form")
    if len(images) > 1:
        raise MalformedUpload(
            f"Expected one form field named 'file'. Received: {len(images)}. Many images go to "
            "/predict/batch, as 'files'."
        )
    return images[0]
