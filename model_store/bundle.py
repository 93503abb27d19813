"""One published model: read its manifest, verify its files, open it, replay its probes."""

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_store.engines import Engine, open_engine
from model_store.errors import CorruptBundle, EngineUnavailable, ImageError, ProbeMismatch
from model_store.manifest import MANIFEST_FILE, EngineName, FileRecord, Manifest
from model_store.manifest_file import read_manifest
from model_store.pixels.preprocessing import preprocess

LADDER: tuple[EngineName, ...] = ("openvino-int8", "openvino-bf16", "openvino-f32", "keras")

# Files up to this size are hashed at every opening, even those the engine does not read.
_SMALL_FILE_BYTES = 64 << 20
_HASHING_THREADS = 2  # SHA-256 runs at 1 to 2 GB/s on each

# Brings the files with these paths into a bundle's folder.
Fetch = Callable[[Collection[str]], None]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder with a valid manifest. Its files are not trusted until they are verified.

    Attributes:
        folder: where the files are.
        manifest: what they should be.
        fetch: None: all files are there. Else they come when they are verified, and not before.
    """

    folder: Path
    manifest: Manifest
    fetch: Fetch | None = None

    def verify_files(self, only: Collection[str] | None = None) -> None:
        """Check that exactly the listed files are there, with their sizes and hashes.

        Args:
            only: paths whose hashes are computed; None: all. Presence and size are always checked,
                but for files that would first have to be fetched.

        Raises:
            CorruptBundle: a file is missing, unlisted, a symlink, or differs; the message names it.
        """
        paths = sorted(self.manifest.files if only is None else only)
        if self.fetch is not None:
            self.fetch(paths)
        self._verify_listing(self.manifest.files if self.fetch is None else paths)
        for path, digest in _hash_files(self.folder, paths).items():
            if digest != self.manifest.files[path].sha256:
                raise CorruptBundle(f"{path}: its SHA-256 differs from the recorded one")

    def files_to_serve(self, engine: EngineName) -> set[str]:
        """Return what must be verified before `engine` serves.

        That is everything but the large weights of other engines: at 960 x 480, hashing those
        would cost more time than starting the service. What is fetched is what the engine reads.
        """
        files = self.manifest.files if self.fetch is None else {}
        small = {path for path, record in files.items() if record.size <= _SMALL_FILE_BYTES}
        return small | engine_files(self.manifest, engine)

    def _verify_listing(self, expected: Collection[str]) -> None:
        found = dict(list_files(self.folder))
        listed = self.manifest.files
        if missing := sorted(set(expected) - set(found)):
            raise CorruptBundle(f"{missing[0]}: listed in the manifest, and missing")
        if extra := sorted(set(found) - set(listed)):
            raise CorruptBundle(f"{extra[0]}: not listed in the manifest")
        for path, size in found.items():
            if size != listed[path].size:
                raise CorruptBundle(f"{path}: expected {listed[path].size} bytes. Received: {size}")


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest and nothing else.

    Raises:
        InvalidManifest: it is missing or invalid.
    """
    return Bundle(folder, read_manifest(folder))


def engine_files(manifest: Manifest, engine: EngineName) -> set[str]:
    """Return the files an engine reads: its own, and those of the same stem, as .xml and .bin."""
    stem = PurePosixPath(manifest.engines[engine].file).with_suffix("")
    return {path for path in manifest.files if PurePosixPath(path).with_suffix("") == stem}


def list_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield (path with slashes, size in bytes) of every file of a bundle but the manifest.

    Raises:
        CorruptBundle: there is a symlink, a device, or anything else but files and folders.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        try:
            status = path.lstat()
        except OSError as error:
            raise CorruptBundle(f"{name}: cannot be read: {error.strerror}") from error
        if stat.S_ISREG(status.st_mode):
            if name != MANIFEST_FILE:
                yield name, status.st_size
        elif not stat.S_ISDIR(status.st_mode):
            raise CorruptBundle(f"{name}: neither a file nor a folder; links are not followed")


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Return size and hash of every file below `folder` but the manifest."""
    sizes = dict(list_files(folder))
    digests = _hash_files(folder, sizes)
    return {path: FileRecord(size=sizes[path], sha256=digests[path]) for path in sizes}


def _hash_files(folder: Path, paths: Collection[str]) -> dict[str, str]:
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        digests = pool.map(lambda path: hash_file(folder / path), paths)
        return dict(zip(paths, digests, strict=True))


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hex digits, without following a link.

    Raises:
        CorruptBundle: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptBundle(f"{path.name}: cannot be read: {error.strerror}") from error


class Model:
    """A verified bundle with its engine, ready to answer. One thread at a time may infer.

    `inputs`, `infer`, `predict` and `close` are the engine's: see `Engine`.
    """

    def __init__(
        self, bundle: Bundle, engine_name: EngineName, engine: Engine, warnings: tuple[str, ...]
    ) -> None:
        self.bundle, self.manifest = bundle, bundle.manifest
        self.name, self.version = bundle.manifest.name, bundle.manifest.version
        self.labels, self.spec = bundle.manifest.labels, bundle.manifest.image
        self.engine_name, self.warnings = engine_name, warnings
        self.inputs, self.infer = engine.inputs, engine.infer
        self.predict, self.close = engine.predict, engine.close

    def read_file(self, path: str) -> bytes:
        """Return one of the files that the manifest lists; they were verified when they came.

        Raises:
            CorruptBundle: it cannot be read any more.
            StoreUnreachable: it would have to be fetched first.
        """
        if self.bundle.fetch is not None:
            self.bundle.fetch([path])
        try:
            return (self.bundle.folder / path).read_bytes()
        except OSError as error:
            raise CorruptBundle(f"{path}: cannot be read: {error.strerror}") from error


def open_model(
    bundle: Bundle,
    engine: EngineName | Literal["auto"] = "auto",
    threads: int | None = None,
    *,
    shared: bool = False,
) -> Model:
    """Verify a bundle, load an engine, and replay the probes through the real path.

    Args:
        bundle: from `ModelStore.bundle` or `read_bundle`.
        engine: "auto" takes the manifest's default, then the next of int8, bf16, f32 and Keras that
            works on this host, with a warning for each that does not.
        threads: see `open_engine`.
        shared: see `open_engine`.

    Raises:
        BundleError: the bundle must not serve.
        EngineUnavailable: no engine of the bundle works on this host.
    """
    pixels = probe_pixels(bundle)
    failures: list[EngineUnavailable | ProbeMismatch] = []
    for name in candidates(bundle.manifest, engine):
        bundle.verify_files(bundle.files_to_serve(name))
        try:
            loaded = open_checked(bundle, name, threads, pixels, shared=shared)
        except (EngineUnavailable, ProbeMismatch) as error:
            # Another processor may compute an engine differently; files and pixels never differ.
            failures.append(error)
        else:
            return Model(bundle, name, loaded, tuple(map(str, failures)))
    mismatch = any(isinstance(error, ProbeMismatch) for error in failures)
    raise (ProbeMismatch if mismatch else EngineUnavailable)("; ".join(map(str, failures)))


def candidates(manifest: Manifest, engine: EngineName | Literal["auto"]) -> list[EngineName]:
    """Return the engines to try, in order.

    Raises:
        EngineUnavailable: the bundle has no such engine.
    """
    if engine == "auto":
        order = dict.fromkeys((manifest.default_engine, *LADDER))
        return [name for name in order if name in manifest.engines]
    if engine not in manifest.engines:
        raise EngineUnavailable(
            f"Expected one of the bundle's engines: {', '.join(manifest.engines)}. "
            f"Received: {engine}"
        )
    return [engine]


def open_checked(
    bundle: Bundle,
    name: EngineName,
    threads: int | None,
    pixels: NDArray[np.uint8],
    *,
    shared: bool = False,
) -> Engine:
    """Open one engine as `open_engine` does, and compare it with the pixels of `probe_pixels`.

    Raises:
        EngineUnavailable: it does not work on this host.
        ProbeMismatch: it answers differently than when it was published.
        BundleError: it must not be loaded.
    """
    engine = open_engine(name, bundle.folder, bundle.manifest, threads, shared=shared)
    try:
        _check_probabilities(bundle.manifest, name, engine.predict(pixels))
    except BaseException:
        engine.close()
        raise
    return engine


def probe_pixels(bundle: Bundle) -> NDArray[np.uint8]:
    """Decode the probes and compare their pixels with the recorded ones.

    Returns:
        (probes, H, W) uint8.

    Raises:
        CorruptBundle: a probe file differs.
        ProbeMismatch: this installation turns the same bytes into other pixels.
    """
    manifest = bundle.manifest
    bundle.verify_files([probe.file for probe in manifest.probes])
    spec = manifest.image
    pixels = np.empty((len(manifest.probes), spec.height, spec.width), np.uint8)
    for row, probe in zip(pixels, manifest.probes, strict=True):
        try:
            preprocess((bundle.folder / probe.file).read_bytes(), spec, out=row)
        except ImageError as error:
            raise ProbeMismatch(f"{probe.file}: cannot be preprocessed: {error}") from error
        if pixels_sha256(row) != probe.pixels_sha256:
            raise ProbeMismatch(
                f"{probe.file}: preprocessing gives other pixels here than when the model was "
                "published; the versions of Pillow probably differ. Publish it again here"
            )
    return pixels


def pixels_sha256(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of (H, W) uint8 pixels in row order."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _check_probabilities(
    manifest: Manifest, name: EngineName, received: NDArray[np.float32]
) -> None:
    expected = np.array([probe.probabilities for probe in manifest.probes], np.float32)
    if received.shape != expected.shape:
        raise ProbeMismatch(f"{name}: expected {expected.shape} outputs. Got {received.shape}")
    if not np.isfinite(received).all():
        raise ProbeMismatch(f"{name}: gives probabilities that are not finite")
    difference = float(np.abs(received - expected).max())
    tolerance = manifest.engines[name].probe_tolerance
    if difference > tolerance:
        raise ProbeMismatch(
            f"{name}: answers the probes differently than when it was published: "
            f"a probability is off by {difference:.4f}, more than {tolerance:.4f}"
        )
