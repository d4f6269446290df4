"""Trainings on an executor while machines fail. A minimal queue restarts them from their checkpoints.

An observer checks them by processes and files only.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from api.executors.executor import AttemptRef, Executor, Observation, Phase, Submission
from tests.e2e.witness import FORKED_ONLY, GPUS, MARKER

#: A rank that continues after its checkpoint, and appends each step with its host to a file that is never rewritten.
_TRAINER = """
import os, socket, subprocess, sys, time
task, last = sys.argv[1], int(sys.argv[2])
subprocess.Popen(["sleep", "600"], start_new_session=True)
reported = os.open(f"{task}/reported", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
kept = f"{task}/checkpoint"
step = int(open(kept).read()) if os.path.exists(kept) else 0
while step < last:
    step += 1
    os.write(reported, f"{sys.argv[3]} {socket.gethostname()} {step}\\n".encode())
    if step % 5 == 0 or step == last:
        with open(f"{kept}.{sys.argv[3]}", "w") as file:
            file.write(str(step))
        os.replace(f"{kept}.{sys.argv[3]}", kept)
    time.sleep(0.1)
print("TRAINING COMPLETE!", flush=True)
"""

#: The interpreter of trainers in these tests.
_PYTHON = os.fsencode(sys.executable)


@dataclass
class Training:
    """One training over all of its attempts."""

    directory: Path
    steps: int
    gpus: int
    number: int = 0
    is_over: bool = False
    #: Why each attempt but the last ended.
    ends: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def ref(self) -> AttemptRef:
        where = self.directory / "attempts" / str(self.number)
        return AttemptRef(f"{self.name}.{self.number}", where, self.directory / "log")

    def submission(self) -> Submission:
        uid = self.ref.uid
        return Submission(
            ref=self.ref,
            argv=(sys.executable, "-I", "-S", "-c", _TRAINER, str(self.directory), str(self.steps), uid),
            cwd=self.directory,
            env={"PATH": "/usr/bin:/bin"},
            phrases=("TRAINING COMPLETE!",),
            gpu_uuids=tuple(f"GPU-{index}" for index in range(self.gpus)),
            node=None,
            leftover_seconds=0.5,
        )

    def reported(self) -> list[tuple[str, str, int]]:
        """Return what its ranks reported: attempt, machine, step."""
        file = self.directory / "reported"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(uid, host, int(step)) for uid, host, step in (line.split() for line in lines)]

    def find_violations(self) -> Iterator[str]:
        """Return the violated invariants of a training that should have ended."""
        if not self.is_over:
            yield f"{self.ref.uid} has not ended"
        reported = self.reported()
        attempts = list(dict.fromkeys(uid for uid, _, _ in reported))
        order = [attempts.index(uid) for uid, _, _ in reported]
        if order != sorted(order):
            yield f"{self.name}: an attempt reported a step after its successor had started"
        for uid in attempts:
            steps = [step for other, _, step in reported if other == uid]
            if steps != list(range(steps[0], steps[0] + len(steps))):
                yield f"{uid}: its steps are {steps}"
            before = [step for other, _, step in reported if attempts.index(other) < attempts.index(uid)]
            if steps[0] > max(before, default=0) + 1 or steps[0] < max(before, default=0) - 5:
                yield f"{uid}: it began at {steps[0]}, after {max(before, default=0)}"
        if reported and reported[-1][2] != self.steps:
            yield f"{self.name}: it ended at step {reported[-1][2]}"


class Queue:
    """Runs every training to its end: an attempt that ended early is followed by the next one."""

    def __init__(self, root: Path, make_executor: Callable[[], Executor], steps: int) -> None:
        self._root, self._steps, self._make_executor = root, steps, make_executor
        self._executor = make_executor()
        self.trainings: list[Training] = []
        self.problems: list[str] = []

    @property
    def count(self) -> int:
        return len(self.trainings)

    def ends(self) -> list[str]:
        """Return why attempts ended before their training was done."""
        return [end for training in self.trainings for end in training.ends]

    def top_up(self, count: int) -> None:
        """Add trainings until this many have not ended."""
        for _ in range(count - sum(not training.is_over for training in self.trainings)):
            number = len(self.trainings)
            training = Training(self._root / f"training-{number}", self._steps, 1 + number % 2)
            (training.directory / "attempts").mkdir(parents=True)
            self.trainings.append(training)

    def find_violations(self) -> Iterator[str]:
        """Return the violated invariants, when all should have ended."""
        for training in self.trainings:
            yield from training.find_violations()

    def restart(self) -> None:
        """Reset to the state of a restarted head: files, and no memory."""
        self._executor = self._make_executor()

    @property
    def is_done(self) -> bool:
        return all(training.is_over for training in self.trainings)

    def turn(self) -> None:
        """Run one tick."""
        open_ones = [training for training in self.trainings if not training.is_over]
        seen = self._executor.observe([training.ref for training in open_ones])
        for training in open_ones:
            try:
                self._advance(training, seen[training.ref.uid])
            except OSError as error:
                # Slurm does not answer: retry with the next tick.
                self.problems.append(str(error))

    def _advance(self, training: Training, seen: Observation) -> None:
        if seen.phase is Phase.ABSENT:
            self._executor.submit(training.submission())
        elif seen.phase is Phase.ENDED:
            outcome = seen.outcome
            if outcome is not None and outcome.exit_code == 0 and "TRAINING COMPLETE!" in outcome.phrases:
                training.is_over = True
                return
            how = (outcome.reason, outcome.exit_code, outcome.signal, outcome.stop_rung) if outcome else (None,) * 4
            training.ends.append(describe_end(*how))
            training.number += 1
            self._executor.submit(training.submission())


def describe_end(reason: str | None, exit_code: int | None, signal: int | None, stop_rung: str | None) -> str:
    """Return why an attempt ended, and where and how its trainer exited."""
    if reason != "exited":
        return reason or "unknown"
    how = f"code {exit_code}" if signal is None else f"signal {signal}"
    return f"exited by {how}, {stop_rung or 'not stopped'}"


class Observer:
    """Observes all processes of all machines continually."""

    def __init__(self) -> None:
        self.violations: set[str] = set()
        self.looks = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._observe)

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *why: object) -> None:
        self._ends.set()
        self._thread.join(20)

    def _observe(self) -> None:
        while not self._ends.wait(0.2):
            self.looks += 1
            uids = ranks()
            tasks = [uid.rpartition(".")[0] for uid in uids]
            self.violations |= {f"two attempts of {task} live: {uids}" for task in tasks if tasks.count(task) > 1}
            places = [(place, uid) for uid, found in uids.items() for place in found]
            for place, uid in places:
                others = {other for at, other in places if at == place} - {uid}
                self.violations |= {f"{place} is used by {uid} and {other}" for other in others}


def ranks() -> dict[str, list[str]]:
    """Return the live attempts, each with the GPUs of its machine that it uses."""
    found: dict[str, list[str]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            environment = Path("/proc", name, "environ").read_bytes().split(b"\0")
            words = Path("/proc", name, "cmdline").read_bytes()
            fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
            space = os.stat(f"/proc/{name}/ns/uts").st_ino
        except (OSError, ValueError):
            continue
        uid = next((part[len(MARKER) :].decode() for part in environment if part.startswith(MARKER)), None)
        is_rank = words.startswith(_PYTHON) and b"supervisor.py" not in words
        if uid is None or not is_rank or int(fields[6]) & FORKED_ONLY or fields[0] in b"ZX":
            continue
        gpus = next((part[len(GPUS) :] for part in environment if part.startswith(GPUS)), b"")
        found[uid] = [f"GPU {gpu} of {space}" for gpu in gpus.decode().split(",") if gpu]
    return found


class Work(Protocol):
    """Trainings that should run to their ends."""

    @property
    def is_done(self) -> bool: ...

    def turn(self) -> None: ...


def run_until_done(queue: Work, seconds: float) -> bool:
    """Return whether all ended within these seconds."""
    end = time.monotonic() + seconds
    while not queue.is_done and time.monotonic() < end:
        queue.turn()
        time.sleep(0.3)
    return queue.is_done
