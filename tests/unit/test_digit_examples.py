"""The examples of the shipped model are those that the script draws, and are answered right."""

import shutil
from pathlib import Path

import pytest

from model_store.bundle import open_model, pixels_sha256, probe_pixels, read_bundle
from model_store.pixels.preprocessing import preprocess
from scripts.draw_digits import BUNDLE, add_examples, draw


def test_the_shipped_model_answers_its_ten_examples_right():
    bundle = read_bundle(BUNDLE)
    shown = [not probe.drawn for probe in bundle.manifest.probes]
    model = open_model(bundle)
    answers = model.predict(probe_pixels(bundle)[shown])
    model.close()

    assert answers.argmax(axis=1).tolist() == list(range(10))
    assert answers.max(axis=1).min() > 0.99


def test_the_shipped_examples_are_those_that_the_script_draws():
    manifest = read_bundle(BUNDLE).manifest
    shown = [probe.pixels_sha256 for probe in manifest.probes if not probe.drawn]

    assert shown == [pixels_sha256(preprocess(draw(digit), manifest.image)) for digit in range(10)]


def test_drawing_them_again_leaves_the_rest_of_the_bundle(tmp_path):
    pytest.importorskip("tensorflow")
    shipped = read_bundle(BUNDLE).manifest
    folder = Path(shutil.copytree(BUNDLE, tmp_path / "1"))
    add_examples(folder)  # which verifies it

    again = read_bundle(folder).manifest
    examples = {probe.file for probe in shipped.probes if not probe.drawn}
    assert [probe.file for probe in again.probes] == [probe.file for probe in shipped.probes]
    assert again.probes[:10] == shipped.probes[:10]
    for path in shipped.files.keys() - examples:
        assert again.files[path] == shipped.files[path]
