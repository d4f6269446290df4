"""An executor on the simulated machines, with the faults of real ones."""

import errno
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from api.domain.reason import Reason
from api.domain.tasks.training import StopRung
from api.executors.executor import (
    AttemptRef,
    LivingAttempt,
    Locate,
    Log,
    NodeState,
    Observation,
    Phase,
    StopOrder,
    Submission,
)
from api.executors.ports import FIRST_PORT, LAST_PORT
from api.executors.slurm.ending import AttemptEnds
from api.trainers.toy.settings import STEPS_PER_EPOCH
from tests.simulation.faults import Faults
from tests.simulation.nodes import Node
from tests.simulation.world import Run, World

#: The step at which a task fails, or None, by its id and number of steps.
Fate = Callable[[str, int], int | None]


class SimulatedExecutor:
    """The view of the machines of one head. All heads see the same processes."""

    def __init__(self, world: World, faults: Faults, fate: Fate) -> None:
        self._world = world
        self._faults = faults
        self._fate = fate
        self._ends = AttemptEnds(world.clock.monotonic)

    def nodes(self) -> Sequence[NodeState]:
        return tuple(NodeState(node.name, "up" if node.is_seen else "down") for node in self._world.nodes)

    def submit(self, submission: Submission) -> None:
        self._faults.strike("submit")
        run = self._world.runs.get(submission.ref.uid)
        _reach(self._world.node_of[submission.gpu_uuids[0]])
        if run is None:
            if not submission.has_run:
                total = _steps_of(submission)
                fails_at = self._fate(submission.ref.log_directory.parent.name, total)
                self._world.begin(submission, total, fails_at)
        elif run.outcome is None and not run.is_supervised:
            if run.is_alive:
                self._world.supervise(run)
            else:
                self._world.lose(run)
        self._faults.strike("submitted")

    def observe(self, attempts: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        self._faults.strike("observe")
        return {attempt.uid: self._observe(attempt.uid) for attempt in attempts}

    def _observe(self, uid: str) -> Observation:
        run = self._world.runs.get(uid)
        if run is None:
            return Observation(Phase.ABSENT, "", reason="it was never started")
        unseen = run.unseen_for(self._world.clock.monotonic())
        if unseen is not None and not self._is_given_up(run, unseen):
            return Observation(Phase.UNKNOWN, run.node.name, reason="it cannot be seen", age=unseen)
        if run.outcome is not None:
            return Observation(Phase.ENDED, run.node.name, stop_rung=run.outcome.stop_rung, outcome=run.outcome)
        if not run.is_supervised:
            return Observation(Phase.ABSENT, run.node.name, reason="its supervisor is gone")
        return self._see(run)

    def _is_given_up(self, run: Run, unseen: float) -> bool:
        """Return whether its end is recorded because the engine considers its node lost; it may still run there."""
        if run.node.is_seen or unseen < self._world.lost_seconds:
            return False
        if run.outcome is None and self._ends.end(run.submission.ref.directory, "node_lost", "it is silent"):
            self._world.give_up(run)
        return run.outcome is not None

    def _see(self, run: Run) -> Observation:
        seconds = self._world.clock.monotonic() - run.began
        if run.order is None:
            return Observation(Phase.RUNNING, run.node.name, process=run.process, log_start=0, seconds=seconds)
        rung = StopRung.TERMINATE if run.order.signal_file is None else StopRung.CHECKPOINT
        return Observation(Phase.STOPPING, run.node.name, process=run.process, stop_rung=rung, log_start=0)

    def stop(self, ref: AttemptRef, order: StopOrder) -> None:
        self._faults.strike("stop")
        run = self._world.runs.get(ref.uid)
        if run is not None:
            _reach(run.node)
            if run.is_alive:
                run.order, run.ordered_at = order, self._world.clock.monotonic()
        self._faults.strike("stop asked")

    def prepare_leave(self, ref: AttemptRef, order: StopOrder) -> None:
        """Do nothing: no engine ends these processes with a signal."""

    def survivors(self, ref: AttemptRef) -> Sequence[int]:
        run = self._world.runs.get(ref.uid)
        if run is None:
            return ()
        _reach(run.node)
        return (run.pid,) if run.is_alive else ()

    def living(self, root: Path, locate: Locate, uids: Callable[[], Iterable[str]]) -> Sequence[LivingAttempt]:
        return tuple(
            LivingAttempt(run.submission.ref, run.submission.gpu_uuids, None, (run.process,))
            for run in self._world.alive()
            if run.node.is_seen
        )

    def used_gpus(self, ref: AttemptRef) -> Collection[str] | None:
        run = self._world.runs.get(ref.uid)
        return frozenset(run.submission.gpu_uuids) if run is not None and run.is_alive else frozenset()

    def free_port(self, node: str, held: Collection[int]) -> int:
        return next(port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in held)

    def why_queued(self, ref: AttemptRef) -> Reason | None:
        return None

    def lost_bytes(self, ref: AttemptRef) -> int | None:
        return None

    def open_log(self, log_directory: Path) -> Log:
        return self._world.log(log_directory)

    def read_log(self, ref: AttemptRef, offset: int, limit: int) -> tuple[int, bytes]:
        return self.open_log(ref.log_directory).read(offset, limit)


def _reach(node: Node) -> None:
    """Raise OSError if the heads cannot reach this node now."""
    if not node.is_seen:
        raise OSError(errno.ETIMEDOUT, "a simulated partition", node.name)


def _steps_of(submission: Submission) -> int:
    """Return the planned number of steps."""
    config = Path(submission.argv[submission.argv.index("--config") + 1])
    return STEPS_PER_EPOCH * int(tomllib.loads(config.read_text())["epochs"])
