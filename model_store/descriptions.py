"""Models as text for people and as plain objects for programs."""

from collections.abc import Iterator
from typing import Any

from model_store.bundle import Bundle
from model_store.comparing import Diff, sentence
from model_store.errors import BundleError, StoreDamaged, VersionNotFound
from model_store.manifest import Metrics
from model_store.store.store import ModelStore


def list_models(store: ModelStore) -> list[dict[str, Any]]:
    """Return one object per model; what is damaged has `error` instead of a current version.

    Raises:
        StoreUnreachable: object storage does not answer, which says nothing of any model.
        StoreUnwritable: a manifest cannot be kept in the cache.
    """
    return [_list_one(store, name) for name in store.names()]


def _list_one(store: ModelStore, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "versions": store.versions(name)}
    try:
        current = store.current(name)
        row["current"] = current.model_dump(mode="json") if current else None
        if current:
            manifest = store.bundle(name, current.version).manifest
            row["labels"] = len(manifest.labels)
            row["height"], row["width"] = manifest.image.height, manifest.image.width
            row["accuracy"] = manifest.metrics.accuracy if manifest.metrics else None
    except (BundleError, StoreDamaged, VersionNotFound) as error:
        row["error"] = str(error)
    return row


def listing(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield one line per model."""
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        yield f"{row['name']:<{width}}  {_row_text(row)}"


def _row_text(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"damaged: {row['error']}"
    shown = ", ".join(map(str, row["versions"][-5:]))
    versions = shown if len(row["versions"]) <= 5 else f"…, {shown}"
    if not row["current"]:
        return f"versions {versions}, none promoted"
    accuracy = f", {row['accuracy']:.2%} accurate" if row["accuracy"] is not None else ""
    return (
        f"version {row['current']['version']} of {versions}: "
        f"{row['labels']} labels, {row['height']} x {row['width']} pixels{accuracy}"
    )


def describe(bundle: Bundle) -> Iterator[str]:
    """Yield what a manifest says, line by line."""
    manifest = bundle.manifest
    size = sum(record.size for record in manifest.files.values())
    yield f"{manifest.name} {manifest.version}, published {manifest.created_at:%Y-%m-%d %H:%M} UTC"
    yield f"  folder    {bundle.folder} ({len(manifest.files)} files, {size / 1e6:.1f} MB)"
    more = ", …" if len(manifest.labels) > 12 else ""
    yield f"  labels    {len(manifest.labels)}: {', '.join(manifest.labels[:12])}{more}"
    yield f"  images    {manifest.image.height} x {manifest.image.width}, {manifest.image.color}"
    yield f"  network   {sum(layer.parameters for layer in manifest.layers):,} parameters"
    for layer in manifest.layers:
        shape = " x ".join(str(size) for size in layer.output_shape[1:])
        yield f"            {layer.kind:<14} {shape:>12} {layer.parameters:>14,}"
    yield f"  metrics   {_metrics(manifest.metrics)}"
    for name, record in manifest.engines.items():
        mark = " (default)" if name == manifest.default_engine else ""
        times = sorted(record.latency_ms.items(), key=lambda item: int(item[0]))
        speed = ", ".join(f"{milliseconds:.2f} ms for {size}" for size, milliseconds in times)
        yield f"  engine    {name}{mark}{': ' if speed else ''}{speed}"


def _metrics(metrics: Metrics | None) -> str:
    if metrics is None:
        return "none: it was imported"
    return (
        f"accuracy {metrics.accuracy:.2%} on {metrics.images} {metrics.split} images "
        f"(majority class {metrics.majority_share:.2%}), loss {metrics.loss:.4f}, "
        f"calibration error {metrics.ece:.2%}"
    )


def describe_diff(found: Diff, new: int) -> Iterator[str]:
    """Yield what two versions answer differently, and what that means."""
    for change in found.changes:
        mark = "better" if change.new == change.truth else "worse"
        if change.truth not in (change.old, change.new):
            mark = "wrong both times"
        yield f"{change.name}: {change.old} -> {change.new} ({change.truth} is right: {mark})"
    yield f"{len(found.changes)} of {found.images} images change their answer."
    if found.seen:
        yield f"{found.seen} of them were trained on, and do not count in the comparison."
    yield f"Version {new}: {sentence(found.comparison)}."
    for name, reason in found.unreadable.items():
        yield f"unreadable: {name}: {reason}"
