"""The page: its chapters in order, its style, and the promise that it needs nothing else."""

from collections.abc import Iterable
from pathlib import Path

from training.record import RunRecord
from training.report.evaluation import calibration, confusion, per_class
from training.report.galleries import augmentation_sheet, class_samples, predictions
from training.report.headline import headline
from training.report.learning import curves, network
from training.report.markup import Html, tag
from training.report.provenance import data_set, engines, settings
from training.report.thumbnails import thumbnails_for

_STYLE = Path(__file__).with_name("style.css")
# Even a browser that follows every link in it could fetch nothing and run nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_TITLES = {
    "samples": "Images",
    "augmentation": "Augmentation",
    "network": "Network",
    "learning": "Learning",
    "confusion": "Confusion",
    "classes": "Classes",
    "calibration": "Calibration",
    "predictions": "Right & wrong",
    "data": "Data",
    "engines": "Engines",
    "settings": "Settings",
}


def write_report(path: Path, record: RunRecord) -> None:
    """Write everything `record` knows into one HTML file that needs nothing else.

    Args:
        path: of the file, replaced if it exists; its folder must exist.
        record: the run. Images are downscaled so that the file stays within a few megabytes; with
            `images_in_report` False the file holds none of them.
    """
    path.write_text(f"<!DOCTYPE html>\n{_page(record)}\n", encoding="utf-8")


def _page(record: RunRecord) -> Html:
    title = f"{record.name}: Halftone training report"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    chapters = _chapters(record)
    body = tag("body", headline(record), _contents(chapters), tag("main", *chapters.values()))
    return tag("html", head, body, lang="en")


def _contents(chapters: Iterable[str]) -> Html:
    links = (tag("a", _TITLES[anchor], href=f"#{anchor}") for anchor in chapters)
    return tag("nav", *links, aria_label="Chapters")


def _chapters(record: RunRecord) -> dict[str, Html]:
    """Return the chapters by their anchors; those made of images only where they are wanted."""
    thumbnails = thumbnails_for(record)
    chapters = {
        "network": network(record),
        "learning": curves(record),
        "confusion": confusion(record),
        "classes": per_class(record),
        "calibration": calibration(record),
        "data": data_set(record),
        "engines": engines(record),
        "settings": settings(record),
    }
    if record.images_in_report:
        chapters["samples"] = class_samples(record, thumbnails)
        chapters["augmentation"] = augmentation_sheet(record, thumbnails)
        chapters["predictions"] = predictions(record, thumbnails)
    return {anchor: chapters[anchor] for anchor in _TITLES if anchor in chapters}
