"""The store in a bucket of a real server: races, kills, and a service whose bucket goes away."""

import math
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from azurite import Azurite
from commands import python
from object_server import ObjectServer
from paper_bundles import paper_store
from patience import until
from publishers import release, start_publisher, weights_of
from seaweed import Seaweed
from service_process import PATIENCE_S, Service, images, running
from typer.testing import CliRunner

from app.registry import HOLD_SECONDS
from model_store.__main__ import app as commands
from model_store.errors import StoreUnreachable
from model_store.manifest import BundleContents
from model_store.store.store import ModelStore

on_both_kinds = pytest.mark.parametrize("server", [Seaweed, Azurite], indirect=True)


@pytest.mark.parametrize(
    ("server", "publishers", "rounds"),
    [(Seaweed, 4, 3), (Azurite, 4, 3), pytest.param(Seaweed, 16, 30, marks=pytest.mark.slow)],
    indirect=["server"],
)
def test_publishers_that_race_each_get_a_version(server, tmp_path, publishers, rounds):
    processes = [
        start_publisher(server.url, tmp_path, f"p{number}", rounds) for number in range(publishers)
    ]
    for process in processes:
        release(process)
    for process in processes:
        process.communicate()

    store = paper_store(server.url, tmp_path / "reader")
    total = publishers * rounds
    assert [process.returncode for process in processes] == [0] * publishers
    assert store.versions("paper") == list(range(1, total + 1))
    expected = {f"p{who}-{number}" for who in range(publishers) for number in range(rounds)}
    assert set(weights_of(store)) == expected
    current = store.current("paper")
    assert {current.version, current.previous} <= set(range(1, total + 1))


@pytest.mark.slow
def test_publishers_killed_at_random_moments_leave_only_whole_versions(server, tmp_path):
    moments = random.Random(0)  # noqa: S311  # not for secrets
    store = paper_store(server.url, tmp_path / "reader")
    process = start_publisher(server.url, tmp_path, "first", 1)
    began = time.monotonic()
    release(process)
    process.communicate()
    publish_s = time.monotonic() - began
    for attempt in range(30):
        process = start_publisher(server.url, tmp_path, f"k{attempt}", 1000)
        release(process)
        time.sleep(moments.uniform(0, 4 * publish_s))  # any moment is as good as another
        process.send_signal(signal.SIGKILL)
        process.communicate()

        current = store.current("paper")
        assert current is None or current.version in store.versions("paper")
    assert len(set(weights_of(store))) == len(store.versions("paper")) > 10

    with ThreadPoolExecutor(1) as pool:  # and what is left does not keep the next from publishing
        last = pool.submit(start_publisher, server.url, tmp_path, "last", 1).result()
    release(last)
    last.communicate()
    assert weights_of(store)[-1] == "last-0"


def publish_copy(store: ModelStore, of: ModelStore, version: int = 1) -> None:
    """Publish what another store holds as the next version of "tiny"."""
    bundle = of.bundle("tiny", version)
    fields = {name: getattr(bundle.manifest, name) for name in BundleContents.model_fields}
    with store.draft("tiny") as draft:
        shutil.copytree(bundle.folder, draft.folder, dirs_exist_ok=True)
        draft.publish(BundleContents(**fields))


@contextmanager
def serving(server: ObjectServer, cache: Path, **settings: object) -> Iterator[Service]:
    with running(server.url, cache=cache, poll_seconds=1, **settings) as service:  # type: ignore[arg-type]
        yield service


class Load:
    """Clients that ask without pause, and what they were answered."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self.statuses: list[int] = []
        self.versions: list[int] = []
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url,)) for _ in range(clients)]

    def _ask(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                began = time.monotonic()
                answer = client.post("/predict", content=images(1)[0])
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.statuses.append(answer.status_code)
                if answer.status_code == 200:
                    self.versions.append(answer.json()["model"]["version"])

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def health(service: Service) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{service.url}/health", timeout=PATIENCE_S).json()
    return answer


def ask_for_version(service: Service, version: int) -> httpx.Response:
    url = f"{service.url}/models/tiny/versions/{version}/predict"
    return httpx.post(url, content=images(1)[0], timeout=PATIENCE_S)


def can_read(store: ModelStore) -> bool:
    try:
        return store.current("tiny") is not None
    except StoreUnreachable:
        return False


@pytest.mark.slow
@on_both_kinds
def test_a_bucket_is_a_store_for_commands_and_service(
    server, shared_tiny_store, tmp_path, monkeypatch
):
    monkeypatch.setenv("HALFTONE_CACHE", str(tmp_path / "commands"))
    for _ in range(2):
        publish_copy(ModelStore(server.url, cache=tmp_path / "publisher"), shared_tiny_store)

    def command(line: str) -> str:
        return CliRunner().invoke(commands, line.split()).output

    assert command("list").startswith("tiny  version 2 of 1, 2: 3 labels")
    assert command("verify tiny --version 1").startswith("tiny 1 is sound")
    assert command("rollback tiny") == "tiny 1 is current; 2 was before.\n"
    assert command("promote tiny 2") == "tiny 2 is current; 1 was before.\n"
    with serving(server, tmp_path / "copy") as service:
        service.wait_until_ready()
        answers = [ask_for_version(service, version) for version in (1, 2, 3)]
        served = httpx.post(f"{service.url}/predict", content=images(1)[0], timeout=PATIENCE_S)

    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert served.json()["model"] == {"name": "tiny", "version": 2}


@pytest.mark.slow
def test_two_copies_take_a_version_over_within_the_poll_interval(
    server, shared_tiny_store, tmp_path
):
    store = ModelStore(server.url, cache=tmp_path / "publisher")
    publish_copy(store, shared_tiny_store)
    with ExitStack() as stack:
        copies = [
            stack.enter_context(serving(server, tmp_path / f"copy{number}")) for number in range(2)
        ]
        for copy in copies:
            copy.wait_until_ready()
        loads = [stack.enter_context(Load(copy.url, clients=1)) for copy in copies]
        quickest_s = math.inf
        for version in range(2, 7):  # until the machine is not too busy with other things
            publish_copy(store, shared_tiny_store)
            promoted_at = time.monotonic()
            until(lambda v=version: all(load.versions[-1:] == [v] for load in loads))
            quickest_s = min(quickest_s, time.monotonic() - promoted_at)
            if quickest_s < 1 + 2:  # the interval, and the opening
                break

    print(f"both copies served the new version after {quickest_s:.2f} s")  # noqa: T201
    assert quickest_s < 1 + 2
    assert all(set(load.statuses) == {200} for load in loads)


@pytest.mark.slow
def test_a_bucket_that_freezes_or_dies_loses_no_request_and_is_told(
    server, shared_tiny_store, tmp_path
):
    store = ModelStore(server.url, cache=tmp_path / "publisher")
    publish_copy(store, shared_tiny_store)
    with serving(server, tmp_path / "copy") as service:
        service.wait_until_ready()
        with Load(service.url) as load:
            server.freeze()
            try:
                began = time.monotonic()
                held = ask_for_version(service, 7)
                held_s = time.monotonic() - began
                until(lambda: health(service)["store"] is not None)
            finally:
                server.thaw()
            until(lambda: health(service)["store"] is None)
            server.kill()
            until(lambda: health(service)["store"] is not None)
            during = health(service)
            detail = httpx.get(f"{service.url}/models/tiny", timeout=PATIENCE_S)
            asked = ask_for_version(service, 7)
            with serving(server, tmp_path / "copy") as cold:  # with the cache of the other
                cold.wait_until_ready()
                told = health(cold)["store"]
            server.start()
            until(lambda: health(service)["store"] is None)
            until(lambda: can_read(store))  # its own parts find each other a little later
            publish_copy(store, shared_tiny_store)
            until(lambda: load.versions[-1] == 2)

    print(  # noqa: T201
        f"{len(load.statuses)} requests while the bucket froze and was killed, "
        f"{sum(status != 200 for status in load.statuses)} lost, slowest {load.slowest_s:.2f} s; "
        f"who asked for another version was held for {held_s:.2f} s"
    )
    assert set(load.statuses) == {200}
    assert during["status"] == "ready"
    assert told.startswith(f"Cannot read current.json in {server.url}: ")
    assert (detail.status_code, detail.json()["versions"]) == (200, [1])
    assert (asked.status_code, asked.json()["code"]) == (503, "store_unreachable")
    assert (held.status_code, held_s < 2 * HOLD_SECONDS) == (503, True)  # a download's is longer
    assert "nobody-reads-this" not in "".join(service.lines)


@pytest.mark.slow
def test_workers_share_one_copy(server, shared_tiny_store, tmp_path):
    publish_copy(ModelStore(server.url, cache=tmp_path / "publisher"), shared_tiny_store)
    with serving(server, tmp_path / "copy", workers=2) as service:
        service.wait_until_ready()
        url = f"{service.url}/predict"

        def answers() -> bool:  # whichever worker is asked
            asked = [httpx.post(url, content=images(1)[0], timeout=PATIENCE_S) for _ in range(12)]
            return all(answer.status_code == 200 for answer in asked)

        until(answers)

    kept = {path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert "model.keras" not in kept  # no engine that serves reads it
    assert "manifest.json" in kept


@on_both_kinds
def test_wrong_keys_are_one_sentence(server, tmp_path):
    wrong = dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY"), "d3Jvbmc=")
    done = python("-m", "model_store", "list", env={**wrong, "HALFTONE_CACHE": str(tmp_path)})

    assert done.returncode == 1
    assert done.stderr == (
        f"error: Cannot list what is there in {server.url}: the keys are not valid, or do not "
        "allow it\n"
    )


@on_both_kinds
def test_a_bucket_that_does_not_exist_is_one_sentence(server, monkeypatch):
    monkeypatch.setenv("HALFTONE_MODELS", f"{server.scheme}://nowhere/x")
    for line in ("list", "show tiny"):
        said = CliRunner().invoke(commands, line.split()).output
        assert said.endswith(f"{server.scheme}://nowhere/x: there is no such bucket\n")
