"""The invariants of every hour, checked against the database and against the simulated machines."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from api.domain.tasks.labels import RANK_OF_CLASS, PriorityClass
from api.domain.tasks.schedule import Schedule
from api.domain.tasks.training import StopRung, TaskStatus
from tests.simulation.known import KnownTask
from tests.simulation.world import Broken, Run, World


@dataclass
class Orders:
    """The changes that the service has acknowledged."""

    started: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)  #: stop requested, whether or not the answer arrived
    stopped_at: dict[str, float] = field(default_factory=dict)  #: when a stop was acknowledged that no resume followed
    deleted: set[str] = field(default_factory=set)
    perhaps_deleted: set[str] = field(default_factory=set)  #: deletion requested, and the answer was lost
    keys: dict[str, str] = field(default_factory=dict)  #: the task of each idempotency key
    #: By wall clock: until when each GPU may be closed, and begin and end of acknowledged pauses and claims. The third
    #: figure is the end on the monotonic clock.
    closed_until: dict[str, float] = field(default_factory=dict)
    paused: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    claimed: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    hours_until: float = float("-inf")  #: until when trainings may have had hours, by wall clock
    #: The acknowledged hours and since when they apply, by wall clock; None: another request may have changed them.
    hours: tuple[Schedule, float] | None = None

    def note_closed(self, uuid: str, until: float) -> None:
        """Record that a GPU may be paused or claimed until this time."""
        self.closed_until[uuid] = max(until, self.closed_until.get(uuid, until))

    def may_be_closed(self, uuid: str, since: float) -> bool:
        """Return whether a GPU may have been closed at any time since this one, by wall clock."""
        return max(self.hours_until, self.closed_until.get(uuid, float("-inf"))) >= since

    def note_request(self, action: str, task_id: str) -> None:
        """Record a request, which may have been carried out even if the answer was lost."""
        if action == "stop":
            self.stopped.add(task_id)
        elif action == "resume":
            self.stopped_at.pop(task_id, None)
        elif action == "delete":
            self.perhaps_deleted.add(task_id)

    def expected(self) -> set[str]:
        return self.started - self.deleted - self.perhaps_deleted


def check_nothing_is_lost(orders: Orders, tasks: Mapping[str, KnownTask]) -> None:
    """Check that every acknowledged task exists once, and no deleted one has returned."""
    lost = orders.expected() - tasks.keys()
    if lost:
        raise Broken(f"{sorted(lost)} was acknowledged but is missing")
    names = [task.name for task in tasks.values()]
    if len(set(names)) < len(names):
        twice = {name for name in names if names.count(name) > 1}
        raise Broken(f"{sorted(map(str, twice))} was requested once but exists twice")
    back = orders.deleted & tasks.keys()
    if back:
        raise Broken(f"{sorted(back)} was deleted but exists again")


def check_nothing_is_free_that_lives(world: World, held: Mapping[str, str]) -> None:
    """Check that each GPU with a live process is held for its task."""
    for run in world.alive():
        for uuid in run.submission.gpu_uuids:
            if held.get(uuid) != run.task_id:
                raise Broken(f"{run.uid} lives on {uuid}, which is held by {held.get(uuid)}")


def check_leases_end_in_order(broken: Sequence[str]) -> None:
    """Check that a GPU is held until its attempt has ended, and drains before it is free."""
    if broken:
        raise Broken(broken[0])


def check_nothing_lives_after_its_end(world: World, open_attempts: Collection[str]) -> None:
    """Check that no process lives after its recorded end, except where its node counts as lost."""
    for run in world.alive():
        if not run.outlives_its_record and run.uid not in open_attempts:
            raise Broken(f"{run.uid} lives although its attempt has ended")


def check_stops_are_kept(world: World, orders: Orders) -> None:
    """Check that no stopped task is started before it is resumed."""
    for run in world.alive():
        if run.began > orders.stopped_at.get(run.task_id, float("inf")):
            raise Broken(f"{run.uid} was started after its stop was acknowledged")


def check_room_is_made(world: World, orders: Orders, now: float, patience: float) -> None:
    """Check that no process lives on a GPU that has been paused or claimed for longer than the limit, by wall clock."""
    passed = world.clock.monotonic()
    for closed in (orders.paused, orders.claimed):
        # Both clocks may end it: the wall clock, and also the time since if the clock was set back.
        for uuid in [uuid for uuid, (_, ends, over) in closed.items() if now >= ends or passed >= over]:
            del closed[uuid]
    for run in world.alive():
        for uuid in run.submission.gpu_uuids:
            for what, closed in (("paused", orders.paused), ("claimed", orders.claimed)):
                began, ends, _ = closed.get(uuid, (now, now, passed))
                if run.node.is_seen and run.hidden_since is None and began + patience < now < ends:
                    raise Broken(f"{run.uid} lives on {uuid}, which has been {what} for {now - began:.0f} s")


def check_hours_are_kept(world: World, orders: Orders, now: float, patience: float) -> None:
    """Check that no process lives on a GPU that has been outside its hours for longer than the limit, by wall clock."""
    if orders.hours is None or orders.hours[1] + patience > now:
        return
    schedule, at = orders.hours[0], datetime.fromtimestamp(now, UTC)
    for run in world.alive():
        for uuid in run.submission.gpu_uuids:
            windows = [each for each in schedule.windows if not each.gpus or uuid in each.gpus]
            was_open = not windows or schedule.open_times(at - timedelta(seconds=patience), at, windows)
            if run.node.is_seen and run.hidden_since is None and not was_open:
                raise Broken(f"{run.uid} lives on {uuid}, which has been outside its hours for {patience:.0f} s")


@dataclass
class Preemptions:
    """The trainings that made room for urgent ones, or for other reasons, as they were seen."""

    after_seconds: float
    made_room: Counter[str] = field(default_factory=Counter)  #: number of stops by the service, by cause
    stopping: dict[str, Run] = field(default_factory=dict)  #: the runs that the service is stopping, by task
    _stopping: set[str] = field(default_factory=set)
    _leaving: dict[str, str] = field(default_factory=dict)  #: the urgent task of each that is stopping
    _made_room: dict[str, tuple[Run, str, float]] = field(default_factory=dict)  #: the latest of each task

    def check(self, world: World, orders: Orders, tasks: Mapping[str, KnownTask], now: float) -> None:
        """Check those that are new, and the starts since. Raise Broken."""
        latest = {run.task_id: run for run in world.runs.values()}
        self._count(tasks, latest)
        self._check_saves(orders, tasks)
        before, self._leaving = self._leaving, {}
        for task_id, task in tasks.items():
            if task.makes_way and task.preempted_by is not None:
                self._leaving[task_id] = task.preempted_by
        for task_id, urgent in self._leaving.items():
            run = latest.get(task_id)
            if task_id in before or run is None:
                continue
            if now - run.began < self.after_seconds:
                raise Broken(f"{run.uid} makes room for {urgent} after {now - run.began:.0f} s")
            if urgent in [by for other, by in before.items() if other in self._leaving]:
                raise Broken(f"{run.uid} makes room for {urgent}, for which another is still stopping")
            self._made_room[task_id] = run, urgent, now
        for task_id, (run, urgent, at) in list(self._made_room.items()):
            rung = None if run.outcome is None else run.outcome.stop_rung
            if rung not in (None, StopRung.CHECKPOINT) and task_id not in orders.stopped:
                raise Broken(f"{run.uid} makes room for {urgent} without a checkpoint, at step {run.step}")
            if latest[task_id] is not run:
                del self._made_room[task_id]
                self._check_return(latest[task_id], tasks, latest.get(urgent), urgent, at)

    def _count(self, tasks: Mapping[str, KnownTask], latest: Mapping[str, Run]) -> None:
        stopping = {each.task_id for each in tasks.values() if each.status is TaskStatus.STOPPING}
        for task_id in stopping - self._stopping:
            cause = tasks[task_id].stop_cause
            if cause is not None:
                self.made_room[cause] += 1
                if task_id in latest:
                    self.stopping[task_id] = latest[task_id]
        self._stopping = stopping

    def _check_saves(self, orders: Orders, tasks: Mapping[str, KnownTask]) -> None:
        for task_id, run in list(self.stopping.items()):
            rung = None if run.outcome is None else run.outcome.stop_rung
            # One that has not printed a step counts as loading, and has nothing to save.
            is_saved = rung in (None, StopRung.CHECKPOINT) or run.step <= run.first_step + 1
            if not is_saved and task_id not in orders.stopped:
                raise Broken(f"{run.uid} makes room without a checkpoint, at step {run.step}")
            if task_id not in tasks or tasks[task_id].status is not TaskStatus.STOPPING:
                del self.stopping[task_id]

    def _check_return(
        self, run: Run, tasks: Mapping[str, KnownTask], its_run: Run | None, urgent_id: str, at: float
    ) -> None:
        urgent = tasks.get(urgent_id)
        is_served = its_run is not None and (its_run.is_alive or its_run.began >= at)
        waits = urgent is not None and urgent.status is TaskStatus.QUEUED and not is_served
        # A user may have made it urgent, too.
        if waits and _is_urgent(urgent) and not _is_urgent(tasks.get(run.task_id)):
            raise Broken(f"{run.uid} goes on although {urgent_id}, for which it made room, still waits")


def _is_urgent(task: KnownTask | None) -> bool:
    return task is not None and task.rank == RANK_OF_CLASS[PriorityClass.URGENT]


def check_no_task_waits(
    world: World,
    orders: Orders,
    tasks: Mapping[str, KnownTask],
    held: Mapping[str, str],
    now: float,
    patience: float,
    why: Callable[[str], object],
) -> None:
    """Check that no task has waited longer than the limit while the GPUs that it needs are free.

    With different requests in the queue, that is certain only if all GPUs of a visible node are free. `why` returns
    what the service says about a waiting task.
    """
    idle = any(
        node.is_seen and not any(uuid in held or orders.may_be_closed(uuid, now - patience) for uuid in node.gpus)
        for node in world.nodes
    )
    if not idle:
        return
    waiting = [
        task.task_id
        for task in tasks.values()
        if task.status is TaskStatus.QUEUED and all(now - at > patience for at in (task.not_before, task.updated_at))
    ]
    if waiting:
        raise Broken(f"{ {each: str(why(each)) for each in waiting} } wait although every GPU of a node is free")


def check_everything_ended(
    world: World, orders: Orders, tasks: Mapping[str, KnownTask], held: Mapping[str, str]
) -> None:
    """Check that, after recovery, every task has ended with a reason, and every GPU is free."""
    runs: dict[str, list[Run]] = {}
    for run in world.runs.values():
        runs.setdefault(run.task_id, []).append(run)
    for task in tasks.values():
        if not task.status.is_finished:
            raise Broken(f"{task.task_id} is {task.status} long after recovery: {task.warning}")
        check_the_end(task, orders, runs.get(task.task_id, ()))
    left = [run.uid for run in world.alive()]
    if left:
        raise Broken(f"{left} lives on after everything has ended")
    if held:
        raise Broken(f"{held} although nothing runs")


def check_the_end(task: KnownTask, orders: Orders, runs: Sequence[Run]) -> None:
    """Check that the recorded end of a task is the true one."""
    last = runs[-1] if runs else None
    if task.status is TaskStatus.COMPLETED and (last is None or last.step < last.total):
        raise Broken(f"{task.task_id} is completed with {last and last.step} steps")
    if task.status is TaskStatus.FAILED and task.cause is None:
        raise Broken(f"{task.task_id} has failed without a cause")
    if task.status is TaskStatus.FAILED and last is not None and last.step >= last.total:
        raise Broken(f"{task.task_id} has failed although its last step was made and saved: {task.cause}")
    if task.status is TaskStatus.STOPPED and task.task_id not in orders.stopped:
        raise Broken(f"{task.task_id} is stopped without a request")
