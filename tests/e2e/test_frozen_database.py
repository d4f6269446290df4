"""A frozen PostgreSQL: reads are answered immediately from the last known state, with its age."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from statistics import median

import httpx
import pytest

from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.postgres_servers import OwnPostgres

#: The median: an answer that waits for the database takes five seconds, and other work on the cores delays only some.
SECONDS = 2.5

FROZEN_SECONDS = 8.0

SWEEP_SECONDS = 1.0

#: A sweep that is a little late makes no reading stale.
SETTINGS = {"GPU_MONITOR_INTERVAL": str(SWEEP_SECONDS), "GPU_STATUS_CHECK_TIMEOUT": "4"}


@dataclass
class Observations:
    """The observations of a client: a training runs, and the database freezes for a while."""

    answers: dict[str, list[httpx.Response]] = field(default_factory=dict)
    change: httpx.Response | None = None
    healthy_after: float = 0.0
    afterwards: httpx.Response | None = None
    samples: list[float] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    def median(self, name: str) -> float:
        return median(answer.elapsed.total_seconds() for answer in self.answers[name])


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observations]:
    directory = tmp_path_factory.mktemp("frozen") / "server"
    with (
        OwnPostgres() as postgres,
        TrainingServer(directory, **SETTINGS, DATABASE_URL=postgres.url) as server,
    ):
        try:
            yield play(postgres, server)
        finally:
            postgres.thaw()


def play(postgres: OwnPostgres, server: TrainingServer) -> Observations:
    seen = Observations()
    task_id = server.start_task(toy(100_000, step_seconds=0.1))
    server.await_step(task_id, 3)
    addresses = {
        "list": f"{BASE}/training/list",
        "task": f"{BASE}/training/{task_id}",
        "status": f"{BASE}/gpu/status",
        "metrics": "/metrics",
        "health": "/health",
    }
    for address in addresses.values():
        assert server.client.get(address).status_code == 200
    until(
        lambda: server.metrics()['diffusion_pipe_trainings{status="running"}'] == 1, 30, "the running one to be counted"
    )
    postgres.freeze()
    frozen_at = time.monotonic()
    addresses["never asked"] = f"{BASE}/training/list?limit=7"
    while time.monotonic() < frozen_at + FROZEN_SECONDS:
        for name, address in addresses.items():
            seen.answers.setdefault(name, []).append(server.client.get(address))
    seen.change = server.client.post(f"{BASE}/training/start", json=toy(5))
    postgres.thaw()
    thawed_at = time.monotonic()
    until(lambda: server.get("/health")["status"] == "ok", 30, "a healthy server")
    seen.healthy_after = time.monotonic() - thawed_at
    server.await_step(task_id, server.task(task_id)["progress"]["current_step"] + 1)
    seen.afterwards = server.client.get(addresses["task"])
    history = server.get("/gpu/0/history", params={"since": "1m", "step": "1"})["data"]
    seen.samples = [read_time(point["timestamp"]) for point in history if point["value"] is not None]
    seen.tracebacks = server.tracebacks()
    report(seen)
    return seen


def read_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def report(seen: Observations) -> None:
    medians = {name: round(seen.median(name), 2) for name in seen.answers}
    counts = {name: len(answers) for name, answers in seen.answers.items()}
    change = 0.0 if seen.change is None else seen.change.elapsed.total_seconds()
    sys.stdout.write(f"medians: {medians}; asked: {counts}; change {change:.2f} s; well {seen.healthy_after:.1f} s\n")


@pytest.mark.parametrize("name", ["list", "task", "status", "metrics", "health", "never asked"])
def test_reads_do_not_wait(seen: Observations, name: str) -> None:
    assert seen.median(name) < SECONDS


@pytest.mark.parametrize("name", ["list", "task"])
def test_known_state_is_returned_with_its_age(seen: Observations, name: str) -> None:
    answers = seen.answers[name]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-stale"] for answer in answers} == {"database_unavailable"}
    ages = [int(answer.headers["age"]) for answer in answers]
    assert ages == sorted(ages)
    assert FROZEN_SECONDS - 3 <= ages[-1] <= FROZEN_SECONDS + 3


def test_data_that_was_never_read_is_refused(seen: Observations) -> None:
    for answer in seen.answers["never asked"]:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0


def test_gpu_readings_stay_fresh(seen: Observations) -> None:
    assert {int(answer.headers["age"]) for answer in seen.answers["status"]} <= set(range(6))
    assert {answer.json()["data"]["gpus"][0]["status"] for answer in seen.answers["status"]} == {"training"}


def test_no_sweep_is_missed(seen: Observations) -> None:
    assert len(seen.samples) >= FROZEN_SECONDS / 2
    assert max(later - earlier for earlier, later in pairwise(seen.samples)) < 4 * SWEEP_SECONDS


def test_metrics_report_the_age_of_database_values(seen: Observations) -> None:
    text = seen.answers["metrics"][-1].text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['diffusion_pipe_trainings{status="running"}'] == "1.0"
    assert float(lines["diffusion_pipe_trainings_age_seconds"]) > FROZEN_SECONDS / 2


def test_health_reports_that_the_database_does_not_answer(seen: Observations) -> None:
    last = seen.answers["health"][-1].json()["data"]
    assert (last["status"], len(last["problems"])) == ("degraded", 1)


def test_change_is_refused_within_five_seconds(seen: Observations) -> None:
    assert seen.change is not None
    assert (seen.change.status_code, seen.change.json()["error"]["code"]) == (503, "database_unavailable")
    assert seen.change.elapsed.total_seconds() < FROZEN_SECONDS


def test_service_recovers_soon_afterwards(seen: Observations) -> None:
    assert seen.healthy_after < 15
    assert seen.afterwards is not None
    assert (seen.afterwards.status_code, "x-stale" in seen.afterwards.headers) == (200, False)
    assert seen.tracebacks == []
