"""Paths in a manifest stay inside the bundle, even under a digest that is right."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from paper_bundles import paper_store, publish

from model_store.bundle import read_bundle
from model_store.errors import InvalidManifest

OUTSIDE = [
    "../evil",
    "probe/../../evil",
    "/etc/passwd",
    "probe//00.png",
    ".hidden",
    "probe/.hidden",
    "a/b/c",
    "a\\b",
    "a\nb",
    "a\x00b",
    "",
    "C:evil",
]


def write_with_right_digest(folder: Path, document: dict[str, Any]) -> None:
    """As somebody would who knows how: nothing secret goes into the digest."""
    del document["manifest_sha256"]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    document["manifest_sha256"] = hashlib.sha256(canonical).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The manifest of a bundle."""
    folder = publish(paper_store(tmp_path_factory.mktemp("models"))).folder
    return (folder / "manifest.json").read_bytes()


def test_a_digest_made_anew_is_accepted(published, tmp_path):
    write_with_right_digest(tmp_path, json.loads(published) | {"labels": ["x", "y"]})

    assert read_bundle(tmp_path).manifest.labels == ("x", "y")


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("record", ["engine", "probe", "files"])
def test_paths_that_leave_the_bundle_are_refused(published, tmp_path, record, path):
    document = json.loads(published)
    document["files"][path] = document["files"]["model.keras"]
    if record == "engine":
        document["engines"]["keras"]["file"] = path
    elif record == "probe":
        document["probes"][0]["file"] = path
    write_with_right_digest(tmp_path, document)

    with pytest.raises(InvalidManifest, match="pattern"):
        read_bundle(tmp_path)
