"""Spans of requests over ASGI, kept in memory; that they cost nothing where they are off."""

import sys
from collections.abc import AsyncIterator

import httpx
import pytest
from fake_models import FakeModel, Start, png
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.observability.spans import Spans
from app.observability.tracing import ENDPOINTS, tracing_from_environment

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def client(
    exported: InMemorySpanExporter,
    start: Start,
    toy: FakeModel,  # noqa: ARG001  # it fills the store
) -> AsyncIterator[httpx.AsyncClient]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    async with start(tracing=Spans(provider)) as client:
        exported.clear()
        yield client


def split(exported: InMemorySpanExporter) -> tuple[ReadableSpan, list[ReadableSpan]]:
    """Return the only request's span, and its children in the order of their start."""
    spans = exported.get_finished_spans()
    (request,) = [span for span in spans if span.attributes and "http.route" in span.attributes]
    return request, sorted((span for span in spans if span is not request), key=starts)


def starts(span: ReadableSpan) -> int:
    assert span.start_time is not None
    return span.start_time


def ends(span: ReadableSpan) -> int:
    assert span.end_time is not None
    return span.end_time


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_the_frameworks_own_spans_with_the_query_are_not_made(client, exported, monkeypatch):
    provider = TracerProvider(shutdown_on_exit=False)
    everywhere = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(everywhere))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    await client.post("/predict", params={"top_k": "1"}, content=png())

    assert split(exported)[0].name == "POST /predict"
    assert everywhere.get_finished_spans() == ()


async def test_a_prediction_is_a_request_with_its_stages_as_server_timing_tells_them(
    client, exported
):
    answer = await client.post("/predict", content=png())
    request, stages = split(exported)

    assert request.name == "POST /predict"
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "halftone.request_id": answer.headers["x-request-id"],
        "halftone.model": "toy",
        "halftone.version": 1,
    }
    assert [stage.name for stage in stages] == ["queue", "decode", "queue", "inference"]
    assert attributes(stages[3]) == {"halftone.image": 0, "halftone.batch_size": 1}
    for stage in stages:
        assert stage.parent.span_id == request.get_span_context().span_id
    inside = [moment for stage in stages for moment in (starts(stage), ends(stage))]
    moments = [starts(request), *inside, ends(request)]
    assert moments == sorted(moments)
    told = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    for name in ("decode", "queue", "inference"):
        lasted_ns = sum(ends(stage) - starts(stage) for stage in stages if stage.name == name)
        assert lasted_ns / 1e6 == pytest.approx(float(told[name]), abs=0.002)


async def test_the_callers_trace_goes_on(client, exported):
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=x"}
    await client.post("/predict", content=png(), headers=headers)
    request, stages = split(exported)

    assert f"{request.parent.span_id:016x}" == PARENT
    assert {f"{span.get_span_context().trace_id:032x}" for span in (request, *stages)} == {TRACE}
    assert request.get_span_context().trace_state.get("vendor") == "x"


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", "ff-é-1-1"])
async def test_a_traceparent_that_is_none_begins_a_trace(client, exported, header):
    headers = {"traceparent": header.encode("latin-1")}
    assert (await client.post("/predict", content=png(), headers=headers)).status_code == 200

    assert split(exported)[0].parent is None


async def test_every_image_of_a_batch_has_its_stages_or_its_error(client, exported):
    files = [("files", ("x.png", image)) for image in (png(), b"bad", png())]
    await client.post("/predict/batch", files=files)
    request, stages = split(exported)

    assert {attributes(stage)["halftone.image"] for stage in stages} == {0, 2}
    assert len(stages) == 8
    (event,) = request.events
    assert dict(event.attributes or {}) == {
        "halftone.image": 1,
        "error.type": "UnsupportedFormat",
    }


async def test_refusals_carry_their_code_and_only_our_failures_are_errors(client, exported, toy):
    await client.post("/predict", content=b"no image")
    refused, _ = split(exported)
    exported.clear()
    toy.answers_nan = True
    await client.post("/predict", content=png())
    failed, _ = split(exported)

    assert attributes(refused)["error.type"] == "unsupported_format"
    assert refused.status.is_unset
    assert attributes(failed)["error.type"] == "output_not_finite"
    assert not failed.status.is_ok
    assert not failed.status.is_unset


async def test_clients_cannot_invent_span_names(client, exported):
    await client.request("BREW", "/coffee")

    assert split(exported)[0].name == "other"


async def test_neither_probes_that_go_well_nor_what_the_caller_does_not_record_are_traced(
    client, exported
):
    for path in ("/livez", "/readyz", "/health", "/metrics"):
        await client.get(path)
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    await client.post("/predict", content=png(), headers=headers)

    assert exported.get_finished_spans() == ()


def test_nothing_is_traced_without_an_endpoint(monkeypatch):
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)

    assert tracing_from_environment() is None


def test_an_endpoint_without_the_extra_is_said_in_the_log(monkeypatch, caplog):
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9")
    monkeypatch.delitem(sys.modules, "app.observability.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    assert tracing_from_environment() is None
    assert f"{ENDPOINTS[0]} is set, but nothing is traced" in caplog.text
