import io
import json
import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api.web import access_log
from api.web.access_log import Access, AccessLog, HTTPMetrics

_LABELS = 'method="GET",route="/health",status_class="2xx"'


def access(path: str = "/health", status: int = 200, route: str = "/health", seconds: float = 0.004) -> Access:
    return Access(1_700_000_000.0, "GET", path, route, status, seconds, "req-1", "127.0.0.1")


class Stream(io.StringIO):
    """The written text, by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()
        #: Called while a batch is written.
        self.meanwhile: Callable[[], None] = lambda: None

    def write(self, text: str) -> int:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().write(text)

    def flush(self) -> None:
        self.written.set()


class Log:
    """An access log with its output."""

    def __init__(self, level: str = "INFO", as_json: bool = True) -> None:
        self.stream = Stream()
        self.metrics = HTTPMetrics()
        self.log = AccessLog(self.metrics, level, as_json, self.stream)

    def take(self, *requests: Access) -> list[str]:
        for request in requests:
            self.log.record(request)
        self.log.flush()
        return self.stream.getvalue().splitlines()

    def scrape(self) -> str:
        registry = CollectorRegistry()
        registry.register(self.metrics)
        return generate_latest(registry).decode()


@pytest.fixture
def log() -> Log:
    return Log()


def test_request_is_one_line_with_its_facts(log: Log):
    (line,) = log.take(access())
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.000Z",
        "level": "INFO",
        "message": "request",
        "method": "GET",
        "path": "/health",
        "route": "/health",
        "status": 200,
        "duration_ms": 4.0,
        "request_id": "req-1",
        "client": "127.0.0.1",
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_hostile_path_stays_on_one_line(as_json: bool):
    assert len(Log(as_json=as_json).take(access("/a\nINFO forged\r\x1b[2J\u2028"))) == 1


def test_server_error_is_logged_as_an_error(log: Log):
    assert json.loads(log.take(access(status=503))[0])["level"] == "ERROR"


@pytest.mark.parametrize("level", ["WARNING", "ERROR"])
def test_quiet_log_writes_only_server_errors(level: str):
    lines = Log(level).take(access(), access(status=404), access(status=500))
    assert [json.loads(line)["status"] for line in lines] == [500]


def test_quiet_log_counts_every_request():
    log = Log("ERROR")
    log.take(access(), access(status=404))
    assert log.scrape().count("diffusion_pipe_http_requests_total{") == 2


def test_request_is_written_once(log: Log):
    log.take(access())
    assert len(log.take()) == 1


def test_stop_writes_the_remaining_requests(log: Log):
    log.log.start()
    log.log.record(access())
    log.log.stop()
    assert len(log.stream.getvalue().splitlines()) == 1


def test_request_wakes_the_writer(log: Log):
    log.log.start()
    log.log.record(access())
    assert log.stream.written.wait(10)
    log.log.stop()


def test_request_during_a_write_is_written_next(log: Log):
    log.stream.meanwhile = lambda: log.log.record(access("/second"))
    log.log.start()
    log.log.record(access("/first"))
    assert log.stream.written.wait(10)
    log.stream.written.clear()
    assert log.stream.written.wait(10)
    log.log.stop()
    assert len(log.stream.getvalue().splitlines()) == 2


def test_writer_continues_after_a_failure(log: Log):
    def fail() -> None:
        log.log.record(access("/second"))
        raise OSError("no space left")

    log.stream.meanwhile = fail
    log.log.start()
    log.log.record(access("/first"))
    assert log.stream.written.wait(10)
    log.log.stop()
    assert "/second" in log.stream.getvalue()


def test_lost_lines_are_counted_in_the_log(log: Log, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access_log, "CAPACITY", 2)
    lines = [json.loads(line) for line in log.take(*[access()] * 5)]
    assert [line["message"] for line in lines] == ["request", "request", "request lines were lost"]
    assert lines[-1]["lost"] == 3


def test_requests_are_counted_by_method_route_and_status(log: Log):
    log.take(access(), access(), access("/nope", 404, "unknown"))
    text = log.scrape()
    assert 'diffusion_pipe_http_requests_total{method="GET",route="/health",status="200"} 2.0' in text
    assert 'diffusion_pipe_http_requests_total{method="GET",route="unknown",status="404"} 1.0' in text


def test_durations_are_a_cumulative_histogram(log: Log):
    log.take(access(seconds=0.0005), access(seconds=0.004), access(seconds=99.0))
    text = log.scrape()
    name = "diffusion_pipe_http_request_duration_seconds"
    for bound, count in (("0.0005", 1), ("0.0025", 1), ("0.005", 2), ("10.0", 2), ("+Inf", 3)):
        assert f'{name}_bucket{{le="{bound}",{_LABELS}}} {count}.0' in text
    assert f"{name}_count{{{_LABELS}}} 3.0" in text
    assert f"{name}_sum{{{_LABELS}}} 99.0045" in text


def test_request_on_a_bucket_bound_counts_below_it(log: Log):
    log.take(access(seconds=0.01))
    assert f'le="0.01",{_LABELS}}} 1.0' in log.scrape()


def test_durations_are_grouped_by_status_class(log: Log):
    log.take(access(status=200), access(status=204), access(status=404))
    name = "diffusion_pipe_http_request_duration_seconds_count"
    text = log.scrape()
    assert f'{name}{{method="GET",route="/health",status_class="2xx"}} 2.0' in text
    assert f'{name}{{method="GET",route="/health",status_class="4xx"}} 1.0' in text


def test_unknown_methods_share_their_series(log: Log):
    log.take(access()._replace(method="PROPFIND"), access()._replace(method="MKCOL"))
    text = log.scrape()
    assert 'diffusion_pipe_http_requests_total{method="other",route="/health",status="200"} 2.0' in text
    assert "PROPFIND" not in text


def test_key_in_a_path_is_masked(log: Log):
    line = log.take(access(path="/api/v1/training/hf_PLANTED0123456789abcdef"))[0]
    assert json.loads(line)["path"] == "/api/v1/training/***"


def test_long_path_is_truncated(log: Log):
    line = log.take(access(path="/" + "a" * 60_000))[0]
    assert len(line) < 1_000
