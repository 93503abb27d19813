"""Whatever was done to a bundle after it was published, it is refused before it serves."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import edit_config
from two_versions import TwoVersions

from model_store.bundle import (
    Bundle,
    candidates,
    engine_files,
    open_model,
    read_bundle,
    record_files,
)
from model_store.errors import (
    BundleError,
    CorruptBundle,
    EngineUnavailable,
    IncompatibleModel,
    InvalidManifest,
    ModelStoreError,
    ProbeMismatch,
    UnsafeModel,
)
from model_store.making.probes import write_probes
from model_store.manifest import Manifest
from model_store.manifest_file import encode_manifest
from model_store.store.seen import seen_by
from model_store.store.store import ModelStore
from model_store.verification import verify

SHIPPED = Path(__file__).resolve().parents[3] / "models" / "digits" / "1"


@pytest.fixture
def bundle(tiny_store: ModelStore) -> Bundle:
    """One that may be damaged."""
    return tiny_store.bundle("tiny")


@pytest.fixture
def other_weights(two_versions: TwoVersions) -> Bundle:
    """A sound bundle of the same name, layers and labels, trained otherwise."""
    return two_versions.store.bundle("tiny", 2)


def reseal(bundle: Bundle, **changes: Any) -> Bundle:
    """Write hashes and digest anew, as somebody who knows how would."""
    fields = {name: getattr(bundle.manifest, name) for name in Manifest.model_fields}
    manifest = Manifest(**(fields | {"files": record_files(bundle.folder)} | changes))
    (bundle.folder / "manifest.json").write_bytes(encode_manifest(manifest))
    return read_bundle(bundle.folder)


def test_every_engine_answers_as_the_keras_model(shared_tiny_store):
    bundle = shared_tiny_store.bundle("tiny")
    images = np.random.default_rng(1).integers(0, 256, (7, 12, 10), np.uint8)
    expected = open_model(bundle, "keras").predict(images)

    for engine in bundle.manifest.engines:
        model = open_model(bundle, engine)
        answers = model.predict(images)
        model.close()

        assert answers.shape == (7, 3)
        assert answers.dtype == np.float32
        assert np.abs(answers - expected).max() < 0.05
        assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_a_bundle_of_the_first_schema_still_opens_and_says_what_it_did():
    bundle = read_bundle(SHIPPED)
    manifest = bundle.manifest

    assert manifest.schema_version == 1
    assert (manifest.training.pool, manifest.training.selection) == (1, None)
    assert (manifest.baselines, manifest.comparison) == ((), None)
    assert seen_by(bundle) is None
    assert verify(bundle).engines
    model = open_model(bundle)
    assert model.predict(np.zeros((2, 28, 28), np.uint8)).shape == (2, 10)
    model.close()


def test_an_engine_the_bundle_lacks_is_named_with_those_it_has(bundle):
    keras_only = {"keras": bundle.manifest.engines["keras"]}
    poorer = reseal(bundle, engines=keras_only, default_engine="keras")

    with pytest.raises(EngineUnavailable, match="engines: keras. Received: openvino-int8"):
        open_model(poorer, "openvino-int8")


def test_auto_takes_the_default_first_and_then_the_ladder(bundle):
    reordered = reseal(bundle, default_engine="openvino-f32").manifest

    ladder = ["openvino-f32", "openvino-int8", "openvino-bf16", "keras"]
    assert candidates(reordered, "auto") == [name for name in ladder if name in reordered.engines]
    assert candidates(reordered, "keras") == ["keras"]


def test_an_engine_that_does_not_work_here_is_skipped_with_a_warning(bundle, monkeypatch):
    def unavailable(*_: object, **__: object) -> None:
        raise EngineUnavailable("this CPU has no AMX")

    monkeypatch.setattr("model_store.engines.openvino.load", unavailable)

    model = open_model(bundle)

    assert model.engine_name == "keras"
    assert len(model.warnings) == len(bundle.manifest.engines) - 1
    assert "AMX" in model.warnings[0]
    with pytest.raises(EngineUnavailable, match="AMX"):
        open_model(bundle, "openvino-f32")


def test_large_files_of_other_engines_are_not_hashed_to_serve(bundle, monkeypatch):
    monkeypatch.setattr("model_store.bundle._SMALL_FILE_BYTES", 2000)

    needed = bundle.files_to_serve("openvino-f32")

    assert {"engine/openvino-f32.bin", "engine/openvino-f32.xml", "probe/00.png"} <= needed
    assert not {"model.keras", "engine/openvino-int8.bin"} & needed


Damage = Callable[[Path], object]


def _replace_by_link_to_itself(path: Path) -> None:
    moved = path.parent.parent.parent / "elsewhere"
    shutil.move(path, moved)
    path.symlink_to(moved)


def _flip(path: Path, place: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)


DAMAGES: dict[str, Damage] = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "emptied": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "first bit": lambda path: _flip(path, 0, 1),
    "last bit": lambda path: _flip(path, -1, 0x80),
    "removed": lambda path: path.unlink(),
    "a link to itself": _replace_by_link_to_itself,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_any_damage_to_any_file_is_refused(shared_tiny_store, tmp_path, damage):
    pristine = shared_tiny_store.bundle("tiny").folder
    files = sorted(path for path in pristine.rglob("*") if path.is_file())
    assert len(files) > 10

    for number, file in enumerate(files):
        folder = tmp_path / str(number) / "tiny" / "1"
        shutil.copytree(pristine, folder)
        damage(folder / file.relative_to(pristine))
        with pytest.raises(BundleError):
            open_model(read_bundle(folder))


def test_any_two_swapped_files_are_refused(shared_tiny_store, tmp_path):
    pristine = shared_tiny_store.bundle("tiny").folder
    files = sorted(path for path in pristine.rglob("*") if path.is_file())

    for first, second in zip(files, files[1:], strict=False):
        folder = tmp_path / first.name / "1"
        shutil.copytree(pristine, folder)
        shutil.copyfile(first, folder / second.relative_to(pristine))
        shutil.copyfile(second, folder / first.relative_to(pristine))
        with pytest.raises(BundleError):
            open_model(read_bundle(folder))


@pytest.mark.parametrize(
    "name", ["extra.txt", "engine/extra.bin", "probe/extra.png", "deep/er/file", ".DS_Store"]
)
def test_a_file_that_is_not_listed_is_refused(bundle, name):
    (bundle.folder / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle.folder / name).write_bytes(b"x")

    with pytest.raises(CorruptBundle, match=r"not listed"):
        open_model(bundle)


GONE = object()
EDITS = [  # where in the document, and what is put there
    ("labels", ["square", "cross", "circle"]),
    ("labels 0", "triangle"),
    ("engines keras probe_tolerance", 1.0),
    ("image orientation", "ignore"),
    ("probes 0 probabilities 0", 0.5),
    ("probes 0", GONE),
    ("schema_version", 3),
    ("comment", "hello"),
    ("image alpha_background", GONE),
    ("engines keras file", "../../etc/passwd"),
    ("manifest_sha256", GONE),
]


@pytest.mark.parametrize(("where", "value"), EDITS, ids=[where for where, _ in EDITS])
def test_a_manifest_edited_by_hand_is_refused(bundle, where, value):
    path = bundle.folder / "manifest.json"
    part = document = json.loads(path.read_text())
    *outer, last = [int(step) if step.isdigit() else step for step in where.split()]
    for step in outer:
        part = part[step]
    if value is GONE:
        del part[last]
    else:
        part[last] = value
    path.write_text(json.dumps(document))

    with pytest.raises(InvalidManifest):
        read_bundle(bundle.folder)


def test_a_manifest_that_was_only_formatted_anew_is_accepted(bundle):
    path = bundle.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))

    assert read_bundle(bundle.folder).manifest == bundle.manifest


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "NaN", '{"a": NaN}', "[" * 100_000, "\ud800"]
)
def test_a_manifest_that_is_no_document_is_refused(bundle, text):
    (bundle.folder / "manifest.json").write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(InvalidManifest):
        read_bundle(bundle.folder)


@pytest.mark.parametrize("engine", ["keras", "openvino-f32", "openvino-int8"])
def test_other_weights_under_right_hashes_are_found_by_the_probes(bundle, other_weights, engine):
    if not {engine} <= set(bundle.manifest.engines) & set(other_weights.manifest.engines):
        pytest.skip(f"this host exports no {engine}")
    for path in engine_files(bundle.manifest, engine):
        shutil.copyfile(other_weights.folder / path, bundle.folder / path)
    resealed = reseal(bundle)

    with pytest.raises(ProbeMismatch, match="answers the probes differently"):
        open_model(resealed, engine)
    with pytest.raises(ProbeMismatch):
        verify(resealed)


def test_a_probe_that_is_no_image_is_found(bundle):
    (bundle.folder / "probe/00.png").write_bytes(b"hello")

    with pytest.raises(ProbeMismatch, match="cannot be preprocessed"):
        open_model(reseal(bundle))


def test_another_specification_is_found_by_the_pixels(bundle):
    other = bundle.manifest.image.model_copy(update={"resampling": "lanczos"})

    with pytest.raises(ProbeMismatch, match="other pixels"):
        open_model(reseal(bundle, image=other))


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c", "d")])
@pytest.mark.parametrize("engine", ["keras", "openvino-f32", "auto"])
def test_another_number_of_labels_is_refused(bundle, labels, engine):
    probes = tuple(
        probe.model_copy(update={"probabilities": (1 / len(labels),) * len(labels)})
        for probe in bundle.manifest.probes
    )

    with pytest.raises((IncompatibleModel, ProbeMismatch)):
        open_model(reseal(bundle, labels=labels, probes=probes), engine)


def test_weights_that_are_not_numbers_are_refused(bundle, tmp_path):
    from model_store.engines.keras import load_model
    from model_store.engines.keras_archive import read_archive
    from model_store.making.assembling import save_model

    model = load_model(read_archive(bundle.folder / "model.keras"))
    kernel = np.asarray(model.weights[0].value).copy()
    kernel[0, 0] = np.nan
    model.weights[0].assign(kernel)
    save_model(model, bundle.folder / "model.keras")
    everything = {"keras": bundle.manifest.engines["keras"]}

    with pytest.raises(IncompatibleModel, match="NaN"):
        open_model(reseal(bundle, engines=everything, default_engine="keras"))
    assert list(tmp_path.rglob("weights.*")) == []


def test_a_lambda_under_right_hashes_is_refused(bundle):
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][-1] |= {"class_name": "Lambda"}

    edit_config(bundle.folder / "model.keras", change)

    with pytest.raises(UnsafeModel, match="Lambda"):
        open_model(reseal(bundle), "keras")


def test_an_engine_file_that_reads_others_is_refused(bundle):
    path = bundle.folder / "engine/openvino-f32.xml"
    text = path.read_text()
    assert 'type="ReLU"' in text
    path.write_text(text.replace('type="ReLU"', 'type="ReadValue"'))

    with pytest.raises(ModelStoreError):
        open_model(reseal(bundle), "openvino-f32")


def test_the_store_refuses_to_promote_what_was_damaged(tiny_store):
    _flip(tiny_store.root / "tiny" / "1" / "model.keras", -1, 0x80)

    with pytest.raises(CorruptBundle):
        tiny_store.promote("tiny", 1)


def test_drawn_probes_are_the_same_every_time(bundle, tmp_path):
    spec = bundle.manifest.image
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    first, pixels = write_probes(tmp_path / "a", spec, [])
    second, again = write_probes(tmp_path / "b", spec, [])

    assert first == second
    assert np.array_equal(pixels, again)
    assert {path.rpartition(".")[2] for path in first} == {"png", "jpg", "gif", "webp", "bmp"}
    assert len({image.tobytes() for image in pixels}) == len(pixels) >= 10
