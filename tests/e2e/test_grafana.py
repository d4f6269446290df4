"""The dashboards, over a real Prometheus that scrapes a server with simulated GPUs, trainings, faults and a channel."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import BASE, until
from tests.e2e.training_server import TrainingServer
from tests.prometheus_servers import OwnPrometheus
from tests.unit.alerts.notifiers.receivers import receiving, status
from tools.grafana_dashboards import DIRECTORY

#: Series that one machine without such faults cannot have, and why.
EXCUSED = {
    ("fleet", "Silent machines"): "there is no second machine on its database",
    ("alerts", "Time until a disk is full"): "its pace is known after a quarter of an hour",
    ("alerts", "Offset from the database's clock"): "SQLite has no clock of its own",
    ("gpu", "Recovery action (driver)"): "simulated GPUs have a driver that knows no such question",
}

#: The variables of Grafana, with their values for the last minute.
_FILLED = {
    "$__rate_interval": "30s",
    "$__range": "1m",
    "$__interval": "2s",
    "$node": ".*",
    "$gpu": ".*",
}

SETTINGS = {
    "GPU_MONITOR_INTERVAL": "0.5",
    "GPU_STATUS_CHECK_TIMEOUT": "2",
    "SIMULATED_GPUS": "2x NVIDIA GeForce RTX 4090, 2x NVIDIA H100 80GB HBM3",
    "SIMULATED_EVENTS": "1s gpu3 xid 79",
    "PRIVATE_HOSTS_ALLOWED": "127.0.0.1",
}


def trainings() -> Iterator[dict[str, Any]]:
    long = {"epochs": 1000, "toy": {"step_seconds": 0.1, "checkpoint_every_n_steps": 5}}
    yield {"gpu_ids": [0], "config": long}
    yield {"gpu_count": 4, "config": long}
    yield {
        "gpu_ids": [1],
        "config": {"epochs": 5, "toy": {"step_seconds": 0.01, "fail_at_step": 2, "fail_with": "missing_file"}},
    }
    yield {"gpu_ids": [2], "config": {"epochs": 1, "toy": {"step_seconds": 0.01}}}


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[OwnPrometheus]:
    with ExitStack() as stack:
        own = tmp_path / "prometheus"
        own.mkdir()
        server = TrainingServer(tmp_path / "server", **SETTINGS)
        found = OwnPrometheus(own)
        receiver = stack.enter_context(receiving(status("204 No Content")))
        stack.enter_context(server)
        hook = {
            "name": "hook",
            "kind": "webhook",
            "url": f"http://127.0.0.1:{receiver.port}/x",
            "signing_key": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "critical_wait_seconds": 0,
        }
        assert server.client.post(f"{BASE}/alerts/channels", json=hook).status_code == 201
        for fields in trainings():
            answer = server.client.post(f"{BASE}/training/start", json={"model_type": "toy", **fields})
            assert answer.status_code == 201, answer.text
        found.scrape(server.port)
        prometheus = stack.enter_context(found)
        until(lambda: receiver.requests, what="an alert's delivery")
        until(lambda: _has_everything(prometheus), timeout=60, what="series of all kinds")
        yield prometheus


def _has_everything(prometheus: OwnPrometheus) -> bool:
    wanted = (
        "diffusion_pipe_task_eta_seconds",
        "diffusion_pipe_task_gpu_utilization_ratio",
        "diffusion_pipe_task_queued_seconds",
        "diffusion_pipe_alert_delivery_lag_seconds_count",
        "nvidia_smi_xid_errors_total",
        "count_over_time(up[30s]) >= 6",
    )
    return all(prometheus.query(expression) for expression in wanted)


def filled(expression: str) -> str:
    for place, value in _FILLED.items():
        expression = expression.replace(place, value)
    assert "$" not in expression, expression
    return expression


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(DIRECTORY.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            yield path.stem, panel


def test_every_query_has_series_and_every_rule_can_be_evaluated(prometheus: OwnPrometheus):
    empty = []
    for board, panel in panels():
        for target in panel.get("targets", ()):
            query = prometheus.query if target["instant"] else prometheus.query_range
            if not query(filled(target["expr"])):
                empty.append((board, panel["title"], target["refId"]))
    assert [each for each in empty if each[:2] not in EXCUSED] == []
    assert {each[:2] for each in empty} == EXCUSED.keys(), "an excuse is no longer needed"
    for path in DIRECTORY.glob("*.json"):
        for variable in json.loads(path.read_text())["templating"]["list"][1:]:
            assert choices(prometheus, variable), (path.name, variable["name"])
    groups = prometheus.request("/rules")["groups"]
    failing = [
        (rule["name"], rule["lastError"]) for group in groups for rule in group["rules"] if rule["health"] == "err"
    ]
    assert failing == []
    assert {group["name"] for group in groups} >= {"diffusion-pipe", "diffusion-pipe-recording"}
    until(lambda: {"xid_fatal", "training_failed"} <= firing(prometheus), what="alerts of Prometheus")
    name = "diffusion_pipe_http_request_duration_seconds_bucket"
    examples = prometheus.request("/query_exemplars", query=name, start="0", end="9999999999")
    assert any(each["labels"].get("request_id") for series in examples for each in series["exemplars"])


def firing(prometheus: OwnPrometheus) -> set[str]:
    """Return the service's rules that Prometheus reports as firing."""
    return {each["labels"]["rule"] for each in prometheus.request("/alerts")["alerts"] if each["state"] == "firing"}


def choices(prometheus: OwnPrometheus, variable: dict[str, Any]) -> list[str]:
    """Return the values that Grafana would offer for a variable."""
    query = filled(variable["query"]["query"])
    labels = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    if labels is not None:
        return [each["metric"].get(labels[2], "") for each in prometheus.query(labels[1])]
    inner = re.fullmatch(r"query_result\((.*)\)", query)
    assert inner is not None, query
    pattern = re.compile(re.sub(r"\(\?<(\w+)>", r"(?P<\1>", variable["regex"].strip("/")))
    values = []
    for each in prometheus.query(inner[1]):
        # Grafana writes a series, with labels in alphabetical order, before it applies the pattern.
        text = ",".join(f'{name}="{value}"' for name, value in sorted(each["metric"].items()))
        match = pattern.search(text)
        assert match is not None, text
        values.append(match["value"])
    return values
