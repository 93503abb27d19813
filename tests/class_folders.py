"""Small folders of labelled images that a network can really learn."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 12, 16


def striped(label: int, random: np.random.Generator) -> np.ndarray:
    """Draw noise with a bright stripe: label 0 is a row, 1 a column, 2 a diagonal."""
    image = random.integers(0, 80, (HEIGHT, WIDTH), np.uint8)
    place = int(random.integers(2, HEIGHT - 2))
    if label == 0:
        image[place] = 220
    elif label == 1:
        image[:, place] = 220
    else:
        image[np.arange(HEIGHT), np.arange(HEIGHT)] = 220
    return image


def write_classes(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Write `counts` PNGs for each label into class folders below `root`."""
    random = np.random.default_rng(seed)
    for k, (label, count) in enumerate(counts.items()):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(striped(k, random)).save(root / label / f"{i:03}.png")
    return root


def write_deep(root: Path, bits: int, counts: dict[str, int]) -> Path:
    """Write class folders of 16-bit PNGs whose samples have `bits` bits."""
    write_classes(root, counts)
    for path in root.rglob("*.png"):
        deep = np.asarray(Image.open(path), np.float64) * (2**bits - 1) / 220
        Image.fromarray(deep.astype(np.uint16)).save(path)
    return root
