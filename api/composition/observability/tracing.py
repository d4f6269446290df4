"""Traces, if OTEL_EXPORTER_OTLP_ENDPOINT is set."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from api.config import Config, ConfigError
from api.util.extras import describe_missing
from api.util.measures import use_tracer

if TYPE_CHECKING:
    from api.composition.observability.opentelemetry_spans import OpenTelemetryTracer

logger = logging.getLogger(__name__)


class Tracing:
    """Creates traces from `start` to `stop`. Without an endpoint it loads and does nothing."""

    def __init__(self, config: Config, node: str) -> None:
        """Raise ConfigError if traces are configured and the packages are not installed."""
        self._endpoint = config.otel_endpoint
        self._node = node
        self._make = _load() if self._endpoint else None
        self._tracer: OpenTelemetryTracer | None = None

    def start(self) -> None:
        """Start creating and sending spans."""
        if self._make is not None:
            self._tracer = self._make(self._endpoint, self._node)
            use_tracer(self._tracer)
            logger.info("sending traces", extra={"endpoint": self._endpoint})

    def stop(self) -> None:
        """Send the remaining spans, for at most 2 s."""
        if self._tracer is not None:
            use_tracer(None)
            self._tracer.close()
            self._tracer = None


def _load() -> "Callable[[str, str], OpenTelemetryTracer]":
    if missing := describe_missing("otel", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        raise ConfigError(missing)
    # OpenTelemetry is optional.
    from api.composition.observability.opentelemetry_spans import OpenTelemetryTracer  # noqa: PLC0415

    return OpenTelemetryTracer
