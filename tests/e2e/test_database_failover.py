"""PostgreSQL is restarted under two servers behind nginx, and failed over to its replica.

The servers recover by themselves; nothing that was acknowledged is lost, and nothing is doubled.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.e2e.behind_nginx import Site, site
from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer
from tests.lengths import length
from tests.postgres_pair import PostgresPair
from tests.redis_servers import OwnRedis

#: Number of failovers, back and forth.
FAILOVERS = length(20, 1)

#: The first of the tests plays everything.
pytestmark = pytest.mark.timeout(120 + 30 * FAILOVERS)

RECOVERY_SECONDS = 15.0

#: Seconds without a writable database in a failover, as a person or a monitor needs.
AWAY_SECONDS = 3.0

REPLICA = "The server is read-only: promote the replica, or set DATABASE_URL to the primary."


@dataclass
class Orders:
    """Trainings that a client starts continually, each until it is acknowledged."""

    behind: Site
    #: The acknowledged tasks, by the key of the request.
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: list[httpx.Response] = field(default_factory=list)
    _ends: threading.Event = field(default_factory=threading.Event)

    def place_orders(self) -> None:
        """Start one after the other; a retry has the key of its first attempt, as the documents require."""
        number = 0
        while not self._ends.wait(0.05):
            key = f"order-{number}"
            try:
                answer = self.behind.client.post(
                    f"{BASE}/training/start", json=toy(2, gpus=[7]), headers={"Idempotency-Key": key}
                )
            except httpx.HTTPError:
                continue
            if answer.status_code == 201:
                self.acknowledged[key] = answer.json()["data"]["task_id"]
                number += 1
            else:
                self.refused.append(answer)

    def end(self) -> None:
        self._ends.set()


@dataclass
class Observations:
    """The observations of the play."""

    orders: Orders
    recoveries: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    steps: tuple[int, int] = (0, 0)
    attempts: int = 0
    known: list[set[str]] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observations]:
    directory = tmp_path_factory.mktemp("failover")
    with ExitStack() as stack:
        pair, redis = stack.enter_context(PostgresPair()), stack.enter_context(OwnRedis(directory))
        redis.start()
        behind = stack.enter_context(site(directory, DATABASE_URL=pair.url, REDIS_URL=redis.url))
        yield play(behind, pair)


def play(behind: Site, pair: PostgresPair) -> Observations:
    seen, first = Observations(Orders(behind)), behind.servers[0]
    task_id = first.start_task(toy(100_000, step_seconds=0.1))
    first.await_step(task_id, 3)
    with ordering(seen.orders):
        for is_immediate in (False, True):
            restart(pair, is_immediate)
            note_recovery(seen, f"restart {'at once' if is_immediate else 'in order'}")
        for number in range(FAILOVERS):
            if number:
                pair.rejoin()
            steps = printed_step(behind, task_id)
            pair.primary.kill()
            seen.problems += [until(lambda server=server: problem_of(server), LONG) for server in behind.servers]
            time.sleep(AWAY_SECONDS)
            pair.promote()
            note_recovery(seen, f"failover {number + 1}")
            seen.steps = (steps, printed_step(behind, task_id))
    until(lambda: (first.task(task_id)["progress"]["current_step"] or 0) > seen.steps[1], LONG, "steps to be counted")
    seen.attempts = first.task(task_id)["attempt_count"]
    seen.known = [{task["task_id"] for task in list_all(server)} - {task_id} for server in behind.servers]
    seen.tracebacks = [line for server in behind.servers for line in server.tracebacks()]
    sys.stdout.write(
        f"{len(seen.orders.acknowledged)} acknowledged; well after {seen.recoveries}; steps {seen.steps}\n"
    )
    return seen


@contextmanager
def ordering(orders: Orders) -> Iterator[None]:
    thread = threading.Thread(target=orders.place_orders)
    thread.start()
    try:
        until(lambda: len(orders.acknowledged) >= 5, LONG, "orders that are taken")
        yield
    finally:
        orders.end()
        thread.join(LONG)


def restart(pair: PostgresPair, is_immediate: bool) -> None:
    pair.primary.stop(is_immediate)
    time.sleep(0.5)
    pair.primary.start()


def note_recovery(seen: Observations, name: str) -> None:
    """Record the time until both servers are healthy and three orders were accepted."""
    back, before = time.monotonic(), len(seen.orders.acknowledged)
    until(lambda: len(seen.orders.acknowledged) >= before + 3, LONG, "orders that are taken")
    until(
        lambda: all(health(server)["status"] == "ok" for server in seen.orders.behind.servers), LONG, "healthy servers"
    )
    seen.recoveries[name] = round(time.monotonic() - back, 1)


def health(server: TrainingServer) -> dict[str, Any]:
    data: dict[str, Any] = server.client.get("/health").json()["data"]
    return data


def problem_of(server: TrainingServer) -> str:
    """Return the server's report about its database when that accepts no changes."""
    problem = str((health(server).get("problems") or [""])[0])
    return problem if "read-only" in problem else ""


def list_all(server: TrainingServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := server.get(f"/training/list?limit=100&offset={len(found)}")["tasks"]:
        found += page
    return found


def printed_step(behind: Site, task_id: str) -> int:
    return behind.servers[0].attempts_of(task_id)[0].steps[-1]


def test_service_recovers_soon_afterwards(seen: Observations) -> None:
    assert len(seen.recoveries) == 2 + FAILOVERS
    assert max(seen.recoveries.values()) < RECOVERY_SECONDS
    assert seen.tracebacks == []


def test_change_that_cannot_be_stored_is_refused_with_retry_after(seen: Observations) -> None:
    # A retry may arrive while its first attempt still waits.
    codes = {answer.json()["error"]["code"] for answer in seen.orders.refused}
    assert codes <= {"database_unavailable", "unavailable", "request_in_progress"}
    assert "database_unavailable" in codes
    assert all(int(answer.headers["retry-after"]) > 0 for answer in seen.orders.refused)


def test_replica_is_not_written_to_and_health_reports_the_remedy(seen: Observations) -> None:
    assert len(seen.problems) == 2 * FAILOVERS
    assert all(problem.endswith(REPLICA) for problem in seen.problems), seen.problems


def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(seen: Observations) -> None:
    acknowledged = seen.orders.acknowledged
    assert len(acknowledged) >= 14
    assert len(set(acknowledged.values())) == len(acknowledged)
    # The last order may have been accepted without an answer to its client.
    assert all(set(acknowledged.values()) <= known for known in seen.known)
    assert all(len(known) <= len(acknowledged) + 1 for known in seen.known)


def test_training_continues(seen: Observations) -> None:
    before, after = seen.steps
    assert after - before > AWAY_SECONDS
    assert seen.attempts == 1
