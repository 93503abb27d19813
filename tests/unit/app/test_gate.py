"""What the gate refuses, and how it counts it."""

from typing import Any

import pytest

from app.errors import NotReady, Overloaded
from app.http.gate import Gate


class Parts:
    """A service with the models "m" and "models", whose queues are full."""

    def __init__(self) -> None:
        self.draining = False
        self.counted: list[tuple[str, str, int]] = []

    def default(self) -> str:
        raise NotReady("Nothing is loaded.")

    def find(self, name: str) -> str | None:
        return name if name in ("m", "models") else None

    def let_in(self, _: str) -> None:
        raise Overloaded("Too much.", retry_after_s=3.2)

    def request(self, method: str, route: str, status: int, *_: object) -> None:
        self.counted.append((method, route, status))

    def refused(self, code: str) -> None:
        assert code == "overloaded"


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def gate(parts: Any) -> Gate:
    return Gate(parts, parts, parts, parts, None)


@pytest.mark.parametrize("name", ["m", "models"])
@pytest.mark.parametrize("end", ["predict", "predict/batch"])
def test_the_route_is_counted_by_its_template(
    gate: Gate, parts: Parts, name: str, end: str
) -> None:
    answer = gate.refusal(f"/models/{name}/{end}?top_k=1".encode(), [])

    assert answer is not None
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "4")
    assert parts.counted == [("POST", f"/models/{{name}}/{end}", 503)]


@pytest.mark.parametrize(
    "url", [b"/predict", b"/models/none/predict", b"/models", b"/v2/models/m/infer", b"/x/predict"]
)
def test_what_is_not_its_business_goes_on(gate: Gate, parts: Parts, url: bytes) -> None:
    assert gate.refusal(url, []) is None
    assert parts.counted == []


def test_while_draining_everything_goes_on(gate: Gate, parts: Parts) -> None:
    parts.draining = True

    assert gate.refusal(b"/models/m/predict", []) is None
