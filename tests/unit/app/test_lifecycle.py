"""What runs beside the requests goes on, whatever one turn of it met."""

import asyncio

from app.lifecycle import every


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
    async with asyncio.timeout(60):
        await enough.wait()
    task.cancel()

    assert "no space left on device" in caplog.text
