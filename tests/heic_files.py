"""HEIC files, made once from synthetic pixels with pillow-heif 1.8.1: no encoder is installed here.

Each shows four quarters of 30, 90, 160 and 220, of 32 x 32 pixels, unless something else is said:

- gray: monochrome; color: 4:2:0; ten_bits: 10 bits a sample
- alpha: black, 4:4:4, less and less opaque
- turned: by irot, and by an EXIF block that repeats it, as cameras write them
- two_pictures: the quarters, then red
"""

from pathlib import Path

HERE = Path(__file__).with_name("heic")
HEIC = {path.stem: path.read_bytes() for path in sorted(HERE.glob("*.heic"))}
