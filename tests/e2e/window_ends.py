"""Kill the server around the ends of weekly windows while toy trainings move from one half of the GPUs to the other.

By hand: python -m tests.e2e.window_ends --ends 30 [--postgresql] [--seed 1]
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.databases import fresh_postgres
from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import QUIT, attempts_of, toy
from tests.e2e.training_server import TrainingServer
from tests.e2e.witness import Witness

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
HALVES = [0, 1, 2, 3], [4, 5, 6, 7]

#: The schedule holds this many windows, each a minute long.
MINUTES = 90

#: When the server is killed, in seconds after the end of a window, and the share of ends at which it is killed twice.
KILLED_AFTER = (-3.0, 15.0)
TWICE = 0.3

#: Seconds after the last window within which every training must train again.
RECOVERY_SECONDS = 180.0
LOOK_SECONDS = 0.3


class Play:
    """A server with trainings that change GPUs every minute."""

    def __init__(self, server: TrainingServer, seed: int, trainings: int) -> None:
        self.kills = 0
        self._server = server
        self._chance = random.Random(seed)
        self._witness = Witness(server.processes)
        self._put_schedule(self._windows())
        body = toy(1_000_000, step_seconds=0.5, every=100)
        self._tasks = [server.start_task(body | {"name": f"training {number}"}) for number in range(trainings)]

    def _windows(self) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        times = [f"{now + timedelta(minutes=minute):%H:%M}" for minute in range(MINUTES + 1)]
        pairs = enumerate(itertools.pairwise(times))
        return [
            {"days": DAYS, "begins": begins, "ends": ends, "gpus": [str(gpu) for gpu in HALVES[number % 2]]}
            for number, (begins, ends) in pairs
        ]

    def _put_schedule(self, windows: list[dict[str, Any]]) -> None:
        body = {"time_zone": "UTC", "windows": windows}
        self._server.client.put(f"{BASE}/schedule", json=body).raise_for_status()

    def run(self, ends: int) -> list[str]:
        """Play until this many trainings have left a GPU at the end of its window. Return every broken promise."""
        while self.count_ends() < ends:
            self._pass_an_end()
        self._put_schedule([])
        for task_id in self._tasks:
            until(lambda task_id=task_id: self._trains(task_id), RECOVERY_SECONDS, f"{task_id} to train again")
        for task_id in self._tasks:
            self._server.stop_task(task_id)
        for task_id in self._tasks:
            self._server.await_status(task_id, "stopped", timeout=RECOVERY_SECONDS)
        found = [*self._witness.violations]
        return found + [what for task_id in self._tasks for what in self._find_lost_steps(task_id)]

    def _trains(self, task_id: str) -> bool:
        self._wait(LOOK_SECONDS)
        task = self._task(task_id)
        return task["status"] == "running" and task["progress"]["stage"] == "training"

    def _pass_an_end(self) -> None:
        until_end = 60.0 - time.time() % 60.0
        self._wait(max(0.0, until_end + self._chance.uniform(*KILLED_AFTER)))
        for _ in range(2 if self._chance.random() < TWICE else 1):
            self._server.kill()
            self.kills += 1
            self._wait(self._chance.uniform(0.0, 3.0))
            self._server.start()
        print(f"{self.count_ends()} ends, {self.kills} kills", file=sys.stderr, flush=True)  # noqa: T201

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._witness.observe()
            time.sleep(LOOK_SECONDS)

    def count_ends(self) -> int:
        """Return how many attempts made room because the hours of their GPU were over."""
        return sum(self._is_end(each) for task_id in self._tasks for each in self._attempts(task_id))

    def _attempts(self, task_id: str) -> list[dict[str, Any]]:
        attempts: list[dict[str, Any]] = self._task(task_id)["attempts"]
        return attempts

    def _task(self, task_id: str) -> dict[str, Any]:
        def ask() -> dict[str, Any] | None:
            answer = self._server.client.get(f"{BASE}/training/{task_id}")
            # A database on a busy machine may not answer in time.
            assert answer.status_code in (200, 503), answer.text
            found: dict[str, Any] | None = answer.json()["data"]
            return found

        return until(ask, RECOVERY_SECONDS, f"an answer about {task_id}")

    @staticmethod
    def _is_end(attempt: dict[str, Any]) -> bool:
        return (attempt["failure"] or {}).get("code") == "outside_schedule"

    def _find_lost_steps(self, task_id: str) -> list[str]:
        """Return the attempts after whose end more than one step was lost."""
        found = []
        steps = {each.number: each.steps for each in attempts_of(self._server.root, task_id)}
        quit_well = {each.number for each in attempts_of(self._server.root, task_id) if QUIT in each.log}
        for before, after in itertools.pairwise(self._attempts(task_id)):
            last, first = (
                max(steps.get(before["number"], []), default=0),
                min(steps.get(after["number"], []), default=0),
            )
            lost = last + 1 - first
            # An attempt that had not begun to train has nothing to save, and one that did not train shows no loss.
            if last and first and not 0 <= lost <= 1:
                found.append(f"{before['attempt']} ended at step {last} and {after['attempt']} began with {first}")
            if self._is_end(before) and last and before["number"] not in quit_well:
                found.append(f"{before['attempt']} left its GPU without a checkpoint at step {last}")
        return found


def main() -> int:
    """Return 0 if every promise held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ends", type=int, default=30)
    parser.add_argument("--trainings", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    asked = parser.parse_args()
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as directory,
        fresh_postgres() if asked.postgresql else nullcontext() as url,
        TrainingServer(Path(directory), **({} if url is None else {"DATABASE_URL": url})) as server,
    ):
        server.client.timeout = httpx.Timeout(60)
        play = Play(server, asked.seed, asked.trainings)
        found = play.run(asked.ends)
        ends = play.count_ends()
    print(f"{ends} ends, {play.kills} kills, {len(found)} broken promises, in {time.monotonic() - began:.0f} s")  # noqa: T201
    print("\n".join(found))  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
