"""The blocks of a GIF file (CompuServe, version 89a)."""

from model_store.containers.contents import Contents
from model_store.errors import UndecodableImage

# Data comes in sub-blocks of up to 255 bytes; this many are 66 MB.
MAX_SUB_BLOCKS = 262_144

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_GRAPHIC_CONTROL = 0xF9
_TABLE_FLAG = 0x80


def read(data: bytes) -> Contents:
    """Read a GIF file up to the end of its first frame.

    A frame that reaches beyond the canvas widens it, as in browsers.
    """
    try:
        return _first_frame(data)
    except IndexError as error:
        raise UndecodableImage(
            "Expected a GIF with a complete first frame. Received: a truncated file"
        ) from error


def _first_frame(data: bytes) -> Contents:
    tables_end = 13 + _table_size(data[10])
    control, position = _skip_extensions(data, tables_end)
    left, top, width, height = (
        int.from_bytes(data[position + at : position + at + 2], "little") for at in (1, 3, 5, 7)
    )
    start = position + 10 + _table_size(data[position + 9]) + 1  # past the code size
    end = _skip_sub_blocks(data, start)
    canvas_width = max(int.from_bytes(data[6:8], "little"), left + width)
    canvas_height = max(int.from_bytes(data[8:10], "little"), top + height)
    if not width or not height or canvas_width > 0xFFFF or canvas_height > 0xFFFF:
        raise UndecodableImage(
            "Expected a GIF frame of 1 to 65535 pixels a side. "
            f"Received: {width} x {height} at {left}, {top}"
        )
    screen = canvas_width.to_bytes(2, "little") + canvas_height.to_bytes(2, "little")
    essential = b"".join(
        (data[:6], screen, data[10:tables_end], control, data[position:end], bytes([_TRAILER]))
    )
    extent = (left, top, left + width, top + height)
    whole = extent == (0, 0, canvas_width, canvas_height)
    return Contents(canvas_width, canvas_height, essential, extent=None if whole else extent)


def _table_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & _TABLE_FLAG else 0


def _skip_extensions(data: bytes, position: int) -> tuple[bytes, int]:
    """Return the last graphic control extension and the position of the image descriptor."""
    control = b""
    for _ in range(MAX_SUB_BLOCKS):
        if data[position] == _IMAGE:
            return control, position
        if data[position] != _EXTENSION:
            break
        end = _skip_sub_blocks(data, position + 2)
        if data[position + 1] == _GRAPHIC_CONTROL and end - position == 8:
            control = data[position:end]
        position = end
    raise UndecodableImage("Expected a GIF with at least one frame. Received: none")


def _skip_sub_blocks(data: bytes, position: int) -> int:
    """Return the position after the empty sub-block that ends a chain."""
    for _ in range(MAX_SUB_BLOCKS):
        size = data[position]
        position += 1 + size
        if not size:
            return position
    raise UndecodableImage(f"Expected at most {MAX_SUB_BLOCKS} GIF sub-blocks. Received: more")
