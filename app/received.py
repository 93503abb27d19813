"""What came where an image belongs: nothing, or an image wrapped into something else.

Asked for every image, whichever way it came, before it is decoded. No image begins like these.
"""

import base64
import binascii
import re

from app.errors import EmptyUpload, MalformedUpload
from model_store.pixels.formats import format_of

# What wraps an image, how it begins, and the way that works.
_WRAPPINGS = (
    (
        "a data URL",
        re.compile(rb"\s*[\"']?data:[\w.+/-]*[;,]", re.IGNORECASE),
        "Send the bytes that its base64 stands for.",
    ),
    (
        "a URL",
        re.compile(rb"\s*[\"']?https?://", re.IGNORECASE),
        "Nothing is fetched: send the image itself.",
    ),
    (
        "a multipart body",
        re.compile(rb"\s*--[^\r\n]{1,200}\r?\nContent-", re.IGNORECASE),
        "Send it with the Content-Type multipart/form-data and its boundary.",
    ),
    (
        "JSON",
        re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*[\"{\[\d\]-])"),
        "JSON goes to /v2/models/{name}/infer.",
    ),
    (
        "an image without its line breaks",
        re.compile(rb"\x89PNG\x1a|\xff\xd8\xff\xe0\x10JFIF"),
        "curl's -d takes them out: use --data-binary.",
    ),
)
# As many characters as `format_of` needs bytes, and a few.
_BASE64_HEAD = 128


def check_received(data: bytes) -> None:
    """Refuse what is no image file, but was meant to be one.

    Raises:
        EmptyUpload: no bytes.
        MalformedUpload: a form, JSON, base64, a URL or the like; with the way that works.
    """
    if not data:
        raise EmptyUpload("Expected an image. Received: no bytes")
    for name, beginning, advice in _WRAPPINGS:
        if beginning.match(data):
            raise _malformed(name, advice)
    decoded = decode_base64(data[:_BASE64_HEAD].strip(b"\"' \r\n"), is_cut=True)
    if decoded is not None and (kind := format_of(decoded)):
        raise _malformed(
            f"{kind} in base64",
            "Send the decoded bytes; base64 goes into the JSON of /v2/models/{name}/infer.",
        )


def _malformed(received: str, advice: str) -> MalformedUpload:
    return MalformedUpload(
        f"Expected an image file, as the body or in a form. Received: {received}. {advice}"
    )


def decode_base64(text: bytes, *, is_cut: bool = False) -> bytes | None:
    """Return what base64 stands for (RFC 4648), or None if `text` is none.

    Args:
        text: in the standard or the URL-safe alphabet, with or without line breaks and padding.
        is_cut: an incomplete group at the end is left out, and no reason to refuse.
    """
    plain = b"".join(text.split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    if is_cut:
        plain = plain[: len(plain) // 4 * 4]
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return None
