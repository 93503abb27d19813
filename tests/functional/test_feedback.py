"""POST /feedback: a picture under its right label, kept for the next training."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fake_models import png

from app import feedback
from app.errors import FeedbackFull, InvalidSetting
from model_store.sources.files import files_below

pytestmark = pytest.mark.usefixtures("toy")


async def say(
    client: httpx.AsyncClient, label: str, image: bytes | None = None, at: str = "", **headers: str
) -> httpx.Response:
    files = {"file": png() if image is None else image}
    return await client.post(f"{at}/feedback", files=files, data={"label": label}, headers=headers)


def kept(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).parent.as_posix()
        for path in folder.rglob("*.png")
        if path.is_file()
    )


@pytest.mark.parametrize("at", ["", "/models/toy", "/models/toy/versions/1"])
async def test_image_is_kept_in_the_class_folder_of_its_label(start, tmp_path, at):
    async with start(feedback=tmp_path / "new" / "feedback") as client:
        listed = (await client.get("/models")).json()["keeps_feedback"]
        response = await say(client, "up", at=at)

    assert listed
    assert response.status_code == 201, response.text
    assert response.json()["model"] == {"name": "toy", "version": 1}
    file = tmp_path / "new" / "feedback" / response.json()["file"]
    assert file.parent.relative_to(tmp_path / "new" / "feedback") == Path("toy/up")
    assert file.read_bytes() == png()


async def test_last_word_on_an_image_counts(start, tmp_path):
    async with start(feedback=tmp_path) as client:
        for label in ("up", "up", "left"):
            assert (await say(client, label)).status_code == 201
        await say(client, "up", png(seed=1))

    assert kept(tmp_path) == ["toy/left", "toy/up"]


async def test_without_the_setting_nothing_is_kept(client):
    response = await say(client, "up")

    assert response.status_code == 403
    assert response.json()["code"] == "feedback_off"
    assert response.json()["setting"] == "HALFTONE_FEEDBACK"
    assert not (await client.get("/models")).json()["keeps_feedback"]


async def test_only_labels_of_the_model_are_taken(start, tmp_path):
    async with start(feedback=tmp_path) as client:
        for label in ("down", "../up", "", "toy/up"):
            response = await say(client, label)
            assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")

    assert kept(tmp_path) == []


@pytest.mark.parametrize("label", ["..", ".", "a/b", "/root", ".hidden", "", "nul\0", "x" * 300])
async def test_label_that_cannot_name_a_folder_is_refused_though_the_model_has_it(
    start, tmp_path, toy, label
):
    toy.labels = ("left", "right", label)
    async with start(feedback=tmp_path / "feedback") as client:
        response = await say(client, label)

    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert kept(tmp_path) == []


async def test_only_images_that_the_model_can_read_are_kept(start, tmp_path):
    async with start(feedback=tmp_path) as client:
        answers = [await say(client, "up", data) for data in (b"no image", png()[:50], b"")]
        raw = await client.post("/feedback", content=png())

    assert [answer.status_code for answer in answers] == [415, 422, 400]
    assert raw.json()["code"] == "malformed_upload"
    assert kept(tmp_path) == []


async def test_quota_counts_what_lies_there_already(start, tmp_path):
    image = png()
    async with start(feedback=tmp_path, feedback_bytes=len(image)) as client:
        first = await say(client, "up", image)
        again = await say(client, "left", image)
        second = await say(client, "up", png(seed=1))
    async with start(feedback=tmp_path, feedback_bytes=len(image)) as client:
        restarted = await say(client, "up", png(seed=2))

    assert [first.status_code, again.status_code] == [201, 201]
    assert [second.status_code, restarted.status_code] == [507, 507]
    assert second.json()["setting"] == "HALFTONE_FEEDBACK_BYTES"
    assert kept(tmp_path) == ["toy/left"]


def test_workers_count_together_and_look_at_the_folder_once(tmp_path, monkeypatch):
    looked: list[Path] = []

    def look(folder: Path) -> Iterator[Path]:
        looked.append(folder)
        return files_below(folder)

    monkeypatch.setattr(feedback, "files_below", look)
    pictures = [png(seed=seed) for seed in range(5)]
    room = sum(map(len, pictures[:4]))
    workers = [feedback.FeedbackFolder(tmp_path, room) for _ in range(2)]
    for worker, picture in zip(workers * 2, pictures, strict=False):
        worker.keep("toy", "up", picture)

    for worker in workers:
        with pytest.raises(FeedbackFull, match=f"than the {room} that are kept"):
            worker.keep("toy", "up", pictures[4])
    assert len(looked) == len(workers)


@pytest.mark.parametrize("count", ["", None])
def test_count_that_was_cut_short_or_removed_is_taken_again(tmp_path, count):
    folder = feedback.FeedbackFolder(tmp_path, len(png()))
    folder.keep("toy", "up", png())
    (tmp_path / ".bytes").unlink()
    if count is not None:
        (tmp_path / ".bytes").write_text(count)

    with pytest.raises(FeedbackFull):
        folder.keep("toy", "up", png(seed=1))


def test_folder_that_was_emptied_has_room_again(tmp_path, monkeypatch):
    folder = feedback.FeedbackFolder(tmp_path, len(png()))
    (tmp_path / folder.keep("toy", "up", png())).unlink()
    with pytest.raises(FeedbackFull):
        folder.keep("toy", "up", png())

    monkeypatch.setattr(feedback, "_RECOUNT_SECONDS", -1.0)
    folder.keep("toy", "up", png())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://test"}, 201),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://public.example", "sec-fetch-site": "same-origin"}, 201),
        ({"origin": "https://allowed.example", "sec-fetch-site": "cross-site"}, 201),
    ],
)
async def test_pages_of_other_sites_can_have_nothing_kept(start, tmp_path, headers, status):
    async with start(feedback=tmp_path, cors_origins=("https://allowed.example",)) as client:
        response = await say(client, "up", **headers)

    assert response.status_code == status
    assert len(kept(tmp_path)) == (status == 201)


async def test_folder_that_cannot_be_written_stops_the_start(start, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetting, match="HALFTONE_FEEDBACK"):
        async with start(feedback=tmp_path / "file" / "below"):
            pass
