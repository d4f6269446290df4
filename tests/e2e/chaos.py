"""Kill the server, supervisors and trainers at random while trainings are started, stopped and resumed.

By hand: python -m tests.e2e.chaos --kills 200 [--seed 1] [--directory DIRECTORY]
"""

import argparse
import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.server import BASE, command, environment
from tests.e2e.toy_tasks import KINDS
from tests.e2e.truth import find_lost_output, find_violations
from tests.e2e.witness import Processes, Witness

SETTINGS = {
    "GPU_SOURCE": "simulated",
    "SIMULATED_GPUS": "8x NVIDIA GeForce RTX 4090",
    "GPU_MONITOR_INTERVAL": "0.5",
    "MIN_FREE_DISK_MB": "0",
    "STOP_CHECKPOINT_SECONDS": "15",
    "STOP_TERMINATE_SECONDS": "2",
    "PREEMPT_AFTER_SECONDS": "2",
}
TASKS_AT_A_TIME = 12
CLASSES = ("background", "background", "normal", "urgent")
END_SECONDS = 240.0
FINISHED = ("completed", "failed", "stopped")


@dataclass
class Known:
    """What the client knows of a task; all of it was acknowledged."""

    task_id: str
    kind: str
    key: str
    stops: int = 0
    resumes: int = 0


@dataclass
class Server:
    """A server that may be killed at any time, also during its start."""

    directory: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        settings = {**SETTINGS, "STORAGE_ROOT": str(self.directory / "data")}
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command("--port", str(self.port)),
                cwd=self.directory,
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)


def free_port() -> int:
    """Return a port below the kernel's ephemeral range, which stays free while the server is down."""
    for port in random.sample(range(20_000, 29_000), 100):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


@dataclass
class Client:
    """A client that starts, stops and resumes at random, and repeats a request until it is answered."""

    url: str
    random: random.Random
    known: dict[str, Known] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=self.url, timeout=10, trust_env=False)
        self._rounds = itertools.count()
        self.is_ending = threading.Event()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return the answer, however often the server is killed during the request."""
        give_up = time.monotonic() + END_SECONDS
        while True:
            try:
                answer = self._http.request(method, BASE + path, **more)
                if answer.status_code < 500 and answer.json().get("error", {}).get("code") != "request_in_progress":
                    return answer
                self.violations += [f"{method} {path}: {answer.text}"] if answer.status_code == 500 else []
                self.figures[f"answers {answer.status_code}"] += 1
            except (httpx.TransportError, ValueError):
                self.figures["lost answers"] += 1
            assert time.monotonic() < give_up, f"no answer to {method} {path}"
            time.sleep(0.1)

    def tasks(self) -> dict[str, dict[str, Any]]:
        rows = self.request("GET", "/training/list", params={"limit": "500"}).json()["data"]["tasks"]
        return {row["task_id"]: row for row in rows}

    def run(self) -> None:
        while not self.is_ending.is_set():
            self.act()
            time.sleep(self.random.uniform(0.0, 0.15))

    def act(self) -> None:
        """Perform one step of a hectic user."""
        tasks = self.tasks()
        for task_id in self.known.keys() - tasks.keys():
            self.violations.append(f"{task_id} was acknowledged and is not there")
        live = [task_id for task_id, task in tasks.items() if task["status"] not in FINISHED]
        active = [task_id for task_id in live if tasks[task_id]["status"] != "queued"]
        over = [task_id for task_id, task in tasks.items() if task["status"] in ("failed", "stopped")]
        if len(live) < TASKS_AT_A_TIME:
            if over and self.random.random() < 0.3:
                self.resume(self.random.choice(over))
            else:
                self.start(list(KINDS)[next(self._rounds) % len(KINDS)])
        elif self.random.random() < 0.05:
            self.stop(self.random.choice(active or live))
        elif self.random.random() < 0.1:
            again = self.random.choice(list(self.known.values()))
            self.start(again.kind, again.key)

    def start(self, kind: str, key: str | None = None) -> None:
        key = key or uuid.uuid4().hex
        # The same key has the same class.
        body = KINDS[kind].body | {"priority_class": CLASSES[int(key[:8], 16) % len(CLASSES)]}
        answer = self.request("POST", "/training/start", json=body, headers={"Idempotency-Key": key})
        if answer.status_code != 201:
            self.violations.append(f"{kind} cannot be started: {answer.text}")
            return
        task_id = answer.json()["data"]["task_id"]
        before = next((known.task_id for known in self.known.values() if known.key == key), task_id)
        if before != task_id:
            self.violations.append(f"the key {key} made both {before} and {task_id}")
        self.known.setdefault(task_id, Known(task_id, kind, key))
        self.figures["starts"] += 1

    def stop(self, task_id: str, force: bool | None = None) -> None:
        force = self.random.random() < 0.3 if force is None else force
        answer = self.request("POST", f"/training/{task_id}/stop", json={"force": force})
        if answer.status_code in (200, 202):
            self.known[task_id].stops += 1
            self.figures["stops"] += 1
        elif answer.status_code != 409:
            self.violations.append(f"{task_id} cannot be stopped: {answer.text}")

    def resume(self, task_id: str) -> None:
        answer = self.request("POST", f"/training/resume/{task_id}")
        if answer.status_code in (200, 202):
            self.known[task_id].resumes += 1
            self.figures["resumes"] += 1
        elif answer.status_code != 409:
            self.violations.append(f"{task_id} cannot be resumed: {answer.text}")

    def let_end(self) -> None:
        """Stop the trainings that would not end, and wait until all have finished and every GPU is free."""
        give_up = time.monotonic() + END_SECONDS
        while live := [task for task in self.tasks().values() if task["status"] not in FINISHED]:
            for task in live:
                if KINDS[self.known[task["task_id"]].kind].ends == "stopped" and task["status"] != "stopping":
                    self.stop(task["task_id"], force=False)
            if time.monotonic() > give_up:
                self.violations += [f"{task['task_id']} is still {task['status']}: {task}" for task in live]
                return
            time.sleep(0.3)


@dataclass
class Killer:
    """The kills of a run, and their counts.

    `struck`: the attempts whose own processes were hit; `orphaned`: those that lost supervisor and server together.
    """

    server: Server
    processes: Processes
    random: random.Random
    struck: set[str] = field(default_factory=set)
    orphaned: set[str] = field(default_factory=set)
    figures: Counter[str] = field(default_factory=Counter)

    def kill(self) -> None:
        """Kill the server, often together with another process, and restart it."""
        self._wait_for_a_moment()
        if self.random.random() < 0.15:
            self._strike()
        if self.random.random() < 0.25:
            self._orphan()
        self.server.end()
        self.figures["kills"] += 1
        if self.random.random() < 0.15:
            self._strike()
        time.sleep(self.random.choice((0.0, 0.0, 0.3, self.random.uniform(0.0, 3.0))))
        self.server.start()

    def _orphan(self) -> None:
        """Kill every supervisor, and the server before it can start others, so that trainings may end unobserved."""
        if self.server.process is not None:
            self.server.process.send_signal(signal.SIGSTOP)
        supervisors = self.processes.supervisors()
        for pid, directory in supervisors.items():
            self.orphaned.add(f"{directory.parent.parent.name}.{directory.name}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.figures["supervisors and server killed together"] += bool(supervisors)

    def _wait_for_a_moment(self) -> None:
        began = time.monotonic()
        if self.random.random() < 0.3:
            # The kill may come during the start, a migration or the first reconciliation.
            time.sleep(self.random.uniform(0.05, 1.6))
            self.figures["kills at start-up"] += not self._answers()
            return
        while not self._answers() and time.monotonic() < began + 30:
            time.sleep(0.02)
        time.sleep(self.random.uniform(0.0, 4.0))
        if self.random.random() < 0.3:
            self._strike()
            time.sleep(self.random.uniform(0.0, 1.0))

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port), 0.2):
            return True
        return False

    def _strike(self) -> None:
        """Kill a supervisor, a main process, another process of a training, or a supervisor with its main process."""
        trainers, supervisors = self.processes.trainers(), self.processes.supervisors()
        what = self.random.choice(("supervisor", "main process", "child", "supervisor and main process"))
        mains = [process for process in trainers if process.is_main]
        children = [process for process in trainers if not process.is_main]
        targets: list[tuple[int, str]] = []
        if what == "supervisor" and supervisors:
            pid, directory = self.random.choice(list(supervisors.items()))
            targets = [(pid, f"{directory.parent.parent.name}.{directory.name}")]
        elif what == "child" and children:
            targets = [(each.pid, each.uid) for each in [self.random.choice(children)]]
        elif mains and what != "child":
            main = self.random.choice(mains)
            targets = [(main.pid, main.uid)]
            if what != "main process":
                of_main = [p for p, d in supervisors.items() if f"{d.parent.parent.name}.{d.name}" == main.uid]
                targets = [(pid, main.uid) for pid in of_main] + targets
        for pid, uid in targets:
            self.struck.add(uid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.figures[f"{what} killed"] += bool(targets)


@dataclass
class Report:
    """The figures of a run, and every violation it found."""

    figures: Counter[str]
    violations: list[str]

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {number}" for name, number in sorted(self.figures.items()))
        return f"{len(self.violations)} violations; {shown}"


def run(directory: Path, kills: int, seed: int, seconds: float = float("inf")) -> Report:
    """Run with this many kills in this empty directory, or until `seconds` are over. No process is left at the end."""
    chance = random.Random(seed)
    server = Server(directory, free_port())
    root = directory / "data"
    processes = Processes(root)
    witness = Witness(Processes(root))
    killer = Killer(server, processes, random.Random(chance.random()))
    client = Client(f"http://127.0.0.1:{server.port}", random.Random(chance.random()))
    hectic = threading.Thread(target=client.run, name="client", daemon=True)
    began = time.monotonic()
    server.start()
    try:
        with witness:
            hectic.start()
            while killer.figures["kills"] < kills and time.monotonic() - began < seconds:
                killer.kill()
            client.is_ending.set()
            hectic.join(END_SECONDS)
            client.let_end()
            violations = find_violations(root, client, killer.struck)
            violations += find_lost_output(root, client, killer.orphaned - killer.struck)
        figures = client.figures + killer.figures
        figures["looks"], figures["seconds"] = witness.looks, int(time.monotonic() - began)
        figures["tasks"] = len(client.known)
        figures["attempts"] = len(witness.mains)
        return Report(figures, [*client.violations, *witness.violations, *violations])
    finally:
        server.end(signal.SIGTERM)
        _end_all(processes)


def _end_all(processes: Processes) -> None:
    for _ in range(100):
        pids = [*processes.supervisors(), *(process.pid for process in processes.trainers())]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not pids:
            return
        time.sleep(0.05)


def main() -> int:
    """Run from the command line; the exit code is 1 if there was a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop killing after this many seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=Path, default=None, help="is not deleted; default: a temporary one")
    arguments = parser.parse_args()
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    report = run(directory, arguments.kills, arguments.seed, arguments.seconds)
    for violation in report.violations:
        print(violation)  # noqa: T201
    print(f"{report}; seed {arguments.seed}; in {directory}")  # noqa: T201
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
