"""Every refusal: its status, its code, and that it is a problem document."""

import base64
import gzip
from collections.abc import Iterable

import httpx
import numpy as np
import pytest
from fake_models import png
from heic_files import HEIC
from pictures import encoded
from PIL import Image

from app import errors
from app.http.problems import TABLE, problem, row_of
from app.settings import Settings
from model_store import errors as store_errors
from model_store.errors import ProbeMismatch
from model_store.spec import ALL_FORMATS


def leaves(kind: type[Exception]) -> Iterable[type[Exception]]:
    children = kind.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [kind]


def check_problem(response: httpx.Response, status: int, code: str) -> dict:
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body["type"] == f"urn:halftone:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


# These never meet a request.
NOT_FOR_CLIENTS = {
    errors.InvalidSetting,
    store_errors.InvalidLocation,
    *leaves(store_errors.SourceError),
}


@pytest.mark.parametrize(
    "kind", [*leaves(errors.AppError), *leaves(store_errors.ModelStoreError)], ids=str
)
def test_every_error_has_exactly_one_row(kind):
    assert (kind in TABLE) != (kind in NOT_FOR_CLIENTS)


def test_rows_with_one_code_agree_on_status_and_title():
    rows = {row.code: row for row in TABLE.values()}
    assert all(rows[row.code] == row for row in TABLE.values())


def test_named_settings_exist():
    assert {row.setting for row in TABLE.values()} - {None} <= set(Settings.model_fields)


def test_unknown_exceptions_are_opaque():
    members = problem(RuntimeError("/secret/path"), "id")

    assert row_of(RuntimeError()).status == 500
    assert "secret" not in str(members)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"hello", 415, "unsupported_format"),
        (b"%PDF-1.7 ...", 415, "unsupported_format"),
        (png()[:30], 422, "undecodable_image"),
    ],
    ids=["text", "pdf", "truncated"],
)
async def test_bodies_that_are_no_image(client, body, status, code):
    check_problem(await client.post("/predict", content=body), status, code)


@pytest.mark.usefixtures("toy")
async def test_too_many_pixels_names_the_setting(start):
    async with start(max_pixels=50) as client:
        body = check_problem(await client.post("/predict", content=png()), 422, "too_many_pixels")

    assert body["setting"] == "HALFTONE_MAX_PIXELS"


@pytest.mark.parametrize(
    ("url", "method", "status", "code"),
    [
        ("/models/none/predict", "POST", 404, "model_not_found"),
        ("/models/none", "GET", 404, "model_not_found"),
        ("/models/UPPER%20case/predict", "POST", 404, "model_not_found"),
        ("/models/..%2f../predict", "POST", 404, "not_found"),
        ("/models/toy/versions/9/predict", "POST", 404, "version_not_found"),
        ("/models/toy/versions/one/predict", "POST", 404, "version_not_found"),
        ("/models/toy/versions/-1/predict", "POST", 404, "version_not_found"),
        ("/models/none/versions/1/predict", "POST", 404, "model_not_found"),
    ],
)
async def test_wrong_addresses(client, url, method, status, code):
    check_problem(await client.request(method, url, content=png()), status, code)


@pytest.mark.parametrize(
    ("method", "url", "status", "detail"),
    [
        ("POST", "/predicts", 404, "There is no '/predicts'. Did you mean /predict?"),
        ("GET", "/w/a", 404, "There is no '/w/a'. Images go to /predict; /docs lists all."),
        ("GET", "/predict", 405, "Expected POST for /predict. Received: GET"),
        ("PUT", "/health", 405, "Expected GET for /health. Received: PUT"),
    ],
)
async def test_wrong_addresses_are_told_what_there_is(client, method, url, status, detail):
    code = "not_found" if status == 404 else "method_not_allowed"
    body = check_problem(await client.request(method, url), status, code)
    assert body["detail"] == detail


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        (
            "/predict?topk=1",
            "Expected the query parameter 'top_k'. Received: 'topk'. Did you mean top_k?",
        ),
        ("/predict/batch?k=1", "Expected the query parameter 'top_k'. Received: 'k'."),
        ("/models/toy/predict?label=1", "Expected the query parameter 'top_k'. Received: 'label'."),
        ("/explain?top_k=1", "Expected the query parameter 'label'. Received: 'top_k'."),
        ("/preview?top_k=1", "Expected no query parameters. Received: 'top_k'."),
        ("/v2/models/toy/infer?top_k=1", "Expected no query parameters. Received: 'top_k'."),
    ],
)
async def test_unknown_query_parameters_are_refused(client, url, detail):
    answer = await client.post(url, content=png())

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert answer.json()["detail"] == detail


@pytest.mark.parametrize("url", ["/predict", "/predict/batch", "/v2/models/toy/infer"])
async def test_compressed_bodies_are_refused_by_the_headers_name(client, url):
    packed = gzip.compress(png())
    refused = await client.post(url, content=packed, headers={"content-encoding": "gzip"})
    plain = await client.post("/predict", content=png(), headers={"content-encoding": "identity"})

    assert (refused.status_code, refused.json()["code"]) == (415, "compressed_upload")
    assert "Content-Encoding: gzip" in refused.json()["detail"]
    assert refused.headers["accept-encoding"] == "identity"
    assert plain.status_code == 200


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("prefix", ["", "/vision/parts"], ids=["stripped", "left"])
async def test_routes_are_found_under_a_prefix_with_and_without_a_slash(start, prefix):
    async with start(root_path="/vision/parts") as client:
        for path in ("/predict", "/predict/", "/v2/models/toy/infer/"):
            answer = await client.post(f"{prefix}{path}", content=b"")
            assert answer.status_code == 400, path
            assert ("error" in answer.json()) == ("v2" in path)
        document = (await client.get(f"{prefix}/openapi.json")).json()
        page = await client.get(f"{prefix}/docs/")

    assert document["servers"] == [{"url": "/vision/parts"}]
    assert (page.status_code, page.headers["location"]) == (307, "../docs")


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("announced", [True, False], ids=["by length", "by counting"])
async def test_too_many_bytes(start, announced):
    async def chunks():
        for _ in range(20):
            yield b"x" * 100

    async with start(max_upload_bytes=1000) as client:
        content = b"x" * 2000 if announced else chunks()
        refused = await client.post("/predict", content=content)
        exact = await client.post("/predict", content=b"x" * 1000)

    body = check_problem(refused, 413, "upload_too_large")
    assert body["setting"] == "HALFTONE_MAX_UPLOAD_BYTES"
    assert exact.status_code == 415


@pytest.mark.usefixtures("toy")
async def test_too_many_images(start):
    async with start(max_images=2) as client:
        for count, status in [(2, 200), (3, 413), (60, 413)]:
            files = [("files", ("x.png", png()))] * count
            response = await client.post("/predict/batch", files=files)
            assert response.status_code == status

    assert check_problem(response, 413, "too_many_images")["setting"] == "HALFTONE_MAX_IMAGES"


@pytest.mark.parametrize("url", ["/predict", "/predict/batch"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"--b\r\n", "multipart/form-data; boundary=b"),
        (b"nonsense", "multipart/form-data; boundary=b"),
        (b"--b--\r\n", "multipart/form-data"),
        (b"--b--\r\n", "multipart/form-data; boundary=" + "b" * 200),
        (b"--b\r\n\r\nno header\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (
            b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
        ),
    ],
    ids=["cut", "nonsense", "no boundary", "long boundary", "no header", "other field"],
)
async def test_malformed_forms(client, url, body, content_type):
    response = await client.post(url, content=body, headers={"content-type": content_type})

    check_problem(response, 400, "malformed_upload")


async def test_two_files_where_one_is_expected(client):
    response = await client.post("/predict", files=[("file", png()), ("file", png())])

    check_problem(response, 400, "malformed_upload")
    assert "Received: 2. Many images go to /predict/batch" in response.json()["detail"]


async def test_batch_needs_a_form_with_images(client):
    raw = await client.post("/predict/batch", content=png())
    check_problem(raw, 400, "malformed_upload")
    empty = await client.post(
        "/predict/batch",
        content=b"--b--\r\n",
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    check_problem(empty, 400, "empty_upload")


async def test_an_empty_image_is_the_same_error_on_every_way(client):
    empty = ("x.png", b"")
    alone = [
        await client.post("/predict", content=b""),
        await client.post("/predict", files={"file": empty}),
        await client.post("/preview", files={"file": empty}),
        await client.post("/explain", content=b""),
    ]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [""]}
    v2 = await client.post("/v2/models/toy/infer", json={"inputs": [tensor]})
    batch = await client.post("/predict/batch", files=[("files", empty), ("files", png())])

    details = {check_problem(one, 400, "empty_upload")["detail"] for one in alone}
    assert details == {"Expected an image. Received: no bytes"} == {v2.json()["error"]}
    assert (v2.status_code, v2.json()["code"]) == (400, "empty_upload")
    first, second = batch.json()["results"]
    assert (first["error"]["code"], first["error"]["status"]) == ("empty_upload", 400)
    assert "label" in second


IN_BASE64 = base64.b64encode(png())
LATER = "/v2/models/{name}/infer"


@pytest.mark.parametrize(
    ("body", "received", "advice"),
    [
        (IN_BASE64, "PNG in base64", LATER),
        (base64.encodebytes(png()), "PNG in base64", LATER),
        (base64.urlsafe_b64encode(b"\xff\xd8\xff\xfe\xff").rstrip(b"="), "JPEG in base64", LATER),
        (b'"' + IN_BASE64 + b'"', "PNG in base64", LATER),
        (b"data:image/png;base64," + IN_BASE64, "a data URL", "Send the bytes"),
        (b"https://example.com/part.png", "a URL", "send the image itself"),
        (b'{"image": "' + IN_BASE64 + b'"}', "JSON", LATER),
        (b"[[0, 1], [2, 3]]", "JSON", LATER),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
            "a multipart body",
            "Content-Type multipart/form-data",
        ),
    ],
    ids=["base64", "lines", "URL-safe", "quoted", "data URL", "URL", "JSON", "pixels", "multipart"],
)
async def test_wrapped_images_are_refused_with_the_way_that_works(client, body, received, advice):
    types = ("image/png", "application/json", "multipart/related")
    refused = [
        await client.post("/predict", content=body, headers={"content-type": kind})
        for kind in types
    ]
    refused.append(await client.post("/predict", files={"file": body}))
    batch = await client.post("/predict/batch", files=[("files", body)])

    (detail,) = {check_problem(one, 400, "malformed_upload")["detail"] for one in refused}
    assert f"Received: {received}. " in detail
    assert advice in detail
    assert batch.json()["results"][0]["error"]["detail"] == detail


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_an_image_that_curl_sent_as_text_is_refused_with_the_way_that_works(client, kind):
    as_by_d = noise(kind).translate(None, b"\r\n\0")  # what `curl -d @FILE` leaves of it
    response = await client.post("/predict", content=as_by_d)

    detail = check_problem(response, 400, "malformed_upload")["detail"]
    assert detail.endswith("use --data-binary.")


def noise(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return encoded(Image.fromarray(pixels), kind)


@pytest.mark.parametrize("kind", ALL_FORMATS)
async def test_a_truncated_image_is_called_so_without_our_internals(client, kind):
    image = HEIC["color"] if kind == "HEIC" else noise(kind)
    for size in (int(share * len(image)) for share in (0.3, 0.5, 0.95)):
        response = await client.post("/predict", content=image[:size])
        detail = check_problem(response, 422, "undecodable_image")["detail"]

        assert f"Received: {size} bytes" in detail
        assert detail.endswith("cut short or broken")
        assert "Error" not in detail


async def test_engine_failure_is_opaque(start, toy):
    async with start() as client:
        toy.error = RuntimeError("/home/secret/weights.bin")
        response = await client.post("/predict", content=png())
        toy.error = None
        afterwards = await client.post("/predict", content=png())

    check_problem(response, 500, "inference_failed")
    assert "secret" not in response.text
    assert afterwards.status_code == 200


async def test_numbers_that_are_not_finite_are_never_an_answer(start, toy):
    async with start() as client:
        toy.answers_nan = True
        response = await client.post("/predict", content=png())

    check_problem(response, 500, "output_not_finite")


async def test_version_that_cannot_serve(start, store):
    store.publish("toy", 1)
    store.publish("toy", 2)
    store.broken["toy", 1] = ProbeMismatch("/srv/models/toy/1: differs")
    async with start() as client:
        response = await client.post("/models/toy/versions/1/predict", content=png())

    check_problem(response, 503, "model_unusable")
    assert "/srv" not in response.text
    assert int(response.headers["retry-after"]) >= 1


async def test_harmless_request_ids_are_kept_and_others_replaced(client):
    for given in ("abc-123", "a" * 64, "A.b_c:d"):
        response = await client.post("/predict", content=b"", headers={"x-request-id": given})
        assert response.json()["request_id"] == given == response.headers["x-request-id"]

    for given in ("", "a b", "a" * 65, "<script>", "a\tb", "é"):
        headers = {"x-request-id": given.encode("latin-1")}
        response = await client.get("/livez", headers=headers)
        assert response.headers["x-request-id"] != given
        assert len(response.headers["x-request-id"]) == 16
