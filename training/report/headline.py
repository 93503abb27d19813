"""The first screen: what was trained, how good it is, and how sure that is."""

from collections.abc import Iterator

from training.metrics import accuracy_interval
from training.record import RunRecord
from training.report.markup import NBSP, Html, count, duration, join, paragraph, percent, tag


def headline(record: RunRecord) -> Html:
    """Return the page's header with its key figures."""
    return tag(
        "header",
        paragraph("Halftone training report", class_="kicker"),
        tag("h1", record.name),
        paragraph(_what(record), class_="lead"),
        *_notices(record),
        tag("ul", *_tiles(record), class_="tiles", role="list"),
    )


def _what(record: RunRecord) -> str:
    spec, settings = record.spec, record.settings
    widths = (spec.height * spec.width, *settings.hidden, len(record.labels))
    units = " → ".join(map(count, widths))
    made = f" on {record.created_at:%d %B %Y}" if record.created_at else ""
    images = record.dataset.images.get("train", sum(record.dataset.images.values()))
    return (
        f"A network of {units} units that tells {len(record.labels)} classes apart in grayscale "
        f"images of {spec.height} × {spec.width} pixels (height × width), trained{made} on "
        f"{count(images, 'image')} in {duration(settings.seconds)}."
    )


def _notices(record: RunRecord) -> Iterator[Html]:
    if record.interrupted:
        epochs = count(record.settings.epochs, "epoch")
        yield paragraph(f"Training was interrupted after {epochs}.", class_="notice")
    if not record.images_in_report:
        yield paragraph(
            "Without images, as asked for when training was started: no samples, no augmentation "
            "sheet, no gallery of predictions.",
            class_="notice",
        )


def _tiles(record: RunRecord) -> Iterator[Html]:
    test = record.test
    wrong = round(test.images * (1 - test.accuracy))
    low, high = accuracy_interval(test.images - wrong, test.images)
    yield _tile(
        f"Accuracy, {test.split} split",
        percent(test.accuracy),
        f"95 % interval {100 * low:.2f} – {percent(high)}; "
        f"{count(wrong)} of {count(test.images)} wrong",
        class_="hero",
    )
    yield _tile(
        "Balanced accuracy",
        percent(test.balanced_accuracy),
        f"mean over the classes; the commonest class alone gives {percent(test.majority_share, 1)}",
    )
    yield _tile("Loss", f"{test.loss:.4f}", "mean cross-entropy in nats, lower is better")
    calibration = record.calibration
    yield _tile(
        "Calibration error",
        percent(calibration.ece_after),
        f"ECE, {percent(calibration.ece_before)} before temperature {calibration.temperature:.3g}",
    )
    yield from _speed(record)


def _speed(record: RunRecord) -> Iterator[Html]:
    engine = record.default_engine
    if engine is None or (ms := record.engines[engine].latency_ms.get("1")) is None:
        return
    shown = f"{ms:.3g}" if ms >= 1 else f"{ms:.2g}"
    yield _tile("One forward pass", f"{shown}{NBSP}ms", f"median for one image, {engine}")


def _tile(name: str, value: str, note: str, class_: str | None = None) -> Html:
    body = join(
        [tag("span", name, class_="name"), tag("strong", value), tag("span", note, class_="note")]
    )
    return tag("li", body, class_=class_)
