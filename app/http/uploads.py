"""Request bodies to images in memory: the raw body, or a form's files. Nothing touches a disk."""

import sys
from collections.abc import AsyncGenerator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app.errors import EmptyUpload, MalformedUpload, TooManyImages

# Fields beside the images are of no use here, but some clients send a few.
MAX_OTHER_FIELDS = 16


class _Form(MultiPartParser):
    """Starlette's parser, but files stay in memory, and a form that was cut off is noticed."""

    spool_max_size = sys.maxsize  # bodies have a limit of their own
    has_ended = False

    def on_end(self) -> None:
        self.has_ended = True


async def read_image(request: Request) -> bytes:
    """Return the one image of a request: the form's file `file`, or the whole body.

    It may be empty.

    Raises:
        MalformedUpload: a form that does not hold exactly one `file`.
    """
    if not is_form(request):
        return await request.body()
    images = await _read_files(request, "file", MAX_OTHER_FIELDS)
    if len(images) != 1:
        raise MalformedUpload(
            f"Expected one file named 'file'. Received: {len(images)}. Many images go to "
            "/predict/batch, as 'files'."
        )
    return images[0]


async def read_labelled_image(request: Request) -> tuple[bytes, str]:
    """Return the image and the label of a form with the file `file` and the field `label`.

    The image may be empty.

    Raises:
        MalformedUpload: not such a form.
    """
    form = await _parse(request, MAX_OTHER_FIELDS) if is_form(request) else FormData()
    try:
        match form.getlist("file"), form.getlist("label"):
            case [UploadFile() as file], [str(label)]:
                return await file.read(), label
    finally:
        await form.close()
    raise MalformedUpload(
        "Expected multipart/form-data with one file named 'file' and one field named 'label'."
    )


async def read_images(request: Request, max_images: int) -> list[bytes]:
    """Return the images of the form's files `files`, in order; they may be empty.

    Raises:
        MalformedUpload: not a form, or one that cannot be parsed.
        EmptyUpload: an empty form.
        TooManyImages: more than `max_images`.
    """
    if not is_form(request):
        raise MalformedUpload(
            "Expected multipart/form-data with the files 'files', repeated. Received: "
            f"{request.headers.get('content-type', 'no content type')[:100]!r}"
        )
    images = await _read_files(request, "files", max_images)
    if not images:
        raise EmptyUpload("Expected at least one file named 'files'. Received: none")
    return images


def is_form(request: Request) -> bool:
    """Return whether the body is multipart; anything else is taken as one raw image."""
    return request.headers.get("content-type", "")[:19].lower() == "multipart/form-data"


async def _read_files(request: Request, name: str, max_files: int) -> list[bytes]:
    """Return the content of every file named `name`, in order; other fields are ignored."""
    form = await _parse(request, max_files)
    try:
        parts = form.getlist(name)
        wanted = [await part.read() for part in parts if isinstance(part, UploadFile)]
    finally:
        await form.close()
    if len(wanted) < len(parts):
        raise MalformedUpload(
            f"Expected every {name!r} as a file. Received: one without a filename, which makes it "
            f"text. Any filename will do; curl sends a file by -F {name}=@PATH"
        )
    if form and not wanted:
        received = ", ".join(repr(key[:40]) for key in list(form)[:10])
        raise MalformedUpload(f"Expected a file named {name!r}. Received the fields: {received}")
    return wanted


async def _parse(request: Request, max_files: int) -> FormData:
    _, options = parse_options_header(request.headers["content-type"])
    stream = _without_preamble(request.stream(), options.get(b"boundary", b""))
    parser = _Form(request.headers, stream, max_files=max_files, max_fields=MAX_OTHER_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many"):
            raise TooManyImages(
                f"Expected at most {max_files} files and {MAX_OTHER_FIELDS} other fields. "
                "Received: more"
            ) from error
        raise MalformedUpload(f"Expected a multipart form. {error.message}") from error
    except UnicodeError as error:  # a charset that decodes nothing
        raise MalformedUpload("Expected a form in UTF-8.") from error
    if not parser.has_ended:
        await form.close()
        raise MalformedUpload("Expected a multipart form that ends with its boundary.")
    return form


async def _without_preamble(
    stream: AsyncGenerator[bytes, None], boundary: bytes
) -> AsyncGenerator[bytes, None]:
    """Yield a form from the line of its first boundary on.

    What stands before is to be ignored (RFC 2046, section 5.1.1); the parser takes it for a fault.
    """
    line = b"\n--" + boundary
    held = b"\n"  # the body's first line begins a line, too
    async for chunk in stream:
        held += chunk
        at = held.find(line)
        if at >= 0:
            yield held[at + 1 :]
            break
        held = held[-len(line) :]
    async for chunk in stream:
        yield chunk
