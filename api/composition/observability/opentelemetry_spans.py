"""OpenTelemetry spans, sent by OTLP over HTTP. Loaded only if traces are configured."""

import time
from collections.abc import Mapping
from typing import Any

import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api import __version__
from api.util.http.bounded_requests import bound_session
from api.util.measures import TRACEPARENT, Span, Value

#: Seconds that a stop waits for unsent spans, and that a receiver may take for each response.
FLUSH_SECONDS, ANSWER_SECONDS = 2.0, 5.0

#: The most bytes of a receiver's response that are read; it is usually empty.
MOST_ANSWER_BYTES = 65_536


class _Span:
    """An OpenTelemetry span."""

    def __init__(self, span: Any) -> None:
        self.span = span

    @property
    def traceparent(self) -> str:
        context = self.span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, values: Mapping[str, Value], *, name: str | None = None, has_failed: bool = False) -> None:
        if name is not None:
            self.span.update_name(name)
        self.span.set_attributes(values)
        if has_failed:
            self.span.set_status(trace.StatusCode.ERROR)
        self.span.end()


class OpenTelemetryTracer:
    """Creates spans and sends them from a thread."""

    def __init__(self, endpoint: str, node: str) -> None:
        about = {"service.name": "diffusion-pipe-api", "service.version": __version__, "host.name": node}
        session = bound_session(requests.Session(), ANSWER_SECONDS, MOST_ANSWER_BYTES)
        self._exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=ANSWER_SECONDS, session=session)
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("diffusion-pipe-api", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, *, is_request: bool, parent: Span | None, traceparent: str | None) -> Span:
        """Start a span."""
        kind = trace.SpanKind.SERVER if is_request else trace.SpanKind.INTERNAL
        return _Span(self._tracer.start_span(name, context=self._context(parent, traceparent), kind=kind))

    def note(self, name: str, parent: Span, seconds: float, values: Mapping[str, Value]) -> None:
        """Record a span that has just ended."""
        ended = time.time_ns()
        began = ended - int(seconds * 1e9)
        context, kind = self._context(parent, None), trace.SpanKind.CLIENT
        span = self._tracer.start_span(name, context=context, kind=kind, start_time=began, attributes=values)
        span.end(ended)

    def _context(self, parent: Span | None, traceparent: str | None) -> Any:
        if isinstance(parent, _Span):
            return trace.set_span_in_context(parent.span)
        return None if traceparent is None else self._propagator.extract({TRACEPARENT: traceparent})

    def close(self) -> None:
        """Send the remaining spans, for at most 2 s."""
        if not self._provider.force_flush(int(1000 * FLUSH_SECONDS)):
            # The exporter would retry for longer than a stop may take.
            self._exporter.shutdown()
        self._provider.shutdown()
