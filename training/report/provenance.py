"""Where the model comes from: data, settings, versions, times, engines."""

from collections.abc import Iterator

from model_store.manifest import EngineRecord
from training.record import RunRecord
from training.report.markup import (
    NBSP,
    Html,
    count,
    duration,
    facts,
    paragraph,
    percent,
    section,
    table,
    tag,
)


def data_set(record: RunRecord) -> Html:
    """Say which images were used and what the check of them found."""
    if record.findings:
        found = tag("ul", *(tag("li", sentence) for sentence in record.findings), class_="findings")
    else:
        found = paragraph("The check found nothing to object to.", class_="notice good")
    dataset = record.dataset
    splits = ((f"{split} images", count(number)) for split, number in dataset.images.items())
    fingerprint = tag("code", dataset.fingerprint, class_="hash")
    pairs = [
        *splits,
        ("classes", count(len(record.labels))),
        ("unreadable files", count(dataset.unreadable)),
    ]
    return section(
        "data",
        "The data",
        facts(pairs),
        paragraph("Fingerprint, over every split, label and pixel: ", fingerprint),
        tag("h3", "What the check found"),
        found,
    )


def engines(record: RunRecord) -> Html:
    """Compare the ways to run the model: how far from Keras's answers, and how fast."""
    intro = paragraph(
        "The same network, exported for serving, measured on this machine: agreement with the "
        "float32 Keras model, the difference Δp of its probabilities, and the median time of one "
        "forward pass."
    )
    sizes = sorted({size for e in record.engines.values() for size in e.latency_ms}, key=int)
    head = ["engine", "same answer", "mean |Δp|", "largest |Δp|", *(f"batch of {n}" for n in sizes)]
    rows = (_engine(name, engine, sizes, record) for name, engine in record.engines.items())
    return section("engines", "Engines", intro, table("Engines of this bundle", head, rows))


def settings(record: RunRecord) -> Html:
    """List what reproduces the run."""
    versions = table("Libraries", ["library", "version"], sorted(record.libraries.items()))
    return section(
        "settings",
        "Settings, versions, times",
        facts(_choices(record)),
        tag("div", versions, _times(record), class_="charts"),
    )


def _engine(name: str, engine: EngineRecord, sizes: list[str], record: RunRecord) -> list[str]:
    shown = tag("b", f"{name} ★", title="the default") if name == record.default_engine else name
    parity = engine.parity
    compared = (
        [percent(parity.top1_agreement), f"{parity.mean_abs_dp:.2g}", f"{parity.max_abs_dp:.2g}"]
        if parity
        else ["the reference", "–", "–"]
    )
    times = (engine.latency_ms.get(size) for size in sizes)
    return [shown, *compared, *("–" if ms is None else f"{ms:.3g}{NBSP}ms" for ms in times)]


def _choices(record: RunRecord) -> Iterator[tuple[str, str]]:
    chosen, spec = record.settings, record.spec
    yield "hidden layers", " · ".join(map(str, chosen.hidden)) or "none"
    yield "dropout", f"{chosen.dropout:g}"
    yield "augmentation", chosen.augmentation
    yield "epochs", f"{chosen.epochs}, weights of epoch {chosen.best_epoch}"
    yield "batch size", count(chosen.batch_size)
    yield "learning rate", f"{chosen.learning_rate:g}"
    yield "weight decay", f"{chosen.weight_decay:g}"
    yield "seed", str(chosen.seed)
    yield "temperature", f"{record.calibration.temperature:.4g}"
    yield "image size", f"{spec.height} × {spec.width} (height × width), {spec.color}"
    yield "resampling", spec.resampling
    yield "orientation", spec.orientation
    yield "behind transparency", f"grey level {spec.alpha_background}"
    yield "formats", ", ".join(spec.formats)
    yield "ink normalisation", f"box of {spec.ink.box} pixels" if spec.ink else "none"


def _times(record: RunRecord) -> Html:
    longest = max(record.seconds.values(), default=0) or 1
    rows = (
        [stage, tag("span", duration(s)), tag("i", class_="bar", style=f"--p:{s / longest:.3f}")]
        for stage, s in record.seconds.items()
    )
    return table("Times", ["stage", "wall time", ""], rows, class_="times")
