"""Images: samples of every class, the augmentation sheet, right and wrong predictions."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.record import RunRecord, Sample
from training.report.markup import Html, count, folded, paragraph, percent, section, tag
from training.report.thumbnails import Thumbnails

_CLASSES_SHOWN = 20


def class_samples(record: RunRecord, thumbnails: Thumbnails) -> Html:
    """Show a few training images of each class."""
    intro = paragraph(
        f"Training images after preprocessing, {record.spec.height} × {record.spec.width} pixels: "
        "exactly what training and serving feed to the network."
    )
    strips = [_strip(label, images, thumbnails) for label, images in record.class_samples.items()]
    shown = [tag("div", *strips[:_CLASSES_SHOWN], class_="strips")]
    if rest := strips[_CLASSES_SHOWN:]:
        more = tag("div", *rest, class_="strips")
        shown.append(folded(f"{count(len(rest), 'more class', 'more classes')}", more))
    return section("samples", "What the model sees", intro, *shown)


def augmentation_sheet(record: RunRecord, thumbnails: Thumbnails) -> Html:
    """Show originals, each beside what augmentation made of it."""
    name = record.settings.augmentation
    if name == "none":
        text = "None: every epoch showed the images as they are."
        return section("augmentation", "Augmentation", paragraph(text))
    intro = paragraph(
        "Every epoch showed each image in another variation; the labels stay. This is ",
        tag("code", name),
        ", the original first in each row.",
    )
    rows = (
        tag("div", *_variations(row, number, thumbnails), class_="sheet-row")
        for number, row in enumerate(record.augmented, start=1)
    )
    sheet = tag("div", *rows, class_="sheet")
    return section("augmentation", "Augmentation", intro, sheet)


def predictions(record: RunRecord, thumbnails: Thumbnails) -> Html:
    """Show the most confidently wrong predictions, then right ones."""
    wrong = _cards(record.wrong, record.labels, thumbnails) if record.wrong else _no_errors(record)
    right = _cards(record.right, record.labels, thumbnails) if record.right else paragraph("None.")
    return section(
        "predictions",
        "Right and wrong",
        tag("h3", "Wrong, the most confident first"),
        wrong,
        tag("h3", "Right"),
        right,
    )


def _no_errors(record: RunRecord) -> Html:
    return paragraph(f"No wrong prediction on the {record.test.split} split.", class_="notice good")


def _strip(label: str, images: NDArray[np.uint8], thumbnails: Thumbnails) -> Html:
    shown = [
        thumbnails.img(pixels, f"Training image {number} of class {label}")
        for number, pixels in enumerate(images, start=1)
    ]
    caption = tag("figcaption", label, title=label)
    return tag("figure", caption, tag("div", *shown, class_="thumbs"), class_="strip")


def _variations(row: NDArray[np.uint8], number: int, thumbnails: Thumbnails) -> Iterable[Html]:
    yield tag("span", thumbnails.img(row[0], f"Original {number}"), class_="original")
    for variation, pixels in enumerate(row[1:], start=1):
        yield tag("span", thumbnails.img(pixels, f"Variation {variation} of original {number}"))


def _cards(samples: Sequence[Sample], labels: Sequence[str], thumbnails: Thumbnails) -> Html:
    cards = (_card(sample, labels, thumbnails) for sample in samples)
    return tag("div", *cards, class_="gallery")


def _card(sample: Sample, labels: Sequence[str], thumbnails: Thumbnails) -> Html:
    said = int(sample.probabilities.argmax())
    right = said == sample.truth
    alt = f"Image of class {labels[sample.truth]}, taken for {labels[said]}"
    rows = [_probability(labels[said], float(sample.probabilities[said]), is_true=right)]
    if not right:
        probability = float(sample.probabilities[sample.truth])
        rows.append(_probability(labels[sample.truth], probability, is_true=True))
    caption = tag("figcaption", *rows, tag("small", tag("bdi", sample.path), title=sample.path))
    return tag("figure", thumbnails.img(sample.pixels, alt), caption, class_="card")


def _probability(label: str, probability: float, *, is_true: bool) -> Html:
    bar = tag("i", style=f"--p:{probability:.4f}", class_="bar true" if is_true else "bar")
    mark = tag("span", "✓" if is_true else "✗", role="img", aria_label=_MEANING[is_true])
    name = tag("span", mark, " ", label, class_="label", title=label)
    return tag("span", name, tag("b", percent(probability, 1)), bar, class_="answer")


_MEANING = {True: "true class", False: "not the true class"}
