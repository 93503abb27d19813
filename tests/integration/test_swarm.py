"""deploy/swarm.yml on a real engine: an update and a killed copy under load lose no request."""

import re
import shutil
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from commands import ROOT, run
from patience import until
from service_process import free_port, is_ready
from test_docker import answers, copy_checkout, docker
from test_service_resilience import Traffic

from model_store.pixels.preprocessing import encode_png

STACK = "halftone-swarm-test"
IMAGE = "halftone-swarm-test"
PROXY_IMAGE = "halftone-swarm-test-proxy"
REQUESTS = 500

# The image that deploy/swarm.yml names has the same program; this one needs no registry.
PROXY = """\
FROM python:3.13-slim-trixie
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy
"""

SHOW_METRICS = """\
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:8000/metrics").read().decode())
"""

pytestmark = pytest.mark.slow


def photograph() -> bytes:
    """A PNG of a noisy one, as long as a photograph of 960 by 480."""
    random = np.random.default_rng(3)
    pixels = random.integers(0, 40, (340, 340), np.uint8)
    pixels[60:280, 150:190] = random.integers(200, 256, (220, 40), np.uint8)
    return encode_png(pixels)


class Stack:
    """The stack as it runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def copies(self) -> set[str]:
        """Ids of the containers that are healthy and serve."""
        filters = (f"label=com.docker.swarm.service.name={STACK}_app", "health=healthy")
        options = [part for each in filters for part in ("--filter", each)]
        return set(docker("ps", "--quiet", *options).split())

    def requests_of(self, copy: str) -> int:
        """How many images a copy has answered."""
        text = docker("exec", copy, "python", "-c", SHOW_METRICS)
        counts = re.findall(r"^halftone_predicted_total\{.*\} (\S+)$", text, re.M)
        return int(sum(map(float, counts)))

    def image_of(self, copy: str) -> str:
        return docker("inspect", "--format", "{{.Config.Image}}", copy)

    def wait_for_copies(self, are_right: Callable[[set[str]], bool]) -> None:
        until(lambda: are_right(self.copies()), self.story, every_s=0.5)

    def wait_until_every_copy_answers(self) -> None:
        """Under traffic: once the proxy has found each of them."""
        until(
            lambda: all(self.requests_of(copy) for copy in self.copies()), self.story, every_s=0.5
        )

    def story(self) -> str:
        """What the engine says of its tasks, and HAProxy of its copies."""
        tasks = docker("stack", "ps", "--no-trunc", STACK)
        return tasks + docker("service", "logs", "--tail", "40", f"{STACK}_proxy")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An engine with both images that is part of no swarm yet."""
    if not answers("docker", "info"):
        pytest.skip("no Docker engine answers")
    if STACK in run("docker", "stack", "ls", "--format", "{{.Name}}").stdout.split():
        leave_swarm()  # of a run that was killed before it could
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive":
        pytest.skip("this engine is part of a swarm already")
    checkout = tmp_path_factory.mktemp("swarm") / "checkout"
    copy_checkout(checkout)
    docker("build", "--target", "serve", "-t", f"{IMAGE}:1", str(checkout))
    docker("tag", f"{IMAGE}:1", f"{IMAGE}:2")
    docker("build", "-t", PROXY_IMAGE, "-", stdin=None, input=PROXY)


def leave_swarm() -> None:
    """Leave it in one step that nothing can keep from being taken; its services end with it."""
    docker("swarm", "leave", "--force")
    until(lambda: not docker("ps", "-q", "--filter", f"name={STACK}"), every_s=0.5)


@pytest.fixture(scope="module")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert engine is None
    # Below the folder that pytest keeps for its own user: a copy runs as another.
    models = tmp_path_factory.mktemp("swarm") / "models"
    shutil.copytree(ROOT / "models" / "digits", models / "digits")
    port = free_port()
    address = "127.0.0.1"
    try:
        docker("swarm", "init", "--advertise-addr", address, "--listen-addr", f"{address}:2377")
        docker(
            *("stack", "deploy", "--resolve-image", "never"),
            *("-c", str(ROOT / "deploy" / "swarm.yml"), STACK),
            env={
                "IMAGE": f"{IMAGE}:1",
                "PROXY_IMAGE": PROXY_IMAGE,
                "MODELS_FOLDER": str(models),
                "PORT": str(port),
                "HALFTONE_DEADLINE_MS": "60000",  # want of time is no loss of this kind
            },
        )
        stack = Stack(port)
        stack.wait_for_copies(lambda copies: len(copies) == 2)
        until(lambda: is_ready(stack.url), stack.story, every_s=0.5)
        yield stack
    finally:
        leave_swarm()


def test_both_copies_answer_through_the_proxy(stack):
    with Traffic(stack.url, clients=4, image=photograph()) as traffic:
        stack.wait_until_every_copy_answers()
        traffic.wait_for(100)

    assert len(stack.copies()) == 2
    assert traffic.lost == []


def test_copies_can_write_nothing_but_their_cache(stack):
    script = "for f in /srv/x /models/x /opt/x; do touch $f && exit 1; done; touch /cache/x /tmp/x"
    for copy in stack.copies():
        docker("exec", copy, "sh", "-c", script)
        assert docker("exec", copy, "id", "-u") == "1000"


def test_a_rolling_update_under_load_loses_nothing(stack):
    before = stack.copies()

    with Traffic(stack.url, clients=4, image=photograph()) as traffic:
        stack.wait_until_every_copy_answers()
        started_at = traffic.answered
        docker(
            *("service", "update", "--quiet", "--no-resolve-image", "--image", f"{IMAGE}:2"),
            f"{STACK}_app",
        )
        stack.wait_for_copies(lambda copies: len(copies) == 2 and not copies & before)
        during = traffic.answered - started_at
        stack.wait_until_every_copy_answers()
        traffic.wait_for(100)

    assert traffic.lost == []
    assert during >= REQUESTS
    assert {stack.image_of(copy) for copy in stack.copies()} == {f"{IMAGE}:2"}


def test_a_killed_copy_under_load_costs_no_request_and_is_replaced(stack):
    with Traffic(stack.url, clients=4, image=photograph()) as traffic:
        stack.wait_until_every_copy_answers()
        victim = min(stack.copies())
        started_at = traffic.answered
        docker("kill", victim)
        stack.wait_for_copies(lambda copies: len(copies) == 2 and victim not in copies)
        traffic.wait_for(max(0, REQUESTS - (traffic.answered - started_at)))
        during = traffic.answered - started_at
        stack.wait_until_every_copy_answers()

    assert traffic.lost == []
    assert during >= REQUESTS
