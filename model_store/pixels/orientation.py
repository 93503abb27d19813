"""Which way up a photograph is: the orientation tag of its EXIF block."""

import struct

_ORIENTATION_TAG = 0x0112
_SHORT = 3
_EXIF_PREFIX = b"Exif\x00\x00"
_BYTE_ORDER = {b"II*\x00": "<", b"MM\x00*": ">"}


def exif_orientation(exif: bytes | None) -> int:
    """Return the orientation, 1 to 8, that a raw EXIF block states (EXIF 2.32, tag 0x0112).

    A block that is absent, broken or says something else means 1, upright: a damaged tag must
    not cost the whole image. Only the first directory is read, so no block can make this slow.
    """
    if not exif:
        return 1
    tiff = exif.removeprefix(_EXIF_PREFIX)
    order = _BYTE_ORDER.get(tiff[:4])
    if order is None:
        return 1
    try:
        return _first_directory(tiff, order)
    except struct.error:
        return 1


def _first_directory(tiff: bytes, order: str) -> int:
    (offset,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, offset)
    for index in range(entries):
        tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, offset + 2 + 12 * index)
        if tag == _ORIENTATION_TAG:
            return value if kind == _SHORT and count == 1 and 1 <= value <= 8 else 1
    return 1
