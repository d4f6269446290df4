"""The seam to the simulated machine, with the faults that the real one may have."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

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
from api.models.training import StopRung
from tests.simulation.faults import Faults
from tests.simulation.world import Run, World

#: Total steps and the step at which it fails, if it does, by the id of the task.
Fate = Callable[[str], tuple[int, int | None]]


class SimulatedExecutor:
    """What one server sees of the machine. All servers of the machine see the same processes."""

    def __init__(self, world: World, faults: Faults, node: str, fate: Fate) -> None:
        self._world = world
        self._faults = faults
        self._node = node
        self._fate = fate

    def nodes(self) -> Sequence[NodeState]:
        return (NodeState(self._node),)

    def submit(self, submission: Submission) -> None:
        self._faults.strike("submit")
        run = self._world.runs.get(submission.ref.uid)
        if run is None:
            if not submission.has_run:
                self._world.begin(submission, *self._fate(submission.ref.log_directory.parent.name))
        elif run.outcome is None and not run.is_supervised:
            run.is_supervised = run.is_alive
            if not run.is_alive:
                self._world.lose(run)
        self._faults.strike("submitted")

    def observe(self, attempts: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        self._faults.strike("observe")
        return {attempt.uid: self._observe(attempt.uid) for attempt in attempts}

    def _observe(self, uid: str) -> Observation:
        run, now = self._world.runs.get(uid), self._world.clock.monotonic()
        if run is None:
            return Observation(Phase.ABSENT, self._node, reason="it was never started")
        if run.hidden_since is not None and now < run.hidden_until:
            return Observation(Phase.UNKNOWN, self._node, reason="it is hidden", age=now - run.hidden_since)
        run.hidden_since = None
        if run.outcome is not None:
            return Observation(Phase.ENDED, self._node, stop_rung=run.outcome.stop_rung, outcome=run.outcome)
        if not run.is_supervised:
            return Observation(Phase.ABSENT, self._node, reason="its supervisor is gone")
        return self._see(run)

    def _see(self, run: Run) -> Observation:
        if run.order is None:
            return Observation(Phase.RUNNING, self._node, process=run.process, log_start=0)
        rung = StopRung.TERMINATE if run.order.signal_file is None else StopRung.CHECKPOINT
        return Observation(Phase.STOPPING, self._node, process=run.process, stop_rung=rung, log_start=0)

    def stop(self, ref: AttemptRef, order: StopOrder) -> None:
        self._faults.strike("stop")
        run = self._world.runs.get(ref.uid)
        if run is not None and run.is_alive:
            run.order, run.ordered_at = order, self._world.clock.monotonic()
        self._faults.strike("stop asked")

    def survivors(self, ref: AttemptRef) -> Sequence[int]:
        run = self._world.runs.get(ref.uid)
        return (run.pid,) if run is not None and run.is_alive else ()

    def living(self, root: Path, locate: Locate, uids: Callable[[], Iterable[str]]) -> Sequence[LivingAttempt]:
        return tuple(
            LivingAttempt(run.submission.ref, run.submission.gpu_uuids, None, (run.process,))
            for run in self._world.alive()
        )

    def used_gpus(self, ref: AttemptRef) -> Collection[str] | None:
        run = self._world.runs.get(ref.uid)
        return frozenset(run.submission.gpu_uuids) if run is not None and run.is_alive else frozenset()

    def free_port(self, node: str, held: Collection[int]) -> int:
        return next(port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in held)

    def lost_bytes(self, ref: AttemptRef) -> int | None:
        return None

    def open_log(self, log_directory: Path) -> Log:
        return self._world.log(log_directory)

    def read_log(self, ref: AttemptRef, offset: int, limit: int) -> tuple[int, bytes]:
        return self.open_log(ref.log_directory).read(offset, limit)
