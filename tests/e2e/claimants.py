"""Threads that claim GPUs as fast as they can, for trainings and for programs, with an independent witness.

By hand: python -m tests.e2e.claimants URL DIRECTORY NAME ROUNDS; it starts when its standard input ends.
"""

import fcntl
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.db.database import Database
from api.db.leases import ResourceHeld
from api.domain.machines.lease import LeaseKind
from api.domain.tasks.task import RegisteredTask, TaskType
from api.domain.tasks.training import NewTask, TaskStatus, TrainingPlan, TrainingRequest
from api.errors import DatabaseUnavailable, GPUBusy
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.training.records.attempt_store import AttemptStore, Finish, NewAttempt
from api.training.records.task_store import TaskStore
from api.util.clock import SystemClock
from tests.databases import FEW, hurry

#: Threads of a process.
CLAIMANTS = 32

GPUS = 8


@dataclass(slots=True)
class Tally:
    """The observations of the claimants of one process."""

    claimed: int = 0
    refused: int = 0
    doubles: list[str] = field(default_factory=list)  #: GPUs that another holder used while they were held
    errors: dict[str, int] = field(default_factory=dict)  #: unexpected errors, by message
    seconds: float = 0.0


class Witness:
    """A witness independent of the database: the user of a GPU holds the kernel's lock on its file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def use(self, gpus: list[int], seconds: float) -> list[str]:
        """Use GPUs for a while; return those that another holder used at the same time."""
        doubles = []
        with ExitStack() as stack:
            for gpu in gpus:
                file = stack.enter_context((self._directory / f"GPU-{gpu}").open("a"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    doubles.append(f"GPU-{gpu}")
            time.sleep(seconds)
        return doubles


class Claimant:
    """One thread that claims one to three GPUs, uses them and releases them."""

    def __init__(self, database: Database, witness: Witness, name: str, tally: Tally, lock: threading.Lock) -> None:
        self._tasks = TaskStore(database)
        self._attempts = AttemptStore(database)
        self._registrations = DatabaseRegistrations(database, "node", SystemClock())
        self._witness = witness
        self._name = name
        self._tally, self._lock = tally, lock
        # Each claimant has its own seed, which is the same in every run.
        self._random = random.Random(name)
        self._waiting: str | None = None

    def claim_many(self, rounds: int) -> None:
        """Claim as a training or as a program, at random."""
        for number in range(rounds):
            gpus = self._random.sample(range(GPUS), self._random.randint(1, 3))
            claim = self._random.choice([self._train, self._register])
            try:
                release = claim(f"{self._name}-{number}", gpus)
            except (ResourceHeld, GPUBusy):
                self._note(refused=1)
                # Otherwise the holders would rarely get to release their GPUs.
                time.sleep(self._random.uniform(0, 0.02))
                continue
            except Exception as error:
                self._note(error=error)
                continue
            doubles = self._witness.use(gpus, self._random.uniform(0, 0.002))
            self._note(claimed=1, doubles=doubles)
            self._insist(release)

    def _train(self, name: str, gpus: list[int]) -> Callable[[], None]:
        if self._waiting is None:
            request = TrainingRequest("toy")
            new = NewTask(name, "toy", request, TrainingPlan("toy", "toy", len(gpus)))
            self._waiting = self._tasks.create(new, datetime.now(UTC), "ann").task_id
        attempt = self._attempts.claim(new_attempt(self._waiting, gpus), datetime.now(UTC))
        self._waiting = None

        def release() -> None:
            self._attempts.finish(attempt, Finish(TaskStatus.FAILED, "it has failed"), datetime.now(UTC))
            for lease in self._attempts.leases(LeaseKind.GPU):
                if lease.token == attempt.token:
                    self._attempts.release_drained(lease)

        return release

    def _register(self, name: str, gpus: list[int]) -> Callable[[], None]:
        uuids = tuple(f"GPU-{gpu}" for gpu in gpus)
        self._registrations.claim(RegisteredTask(name, TaskType.EXTERNAL, uuids, datetime.now(UTC)))
        return lambda: self._registrations.release(name) and None

    def _insist(self, release: Callable[[], None]) -> None:
        """Retry a failed release: otherwise its GPUs would be unavailable for the rest of the run."""
        while True:
            try:
                release()
            except DatabaseUnavailable as error:
                self._note(error=error)
            except Exception as error:
                self._note(error=error)
                return
            else:
                return

    def _note(
        self, claimed: int = 0, refused: int = 0, doubles: list[str] | None = None, error: Exception | None = None
    ) -> None:
        with self._lock:
            self._tally.claimed += claimed
            self._tally.refused += refused
            self._tally.doubles += doubles or []
            if error is not None:
                message = f"{type(error).__name__}: {error}"
                self._tally.errors[message] = self._tally.errors.get(message, 0) + 1


def new_attempt(task_id: str, gpus: list[int]) -> NewAttempt:
    """Return an attempt on these GPUs, with a port of its own."""
    return NewAttempt(
        task_id=task_id,
        token=f"token of {task_id}",
        node=task_id,
        gpu_uuids=tuple(f"GPU-{gpu}" for gpu in gpus),
        gpu_indices=tuple(gpus),
        caches=(),
        master_port=29_500,
        directory_of="/nowhere",
        known_run_dirs=(),
        run_dir=None,
        resumed_from=None,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


def run(url: str, directory: Path, name: str, rounds: int) -> Tally:
    """Run all claimants of a process."""
    database = Database(url, pool_size=2 * FEW)
    hurry(database)
    tally, lock, witness = Tally(), threading.Lock(), Witness(directory)
    claimants = [Claimant(database, witness, f"{name}-{number}", tally, lock) for number in range(CLAIMANTS)]
    began = time.monotonic()
    with ThreadPoolExecutor(CLAIMANTS) as pool:
        list(pool.map(lambda claimant: claimant.claim_many(rounds), claimants))
    tally.seconds = time.monotonic() - began
    database.close()
    return tally


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    sys.stdout.write(json.dumps(asdict(run(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))))
