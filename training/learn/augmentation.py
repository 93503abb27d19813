"""Random changes that keep an image's label, on batches of pixels or block means.

| part          | what changes                                                       |
|---------------|--------------------------------------------------------------------|
| `mirror`      | left and right are swapped in half of the images                   |
| `upside-down` | top and bottom are swapped in half of the images                   |
| `flips`       | both, independently                                                |
| `shifts`      | position by up to 2 % of each side                                 |
| `small`       | rotation by up to 8 degrees, scale by 8 %, position by 4 %         |
| `large`       | 15 degrees, 15 %, 8 %                                              |
| `any-angle`   | rotation by any angle, scale by 8 %, position by 4 %               |
| `handwriting` | affine and elastic distortion, stroke thickness                    |

A kind of mirror image and a movement can be joined: `flips+small`. `none` changes nothing.

The movements are one affine map per image, computed by TensorFlow's own op.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Augment = Callable[[Floats, np.random.Generator], Floats]

_CHUNK_BYTES = 1_000_000  # of float32 coordinates at a time: they stay in the second-level cache


@dataclass(frozen=True, slots=True)
class Movement:
    """How far images may move; each value is drawn uniformly from minus it to plus it."""

    rotation_deg: float = 0.0
    scale: float = 0.0  # 0.08: from 1 / 1.08 to 1.08, each axis for itself
    shift: float = 0.0  # of each side


MIRRORS = {"mirror": (True, False), "upside-down": (False, True), "flips": (True, True)}
MOVEMENTS = {
    "shifts": Movement(shift=0.02),
    "small": Movement(8, 0.08, 0.04),
    "large": Movement(15, 0.15, 0.08),
    "any-angle": Movement(180, 0.08, 0.04),
}
PARTS = ("none", *MIRRORS, *MOVEMENTS, "handwriting")


def augmentation(name: str, pixel_aspect: float = 1.0) -> Augment:
    """Return the augmentation called `name`.

    It takes (B, H, W) float32 of 0 to 255 and a Generator, and returns a new array of the same
    shape. Equal Generator states give equal results.

    Args:
        name: parts as in the table above, joined by "+".
        pixel_aspect: height over width of a pixel as it was photographed. Images are stretched to
            the model's size; rotations happen in the world, before that.

    Raises:
        ValueError: `name` is made of other parts.
    """
    if name == "none":
        return lambda images, _: images.copy()
    if name == "handwriting":
        return Handwriting()
    mirrors, movement, unknown = (False, False), Movement(), []
    for part in name.split("+"):
        if part in MIRRORS:
            mirrors = MIRRORS[part]
        elif part in MOVEMENTS:
            movement = MOVEMENTS[part]
        else:
            unknown.append(part)
    if unknown:
        known = ", ".join(PARTS)
        raise ValueError(f"Expected an augmentation out of {known}. Received: {name!r}")
    return Affine(movement, mirrors, pixel_aspect)


@dataclass(frozen=True, slots=True)
class Affine:
    """Mirrors, turns, scales and moves each image about its centre; border pixels are repeated."""

    movement: Movement
    mirrors: tuple[bool, bool]  # left-right, upside-down
    pixel_aspect: float

    def __call__(self, images: Floats, generator: np.random.Generator) -> Floats:
        """Change each of (B, H, W) `images`."""
        mirrored = self._mirrored(images, generator)
        return mirrored if self.movement == Movement() else self._moved(mirrored, generator)

    def _mirrored(self, images: Floats, generator: np.random.Generator) -> Floats:
        mirrored = images.copy()
        for axis, wanted in zip((2, 1), self.mirrors, strict=True):
            if wanted:
                chosen = generator.random(len(images)) < 0.5
                mirrored[chosen] = np.flip(mirrored[chosen], axis)
        return mirrored

    def _moved(self, images: Floats, generator: np.random.Generator) -> Floats:
        import tensorflow as tf

        count, height, width = images.shape
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=images[..., None],
            transforms=self._transforms(count, height, width, generator),
            output_shape=(height, width),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )
        return np.asarray(moved.numpy()[..., 0])

    def _transforms(
        self, count: int, height: int, width: int, generator: np.random.Generator
    ) -> Floats:
        """Return (count, 8) as the op takes them: where in the input each output pixel is read."""
        linear = self._linear(count, generator)  # (count, 2, 2), x before y
        shift = generator.uniform(-self.movement.shift, self.movement.shift, (count, 2))
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        offset = centre + shift * (width, height) - linear @ centre
        rows = np.concatenate([linear, offset[..., None]], axis=2).reshape(count, 6)
        return np.pad(rows, ((0, 0), (0, 2))).astype(np.float32)

    def _linear(self, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
        turn, most = self.movement.rotation_deg, np.log1p(self.movement.scale)
        angle = np.radians(generator.uniform(-turn, turn, count))
        scale = np.exp(generator.uniform(-most, most, (count, 1, 2)))
        cos, sin, aspect = np.cos(angle), np.sin(angle), self.pixel_aspect
        rotation = np.stack([cos, -sin * aspect, sin / aspect, cos], axis=-1).reshape(count, 2, 2)
        return np.asarray(rotation * scale)


@dataclass(frozen=True, slots=True)
class Handwriting:
    """Affine and elastic distortion and another pen, as if the character were written again.

    The elastic field is that of Simard, Steinkraus and Platt (2003): white noise smoothed by a
    Gaussian. Of such a field only some slow waves remain, so we draw their strengths instead of the
    noise; together with the affine part, all sampling coordinates then come out of one product.
    """

    rotation_deg: float = 12.0
    scale: float = 0.12  # each axis by up to this factor's inverse or itself
    shear: float = 0.15
    shift: float = 0.05  # of each side
    elastic: float = 0.035  # standard deviation of the displacement, of the longer side
    smoothness: float = 0.16  # sigma of the Gaussian, of each side
    thickness: float = 0.5  # share of the way to a stroke one pixel wider or narrower on each side

    def __call__(self, images: Floats, generator: np.random.Generator) -> Floats:
        """Distort each of (B, H, W) `images`; beyond the border, its pixels are repeated."""
        pixels = images.astype(np.uint8)
        distorted = np.empty_like(pixels)
        _, height, width = pixels.shape
        chunk = max(1, _CHUNK_BYTES // (height * width * 8))
        for start in range(0, len(pixels), chunk):
            part = pixels[start : start + chunk]
            warped = _sampled(part, self._coordinates(part, generator))
            distorted[start : start + chunk] = self._with_another_pen(warped, generator)
        return distorted.astype(np.float32)

    def _coordinates(self, images: Pixels, generator: np.random.Generator) -> Floats:
        count, height, width = images.shape
        basis = _basis(height, width, self.smoothness)
        coefficients = np.empty((count, 2, len(basis)), np.float32)
        waves = generator.standard_normal((count, 2, len(basis) - 3), np.float32)
        coefficients[..., 3:] = self.elastic * waves * max(height, width)
        coefficients[..., 1:3] = self._linear(count, generator)
        shift = generator.uniform(-self.shift, self.shift, (count, 2))
        coefficients[..., 0] = (0.5 + shift) * (height, width) - 0.5
        # One small product per image: a large one would start threads beside the training step's.
        coordinates: Floats = np.matmul(coefficients, basis)
        return coordinates

    def _linear(self, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
        angle = np.radians(generator.uniform(-self.rotation_deg, self.rotation_deg, count))
        cos, sin = np.cos(angle), np.sin(angle)
        rotation = np.stack([cos, -sin, sin, cos], axis=-1).reshape(count, 2, 2)
        change = np.zeros((count, 2, 2))
        factors = generator.uniform(-self.scale, self.scale, (count, 2))
        change[:, (0, 1), (0, 1)] = np.exp(factors)
        change[:, 1, 0] = generator.uniform(-self.shear, self.shear, count)
        return rotation @ change

    def _with_another_pen(self, images: Pixels, generator: np.random.Generator) -> Pixels:
        strength = generator.uniform(-self.thickness, self.thickness, len(images))
        thicker = strength > 0
        pen = np.empty_like(images)
        pen[thicker] = _extreme_of_neighbours(images[thicker], np.maximum)
        pen[~thicker] = _extreme_of_neighbours(images[~thicker], np.minimum)
        share = np.abs(strength * 127).astype(np.int16)[:, None, None]
        change = (pen.astype(np.int16) - images) * share >> 7
        return (images + change).astype(np.uint8)


def _extreme_of_neighbours(images: Pixels, extreme: np.ufunc) -> Pixels:
    result = images.copy()
    extreme(result[:, 1:], images[:, :-1], out=result[:, 1:])
    extreme(result[:, :-1], images[:, 1:], out=result[:, :-1])
    extreme(result[..., 1:], images[..., :-1], out=result[..., 1:])
    extreme(result[..., :-1], images[..., 1:], out=result[..., :-1])
    return result


@lru_cache(maxsize=8)
def _basis(height: int, width: int, smoothness: float) -> Floats:
    """Return what sampling coordinates are combinations of.

    Returns:
        (3 + waves, H*W): a constant 1, the row and the column measured from the centre in pixels,
        and waves; weighted by standard normal numbers, they sum to a field of variance 1.
    """
    rows, columns = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij")).reshape(2, -1)
    waves = _waves(height, width, smoothness)
    return np.concatenate([np.ones((1, height * width)), grid, waves]).astype(np.float32)


def _waves(height: int, width: int, smoothness: float) -> NDArray[np.float64]:
    # What a Gaussian leaves of white noise with a period of two images: the faster a wave, the
    # weaker. Below a tenth of the slowest one's strength it would move no pixel visibly.
    fastest = np.sqrt(2 * np.log(10)) / smoothness / np.pi
    frequencies = np.arange(-int(fastest), int(fastest) + 1)  # negative ones stand for sines
    phases = [np.pi * (np.arange(side) + 0.5) / side for side in (height, width)]
    vertical, horizontal = (
        np.array([np.cos(k * phase) if k >= 0 else np.sin(k * phase) for k in frequencies])
        for phase in phases
    )
    squared = np.square(frequencies)[:, None] + np.square(frequencies)
    strength = np.exp(-0.5 * squared * np.square(np.pi * smoothness))
    chosen = (squared > 0) & (squared <= fastest**2)  # the wave 0 is a shift: not ours
    waves = np.einsum("ab,ai,bj->abij", strength, vertical, horizontal)[chosen]
    waves /= np.sqrt(np.square(waves).sum(axis=0).mean())
    flat: NDArray[np.float64] = waves.reshape(-1, height * width)
    return flat


def _sampled(images: Pixels, coordinates: Floats) -> Pixels:
    """Read (B, H, W) `images` at (B, 2, H*W) `coordinates`, rows first, bilinearly."""
    count, height, width = images.shape
    # Just short of the last pixel, so that its right and lower neighbours exist.
    last = np.nextafter(np.array([[height - 1], [width - 1]], np.float32), np.float32(0))
    np.clip(coordinates, 0, last, out=coordinates)
    whole = coordinates.astype(np.int32)
    coordinates -= whole
    down, right = coordinates[:, 0], coordinates[:, 1]
    index = whole[:, 0] * width + whole[:, 1] + (np.arange(count) * height * width)[:, None]
    flat = np.append(images.astype(np.float32), np.zeros(width + 1, np.float32))
    upper = _between(flat[index], flat[1:][index], right)
    lower = _between(flat[width:][index], flat[width + 1 :][index], right)
    return (_between(upper, lower, down) + 0.5).astype(np.uint8).reshape(images.shape)


def _between(first: Floats, second: Floats, share: Floats) -> Floats:
    second -= first
    second *= share
    second += first
    return second
