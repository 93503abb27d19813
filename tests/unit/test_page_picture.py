"""The README opens with a picture of the page that is small enough to be loaded by everybody."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def test_readme_opens_with_a_small_picture_of_the_page():
    opening = (ROOT / "README.md").read_text().partition("\n## ")[0]
    (name,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", opening)
    picture = (ROOT / name).read_bytes()

    assert picture.startswith(PNG)
    assert len(picture) < 300_000
