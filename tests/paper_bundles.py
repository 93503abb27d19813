"""Bundles with all their files and none of the mathematics, for tests of the store itself."""

from pathlib import Path
from typing import Any

from model_store.bundle import Bundle
from model_store.manifest import BundleContents, EngineRecord, Probe
from model_store.spec import ImageSpec
from model_store.store.store import ModelStore


def contents() -> BundleContents:
    """Return what `write_files` can back."""
    engine = EngineRecord(
        file="model.keras", parity=None, latency_ms={"1": 1.0}, max_batch=8, probe_tolerance=0.01
    )
    probe = Probe(file="probe/00.png", pixels_sha256="0" * 64, probabilities=(0.25, 0.75))
    return BundleContents(
        labels=("a", "b"),
        image=ImageSpec.for_size(8, 8),
        layers=(),
        training=None,
        calibration=None,
        metrics=None,
        dataset=None,
        reference=None,
        engines={"keras": engine},
        default_engine="keras",
        probes=(probe,),
    )


def write_files(folder: Path, weights: bytes = b"weights") -> None:
    """Fill a draft."""
    (folder / "model.keras").write_bytes(weights)
    (folder / "engine").mkdir()
    (folder / "engine" / "net.xml").write_bytes(b"<net/>")
    (folder / "probe").mkdir()
    (folder / "probe" / "00.png").write_bytes(b"pixels")


def publish(
    store: ModelStore, name: str = "paper", weights: bytes = b"weights", *, promote: bool = True
) -> Bundle:
    """Publish one version."""
    with store.draft(name) as draft:
        write_files(draft.folder, weights)
        return draft.publish(contents(), promote=promote)


def paper_store(root: Path | str, cache: Path | None = None, **options: Any) -> ModelStore:
    """Return a store that hashes files and runs no engine."""
    return ModelStore(root, verify=Bundle.verify_files, cache=cache, **options)


def serving(store: ModelStore) -> tuple[int, int | None] | None:
    """Return the current and the previous version."""
    current = store.current("paper")
    return (current.version, current.previous) if current else None


def debris(root: Path) -> list[str]:
    """Return the names of what publishers left below a folder that died, or still work there."""
    return sorted(p.name for p in root.rglob("*") if p.name.startswith((".draft-", ".tmp-")))
