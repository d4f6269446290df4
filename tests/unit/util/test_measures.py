import threading
import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition, parser

from api.util import measures
from api.util.measures import EXEMPLAR_CHARACTERS, Histogram
from api.util.text.ids import current_request_id


def test_names_and_units_follow_prometheus_conventions():
    for histogram in measures.ALL:
        assert histogram.name.startswith("diffusion_pipe_")
        assert histogram.name.endswith("_seconds")
        assert histogram.help.endswith(".")


def test_transaction_of_a_request_can_be_found_by_its_id():
    token = current_request_id.set("of-a-test-7")
    try:
        measures.note_transaction("read", 0.0007)
    finally:
        current_request_id.reset(token)
    (family,) = measures.transactions.collect()
    assert {"request_id": "of-a-test-7"} in _exemplars(family)


def test_transaction_of_a_loop_has_no_example():
    before = [_exemplars(family) for family in measures.transactions.collect()]
    measures.note_transaction("read", 99.0)
    assert [_exemplars(family) for family in measures.transactions.collect()] == before


def _exemplars(family: Metric) -> list[object]:
    return [sample.exemplar.labels for sample in family.samples if sample.exemplar]


def made() -> Histogram:
    return Histogram("waits_seconds", "Waits.", ("kind",), (0.1, 1.0))


def as_open(histogram: Histogram) -> str:
    registry = CollectorRegistry()
    registry.register(histogram)
    text: str = exposition.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    return text


def as_classic(histogram: Histogram) -> str:
    registry = CollectorRegistry()
    registry.register(histogram)
    return generate_latest(registry).decode()


def test_buckets_are_cumulative():
    histogram = made()
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds, ("a",))
    text = as_classic(histogram)
    for bound, count in (("0.1", 2), ("1.0", 3), ("+Inf", 4)):
        assert f'waits_seconds_bucket{{kind="a",le="{bound}"}} {count}.0' in text
    assert 'waits_seconds_count{kind="a"} 4.0' in text
    assert 'waits_seconds_sum{kind="a"} 7.65' in text


def test_latest_example_of_a_bucket_is_shown_only_in_openmetrics():
    histogram = made()
    histogram.observe(0.5, ("a",), ("request_id", "first"), 1_700_000_000.0)
    histogram.observe(0.6, ("a",), ("request_id", "second"), 1_700_000_001.0)
    text = as_open(histogram)
    assert '# {request_id="second"} 0.6 1700000001.0' in text
    assert "first" not in text
    assert "request_id" not in as_classic(histogram)
    assert [family.name for family in parser.text_string_to_metric_families(text)] == ["waits_seconds"]


def test_example_above_the_limit_of_openmetrics_is_left_out():
    histogram = made()
    longest = "x" * (EXEMPLAR_CHARACTERS - len("request_id"))
    histogram.observe(0.05, ("a",), ("request_id", longest))
    histogram.observe(0.5, ("a",), ("request_id", longest + "y"))
    text = as_open(histogram)
    assert text.count("# {") == 1
    assert list(parser.text_string_to_metric_families(text))


def test_observations_of_many_threads_are_all_counted():
    histogram = made()

    def observe() -> None:
        for _ in range(2_000):
            histogram.observe(0.5, ("a",))

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 'waits_seconds_count{kind="a"} 8000.0' in as_classic(histogram)


@pytest.mark.parametrize("example", [None, ("request_id", "0123456789ab-1")])
def test_observation_takes_microseconds(example: tuple[str, str] | None):
    histogram, best = made(), float("inf")
    for _ in range(5):
        began = time.thread_time()
        for _ in range(2_000):
            histogram.observe(0.5, ("a",), example)
        best = min(best, (time.thread_time() - began) / 2_000)
    # Measured: 0.6 µs; the bound allows for a slow machine.
    assert best < 10e-6
