"""Photographs stored sideways, and blocks of metadata that say so badly."""

import numpy as np
import pytest
from handmade_images import chunk, exif_block, png, webp_chunks, with_jpeg_exif
from pictures import encoded
from PIL import Image

from model_store.pixels.orientation import exif_orientation
from model_store.pixels.preprocessing import preprocess
from model_store.spec import ImageSpec

UPRIGHT = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24).astype(np.uint8) // 2
SPEC = ImageSpec.for_size(16, 24)


def stored_as(orientation: int, upright: np.ndarray) -> np.ndarray:
    """Return how a camera stores a picture with this orientation.

    EXIF 2.32, tag 0x0112: where row 0 and column 0 of what is stored belong.
    """
    return {
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.T,  # left, top
        6: upright.T[::-1],  # right, top
        7: upright.T[::-1, ::-1],  # right, bottom
        8: upright.T[:, ::-1],  # left, bottom
    }[orientation]


STORED = {orientation: stored_as(orientation, UPRIGHT) for orientation in range(1, 9)}


def jpeg(stored: np.ndarray, block: bytes) -> bytes:
    return with_jpeg_exif(encoded(Image.fromarray(stored.copy()), "JPEG", quality=100), block)


def with_exif(stored: np.ndarray, block: bytes) -> bytes:
    return png(stored, before=[chunk(b"eXIf", block)])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_large_sideways_jpeg_keeps_its_proportions(orientation):
    """The reduced decoding must consider the size after turning."""
    large = np.kron(UPRIGHT, np.ones((40, 40), np.uint8))
    stored = stored_as(orientation, large)
    pixels = preprocess(jpeg(stored, exif_block(orientation)), ImageSpec.for_size(32, 20))
    expected = preprocess(png(large), ImageSpec.for_size(32, 20))
    assert np.abs(pixels.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_spec_can_ignore_orientation(orientation):
    stored = STORED[orientation]
    spec = ImageSpec.for_size(*stored.shape).model_copy(update={"orientation": "ignore"})
    assert np.array_equal(preprocess(with_exif(stored, exif_block(orientation)), spec), stored)


def test_exif_block_with_its_jpeg_prefix_is_understood_in_webp():
    still = encoded(Image.fromarray(STORED[3].copy()).convert("RGB"), "WEBP", lossless=True)
    size = (UPRIGHT.shape[1] - 1).to_bytes(3, "little") + (UPRIGHT.shape[0] - 1).to_bytes(
        3, "little"
    )
    chunks = [
        (b"VP8X", b"\x08\x00\x00\x00" + size),
        (b"VP8L", still[20:]),
        (b"EXIF", b"Exif\x00\x00" + exif_block(3)),
    ]
    assert np.array_equal(preprocess(webp_chunks(*chunks), SPEC), UPRIGHT)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II",
        b"garbage that is no TIFF structure",
        exif_block(0),
        exif_block(9),
        exif_block(6, kind=2),
        exif_block(6, count=2),
        exif_block(6)[:12],
        exif_block(6)[:4] + (2**32 - 1).to_bytes(4, "little") + exif_block(6)[8:],
        b"II*\x00\x08\x00\x00\x00\xff\xff" + b"\x00" * 24,
        exif_block(6).replace(b"II*", b"MM*"),
    ],
)
def test_broken_exif_block_is_ignored(block):
    assert exif_orientation(block) == 1
    assert np.array_equal(preprocess(with_exif(UPRIGHT, block), SPEC), UPRIGHT)
    assert np.abs(preprocess(jpeg(UPRIGHT, block), SPEC).astype(int) - UPRIGHT).max() <= 3


def test_only_the_first_of_two_blocks_counts():
    data = with_jpeg_exif(jpeg(UPRIGHT, exif_block(6)), exif_block(1))
    assert np.abs(preprocess(data, SPEC).astype(int) - UPRIGHT).max() <= 3
