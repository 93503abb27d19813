import numpy as np
import pytest

from model_store.errors import UnsupportedFormat
from model_store.pixels.preprocessing import encode_png, preprocess, preprocess_with_source
from model_store.spec import ImageSpec

SPEC = ImageSpec.for_size(12, 7)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (12, 7), dtype=np.uint8)


def test_pixels_are_written_into_out(pixels):
    batch = np.zeros((3, 12, 7), np.uint8)
    result = preprocess(encode_png(pixels), SPEC, out=batch[1])
    assert np.shares_memory(result, batch)
    assert np.array_equal(batch[1], pixels)
    assert not batch[[0, 2]].any()


@pytest.mark.parametrize(
    "out",
    [np.zeros((7, 12), np.uint8), np.zeros((12, 7), np.float32), np.zeros((7, 12), np.uint8).T],
)
def test_unsuitable_out_is_refused(pixels, out):
    with pytest.raises(ValueError, match="Expected `out` to be C-contiguous uint8"):
        preprocess(encode_png(pixels), SPEC, out=out)


def test_source_tells_the_header(pixels):
    _, source = preprocess_with_source(encode_png(pixels), ImageSpec.for_size(5, 5))
    assert (source.format, source.mode, source.width, source.height) == ("PNG", "L", 7, 12)


@pytest.mark.parametrize("data", [b"", b"\xff", b"hello", b"\x00" * 5000])
def test_bytes_of_no_format_name_the_formats(data):
    with pytest.raises(
        UnsupportedFormat, match="Expected one of JPEG, PNG, WEBP, BMP, GIF, HEIC, AVIF, TIFF"
    ):
        preprocess(data, SPEC)
