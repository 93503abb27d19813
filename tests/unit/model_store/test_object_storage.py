"""A store in a bucket: what a publish leaves at any moment, what is asked, what is kept here."""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import obstore
import pytest
from paper_bundles import paper_store, publish, serving
from small_bucket import SECRET, SmallBucket
from typer.testing import CliRunner

from model_store.__main__ import app as commands
from model_store.bundle import Bundle, Model
from model_store.engines import Engine
from model_store.errors import (
    CorruptBundle,
    InvalidLocation,
    StoreDamaged,
    StoreUnreachable,
    StoreUnwritable,
)
from model_store.store import bucket as requests_module
from model_store.store import cached, object_storage
from model_store.store.bucket import Bucket
from model_store.store.store import ModelStore


@pytest.fixture
def store(bucket: SmallBucket, tmp_path: Path) -> ModelStore:
    return paper_store(bucket.url, tmp_path / "cache")


@pytest.fixture
def reader(bucket: SmallBucket, tmp_path: Path) -> ModelStore:
    """Another process's view of the bucket, as it were: nothing is shared."""
    return paper_store(bucket.url, tmp_path / "reader")


def test_a_publish_leaves_the_bundle_and_whose_its_number_is(store, bucket):
    publish(store)

    files = "manifest.json", "model.keras", "engine/net.xml", "probe/00.png"
    expected = {"current.json", "paper/.taken/1", *(f"paper/1/{file}" for file in files)}
    assert bucket.objects.keys() == {bucket.key(key) for key in expected}


class Killed(BaseException):
    """The process is no more; it asks nothing."""


def kill_at(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let the `at`-th request of this process, and all after it, not happen."""
    made = count(1)

    def wrap(function: Any) -> Any:
        def request(*args: Any, **options: Any) -> Any:
            if next(made) >= at:
                raise Killed
            return function(*args, **options)

        return request

    for name in ("get", "put", "list", "delete"):
        monkeypatch.setattr(obstore, name, wrap(getattr(obstore, name)))


def test_a_publish_killed_at_any_request_leaves_the_old_state_or_the_new(
    bucket, tmp_path, monkeypatch
):
    monkeypatch.setattr(object_storage, "HOLD", timedelta(0))
    publish(paper_store(bucket.url, tmp_path / "0"), weights=b"first")
    pristine = dict(bucket.objects)
    seen = set()

    for at in range(1, 100):
        bucket.objects = dict(pristine)
        with monkeypatch.context() as patch:
            kill_at(patch, at)
            try:
                publish(paper_store(bucket.url, tmp_path / f"{at}"), weights=b"second")
                killed = False
            except Killed:
                killed = True
        reader = paper_store(bucket.url, tmp_path / f"{at}-reader")
        versions, before = reader.versions("paper"), serving(reader)
        for version in versions:
            reader.bundle("paper", version).verify_files()
        seen.add((len(versions), before))
        third = publish(reader, weights=b"third")
        assert reader.versions("paper") == [*versions, third.manifest.version]
        assert serving(reader) == (third.manifest.version, before and before[0])
        assert numbers_with_files(bucket) == reader.versions("paper")
        if not killed:
            break

    assert at > 12
    assert seen == {(1, (1, None)), (2, (1, None)), (2, (2, 1))}


def numbers_with_files(bucket: SmallBucket) -> list[int]:
    folders = {key.split("/")[2] for key in bucket.objects if "/paper/" in key}
    return sorted(int(name) for name in folders if name.isdigit())


def test_who_took_too_long_gives_up_and_leaves_nothing(store, reader, monkeypatch):
    monkeypatch.setattr(object_storage, "HOLD", timedelta(0))
    write = Bucket.write

    def write_after_another(self: Bucket, key: str, data: bytes | Path) -> None:
        write(self, key, data)
        if key.endswith("net.xml"):
            monkeypatch.setattr(Bucket, "write", write)
            publish(reader, weights=b"fast")

    monkeypatch.setattr(Bucket, "write", write_after_another)
    with pytest.raises(StoreUnwritable, match="another publisher removed it"):
        publish(store, weights=b"slow")

    assert reader.versions("paper") == [2]
    assert serving(reader) == (2, None)


def test_a_number_is_not_reused_when_a_version_is_removed(store, bucket):
    publish(store)
    for key in [key for key in bucket.objects if "/paper/1/" in key]:
        del bucket.objects[key]

    assert publish(store).manifest.version == 2


def test_a_server_that_ignores_conditions_is_refused(store, bucket):
    bucket.heeds_conditions = False

    with pytest.raises(StoreUnwritable, match="ignores the conditions If-None-Match"):
        publish(store)
    assert bucket.objects == {}


def test_an_unchanged_look_is_one_conditional_request(store, bucket):
    publish(store)
    publish(store, "other")
    store.pointers()
    bucket.requests.clear()

    for _ in range(3):
        assert store.pointers().current.keys() == {"other", "paper"}

    assert bucket.requests == [("GET", bucket.key("current.json"), 304)] * 3


def test_what_was_seen_stands_in_for_a_bucket_that_is_away(store, reader, tmp_path, bucket):
    publish(store)
    assert reader.pointers().stale is None
    reader.bundle("paper", 1).verify_files(["model.keras"])

    bucket.status = 503
    again = paper_store(bucket.url, tmp_path / "reader")
    for one in (reader, again):
        found = one.pointers()
        assert found.current["paper"].version == 1
        assert found.stale is not None
        assert "status 503" in found.stale
        one.bundle("paper", 1).verify_files(["model.keras"])
        with pytest.raises(StoreUnreachable):
            one.bundle("paper", 1).verify_files(["engine/net.xml"])
    with pytest.raises(StoreUnreachable, match=r"Cannot read current\.json in s3://models/prefix"):
        paper_store(bucket.url, tmp_path / "cold").pointers()

    bucket.status = None
    assert again.pointers().stale is None


def test_what_somebody_waits_for_is_asked_of_the_bucket_once(tmp_path, bucket, monkeypatch):
    retries = {"max_retries": 1, "backoff": {"init_backoff": timedelta(milliseconds=1)}}
    monkeypatch.setattr(requests_module, "_RETRIES", retries)
    store = paper_store(bucket.url, tmp_path)
    publish(store)
    bucket.status = 503

    def requests_of(ask: Any) -> int:
        bucket.requests.clear()
        with suppress(StoreUnreachable):
            ask()
        return len(bucket.requests)

    for brief in (store.names, lambda: store.versions("paper"), lambda: store.bundle("paper", 1)):
        assert requests_of(brief) == 1
    assert requests_of(lambda: store.bundle("paper", 1, afresh=True)) == 2
    assert requests_of(lambda: store.bundle("paper", 2)) == 2  # of which there is no copy


def test_files_are_brought_when_they_are_verified_or_read(store, reader):
    publish(store)
    bundle = reader.bundle("paper")

    bundle.verify_files(bundle.files_to_serve("keras"))
    assert files_of(bundle) == {"manifest.json", "model.keras"}
    assert Model(bundle, "keras", create_autospec(Engine), ()).read_file("engine/net.xml")
    assert files_of(bundle) == {"manifest.json", "model.keras", "engine/net.xml"}
    bundle.verify_files()
    assert files_of(bundle) == {"manifest.json", *bundle.manifest.files}


def test_processes_that_open_a_version_at_once_keep_what_each_other_brought(
    store, reader, tmp_path, bucket
):
    publish(store)
    bundle = reader.bundle("paper")
    bundle.verify_files()

    other = cached.BundleCache(tmp_path / "reader", bucket.url, 10**9)
    other.begin("paper", 1, (bundle.folder / "manifest.json").read_bytes())

    assert files_of(bundle) == {"manifest.json", *bundle.manifest.files}


def files_of(bundle: Bundle) -> set[str]:
    paths = (path for path in bundle.folder.rglob("*") if path.is_file())
    return {path.relative_to(bundle.folder).as_posix() for path in paths}


def test_a_copy_that_was_damaged_is_brought_again(store):
    bundle = publish(store)
    (bundle.folder / "model.keras").write_bytes(b"damaged")

    bundle.verify_files()

    assert (bundle.folder / "model.keras").read_bytes() == b"weights"


def test_damage_in_the_bucket_is_found_though_the_copy_is_sound(store, bucket):
    publish(store).verify_files()
    publish(store)
    bucket.objects[bucket.key("paper/1/model.keras")] = (b"damaged", time.time())

    with pytest.raises(CorruptBundle, match=r"model\.keras: its SHA-256 differs"):
        store.rollback("paper")
    assert serving(store) == (2, 1)
    store.bundle("paper", 1).verify_files()  # from the copy


def test_a_bucket_that_was_made_anew_is_not_taken_for_the_old_one(store, reader, bucket):
    publish(store, weights=b"old")
    bucket.objects.clear()
    publish(reader, weights=b"new")

    bundle = store.bundle("paper", 1)
    bundle.verify_files()

    assert (bundle.folder / "model.keras").read_bytes() == b"new"


def test_the_copy_served_least_recently_goes_when_room_is_needed(
    store, tmp_path, bucket, monkeypatch
):
    monkeypatch.setattr(cached, "_IN_USE_SECONDS", -1.0)
    for number in range(3):
        publish(store, weights=bytes([number]) * 10_000)
    reader = paper_store(bucket.url, tmp_path / "reader", cache_bytes=25_000)

    copies = [reader.bundle("paper", number) for number in (1, 2)]
    for age, bundle in zip((10, 20), copies, strict=True):
        bundle.verify_files()
        os.utime(bundle.folder, (time.time() - age,) * 2)
    reader.bundle("paper", 3).verify_files()

    assert [bundle.folder.exists() for bundle in copies] == [True, False]


def test_what_is_larger_than_the_cache_says_which_setting_decides(store, tmp_path, bucket):
    publish(store, weights=b"x" * 10_000)
    reader = paper_store(bucket.url, tmp_path / "reader", cache_bytes=9_000)

    with pytest.raises(StoreUnwritable, match="HALFTONE_CACHE_BYTES allows 9000"):
        reader.bundle("paper").verify_files()


def test_a_pointer_that_cannot_be_understood_hides_no_other(store, bucket):
    publish(store)
    key = bucket.key("current.json")
    document = json.loads(bucket.objects[key][0]) | {"odd": {"version": "one"}}
    bucket.objects[key] = (json.dumps(document).encode(), time.time())

    found = store.pointers()

    assert found.current.keys() == {"paper"}
    assert "promote odd VERSION" in found.damaged["odd"]
    with pytest.raises(StoreDamaged):
        store.current("odd")


@pytest.mark.parametrize("status", [403, 500])
def test_what_fails_is_one_sentence_without_the_keys(store, bucket, status):
    bucket.status = status
    for ask in (
        store.names,
        store.pointers,
        lambda: store.bundle("paper", 1),
        lambda: publish(store),
    ):
        with pytest.raises(StoreUnreachable) as refused:
            ask()
        assert str(refused.value).startswith("Cannot ")
        assert refused.value.__suppress_context__
        assert "\n" not in str(refused.value)
        assert SECRET not in str(refused.value)
        assert "somebody" not in str(refused.value)


@pytest.mark.parametrize(
    "root",
    [f"s3://key:{SECRET}@models", f"s3://models?X-Amz-Signature={SECRET}", f"http://{SECRET}"],
)
def test_other_addresses_are_refused_and_not_repeated(root):
    with pytest.raises(InvalidLocation) as refused:
        ModelStore(root)

    assert "s3://bucket/prefix" in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.fixture
def run(bucket: SmallBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command on the bucket."""
    monkeypatch.setenv("HALFTONE_MODELS", bucket.url)
    monkeypatch.setenv("HALFTONE_CACHE", str(tmp_path / "commands"))
    return lambda *arguments: CliRunner().invoke(commands, arguments)


def test_commands_take_a_bucket(store, bucket, run):
    publish(store)
    publish(store)

    assert "version 2 of 1, 2" in run("list").output
    assert "paper 2, published" in run("show", "paper").output
    bucket.status = 403
    assert run("list").output == (
        "error: Cannot list what is there in s3://models/prefix: the keys are not valid, or do not "
        "allow it\n"
    )


def test_list_claims_no_damage_when_the_bucket_goes_away_meanwhile(store, bucket, run, monkeypatch):
    publish(store)
    current = ModelStore.current

    def current_of_one_that_is_away(self: ModelStore, name: str) -> Any:
        bucket.status = 503
        return current(self, name)

    monkeypatch.setattr(ModelStore, "current", current_of_one_that_is_away)
    done = run("list")

    assert done.exit_code == 1
    assert done.output == (
        "error: Cannot read current.json in s3://models/prefix: it answers with status 503\n"
    )
