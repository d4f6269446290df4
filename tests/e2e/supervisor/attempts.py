"""Attempts with real processes: how a test starts and observes them, and cleans them up."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.executors.attempt.cgroup import find_cgroup
from api.executors.attempt.processes import is_alive, marked_processes, read_stat
from api.executors.executor import AttemptRef, Observation, Outcome, Phase, StopOrder, Submission
from api.executors.local import LocalExecutor
from tests.e2e.server import until

PATIENCE = 60.0


@dataclass
class Attempt:
    """One attempt of a trainer that is a Python script."""

    executor: LocalExecutor
    submission: Submission

    @property
    def ref(self) -> AttemptRef:
        return self.submission.ref

    @property
    def directory(self) -> Path:
        return self.ref.directory

    def submit(self) -> None:
        self.executor.submit(self.submission)

    def observe(self) -> Observation:
        return self.executor.observe([self.ref])[self.ref.uid]

    def stop(self, signal_file: Path | None = None, checkpoint: float = 0.0, terminate: float = 30.0) -> None:
        self.executor.stop(self.ref, StopOrder(signal_file, checkpoint, terminate))

    def file(self, name: str) -> dict[str, Any]:
        found = json.loads((self.directory / name).read_bytes())
        assert isinstance(found, dict)
        return found

    def runner(self) -> dict[str, Any]:
        """Return `runner.json`, or nothing before it exists."""
        return self.file("runner.json") if (self.directory / "runner.json").exists() else {}

    def trainer_pid(self) -> int:
        """Wait until the trainer is recorded, and return its pid."""
        trainer = until(lambda: self.runner().get("trainer"), PATIENCE, "the trainer's record")
        return int(trainer["pid"])

    def kill_supervisor(self) -> None:
        """Send SIGKILL, and wait until the supervisor has ended."""
        who = until(lambda: self.runner().get("supervisor"), PATIENCE, "the supervisor's record")
        kill(who["pid"], who["start"])

    def outcome(self) -> Outcome:
        """Wait for the end and return the outcome."""
        until(lambda: self.observe().phase is Phase.ENDED, PATIENCE, "the end")
        outcome = self.observe().outcome
        assert outcome is not None
        return outcome

    def log(self) -> bytes:
        return self.executor.read_log(self.ref, 0, 2**31)[1]

    def waits_for(self, text: bytes) -> None:
        until(lambda: text in self.log(), PATIENCE, f"{text!r} in the log")

    def clean_up(self) -> None:
        """End all remaining processes, the supervisor first."""
        for name in ("lock", "runner.json"):
            try:
                record = self.file(name)
            except (OSError, ValueError, AssertionError, RecursionError):
                continue
            who = record.get("supervisor", record)
            if who and who.get("start") is not None:
                kill(who["pid"], who["start"])
        group = find_cgroup(self._group(), self.ref.uid)
        end = time.monotonic() + 20
        while (left := marked_processes(self.ref.uid)) and time.monotonic() < end:
            for pid in left:
                stat = read_stat(pid)
                if stat is not None:
                    stat.send(signal.SIGKILL)
            time.sleep(0.01)
        if group is not None:
            group.kill()
            until(lambda: not group.pids(), PATIENCE, "the end of its control group")
            group.remove()

    def _group(self) -> object:
        try:
            return self.runner().get("cgroup")
        except (OSError, ValueError, AssertionError, RecursionError):
            return None


def kill(pid: int, start: float) -> None:
    """Send SIGKILL to exactly this process, and wait until it has ended."""
    stat = read_stat(pid)
    if stat is not None and stat.start == start:
        stat.send(signal.SIGKILL)
    until(lambda: not is_alive(pid, start), PATIENCE, f"the end of {pid}")


class Attempts:
    """Creates attempts in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.executor = LocalExecutor()
        self.made: list[Attempt] = []

    def prepare(self, script: str, **settings: Any) -> Attempt:
        """Return an attempt that is not submitted yet. `script` is Python; `settings` are fields of a Submission."""
        uid = uuid.uuid4().hex
        task = self.directory / settings.pop("task", uid)
        directory = self.directory / uid
        directory.mkdir()
        program = directory / "trainer.py"
        program.write_text(textwrap.dedent(script))
        executor = settings.pop("executor", self.executor)
        given: dict[str, Any] = {
            "argv": (sys.executable, "-u", str(program)),
            "cwd": directory,
            "env": {"PATH": os.defpath},
            "leftover_seconds": 2.0,
            **settings,
        }
        attempt = Attempt(executor, Submission(AttemptRef(uid, directory, task / "log"), **given))
        self.made.append(attempt)
        return attempt

    def start(self, script: str, **settings: Any) -> Attempt:
        """Return a submitted attempt."""
        attempt = self.prepare(script, **settings)
        attempt.submit()
        return attempt

    def clean_up(self) -> None:
        for attempt in self.made:
            attempt.clean_up()


Start = Callable[..., Attempt]


def zombies_of(*pids: int) -> list[int]:
    """Return the processes among these that are dead and were never reaped."""
    stats = [read_stat(pid) for pid in pids]
    return [stat.pid for stat in stats if stat is not None and not stat.is_alive]


def rss_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0])


def submit_elsewhere(attempt: Attempt, env: dict[str, str], then: str = "") -> subprocess.Popen[bytes]:
    """Submit an attempt from another process, which then executes `then`."""
    script = f"""
import json, sys, time
from pathlib import Path
from api.executors.executor import AttemptRef, Submission
from api.executors.local import LocalExecutor
uid, directory, log, argv, env = json.loads(sys.argv[1])
LocalExecutor().submit(Submission(AttemptRef(uid, Path(directory), Path(log)), tuple(argv), Path("/"), env))
{then}
"""
    ref = attempt.ref
    given = [ref.uid, str(ref.directory), str(ref.log_directory), attempt.submission.argv, env]
    return subprocess.Popen([sys.executable, "-c", script, json.dumps(given)], cwd=Path(__file__).parents[3])


def fill(ballast: Path) -> None:
    """Fill the rest of a disk."""
    temporary = ballast.with_suffix(".new")
    with temporary.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            temporary.rename(ballast)
