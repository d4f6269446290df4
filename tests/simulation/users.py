"""Users who start, stop, resume and delete trainings, and retry requests without an answer."""

import itertools
import random
from collections.abc import Callable, Collection
from datetime import timedelta

from api.domain.access.principal import LOCAL
from api.domain.tasks.labels import PriorityClass
from api.domain.tasks.schedule import Day, Schedule, Window
from api.domain.tasks.training import GPURequest, ResumeOptions, TaskStatus, TrainingRequest
from api.errors import DatabaseUnavailable, ServiceError
from api.training.attempts.watch.watch import AttemptWatch
from tests.simulation.promises import Orders
from tests.simulation.server import SimulatedServer
from tests.simulation.servers import Servers
from tests.simulation.world import Broken, World

FINISHED = frozenset(status for status in TaskStatus if status.is_finished)
OPEN = frozenset(TaskStatus) - FINISHED
BROKEN_OFF = frozenset({TaskStatus.STOPPED, TaskStatus.FAILED})

#: Classes of trainings, of which most can make room.
_NOT_URGENT = (PriorityClass.NORMAL, *[PriorityClass.BACKGROUND] * 9)

#: The share of successful starts whose answer is lost.
LOST_ANSWERS = 0.1


#: Seconds of pauses, and the share of requests about pauses that end one.
PAUSE_SECONDS = (60.0, 1800.0)
ENDED_PAUSES = 0.3

#: The share of requests about hours that let trainings run always.
ALWAYS = 0.4


class Users:
    """The acknowledged requests of the users are recorded in `orders`."""

    def __init__(self, servers: Servers, world: World, chance: random.Random, log_event: Callable[[str], None]) -> None:
        self.orders = Orders()
        self._servers = servers
        self._world = world
        self._chance = chance
        self._log_event = log_event
        self._numbers = itertools.count(1)

    def start_urgent(self) -> None:
        """Start an urgent training."""
        self.start(PriorityClass.URGENT)

    def start(self, priority_class: PriorityClass | None = None) -> None:
        """Start a training, and retry once with the same key if there is no answer."""
        key = f"key-{next(self._numbers)}"
        request = TrainingRequest(
            "toy",
            GPURequest((), self._chance.choice((1, 1, 1, 2, self._world.gpus_each))),
            name=key,
            priority=self._chance.randint(0, 2),
            priority_class=priority_class or self._chance.choice(_NOT_URGENT),
            max_retries=self._chance.randint(0, 2),
            config={"epochs": 1 if priority_class else self._chance.randint(1, 5)},
        )
        for _ in range(2):
            task_id = self._request_start(request, key)
            if task_id is not None:
                self._note_start(key, task_id)
                return

    def _request_start(self, request: TrainingRequest, key: str) -> str | None:
        server = self._servers.any()
        if server is None:
            return None
        server.faults.loses_an_answer = self._chance.random() < LOST_ANSWERS
        return self._servers.call(server, lambda: server.start(request, key), "start")

    def _note_start(self, key: str, task_id: str) -> None:
        self.orders.started.add(task_id)
        if self.orders.keys.setdefault(key, task_id) != task_id:
            raise Broken(f"{key} was answered with both {task_id} and {self.orders.keys[key]}")
        self._log_event(f"started {task_id}")

    def change_class(self) -> None:
        """Change the priority and the class of a training."""
        changes = {"priority": self._chance.randint(0, 2), "priority_class": self._chance.choice(tuple(PriorityClass))}
        self._change(OPEN, "change", lambda server, task: server.parts.services.changes.patch(task, changes, "ann"))

    def stop(self) -> None:
        """Request a stop, which may be carried out even if the answer is lost."""
        force = self._chance.random() < 0.3
        task_id = self._change(
            OPEN, "stop", lambda server, task: server.parts.stops.request_stop(task, force, None, "ann")
        )
        if task_id is not None:
            self.orders.stopped_at[task_id] = self._world.clock.monotonic()

    def stop_what_starts(self) -> None:
        """Stop a training that is just being started.

        Its process may start at the same moment, so this stop is not expected to prevent all work.
        """
        server, known = self._servers.any(), self._servers.known
        starting = known.starting() if known is not None else []
        if server is None or not starting:
            return
        task_id = self._chance.choice(starting)
        self.orders.note_request("stop", task_id)
        self._servers.call(
            server, lambda: _answer(lambda: server.parts.stops.request_stop(task_id, False, None, "ann")), "stop"
        )
        self._log_event(f"stop {task_id} while it starts")

    def resume(self) -> None:
        """Resume a training that was stopped or has failed."""
        self._change(
            BROKEN_OFF,
            "resume",
            lambda server, task: server.parts.services.service.resume(task, ResumeOptions(), lambda _: {}, "ann"),
        )

    def delete(self) -> None:
        """Delete a training that has ended."""
        task_id = self._change(FINISHED, "delete", lambda server, task: server.parts.services.files.delete(task, True))
        if task_id is not None:
            self.orders.deleted.add(task_id)

    def pause(self) -> None:
        """Pause a GPU, or end its pause."""
        server, uuid = self._servers.any(), self._chance.choice(sorted(self._world.node_of))
        if server is None:
            return
        begins, seconds = self._world.clock.now().timestamp(), self._chance.uniform(*PAUSE_SECONDS)
        passed = self._world.clock.monotonic()
        holds = server.parts.services.holds
        if self._chance.random() < ENDED_PAUSES:
            self.orders.paused.pop(uuid, None)
            answer = self._servers.call(server, lambda: _answer(lambda: holds.unpause(uuid, LOCAL)), "unpause")
            self._log_event(f"unpause {uuid}: {answer or 'no answer'}")
            return
        self.orders.note_closed(uuid, begins + seconds)
        self.orders.paused.pop(uuid, None)
        answer = self._servers.call(server, lambda: _answer(lambda: holds.pause(uuid, seconds, "why", LOCAL)), "pause")
        if answer == "done":
            self.orders.paused[uuid] = begins, begins + seconds, passed + seconds
        self._log_event(f"pause {uuid} for {seconds:.0f} s: {answer or 'no answer'}")

    def claim(self) -> None:
        """Claim a GPU for another program, or end its claim."""
        server, uuid = self._servers.any(), self._chance.choice(sorted(self._world.node_of))
        if server is None:
            return
        begins, seconds = self._world.clock.now().timestamp(), self._chance.uniform(*PAUSE_SECONDS)
        passed = self._world.clock.monotonic()
        ends, holds = self._chance.random() < ENDED_PAUSES, server.parts.services.holds
        self.orders.claimed.pop(uuid, None)
        if ends:
            answer = self._servers.call(server, lambda: _answer(lambda: holds.release(uuid, "game", LOCAL)), "release")
        else:
            self.orders.note_closed(uuid, begins + seconds)
            answer = self._servers.call(
                server, lambda: _answer(lambda: holds.claim(uuid, "game", None, seconds, LOCAL)), "claim"
            )
            if answer == "done":
                self.orders.claimed[uuid] = begins, begins + seconds, passed + seconds
        what = "release" if ends else f"claim for {seconds:.0f} s"
        self._log_event(f"{what} {uuid}: {answer or 'no answer'}")

    def set_hours(self, always: bool = False) -> None:
        """Let trainings run within some minutes only, on all GPUs or on some, or always."""
        server = self._servers.any()
        if server is None:
            return
        windows = [] if always or self._chance.random() < ALWAYS else [self._window() for _ in range(2)]
        if windows:
            self.orders.hours_until = float("inf")
        self.orders.hours = None
        answer = self._servers.call(
            server, lambda: _answer(lambda: server.parts.services.schedule.replace("UTC", windows, "ann")), "hours"
        )
        now = self._world.clock.now().timestamp()
        if answer == "done":
            self.orders.hours = Schedule("UTC", tuple(windows)), now
        if not windows and answer == "done":
            self.orders.hours_until = now
        shown = ", ".join(f"{each.begins:%H:%M} to {each.ends:%H:%M}" for each in windows) or "always"
        self._log_event(f"hours {shown}: {answer or 'no answer'}")

    def _window(self) -> Window:
        begins = self._world.clock.now() + timedelta(minutes=self._chance.randint(-20, 40))
        ends = begins + timedelta(minutes=self._chance.randint(1, 60))
        chosen = self._chance.sample(
            sorted(self._world.node_of), min(len(self._world.node_of), self._chance.choice((0, 3)))
        )
        hours = (each.time().replace(second=0, microsecond=0, tzinfo=None) for each in (begins, ends))
        return Window(tuple(Day), *hours, tuple(chosen))

    def _change(
        self, wanted: Collection[TaskStatus], action: str, do: Callable[[SimulatedServer, str], object]
    ) -> str | None:
        """Return the changed task, if the change was acknowledged."""
        server, known = self._servers.any(), self._servers.known
        if server is None or known is None:
            return None
        known.read_changes()
        found = sorted(task_id for task_id, task in known.tasks.items() if task.status in wanted)
        if not found:
            return None
        task_id = self._chance.choice(found)
        self.orders.note_request(action, task_id)
        answer = self._servers.call(server, lambda: _answer(lambda: do(server, task_id)), action)
        self._log_event(f"{action} {task_id}: {answer or 'no answer'}")
        return task_id if answer == "done" else None


def _answer(do: Callable[[], object]) -> str:
    """Return how it was answered; a refusal by the service's rules is an answer, too."""
    try:
        done = do()
    except DatabaseUnavailable:
        raise
    except ServiceError as error:
        return error.code
    # A stop without the database reports that it is not recorded yet: a server that crashes before that loses it.
    return "not noted yet" if isinstance(done, AttemptWatch) else "done"
