"""Attempts on a given executor: what they execute, and what a test observes of them."""

import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from api.executors.executor import AttemptRef, Executor, Observation, Outcome, Phase, StopOrder, Submission

_SERIAL = itertools.count(1)

#: A rank that prints steps, saves when it finds the signal file, and leaves a child in its own session.
TRAINER = """
import os, subprocess, sys, time
subprocess.Popen(["sleep", "600"], start_new_session=True)
print("gpus", os.environ.get("CUDA_VISIBLE_DEVICES"), "port", sys.argv[sys.argv.index("--master_port") + 1], flush=True)
for step in range(1, 6000):
    print(f"steps: {step}", flush=True)
    if os.path.exists(sys.argv[1]):
        print("SAVED", flush=True)
        sys.exit(0)
    time.sleep(0.05)
"""

QUICK_STOP = StopOrder(None, 0.0, 3.0)


class Run:
    """One attempt."""

    def __init__(
        self, root: Path, executor: Executor, script: str = TRAINER, gpus: int = 1, node: str | None = None
    ) -> None:
        self.executor = executor
        task = root / f"train_{next(_SERIAL)}_{time.monotonic_ns()}"
        self.ref = AttemptRef(f"{task.name}.1", task / "attempts" / "1", task / "log")
        self.signal_file = task / "save"
        (task / "attempts").mkdir(parents=True)
        self.submission = Submission(
            ref=self.ref,
            argv=(sys.executable, "-c", script, str(self.signal_file), "--master_port", "29999"),
            cwd=root,
            env={"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": "7"},
            phrases=("SAVED",),
            gpu_uuids=tuple(f"GPU-{index}" for index in range(gpus)),
            node=node,
            master_port=29999,
            leftover_seconds=0.5,
        )

    def submit(self) -> None:
        self.executor.submit(self.submission)

    def observe(self) -> Observation:
        return self.executor.observe([self.ref])[self.ref.uid]

    def wait(self, condition: Callable[[Observation], bool], seconds: float = 30.0) -> Observation:
        end = time.monotonic() + seconds
        while not condition(seen := self.observe()):
            assert time.monotonic() < end, f"{seen}\n{self.log()[-2000:]}\n{self.own_log()[-2000:]}"
            time.sleep(0.05)
        return seen

    def wait_until_it_trains(self) -> Observation:
        seen = self.wait(lambda seen: seen.process is not None)
        end = time.monotonic() + 20
        while "steps: 1" not in self.log():
            assert time.monotonic() < end, self.own_log()
            time.sleep(0.02)
        return seen

    def wait_for_end(self, seconds: float = 40.0) -> Outcome:
        seen = self.wait(lambda seen: seen.phase is Phase.ENDED, seconds)
        assert seen.outcome is not None
        return seen.outcome

    def log(self) -> str:
        return self.executor.read_log(self.ref, 0, 2**20)[1].decode()

    def own_log(self) -> str:
        path = self.ref.directory / "supervisor.log"
        return path.read_text() if path.exists() else ""

    def end(self) -> None:
        """End all of its processes."""
        if self.observe().phase in (Phase.RUNNING, Phase.STOPPING, Phase.QUEUED):
            self.executor.stop(self.ref, StopOrder(None, 0.0, 0.0))
            self.wait(lambda seen: seen.phase is Phase.ENDED)
