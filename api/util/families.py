"""Families of series for prometheus-client, which is loaded with the first scrape."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.samples import Exemplar


def gauge(name: str, text: str, value: float | None = None, labels: Sequence[str] | None = None) -> "GaugeMetricFamily":
    """Values that rise and fall: one value, or one for each combination of labels."""
    # Loaded with the first scrape: 2 MB.
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    return GaugeMetricFamily(name, text, value=value, labels=labels)


def counter(
    name: str, text: str, value: float | None = None, labels: Sequence[str] | None = None
) -> "CounterMetricFamily":
    """Counts that only rise: one, or one for each combination of labels."""
    # Loaded with the first scrape: 2 MB.
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

    return CounterMetricFamily(name, text, value=value, labels=labels)


def histogram(name: str, text: str, labels: Sequence[str]) -> "HistogramMetricFamily":
    """Counts by size, one for each combination of labels."""
    # Loaded with the first scrape: 2 MB.
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

    return HistogramMetricFamily(name, text, labels=labels)


def exemplar(labels: dict[str, str], value: float, at: float) -> "Exemplar":
    """One that was counted, with its Unix time."""
    # Loaded with the first scrape: 2 MB.
    from prometheus_client.samples import Exemplar  # noqa: PLC0415

    return Exemplar(labels, value, at)
