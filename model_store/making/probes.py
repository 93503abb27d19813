"""Golden images: drawn, not taken from anybody's data, in the forms that decoders get wrong.

Each is encoded once, when the bundle is made; its bytes, its pixels' hash and its probabilities are
stored. Replaying them proves that preprocessing and engine are what they were.
"""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from model_store.bundle import pixels_sha256
from model_store.manifest import Probe
from model_store.pixels.formats import extension_of
from model_store.pixels.preprocessing import preprocess
from model_store.spec import ImageFormat, ImageSpec

FOLDER = "probe"
MAX_GIVEN = 8
_LONGEST_SIDE = 1600  # keeps the drawn files small
_EXIF_ORIENTATION = 0x0112

Drawing = tuple[ImageFormat, Callable[[int, int], bytes]]


def write_probes(
    folder: Path, spec: ImageSpec, given: Sequence[bytes]
) -> tuple[list[str], NDArray[np.uint8]]:
    """Write the drawn probes, and up to eight given ones, below `folder/probe`.

    Args:
        folder: of the bundle in the making.
        spec: decides size and formats.
        given: encoded images of the user's, or none.

    Returns:
        Their paths within the bundle, and their pixels: (probes, H, W) uint8.

    Raises:
        ImageError: a given file is no image.
    """
    (folder / FOLDER).mkdir()
    encoded = [*draw_probes(spec), *given[:MAX_GIVEN]]
    paths: list[str] = []
    pixels = np.empty((len(encoded), spec.height, spec.width), np.uint8)
    for index, data in enumerate(encoded):
        preprocess(data, spec, out=pixels[index])
        paths.append(f"{FOLDER}/{index:02d}{extension_of(data)}")
        (folder / paths[-1]).write_bytes(data)
    return paths, pixels


def describe_probes(
    paths: Sequence[str],
    pixels: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    given: int,
) -> tuple[Probe, ...]:
    """Return the manifest's records of probes.

    Args:
        paths: within the bundle, as `write_probes` returned them.
        pixels: (probes, H, W) uint8.
        probabilities: (probes, labels), the Keras model's.
        given: how many images `write_probes` was given.
    """
    drawn = len(paths) - min(given, MAX_GIVEN)
    return tuple(
        Probe(
            file=path,
            pixels_sha256=pixels_sha256(image),
            probabilities=tuple(float(p) for p in row),
            drawn=number < drawn,
        )
        for number, (path, image, row) in enumerate(zip(paths, pixels, probabilities, strict=True))
    )


def draw_probes(spec: ImageSpec) -> Iterator[bytes]:
    """Yield encoded images of many modes, sizes and formats that the spec allows."""
    for format_, draw in _DRAWINGS:
        if format_ in spec.formats:
            yield draw(spec.height, spec.width)


def draw_images(spec: ImageSpec, count: int) -> NDArray[np.uint8]:
    """Return (count, H, W) uint8 drawn scenes, for where no image of the user's is at hand."""
    images = np.empty((count, spec.height, spec.width), np.uint8)
    for index in range(count):
        noise = np.random.default_rng(index).normal(0, 12, images.shape[1:])
        scene = np.asarray(_scene(spec.height, spec.width, "L", 100 + index), np.float64)
        images[index] = np.clip(scene + noise, 0, 255)
    return images


def _exact_gray_png(height: int, width: int) -> bytes:
    return _encode(_scene(height, width, "L", 1), "PNG")


def _large_rgb_jpeg(height: int, width: int) -> bytes:
    return _encode(_scene(*_scaled(height, width, 2.3), "RGB", 2), "JPEG", quality=85)


def _rotated_jpeg(height: int, width: int) -> bytes:
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = 6
    return _encode(_scene(*_scaled(width, height, 1.0), "RGB", 3), "JPEG", exif=exif.tobytes())


def _transparent_png(height: int, width: int) -> bytes:
    image = _scene(*_scaled(height, width, 0.7), "RGB", 4)
    ramp = Image.fromarray(_ramp(image.height, image.width)).transpose(Image.Transpose.ROTATE_180)
    image.putalpha(ramp.resize(image.size))
    return _encode(image, "PNG")


def _sixteen_bit_png(height: int, width: int) -> bytes:
    height, width = _scaled(height, width, 1.0)
    shallow = np.asarray(_scene(height, width, "L", 5), np.uint16)
    return _encode(Image.fromarray(shallow * 257 // 2 + _ramp(height, width) * 64), "PNG")


def _palette_gif(height: int, width: int) -> bytes:
    image = _scene(*_scaled(height, width, 0.5), "RGB", 6).quantize(16)
    return _encode(image, "GIF", transparency=0)


def _lossy_webp(height: int, width: int) -> bytes:
    return _encode(_scene(*_scaled(height, width, 1.3), "RGB", 7), "WEBP", quality=80)


def _bilevel_bmp(height: int, width: int) -> bytes:
    return _encode(_scene(*_scaled(height, width, 0.4), "L", 8).convert("1"), "BMP")


def _noise_png(height: int, width: int) -> bytes:
    height, width = _scaled(height, width, 0.25)
    noise = np.random.default_rng(9).integers(0, 256, (height, width), np.uint8)
    return _encode(Image.fromarray(noise), "PNG")


def _wide_jpeg(height: int, width: int) -> bytes:
    height, width = _scaled(height, width * 2, 0.8)
    return _encode(_scene(height, width, "L", 10), "JPEG", quality=60, progressive=True)


_DRAWINGS: tuple[Drawing, ...] = (
    ("PNG", _exact_gray_png),
    ("JPEG", _large_rgb_jpeg),
    ("JPEG", _rotated_jpeg),
    ("PNG", _transparent_png),
    ("PNG", _sixteen_bit_png),
    ("GIF", _palette_gif),
    ("WEBP", _lossy_webp),
    ("BMP", _bilevel_bmp),
    ("PNG", _noise_png),
    ("JPEG", _wide_jpeg),
)


def _scene(height: int, width: int, mode: str, seed: int) -> Image.Image:
    """Draw a gradient, some shapes and a word, placed by `seed`."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(_ramp(height, width)).convert(mode)
    draw = ImageDraw.Draw(image)
    channels = len(image.getbands())
    for number in range(6):
        x, y = random.uniform(0, 0.8, 2) * (width, height)
        size = random.uniform(0.1, 0.5) * min(width, height)
        color = tuple(int(c) for c in random.integers(0, 256, channels))
        shape = draw.ellipse if number % 2 else draw.rectangle
        shape((x, y, x + size, y + size), fill=color if channels > 1 else color[0])
    text_size = max(6.0, 0.3 * min(width, height))
    font = ImageFont.load_default(text_size)
    draw.text((width * 0.2, height * 0.4), str(seed), fill="white", font=font)
    return image


def _ramp(height: int, width: int) -> NDArray[np.uint8]:
    """Return (H, W) uint8 that rises from 0 at the top left to 255 at the bottom right."""
    rows = np.linspace(0, 127, height)[:, None]
    return (rows + np.linspace(0, 128, width)[None, :]).astype(np.uint8)


def _scaled(height: int, width: int, factor: float) -> tuple[int, int]:
    factor = min(factor, _LONGEST_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _encode(image: Image.Image, format_: ImageFormat, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()
