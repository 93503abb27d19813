"""Forms as other libraries write them."""

import httpx
import pytest
from fake_models import png


def form(*parts: tuple[str, bytes]) -> dict[str, object]:
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
        for head, data in parts
    )
    return {
        "content": body + b"--b--\r\n",
        "headers": {"content-type": "multipart/form-data; boundary=b"},
    }


@pytest.mark.parametrize("name", ["file", "files"])
@pytest.mark.parametrize("kind", ["alone", "beside a file", "with an encoded name only"])
async def test_an_image_without_a_filename_is_refused_with_what_is_missing(
    client: httpx.AsyncClient, name: str, kind: str
):
    encoded = "; filename*=UTF-8''a.png" if kind == "with an encoded name only" else ""
    parts = [(f'name="{name}"{encoded}', png())]
    if kind == "beside a file":
        parts.insert(0, (f'name="{name}"; filename="a"', png()))
    url = "/predict" if name == "file" else "/predict/batch"
    response = await client.post(url, **form(*parts))

    problem = response.json()
    assert (response.status_code, problem["code"]) == (400, "malformed_upload")
    assert "without a filename" in problem["detail"]
    assert problem["detail"].endswith(f"curl sends a file by -F {name}=@PATH")
