"""Write scikit-learn's 1797 handwritten digits as PNGs, one folder per digit."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from model_store.pixels.preprocessing import encode_png


def write_digits(folder: Path) -> int:
    """Write each digit to `folder/LABEL/NNNN.png`, 8 by 8 pixels, bright ink on black.

    Returns:
        How many images there are.
    """
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(_to_bytes(image)))
    return len(digits.target)


def _to_bytes(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    scaled = np.rint(image * (255 / 16))  # (8, 8); scikit-learn counts ink from 0 to 16
    return scaled.astype(np.uint8)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    sys.stderr.write(f"{write_digits(target)} images of digits in {target}\n")
