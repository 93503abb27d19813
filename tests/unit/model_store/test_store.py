import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from paper_bundles import contents, debris, paper_store, publish, serving, write_files

from model_store.bundle import Bundle
from model_store.errors import (
    CorruptBundle,
    InvalidName,
    ModelNotFound,
    ProbeMismatch,
    StoreDamaged,
    StoreUnwritable,
    VersionNotFound,
)
from model_store.manifest_file import read_manifest
from model_store.store.store import ModelStore, default_root


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return paper_store(tmp_path / "models")


@pytest.fixture(params=["folder", "bucket"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    """A store in a folder, and one in a bucket."""
    in_bucket = request.param == "bucket"
    root = request.getfixturevalue("bucket").url if in_bucket else tmp_path / "models"
    return paper_store(root, tmp_path / "cache")


def test_a_store_that_does_not_exist_is_empty(either):
    assert either.names() == []
    assert either.versions("paper") == []
    assert either.current("paper") is None
    assert either.pointers().current == {}


def test_publish_promote_and_roll_back(either):
    first = publish(either)
    assert (either.versions("paper"), serving(either)) == ([1], (1, None))
    with pytest.raises(VersionNotFound, match="no previous version"):
        either.rollback("paper")
    publish(either)
    publish(either, "other")

    assert either.names() == ["other", "paper"]
    assert (either.versions("paper"), serving(either)) == ([1, 2], (2, 1))
    assert either.where(first) == f"{either.root}/paper/1"
    assert (either.rollback("paper").version, serving(either)) == (1, (1, 2))
    assert (either.rollback("paper").version, serving(either)) == (2, (2, 1))
    either.promote("paper", 2)  # the current one, which keeps the previous
    assert serving(either) == (2, 1)


def test_what_is_not_there_is_named(either):
    publish(either, "one", promote=False)
    publish(either, "two")

    with pytest.raises(VersionNotFound, match="one has no version 7, only 1"):
        either.bundle("one", 7)
    with pytest.raises(ModelNotFound, match="promote one of 1"):
        either.bundle("one")
    with pytest.raises(ModelNotFound, match="There are: one, two"):
        either.bundle("three")
    with pytest.raises(ModelNotFound, match="There are: one, two"):
        either.promote("three", 1)


def test_publishing_spares_the_draft_of_a_living_publisher(either):
    with either.draft("paper") as slow:
        write_files(slow.folder, b"slow")
        publish(either, weights=b"fast")
        bundle = slow.publish(contents())

    bundle.verify_files()
    assert either.versions("paper") == [1, 2]
    assert bundle.manifest.version == 2
    assert (bundle.folder / "model.keras").read_bytes() == b"slow"


def test_a_published_manifest_names_model_files_and_libraries(store):
    folder = publish(store).folder
    manifest = read_manifest(folder)

    assert folder == store.root / "paper" / "1"
    assert manifest.name == "paper"
    assert set(manifest.files) == {"model.keras", "engine/net.xml", "probe/00.png"}
    assert manifest.files["model.keras"].size == len(b"weights")
    assert "numpy" in manifest.libraries


@pytest.mark.parametrize("kept", [".last-version", "current.json"])
def test_the_number_of_a_removed_version_is_not_used_again(store, kept):
    publish(store)
    shutil.rmtree(publish(store).folder)
    for name in {".last-version", "current.json"} - {kept}:
        (store.root / "paper" / name).unlink()

    assert publish(store).manifest.version == 3


def test_a_version_that_fails_verification_is_not_promoted(store):
    damaged = publish(store)
    publish(store)
    (damaged.folder / "model.keras").write_bytes(b"weighty")

    with pytest.raises(CorruptBundle, match=r"model\.keras"):
        store.promote("paper", 1)
    with pytest.raises(CorruptBundle):
        store.rollback("paper")
    assert serving(store) == (2, 1)


def test_a_draft_that_fails_verification_or_is_abandoned_leaves_no_trace(tmp_path):
    def refuse(bundle: Bundle) -> None:
        raise ProbeMismatch(f"{bundle.manifest.name} answers wrong")

    store = ModelStore(tmp_path, verify=refuse)

    with pytest.raises(ProbeMismatch, match="paper answers wrong"):
        publish(store)
    with store.draft("paper") as abandoned:
        write_files(abandoned.folder)
    assert store.names() == []
    assert debris(tmp_path) == []


def test_publishing_sweeps_what_a_dead_publisher_left(store):
    publish(store)
    dead = store.root / "paper" / ".draft-0123"
    dead.mkdir()
    write_files(dead)
    (store.root / "paper" / ".tmp-4567").write_text("{")

    publish(store)

    assert debris(store.root) == []


def test_promotion_times_rise_even_when_the_clock_went_back(store):
    publish(store)
    future = datetime.now(UTC) + timedelta(days=1)
    path = store.root / "paper" / "current.json"
    stated = json.loads(path.read_text()) | {"promoted_at": future.isoformat()}
    path.write_text(json.dumps(stated))

    assert store.promote("paper", 1).promoted_at > future


@pytest.mark.parametrize(
    "name", ["", "..", ".", "a/b", "../a", "A", "a b", "-a", "a-", "a" * 65, "a\n", "é", "a\x00"]
)
def test_names_that_could_leave_the_store_are_refused(store, name):
    with pytest.raises(InvalidName), store.draft(name):
        pass
    with pytest.raises(InvalidName):
        store.bundle(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        '{"version": 1}',
        '{"version": "1", "previous": null, "promoted_at": "2026-01-01T00:00:00Z"}',
        '{"version": 0, "previous": null, "promoted_at": "2026-01-01T00:00:00Z"}',
        '{"version": 1, "previous": null, "promoted_at": "2026-01-01T00:00:00"}',
        '{"version": 1, "previous": null, "promoted_at": "2026-01-01T00:00:00Z", "more": 1}',
    ],
)
def test_a_damaged_pointer_is_named_and_mended_by_promote(store, text):
    publish(store)
    publish(store, "other")
    (store.root / "paper" / "current.json").write_text(text)

    with pytest.raises(StoreDamaged, match="promote paper VERSION"):
        store.bundle("paper")
    assert store.pointers().current.keys() == {"other"}
    assert store.promote("paper", 1).version == 1
    assert store.bundle("paper").manifest.version == 1


def test_a_model_folder_that_is_a_link_is_no_model(store, tmp_path):
    outside = paper_store(tmp_path / "outside")
    publish(outside)
    publish(store, "own")
    (store.root / "paper").symlink_to(outside.root / "paper")

    assert store.names() == ["own"]
    with pytest.raises(ModelNotFound):
        store.bundle("paper", 1)
    with pytest.raises(StoreDamaged, match="link"):
        store.current("paper")
    with pytest.raises(StoreDamaged, match="link"):
        publish(store)
    assert outside.versions("paper") == [1]


def test_a_pointer_that_is_a_link_or_a_pipe_is_not_read(store, tmp_path):
    publish(store)
    path = store.root / "paper" / "current.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(StoreDamaged, match="links are not followed"):
        store.current("paper")

    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreDamaged):
        store.current("paper")


def test_a_manifest_of_another_version_or_model_is_refused(store):
    publish(store)
    publish(store)
    manifest = store.root / "paper" / "1" / "manifest.json"
    shutil.copyfile(manifest, store.root / "paper" / "2" / "manifest.json")

    with pytest.raises(CorruptBundle, match="Expected the manifest of paper 2. Received: paper 1"):
        store.bundle("paper")
    (store.root / "paper").rename(store.root / "renamed")
    with pytest.raises(CorruptBundle, match="manifest of renamed 1. Received: paper 1"):
        store.bundle("renamed", 1)


def test_strange_files_in_the_store_are_no_models(store):
    publish(store)
    (store.root / "README.txt").write_text("hello")
    (store.root / "Not A Model").mkdir()
    (store.root / "empty").mkdir()
    (store.root / "paper" / "notes").mkdir()
    (store.root / "paper" / "02").mkdir()
    (store.root / "paper" / "7").write_text("a file")
    (store.root / "paper" / "8").symlink_to(store.root / "paper" / "1")

    assert store.names() == ["paper"]
    assert store.versions("paper") == [1]


def test_a_root_that_is_a_file_says_so(tmp_path):
    (tmp_path / "models").write_text("")

    with pytest.raises(StoreDamaged, match="models"):
        ModelStore(tmp_path / "models").names()


def test_a_store_reads_without_any_right_to_write(store):
    publish(store)
    (store.root / "paper" / ".lock").unlink()
    for folder in [store.root, *(path for path in store.root.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)
    before = sorted(store.root.rglob("*"))

    try:
        assert store.bundle("paper").manifest.version == 1
        assert store.pointers().current["paper"].version == 1
        assert sorted(store.root.rglob("*")) == before
    finally:
        for folder in [store.root, *(path for path in store.root.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_without_the_right_to_write_says_so(store):
    publish(store)
    (store.root / "paper").chmod(0o555)

    try:
        with pytest.raises(StoreUnwritable, match="permission was denied"):
            publish(store)
    finally:
        (store.root / "paper").chmod(0o755)


def test_published_files_can_be_read_by_other_users(store):
    bundle = publish(store)
    mask = os.umask(0)
    os.umask(mask)

    for path in [bundle.folder, *bundle.folder.rglob("*"), store.root / "paper" / "current.json"]:
        wanted = (0o777 if path.is_dir() else 0o666) & ~mask
        assert path.stat().st_mode & 0o777 == wanted, path


def test_the_default_root_is_a_setting(monkeypatch):
    monkeypatch.setenv("HALFTONE_MODELS", "/srv/models")
    assert default_root() == Path("/srv/models")
    monkeypatch.delenv("HALFTONE_MODELS")
    assert default_root() == Path("models")
