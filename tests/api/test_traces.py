"""OpenTelemetry traces, sent to a local OTLP receiver."""

import gzip
import importlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from api.composition.observability.tracing import Tracing
from api.config import Config, ConfigError
from api.util.measures import spanning
from tests.api.conftest import TOY
from tests.patience import BUSY_SECONDS

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "hf_PLANTED0123456789abcdefgh"


def otlp() -> Any:
    """Return the OTLP message classes. Without the packages, skip the test, or fail in CI."""
    try:
        return importlib.import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    except ImportError as error:
        return (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"requirements/otel.txt: {error}")


class Receiver:
    """The requests to an OTLP receiver."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.port = 0

    def spans(self, name: str) -> list[Any]:
        """Return all received spans of this name."""
        asked = [otlp().ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        scopes = [scope for one in asked for resource in one.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans if span.name == name]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_packed = self.headers.get("Content-Encoding") == "gzip"
            receiver.bodies.append(gzip.decompress(body) if is_packed else body)
            receiver.paths.add(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield receiver
        server.shutdown()
    thread.join()


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    otlp()
    with receiving() as found:
        yield found


def test_requests_transactions_and_starts_are_child_spans_of_the_callers(make_world: Any, receiver: Receiver):
    world = make_world(otel_endpoint=f"http://127.0.0.1:{receiver.port}")
    world.runtime.tracing.start()
    try:
        headers = {"traceparent": TRACEPARENT, "X-Request-ID": "request-1", "Authorization": f"Bearer {SECRET}"}
        body = {**TOY, "env": {"HF_TOKEN": SECRET}}
        path = "/api/v1/training/start?ticket=none"
        assert world.client.post(path, json=body, headers=headers).status_code in (201, 422)
        world.run()
        assert world.client.get(f"/api/v1/training/{SECRET}").status_code == 404
    finally:
        world.runtime.tracing.stop()
    assert receiver.paths == {"/v1/traces"}
    requests = receiver.spans("POST /api/v1/training/start")
    (request_span,) = [span for span in requests if span.parent_span_id.hex() == TRACEPARENT[36:52]]
    assert request_span.trace_id.hex() == TRACEPARENT[3:35]
    assert attributes(request_span)["diffusion_pipe.request_id"] == "request-1"
    assert attributes(request_span)["http.route"] == "/api/v1/training/start"
    started, *_ = receiver.spans("start attempt")
    assert attributes(started)["diffusion_pipe.attempt"].endswith(".1")
    above = {span.parent_span_id for span in receiver.spans("database write")}
    assert started.span_id in above
    assert above & {span.span_id for span in requests}
    *_, not_found = receiver.spans("GET /api/v1/training/<task_id>")
    assert attributes(not_found)["http.response.status_code"] == 404
    assert SECRET.encode() not in b"".join(receiver.bodies)


@pytest.mark.slow
def test_unreachable_receiver_does_not_delay_the_shutdown():
    otlp()
    tracing = Tracing(Config(otel_endpoint="http://127.0.0.1:9"), "here")
    tracing.start()
    for _ in range(10):
        with spanning("a", {}):
            pass
    began = time.monotonic()
    tracing.stop()
    assert time.monotonic() - began < 8 + BUSY_SECONDS
    with spanning("b", {}):
        pass


def test_impossible_traces_are_rejected_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.util.extras.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="make install EXTRAS=otel"):
        Tracing(Config(otel_endpoint="http://127.0.0.1:4318"), "here")
    Tracing(Config(), "here").start()
