"""What really runs on a simulated machine, whatever the service believes: processes, their steps, their checkpoints."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from api.executors.executor import Outcome, StopOrder, Submission
from api.executors.fake import outcome
from api.executors.memory_log import MemoryLog
from api.models.task import ProcessIdentity
from api.models.training import StopRung
from api.trainers.protocol.phrases import COMPLETED, STOPPED
from api.utils.clock import FakeClock

#: Seconds that a step takes, seconds of loading before the first one, and steps between two checkpoints.
STEP_SECONDS = 2.0
LOADING_SECONDS = 6.0
SAVE_STEPS = 20

#: Seconds that a trainer takes to save when it is asked to stop.
SAVING_SECONDS = 4.0


class Broken(BaseException):
    """A promise of the service does not hold. No part of the service may take it for a trouble of its own."""


@dataclass
class Run:
    """The truth about one attempt."""

    submission: Submission
    began: float
    first_step: int
    total: int
    pid: int
    fails_at: int | None = None
    step: int = 0
    is_alive: bool = True
    is_supervised: bool = True
    hidden_since: float | None = None
    hidden_until: float = 0.0
    order: StopOrder | None = None
    ordered_at: float = 0.0
    outcome: Outcome | None = None
    printed: int = 0
    phrases: set[str] = field(default_factory=set)

    @property
    def uid(self) -> str:
        return self.submission.ref.uid

    @property
    def task_id(self) -> str:
        return self.submission.ref.log_directory.parent.name

    @property
    def output(self) -> Path:
        found = self.submission.output_dir
        assert found is not None
        return found

    @property
    def process(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, 1.0)


class World:
    """One machine: its GPUs, and every process that was ever started on it."""

    def __init__(self, clock: FakeClock, gpus: int) -> None:
        self.clock = clock
        self.gpus = tuple(f"GPU-{index:08x}-0000-0000-0000-000000000000" for index in range(gpus))
        self.runs: dict[str, Run] = {}
        self.logs: dict[Path, MemoryLog] = {}
        self._pids = iter(range(10_000, 10_000_000))

    def alive(self) -> Iterator[Run]:
        return (run for run in self.runs.values() if run.is_alive)

    def log(self, directory: Path) -> MemoryLog:
        return self.logs.setdefault(directory, MemoryLog(directory))

    def begin(self, submission: Submission, total: int, fails_at: int | None) -> Run:
        """Starts a process. Raises Broken when it would share a GPU or a directory with one that lives."""
        for other in self.alive():
            shared = set(other.submission.gpu_uuids) & set(submission.gpu_uuids)
            if shared:
                raise Broken(f"{submission.ref.uid} is started on {sorted(shared)}, where {other.uid} lives")
            if other.output == submission.output_dir:
                raise Broken(f"{submission.ref.uid} is started while {other.uid} of the same task lives")
        run = Run(submission, self.clock.monotonic(), 0, total, next(self._pids), fails_at)
        run.first_step = run.step = self._resumed_step(run)
        self.runs[run.uid] = run
        return run

    def _resumed_step(self, run: Run) -> int:
        argv = run.submission.argv
        saved = sorted(run.output.glob("*/global_step*/state.json"))
        if "--resume_from_checkpoint" not in argv:
            if saved:
                raise Broken(f"{run.uid} begins anew, although {saved[-1].parent.name} was saved")
            return 0
        latest = (Path(argv[argv.index("--resume_from_checkpoint") + 1]) / "latest").read_text()
        return int(latest.removeprefix("global_step"))

    def go_on(self) -> None:
        """Lets every process do what it would have done by now."""
        now = self.clock.monotonic()
        for run in list(self.alive()):
            self._go_on(run, now)

    def _go_on(self, run: Run, now: float) -> None:
        until = now
        ends = self._asked_to_end(run)
        if ends is not None:
            until = min(now, ends)
        done = run.first_step + int(max(0.0, until - run.began - LOADING_SECONDS) / STEP_SECONDS)
        goal = min(run.total, done, *([] if run.fails_at is None else [run.fails_at]))
        while run.step < goal:
            run.step += 1
            if run.step % SAVE_STEPS == 0 or run.step == run.total:
                self.save(run)
        self._print(run)
        if run.step >= run.total:
            self._say(run, COMPLETED)
            self.end(run, exit_code=0)
        elif run.fails_at is not None and run.step >= run.fails_at:
            self.end(run, exit_code=1)
        elif ends is not None and now >= ends:
            self._obey(run)

    def _asked_to_end(self, run: Run) -> float | None:
        if run.order is None:
            return None
        patience = SAVING_SECONDS if run.order.signal_file is not None else 0.5
        return run.ordered_at + patience

    def _obey(self, run: Run) -> None:
        if run.order is not None and run.order.signal_file is not None and run.step > run.first_step:
            self.save(run)
            self._say(run, STOPPED)
            self.end(run, exit_code=0, rung=StopRung.CHECKPOINT)
        else:
            self.end(run, exit_code=None, signal=15, rung=StopRung.TERMINATE)

    def save(self, run: Run) -> None:
        found = sorted(run.output.glob("????????_*"))
        run_dir = found[-1] if found else run.output / "20260101_00-00-00"
        checkpoint = run_dir / f"global_step{run.step}"
        shutil.rmtree(checkpoint, ignore_errors=True)
        checkpoint.mkdir(parents=True)
        (checkpoint / "state.json").write_text("{}")
        (run_dir / "latest").write_text(checkpoint.name)

    def _print(self, run: Run) -> None:
        if run.step > max(run.printed, run.first_step):
            run.printed = run.step
            line = f"steps: {run.step} loss: 0.5 iter time (s): {STEP_SECONDS} samples/sec: 64.0\n"
            self.log(run.submission.ref.log_directory).add(line.encode(), self.clock.now().timestamp())

    def _say(self, run: Run, phrase: str) -> None:
        run.phrases.add(phrase)
        self.log(run.submission.ref.log_directory).add(f"{phrase}\n".encode(), self.clock.now().timestamp())

    def end(self, run: Run, exit_code: int | None, signal: int | None = None, rung: StopRung | None = None) -> None:
        """Ends a process; its supervisor, if it has one, records how."""
        run.is_alive = False
        if run.is_supervised:
            run.outcome = self._record(run, "exited", exit_code, signal, rung)

    def lose(self, run: Run) -> None:
        """What a new supervisor finds of a process whose end nobody saw."""
        run.outcome = self._record(run, "supervisor_lost", None, None, None)

    def restart_machine(self) -> None:
        """Every process is gone, and the next look finds that the machine was restarted."""
        for run in list(self.alive()):
            run.is_alive = run.is_supervised = False
            run.outcome = self._record(run, "machine_restarted", None, None, None)

    def _record(
        self, run: Run, reason: str, exit_code: int | None, signal: int | None, rung: StopRung | None
    ) -> Outcome:
        return outcome(
            reason,
            exit_code=exit_code,
            signal=signal,
            stop_rung=rung,
            last_step=run.step if run.step > run.first_step else None,
            phrases=run.phrases,
            ended_at=self.clock.now().timestamp(),
        )
