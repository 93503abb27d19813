"""What runs beside the requests goes on, whatever one turn of it met; and what waits for it."""

import asyncio
from typing import Any

import pytest
from patience import PATIENCE_S

from app import lifecycle
from app.lifecycle import every, running
from app.readiness import Readiness


async def test_what_is_done_every_second_goes_on_after_it_failed(caplog):
    turns = 0
    enough = asyncio.Event()

    def work() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise OSError("no space left on device")
        enough.set()

    task = asyncio.create_task(every(0.001, work))
    await asyncio.wait_for(enough.wait(), PATIENCE_S)
    task.cancel()

    assert "no space left on device" in caplog.text


class Looking:
    """A registry whose first look at the store lasts until `seen`, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.is_closed = False
        self._error = error

    async def refresh(self, *, retry: bool) -> None:
        assert not retry
        self.has_begun.set()
        await self.seen.wait()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        self.is_closed = True


async def serve(registry: Looking, begun: asyncio.Event, *, looks_first: bool = True) -> None:
    unused: Any = None
    options = {"poll_seconds": 3600.0, "drain_seconds": 0.0, "looks_first": looks_first}
    service = running(registry, Readiness(unused, unused), (), **options)  # type: ignore[arg-type]
    async with service:
        begun.set()


@pytest.mark.parametrize("error", [None, RuntimeError("no")], ids=["good", "bad"])
async def test_one_of_several_workers_begins_after_its_first_look_good_or_bad(error):
    registry, begun = Looking(error), asyncio.Event()
    serving = asyncio.create_task(serve(registry, begun))
    await asyncio.wait_for(registry.has_begun.wait(), PATIENCE_S)
    had_begun = begun.is_set()
    registry.seen.set()
    await asyncio.wait_for(serving, PATIENCE_S)

    assert not had_begun
    assert begun.is_set()
    assert registry.is_closed


@pytest.mark.parametrize("looks_first", [True, False], ids=["one of several", "alone"])
async def test_store_that_never_answers_keeps_no_worker_from_beginning(monkeypatch, looks_first):
    monkeypatch.setattr(lifecycle, "FIRST_LOOK_SECONDS", 0.01 if looks_first else PATIENCE_S)
    registry, begun = Looking(), asyncio.Event()
    await asyncio.wait_for(serve(registry, begun, looks_first=looks_first), PATIENCE_S)

    assert begun.is_set()
    assert not registry.seen.is_set()
    assert registry.is_closed
