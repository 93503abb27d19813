"""What holds for any bytes at all."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest
from handmade_images import PNG_SIGNATURE, chunk, ihdr
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded
from PIL import Image

from model_store.errors import ImageError
from model_store.pixels.preprocessing import encode_png, preprocess, preprocessing_version
from model_store.spec import ImageSpec, InkNormalization

SPECS = (ImageSpec.for_size(9, 6), ImageSpec.for_size(28, 28, InkNormalization(box=20)))


def assert_image_error_or_pixels(data: bytes, max_pixels: int = 100_000) -> None:
    for spec in SPECS:
        try:
            pixels = preprocess(data, spec, max_pixels=max_pixels)
        except ImageError as error:
            assert str(error).startswith("Expected ")
            assert "Received: " in str(error)
            assert str(error).isascii()
            assert "0x" not in str(error)  # no address of an object
            assert len(str(error)) < 250
        else:
            assert pixels.shape == (spec.height, spec.width)
            assert pixels.dtype == np.uint8
            assert pixels.flags.c_contiguous


@given(st.binary(max_size=400))
def test_any_bytes(data):
    assert_image_error_or_pixels(data)


@given(
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.sampled_from([0, 2, 3, 4, 6]),
    st.lists(
        st.tuples(
            st.sampled_from([b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"tEXt", b"acTL", b"fcTL"]),
            st.binary(max_size=60),
        ),
        max_size=6,
    ),
)
def test_any_png_chunks(size, depth, kind, chunks):
    body = b"".join(chunk(name, payload) for name, payload in chunks)
    data = PNG_SIGNATURE + ihdr(*size, depth, kind) + body + chunk(b"IEND")
    assert_image_error_or_pixels(data)


SEEDS = [
    encoded(image.convert(mode), kind, **options)
    for image in [Image.fromarray(np.random.default_rng(4).integers(0, 256, (20, 24, 3), np.uint8))]
    for kind, mode, options in (
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {"progressive": True}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("BMP", "RGB", {}),
        ("GIF", "P", {}),
    )
]


@given(st.sampled_from(SEEDS), st.data())
def test_any_slice_overwritten(seed, data):
    at = data.draw(st.integers(0, len(seed)))
    with_ = data.draw(st.binary(max_size=24))
    cut = data.draw(st.integers(0, 24))
    assert_image_error_or_pixels(seed[:at] + with_ + seed[at + cut :])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_png_round_trip_is_exact(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    assert np.array_equal(preprocess(encode_png(pixels), ImageSpec.for_size(height, width)), pixels)


@pytest.mark.parametrize("spec", SPECS, ids=["resized", "ink"])
def test_threads_give_the_same_pixels(spec):
    files = SEEDS * 6
    alone = [sha256(preprocess(data, spec)).digest() for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: sha256(preprocess(data, spec)).digest(), files))
    assert together == alone


def test_input_is_not_changed():
    for seed in SEEDS:
        copy = bytes(bytearray(seed))
        preprocess(seed, SPECS[0])
        assert seed == copy


def test_version_names_the_libraries_that_decide_the_pixels():
    version = preprocessing_version()
    assert version == preprocessing_version()
    for library in ("pil-", "libjpeg_turbo-", "webp-", "zlib-", "avif-", "libtiff-", "pi-heif-"):
        assert library in version
