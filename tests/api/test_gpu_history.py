import pytest

from tests.api.client import Client, failure_of

GPU = "/api/v1/gpu"


def test_history_contains_the_readings(client: Client):
    data = client.data(f"{GPU}/0/history?metric=temperature_gpu")
    assert (data["metric"], data["unit"], data["gpu_id"]) == ("temperature_gpu", "°C", 0)
    (point,) = data["data"]
    assert point["min"] == point["value"] == point["max"] == client.data(f"{GPU}/0")["temperature"]["gpu"]


@pytest.mark.parametrize(
    "query",
    [
        "metric=utilization_gpu",
        "since=15m",
        "since=1d",
        "since=99999d",
        "since=2026-01-01T00:00:00Z",
        "since=2026-01-01T00:00:00%2B05:00",
        "since=0001-01-01T00:00:00%2B14:00",
        "until=9999-12-31T23:59:59-12:00",
        "step=1",
        "step=86400",
        "step=1.5&since=6h&until=2026-01-01T00:00:00Z",
    ],
)
def test_period_is_applied(shared_client: Client, query: str):
    assert shared_client.get(f"{GPU}/0/history?{query}").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "metric=wisdom",
        "since=yesterday",
        "since=0s",
        "since=-5m",
        "since=2026-13-01T00:00:00Z",
        "since=2026-01-01T00:00:00",
        "until=1h",
        "step=0",
        "step=nan",
        "step=inf",
        "step=86401",
    ],
)
def test_invalid_period_is_rejected(shared_client: Client, query: str):
    answer = shared_client.get(f"{GPU}/0/history?{query}")
    assert answer.status_code == 422
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["pointer"] == "/" + query.partition("=")[0]


def test_history_of_a_period_before_any_reading_is_empty(client: Client):
    data = client.data(f"{GPU}/0/history?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z")
    assert data["data"] == []
    assert (data["since"], data["until"]) == ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
