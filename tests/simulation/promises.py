"""What must hold, however unlucky the hour: asked of the database, and of the simulated machines, which know."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from api.domain.training import TaskStatus
from tests.simulation.known import KnownTask
from tests.simulation.world import Broken, Run, World


@dataclass
class Orders:
    """What the service has acknowledged."""

    started: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)  #: asked to stop, whether or not the answer arrived
    stopped_at: dict[str, float] = field(
        default_factory=dict
    )  #: when a stop was acknowledged, and nothing resumed it since
    deleted: set[str] = field(default_factory=set)
    perhaps_deleted: set[str] = field(default_factory=set)  #: asked for, and the answer was lost
    keys: dict[str, str] = field(default_factory=dict)  #: the task of each idempotency key

    def note_wish(self, deed: str, task_id: str) -> None:
        """Notes what is asked for: also where the answer is lost it may have been done."""
        if deed == "stop":
            self.stopped.add(task_id)
        elif deed == "resume":
            self.stopped_at.pop(task_id, None)
        elif deed == "delete":
            self.perhaps_deleted.add(task_id)

    def expected(self) -> set[str]:
        return self.started - self.deleted - self.perhaps_deleted


def check_nothing_is_lost(orders: Orders, tasks: Mapping[str, KnownTask]) -> None:
    """Every acknowledged task is there, none is there twice, and no deleted one came back."""
    lost = orders.expected() - tasks.keys()
    if lost:
        raise Broken(f"{sorted(lost)} was acknowledged and is not there")
    names = [task.name for task in tasks.values()]
    if len(set(names)) < len(names):
        twice = {name for name in names if names.count(name) > 1}
        raise Broken(f"{sorted(map(str, twice))} was asked for once, and is there twice")
    back = orders.deleted & tasks.keys()
    if back:
        raise Broken(f"{sorted(back)} was deleted and is there again")


def check_nothing_is_free_that_lives(world: World, held: Mapping[str, str]) -> None:
    """Each GPU on which a process lives is held for its task."""
    for run in world.alive():
        for uuid in run.submission.gpu_uuids:
            if held.get(uuid) != run.task_id:
                raise Broken(f"{run.uid} lives on {uuid}, which is held by {held.get(uuid)}")


def check_leases_end_in_order(broken: Sequence[str]) -> None:
    """A GPU is held until its attempt has ended, and drains before it is free."""
    if broken:
        raise Broken(broken[0])


def check_nothing_lives_after_its_end(world: World, open_attempts: Collection[str]) -> None:
    """No process lives whose attempt is recorded as ended, but where its node was taken for lost."""
    for run in world.alive():
        if not run.is_twin and run.uid not in open_attempts:
            raise Broken(f"{run.uid} lives although its attempt has ended")


def check_stops_are_kept(world: World, orders: Orders) -> None:
    """Nothing is started of what was stopped, until it is resumed."""
    for run in world.alive():
        if run.began > orders.stopped_at.get(run.task_id, float("inf")):
            raise Broken(f"{run.uid} was started after its stop was acknowledged")


def check_nobody_waits(
    world: World, orders: Orders, tasks: Mapping[str, KnownTask], held: Mapping[str, str], now: float, patience: float
) -> None:
    """No task has waited for longer than the patience while the GPUs that it needs are free.

    With different wishes in the queue that is certain only where all GPUs of a node are free that the heads see.
    """
    idle = any(node.is_seen and not any(uuid in held for uuid in node.gpus) for node in world.nodes)
    if not idle:
        return
    waiting = [
        task.task_id
        for task in tasks.values()
        if task.status is TaskStatus.QUEUED and all(now - at > patience for at in (task.not_before, task.updated_at))
    ]
    if waiting:
        raise Broken(f"{waiting} wait although every GPU of a node is free")


def check_everything_ended(
    world: World, orders: Orders, tasks: Mapping[str, KnownTask], held: Mapping[str, str]
) -> None:
    """Once all is well again every task has come to its end, every end has its reason, and every GPU is free."""
    runs: dict[str, list[Run]] = {}
    for run in world.runs.values():
        runs.setdefault(run.task_id, []).append(run)
    for task in tasks.values():
        if not task.status.is_finished:
            raise Broken(f"{task.task_id} is {task.status} although all has been well for long: {task.warning}")
        check_the_end(task, orders, runs.get(task.task_id, ()))
    left = [run.uid for run in world.alive()]
    if left:
        raise Broken(f"{left} lives on after everything has ended")
    if held:
        raise Broken(f"{held} although nothing runs")


def check_the_end(task: KnownTask, orders: Orders, runs: Sequence[Run]) -> None:
    """What the service says of a task's end is what happened."""
    last = runs[-1] if runs else None
    if task.status is TaskStatus.COMPLETED and (last is None or last.step < last.total):
        raise Broken(f"{task.task_id} is completed, and made {last and last.step} steps")
    if task.status is TaskStatus.FAILED and task.cause is None:
        raise Broken(f"{task.task_id} has failed without a cause")
    if task.status is TaskStatus.FAILED and last is not None and last.step >= last.total:
        raise Broken(f"{task.task_id} has failed although its last step was made and saved: {task.cause}")
    if task.status is TaskStatus.STOPPED and not task.has_stop and task.task_id not in orders.stopped:
        raise Broken(f"{task.task_id} is stopped, and nobody asked for it")
