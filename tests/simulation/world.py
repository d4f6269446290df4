"""The true state of the simulated machines, whatever the service believes: processes, steps, checkpoints."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from api.domain.machines.reading import GPUProcess
from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import StopRung
from api.executors.executor import Outcome, StopOrder, Submission
from api.executors.fake import MemoryLog, outcome
from api.gpus.sharing.neighbour import Neighbour
from api.trainers.protocol.phrases import COMPLETED, STOPPED
from api.training.queue.closures import NeighbourRule
from api.util.clock import FakeClock
from tests.simulation.nodes import Node
from tests.simulation.supervisor import Supervisor

#: Seconds of loading before the first step, and steps between two checkpoints.
LOADING_SECONDS = 6.0
SAVE_STEPS = 20

#: Steps between two lines of the log, after the first step.
PRINTED_STEPS = 10

#: Seconds that a trainer takes to save when it receives a stop.
SAVING_SECONDS = 4.0


class Broken(BaseException):
    """A broken promise of the service. A BaseException, so that no part of the service handles it as its own error."""


@dataclass
class Run:
    """The true state of one attempt."""

    submission: Submission
    node: Node
    began: float
    first_step: int
    total: int
    pid: int
    fails_at: int | None = None
    step: int = 0
    is_alive: bool = True
    supervisor: Supervisor | None = None
    hidden_since: float | None = None
    hidden_until: float = 0.0
    order: StopOrder | None = None
    ordered_at: float = 0.0
    outcome: Outcome | None = None
    printed: int = 0
    phrases: set[str] = field(default_factory=set)

    @property
    def is_supervised(self) -> bool:
        return self.supervisor is not None

    @property
    def outlives_its_record(self) -> bool:
        """Whether it lives although its end is recorded, because its node was unreachable."""
        return self.is_alive and self.outcome is not None

    @property
    def has_stopped_well(self) -> bool:
        """Whether it has saved its last step, as a stop requested."""
        return STOPPED in self.phrases

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

    @cached_property
    def run_dir(self) -> Path:
        """The directory of its saves: that of the attempt from which it resumes, or a new one."""
        argv, made = self.submission.argv, len(list(self.output.glob("????????_*")))
        if "--resume_from_checkpoint" in argv:
            return Path(argv[argv.index("--resume_from_checkpoint") + 1])
        return self.output / f"20260101_00-{made // 60:02}-{made % 60:02}"

    @property
    def process(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, 1.0)

    def unseen_for(self, now: float) -> float | None:
        """Return the seconds for which no head could observe it (node dead, cut off or hidden), or None."""
        if self.node.unseen_since is not None:
            return now - self.node.unseen_since
        if self.hidden_since is not None and now < self.hidden_until:
            return now - self.hidden_since
        self.hidden_since = None
        return None


class World:
    """The machines with their GPUs, and every process that was ever started on them."""

    def __init__(self, clock: FakeClock, nodes: int, gpus: int, step_seconds: float) -> None:
        """Create nodes with `gpus` GPUs each; a step of a trainer takes `step_seconds`."""
        self.clock = clock
        self.nodes = tuple(Node.make(number, gpus) for number in range(nodes))
        self.node_of = {uuid: node for node in self.nodes for uuid in node.gpus}
        self.gpus_each = gpus
        self.runs: dict[str, Run] = {}
        self.logs: dict[Path, MemoryLog] = {}
        self.lost_seconds = float("inf")  #: seconds of silence after which the engine considers a node lost
        self.changes = 0  #: increased when a process starts or ends, or a node leaves or returns
        #: Another program that uses the GPUs, with its processes on each, and who wins.
        self.neighbour: Neighbour | None = None
        self.neighbour_rule = NeighbourRule.FREE_IDLE
        self.foreign: tuple[GPUProcess, ...] = ()
        self._step_seconds = step_seconds
        self._alive: dict[str, Run] = {}
        self._pids = iter(range(10_000, 10_000_000))

    def alive(self) -> Iterator[Run]:
        return iter(list(self._alive.values()))

    def log(self, directory: Path) -> MemoryLog:
        return self.logs.setdefault(directory, MemoryLog(directory))

    def begin(self, submission: Submission, total: int, fails_at: int | None) -> Run:
        """Start a process. Raise Broken if it would share a GPU or a directory with a live one."""
        for other in self.alive():
            shared = set(other.submission.gpu_uuids) & set(submission.gpu_uuids)
            if shared:
                raise Broken(f"{submission.ref.uid} is started on {sorted(shared)}, where {other.uid} lives")
            if other.output == submission.output_dir and not other.outlives_its_record:
                raise Broken(f"{submission.ref.uid} is started while {other.uid} of the same task lives")
        nodes = {self.node_of[uuid].name: self.node_of[uuid] for uuid in submission.gpu_uuids}
        if len(nodes) != 1:
            raise Broken(f"{submission.ref.uid} is started on several nodes: {sorted(nodes)}")
        run = Run(submission, *nodes.values(), self.clock.monotonic(), 0, total, next(self._pids), fails_at)
        run.first_step = run.step = self._resumed_step(run)
        before = [each for each in self.runs.values() if each.task_id == run.task_id]
        last = before[-1] if before else None
        if last is not None and last.has_stopped_well and run.first_step < last.step - 1:
            raise Broken(f"{run.uid} goes on after step {run.first_step}, although {last.uid} stopped at {last.step}")
        self.supervise(run)
        self.runs[run.uid] = self._alive[run.uid] = run
        self.changes += 1
        return run

    def _resumed_step(self, run: Run) -> int:
        saved = sorted(run.output.glob("*/global_step*/state.json"))
        if "--resume_from_checkpoint" not in run.submission.argv:
            if saved:
                raise Broken(f"{run.uid} starts from the beginning although {saved[-1].parent.name} was saved")
            return 0
        latest = (run.run_dir / "latest").read_text()
        return int(latest.removeprefix("global_step"))

    def supervise(self, run: Run) -> None:
        """Give a process a new supervisor."""
        run.supervisor = Supervisor(run.submission.ref.directory)

    def lose_supervisor(self, run: Run) -> None:
        """End the supervisor of a process; the trainer continues unless an engine considers it lost."""
        if run.supervisor is not None:
            run.supervisor.let_go()
        run.supervisor = None
        if run.outlives_its_record:
            self._mark_ended(run)

    def proceed(self) -> None:
        """Let every process do its work up to now; one without storage pauses."""
        now = self.clock.monotonic()
        for run in self.alive():
            if run.node.has_lost_storage(now) and run.supervisor is not None:
                run.supervisor.let_go()
            if run.node.is_isolated:
                continue
            if run.supervisor is not None and run.supervisor.is_superseded():
                # It kills its trainer, and writes nothing.
                self._mark_ended(run)
                continue
            if run.supervisor is not None:
                run.supervisor.take_lock()
            self._go_on(run, now)

    def next_moment(self) -> float:
        """Return when the next process will end without a stop (monotonic), or infinity if there is none."""
        return min((self._ends_at(run) for run in self._alive.values()), default=float("inf"))

    def _ends_at(self, run: Run) -> float:
        asked = self._stop_deadline(run)
        last = run.total if run.fails_at is None else min(run.total, run.fails_at)
        by_itself = run.began + LOADING_SECONDS + (last - run.first_step) * self._step_seconds
        return by_itself if asked is None else min(asked, by_itself)

    def _go_on(self, run: Run, now: float) -> None:
        until = now
        ends = self._stop_deadline(run)
        if ends is not None:
            until = min(now, ends)
        done = run.first_step + int(max(0.0, until - run.began - LOADING_SECONDS) / self._step_seconds)
        goal = min(run.total, done, *([] if run.fails_at is None else [run.fails_at]))
        self._save_up_to(run, goal)
        self._print(run)
        if run.step >= run.total:
            self._print_phrase(run, COMPLETED)
            self.end(run, exit_code=0)
        elif run.fails_at is not None and run.step >= run.fails_at:
            self.end(run, exit_code=1)
        elif ends is not None and now >= ends:
            self._carry_out_stop(run)

    def _save_up_to(self, run: Run, goal: int) -> None:
        """Perform the steps up to this one; only the last checkpoint is still there."""
        last = goal if goal == run.total else goal // SAVE_STEPS * SAVE_STEPS
        if last > run.step:
            run.step = last
            self.save(run)
        run.step = max(run.step, goal)

    def _stop_deadline(self, run: Run) -> float | None:
        if run.order is None:
            return None
        patience = SAVING_SECONDS if run.order.signal_file is not None else 0.5
        return run.ordered_at + patience

    def _carry_out_stop(self, run: Run) -> None:
        if run.order is not None and run.order.signal_file is not None and run.step > run.first_step:
            self.save(run)
            self._print_phrase(run, STOPPED)
            self.end(run, exit_code=0, rung=StopRung.CHECKPOINT)
        else:
            self.end(run, exit_code=None, signal=15, rung=StopRung.TERMINATE)

    def save(self, run: Run) -> None:
        """Write a checkpoint. Raise Broken if the directory may belong to another process."""
        if run.outlives_its_record:
            raise Broken(f"{run.uid} saves although it counts as lost and its task may run elsewhere")
        checkpoint = run.run_dir / f"global_step{run.step}"
        if checkpoint.is_dir():
            shutil.rmtree(checkpoint)
        checkpoint.mkdir(parents=True)
        (checkpoint / "state.json").write_text("{}")
        (run.run_dir / "latest").write_text(checkpoint.name)

    def _print(self, run: Run) -> None:
        first = run.first_step + 1
        step = max(run.step // PRINTED_STEPS * PRINTED_STEPS, min(first, run.step))
        if step > max(run.printed, run.first_step):
            run.printed = step
            run.run_dir.mkdir(parents=True, exist_ok=True)
            line = f"steps: {step} loss: 0.5 iter time (s): {self._step_seconds} samples/sec: 64.0\n"
            self.log(run.submission.ref.log_directory).add(line.encode(), self.clock.now().timestamp())

    def _print_phrase(self, run: Run, phrase: str) -> None:
        run.phrases.add(phrase)
        self.log(run.submission.ref.log_directory).add(f"{phrase}\n".encode(), self.clock.now().timestamp())

    def end(self, run: Run, exit_code: int | None, signal: int | None = None, rung: StopRung | None = None) -> None:
        """End a process; its supervisor, if it has one, records how."""
        was_supervised = run.is_supervised
        self._mark_ended(run)
        if was_supervised:
            run.outcome = self._record(run, "exited", exit_code, signal, rung)

    def give_up(self, run: Run) -> None:
        """Record its end without observation: its node counts as lost."""
        run.outcome = self._record(run, "node_lost", None, None, None)

    def lose(self, run: Run) -> None:
        """Record what a new supervisor finds of a process whose end was not observed."""
        run.outcome = self._record(run, "supervisor_lost", None, None, None)

    def restart(self, node: Node) -> None:
        """End every process of a node, whose next observation shows a restart."""
        for run in self.alive():
            if run.node is node:
                self._mark_ended(run)
                run.outcome = run.outcome or self._record(run, "machine_restarted", None, None, None)

    def end_unsupervised(self, node: Node) -> None:
        """End the processes without a supervisor on an unreachable node, as the engine's own daemon does."""
        for run in self.alive():
            if run.node is node and run.supervisor is None:
                self._mark_ended(run)

    def _mark_ended(self, run: Run) -> None:
        run.is_alive = False
        self.lose_supervisor(run)
        del self._alive[run.uid]
        self.changes += 1

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
