"""The page: its chapters in order, and the promise that it needs nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.judge.metrics import CALIBRATION_BINS
from training.record import RunRecord
from training.report import choosing, images, numbers, text

# Title in the navigation, and what computes the chapter's numbers; None leaves the chapter out.
# A new chapter is a line here and a `chapter` block, at the same place, in report.html.
_CHAPTERS: dict[str, tuple[str, Callable[[RunRecord], Any]]] = {
    "comparisons": ("Worth", choosing.comparisons),
    "confusion": ("Confusion", numbers.confusion),
    "classes": ("Classes", numbers.classes),
    "predictions": ("Right & wrong", images.predictions),
    "calibration": ("Calibration", numbers.calibration),
    "samples": ("Images", images.class_samples),
    "augmentation": ("Augmentation", images.augmented),
    "data": ("Data", numbers.data),
    "choosing": ("Choice", choosing.choice),
    "learning": ("Learning", numbers.learning),
    "network": ("Network", numbers.network),
    "engines": ("Engines", numbers.engines),
    "settings": ("Settings", numbers.settings),
}


def write_report(path: Path, record: RunRecord) -> None:
    """Write everything `record` knows into one HTML file that needs nothing else.

    Args:
        path: of the file, replaced if it exists; its folder must exist.
        record: the run. Images are downscaled so that the file stays within a few megabytes; with
            `images_in_report` False the file holds none of them.
    """
    found = {anchor: of(record) for anchor, (_, of) in _CHAPTERS.items()}
    page = _environment().get_template("report.html").render(
        run=record,
        headline=numbers.headline(record),
        titles={anchor: _CHAPTERS[anchor][0] for anchor in found if found[anchor] is not None},
        numbers=found,
        thumbnail=images.thumbnails_for(record),
        calibration_bins=CALIBRATION_BINS,
    )  # fmt: skip
    path.write_text(page, encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for write in (text.percent, text.count, text.duration, text.milliseconds):
        environment.filters[write.__name__] = write
    return environment
