"""Golden images: drawn, not taken from anybody's data, in the forms that decoders get wrong.

Each is encoded once, when the bundle is made; its bytes, its pixels' hash and its probabilities are
stored. Replaying them proves that preprocessing and engine are what they were.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageDraw, ImageFont

from model_store.pixels.formats import extension_of
from model_store.pixels.preprocessing import preprocess
from model_store.spec import ImageFormat, ImageSpec

FOLDER = "probe"
MAX_GIVEN = 8
_LONGEST_SIDE = 1600  # keeps the drawn files small


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


def draw_probes(spec: ImageSpec) -> Iterator[bytes]:
    """Yield encoded images of many modes, sizes and formats that the spec allows."""
    height, width = spec.height, spec.width

    def scene(factor: float, mode: str, seed: int) -> Image.Image:
        return _scene(*_scaled(height, width, factor), mode, seed)

    rotated = Image.Exif()
    rotated[ExifTags.Base.Orientation] = 6
    on_its_side = _scene(*_scaled(width, height, 1.0), "RGB", 3)
    wide = _scene(*_scaled(height, width * 2, 0.8), "L", 10)
    drawings: tuple[tuple[ImageFormat, Image.Image, dict[str, object]], ...] = (
        ("PNG", _scene(height, width, "L", 1), {}),  # of exactly the right size
        ("JPEG", scene(2.3, "RGB", 2), {"quality": 85}),
        ("JPEG", on_its_side, {"exif": rotated.tobytes()}),
        ("PNG", _transparent(scene(0.7, "RGB", 4)), {}),
        ("PNG", _sixteen_bit(scene(1.0, "L", 5)), {}),
        ("GIF", scene(0.5, "RGB", 6).quantize(16), {"transparency": 0}),
        ("WEBP", scene(1.3, "RGB", 7), {"quality": 80}),
        ("BMP", scene(0.4, "L", 8).convert("1"), {}),
        ("PNG", _noise(*_scaled(height, width, 0.25)), {}),
        ("JPEG", wide, {"quality": 60, "progressive": True}),
    )
    for format_, image, options in drawings:
        if format_ in spec.formats:
            buffer = BytesIO()
            image.save(buffer, format_, **options)
            yield buffer.getvalue()


def draw_images(spec: ImageSpec, count: int) -> NDArray[np.uint8]:
    """Return (count, H, W) uint8 drawn scenes, for where no image of the user's is at hand."""
    images = np.empty((count, spec.height, spec.width), np.uint8)
    for index in range(count):
        noise = np.random.default_rng(index).normal(0, 12, images.shape[1:])
        scene = np.asarray(_scene(spec.height, spec.width, "L", 100 + index), np.float64)
        images[index] = np.clip(scene + noise, 0, 255)
    return images


def _transparent(image: Image.Image) -> Image.Image:
    ramp = Image.fromarray(_ramp(image.height, image.width))
    image.putalpha(ramp.transpose(Image.Transpose.ROTATE_180))
    return image


def _sixteen_bit(image: Image.Image) -> Image.Image:
    shallow = np.asarray(image, np.uint16)
    return Image.fromarray(shallow * 257 // 2 + _ramp(*shallow.shape) * 64)


def _noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(9).integers(0, 256, (height, width), np.uint8))


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
