"""The service on the test's own machines: a head that submits trainings to Slurm, and nodes that report their GPUs.

Its client relies only on what was acknowledged.
"""

import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.server import BASE, environment
from tests.e2e.toy_tasks import attempts_of, toy
from tests.netns_cluster import MachinesWithSlurm
from tests.netns_machines import Machine, until
from tests.netns_trainings import describe_end
from tests.postgres_servers import OwnPostgres
from tests.redis_servers import OwnRedis

ROOT = Path(__file__).parents[1]

_FINISHED = ("completed", "failed", "stopped")


@dataclass
class Ordered:
    """A requested training; it is acknowledged if it has an id."""

    key: str
    body: dict[str, Any]
    task_id: str = ""
    status: str = ""

    @property
    def is_over(self) -> bool:
        return self.status in _FINISHED


class Service:
    """The head, the nodes, PostgreSQL and Redis, and a client that keeps a number of trainings running."""

    def __init__(self, cluster: MachinesWithSlurm, stack: ExitStack, steps: int) -> None:
        self._cluster, self._steps = cluster, steps
        self.postgres = stack.enter_context(OwnPostgres())
        self.redis = stack.enter_context(OwnRedis(cluster.directory))
        self.redis.start()
        self.storage = cluster.shared / "storage"
        self._client = stack.enter_context(httpx.Client(base_url="http://10.77.0.10:8080", timeout=15, trust_env=False))
        self._numbers = itertools.count()
        self.ordered: list[Ordered] = []
        self.problems: list[str] = []

    def start(self) -> None:
        """Start all, and wait until the head knows the GPUs of all nodes."""
        self.start_head()
        for node in self._cluster.nodes:
            self.start_node(node)
        until(self._knows_all, 120, "the GPUs of all nodes")

    def start_head(self) -> None:
        settings = {
            "API_HOST": "10.77.0.10",
            "API_PORT": "8080",
            "ALLOW_UNAUTHENTICATED": "1",
            "NODE_NAME": "head",
            "STORAGE_ROOT": str(self.storage),
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "EXECUTOR": "slurm",
            "SLURMRESTD_URL": self._cluster.url,
            "SLURM_TOKEN_FILE": str(self._cluster.token_file),
            "GPU_SOURCE": "simulated",
            "SIMULATED_GPUS": "1x NVIDIA L40S",
            "GPU_MONITOR_INTERVAL": "0.5",
            "MIN_FREE_DISK_MB": "0",
            "STOP_CHECKPOINT_SECONDS": "5",
            "STOP_TERMINATE_SECONDS": "1",
        }
        self._serve(self._cluster.head, settings)

    def start_node(self, node: Machine) -> None:
        settings = {
            "ROLE": "node",
            "HEAD_URL": "http://10.77.0.10:8080",
            "API_PORT": "8081",
            "NODE_NAME": node.name,
            "STORAGE_ROOT": str(node.directory / "data"),
            "GPU_SOURCE": "simulated",
            "SIMULATED_GPUS": "2x NVIDIA L40S",
            "GPU_MONITOR_INTERVAL": "0.5",
        }
        self._serve(node, settings)

    def _serve(self, machine: Machine, settings: dict[str, str]) -> None:
        machine.start("api", sys.executable, str(ROOT / "run.py"), environment=environment(settings))

    def _knows_all(self) -> bool:
        try:
            gpus = self._client.get(f"{BASE}/gpu/available").json()["data"]["available_gpus"]
        except (httpx.HTTPError, KeyError, TypeError):
            return False
        return len({gpu.get("node") for gpu in gpus} & {node.name for node in self._cluster.nodes}) == 3

    # Interface that tests/netns_play.py expects of its trainings

    @property
    def is_done(self) -> bool:
        return all(one.is_over for one in self.ordered)

    def top_up(self, count: int) -> None:
        """Start trainings until this many have not ended."""
        for _ in range(count - sum(not one.is_over for one in self.ordered)):
            number = next(self._numbers)
            gpus = 1 + number % 2
            # Without user-requested retries: failing machines and daemons must not fail a training permanently.
            body = toy(self._steps, step_seconds=0.1, gpus=gpus, every=5)
            self.ordered.append(Ordered(f"order-{number}", body))

    def turn(self) -> None:
        """Repeat unacknowledged requests, and read the states of the other trainings."""
        self._restart_head()
        for one in self.ordered:
            if one.is_over:
                continue
            try:
                self._advance(one)
            except (httpx.HTTPError, KeyError, TypeError) as error:
                self.problems.append(f"{type(error).__name__}: {error}")

    def _restart_head(self) -> None:
        """Restart the head as its unit does, because it may have been started while its database was down."""
        server = self._cluster.head.processes.get("api")
        if server is not None and server.poll() is not None:
            self.start_head()

    def _advance(self, one: Ordered) -> None:
        if not one.task_id:
            headers = {"Idempotency-Key": one.key}
            answer = self._client.post(f"{BASE}/training/start", json=one.body, headers=headers)
            if answer.status_code == 201:
                one.task_id = answer.json()["data"]["task_id"]
            else:
                self.problems.append(answer.text[:300])
            return
        answer = self._client.get(f"{BASE}/training/{one.task_id}")
        if answer.status_code == 404:
            self.problems.append(f"{one.task_id} was acknowledged and is not known")
        one.status = answer.json()["data"]["status"]

    @property
    def count(self) -> int:
        return len(self.ordered)

    def ends(self) -> list[str]:
        """Return why attempts ended before their training was done."""
        found = []
        for one in self.ordered:
            outcomes = [attempt.outcome or {} for attempt in attempts_of(self.storage, one.task_id)]
            found += [
                describe_end(**_pick(outcome)) for outcome in outcomes[: -1 if one.status == "completed" else None]
            ]
        return found

    def find_violations(self) -> Iterator[str]:
        """Return the violated invariants, after the end of everything."""
        ids = [one.task_id for one in self.ordered]
        if len(set(ids)) != len(ids):
            yield "two requests made one training"
        known = self._list_all()
        if known != set(ids):
            yield f"lost: {set(ids) - known}; duplicates: {known - set(ids)}"
        for one in self.ordered:
            if one.status != "completed":
                ends = [describe_end(**_pick(each.outcome or {})) for each in attempts_of(self.storage, one.task_id)]
                yield f"{one.task_id} is {one.status}: {ends}"
            yield from self._find_wrong_steps(one.task_id)

    def _find_wrong_steps(self, task_id: str) -> Iterator[str]:
        reached = 0
        for attempt in attempts_of(self.storage, task_id):
            steps = attempt.steps
            if steps and steps != list(range(steps[0], steps[0] + len(steps))):
                yield f"{task_id}.{attempt.number}: its steps are {steps}"
            if steps and not reached - 5 <= steps[0] <= reached + 1:
                yield f"{task_id}.{attempt.number}: it began at {steps[0]}, after {reached}"
            reached = max([reached, *steps])
        if reached != self._steps:
            yield f"{task_id}: it ended at step {reached}"

    def _list_all(self) -> set[str]:
        found: set[str] = set()
        while True:
            query = {"limit": "100", "offset": str(len(found))}
            page = self._list(query)
            if not page:
                return found
            found |= {task["task_id"] for task in page}

    def _list(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """Repeat the request until it is answered: a head and its database may have just started."""
        end = time.monotonic() + 60
        while True:
            try:
                answer = self._client.get(f"{BASE}/training/list", params=query)
                said = f"{answer.status_code} {answer.text[:300]}"
                if answer.is_success:
                    tasks: list[dict[str, Any]] = answer.json()["data"]["tasks"]
                    return tasks
            except httpx.HTTPError as error:
                said = repr(error)
            assert time.monotonic() < end, f"{said}\n{self._cluster.log_tails()}"
            self._restart_head()
            time.sleep(0.5)


def _pick(outcome: Mapping[str, Any]) -> dict[str, Any]:
    return {name: outcome.get(name) for name in ("reason", "exit_code", "signal", "stop_rung")}
