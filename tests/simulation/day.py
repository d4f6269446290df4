"""A day of one GPU, from a seed: hours for trainings, ComfyUI, three trainings and an urgent one, and a crash."""

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, time
from functools import partial
from pathlib import Path

from api.db.database import sqlite_url
from api.domain.tasks.labels import PriorityClass
from api.domain.tasks.schedule import Day as WeekDay
from api.domain.tasks.schedule import Window
from api.domain.tasks.training import GPURequest, TaskStatus, TrainingRequest
from api.gpus.sharing.neighbour import Activity, NeighbourState
from api.training.queue.closures import NeighbourRule
from tests.simulation.hour import CALM_SECONDS, NEW_YEAR, Hour, Scale
from tests.simulation.server import BUSY_MB
from tests.simulation.world import SAVING_SECONDS, Broken, Run, World
from tests.unit.builders import process

HOUR = 3600.0
DAY = Scale(24 * HOUR, nodes=1, gpus=1, servers=1)

#: When trainings may run, in UTC, when people work with ComfyUI, and when they close it, in hours.
BEGINS, ENDS = 18, 11
COMFY_HOURS, CLOSES = (8.0, 22.0), 23.0

#: Seconds of a piece of work with ComfyUI, and between two of them.
WORK_SECONDS, REST_SECONDS = (300.0, 2400.0), (600.0, 5400.0)

#: The memory that ComfyUI keeps when it was asked to free it.
REST_MB = 500

#: Seconds after the save within which ComfyUI has the GPU.
HANDED_OVER_SECONDS = 10.0
LOOK_AFTER = range(2, 20, 2)

COMFY = "ComfyUI"


class Comfy:
    """A ComfyUI with simulated memory."""

    name, command = "ComfyUI 127.0.0.1:8188", "ComfyUI/main.py"

    def __init__(self, world: World) -> None:
        self._world = world
        self.busy_since: float | None = None  #: monotonic

    def work(self, is_busy: bool) -> None:
        """Begin or end a piece of work. The models stay in memory."""
        self.busy_since = self._world.clock.monotonic() if is_busy else None
        self._hold(BUSY_MB)

    def close(self) -> None:
        """End its process."""
        self._world.foreign = ()
        self._world.changes += 1

    @property
    def memory_mb(self) -> int:
        return sum(each.memory_mb or 0 for each in self._world.foreign)

    def find_process(self) -> None:
        """Its process is not visible."""

    def state(self) -> NeighbourState:
        return NeighbourState(Activity.IDLE if self.busy_since is None else Activity.BUSY, self.memory_mb)

    def free(self) -> None:
        self._hold(REST_MB)

    def _hold(self, memory_mb: int) -> None:
        self._world.foreign = (process(99, memory_mb, command=self.command),)
        self._world.changes += 1


class Day(Hour):
    """The day of a seed. `table` tells it hour by hour."""

    longest_stride = 280.0  # shorter than a claim of ComfyUI

    def __init__(
        self,
        seed: int,
        root: Path,
        rule: NeighbourRule = NeighbourRule.NEIGHBOUR_FIRST,
        begins: datetime = NEW_YEAR,
    ) -> None:
        super().__init__(seed, root, DAY, sqlite_url(root / "database.sqlite"), begins)
        self._comfy = self._world.neighbour = Comfy(self._world)
        self._world.neighbour_rule = rule
        self._looked_at = self._began
        self.longest_handover = 0.0  #: seconds after which a training still had the GPU that ComfyUI needed
        self._seen: set[str] = set()  #: the attempts whose start was checked
        #: By hour: seconds of each training and of ComfyUI; seconds and text of each reason of each waiting training.
        self._used: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._waited: dict[int, dict[str, dict[str, tuple[float, str]]]] = defaultdict(lambda: defaultdict(dict))
        self._plan = self._make_plan(random.Random(f"day {seed}"))

    def _make_plan(self, chance: random.Random) -> list[tuple[float, Callable[[], object]]]:
        """Return the events of the day with their times, the first one last."""
        plan: list[tuple[float, Callable[[], object]]] = [(0.0, self._servers.begin_all), (1.0, self._set_hours)]
        for name in ("portrait", "landscape", "style"):
            plan.append((chance.uniform(60.0, 2 * HOUR), partial(self._start, name, chance.randint(7, 12))))
        plan.append((chance.uniform(3 * HOUR, 8 * HOUR), partial(self._start, "urgent", 1, PriorityClass.URGENT)))
        plan.append((chance.uniform(HOUR, 23 * HOUR), self._crash))
        plan.append((CLOSES * HOUR, self._comfy.close))
        at = COMFY_HOURS[0] * HOUR + chance.uniform(0.0, HOUR)
        while at < COMFY_HOURS[1] * HOUR:
            ends = at + chance.uniform(*WORK_SECONDS)
            plan += [(at, partial(self._work, True)), (ends, partial(self._work, False))]
            plan += [(at + look, lambda: None) for look in LOOK_AFTER]
            at = ends + chance.uniform(*REST_SECONDS)
        return sorted(plan, key=lambda each: -each[0])

    def _end(self) -> None:
        super()._end()
        # Who looks at the day afterwards sees its hours.
        self._set_hours()

    def _go_on(self, is_bad: bool = False) -> None:
        # The round before may have passed the moment of the next event, which would be overslept.
        self._next_event = max(self._next_event, self._clock.monotonic() + 0.1)
        super()._go_on(is_bad)

    def _happen(self) -> None:
        while self._plan and self._plan[-1][0] <= self._now():
            self._plan.pop()[1]()
        self._next_event = self._began + self._plan[-1][0] if self._plan else float("inf")

    def _set_hours(self) -> None:
        self._users.orders.hours_until = float("inf")
        windows = [Window(tuple(WeekDay), time(BEGINS), time(ENDS))]
        self._servers.alive[0].parts.services.schedule.replace("UTC", windows, "ann")

    def _start(self, name: str, epochs: int, priority_class: PriorityClass = PriorityClass.BACKGROUND) -> None:
        request = TrainingRequest(
            "toy", GPURequest((), 1), name=name, priority_class=priority_class, config={"epochs": epochs}
        )
        if self._servers.alive:
            self._users.orders.started.add(self._servers.alive[0].start(request, name))
        else:
            # Its user tries again when the service is back.
            self._plan.append((self._now() + 60.0, partial(self._start, name, epochs, priority_class)))
            self._plan.sort(key=lambda each: -each[0])
        self._log_event(f"start {name}")

    def _crash(self) -> None:
        for server in self._servers.alive:
            self._servers.kill(server)
        self._log_event("the service crashes")

    def _work(self, is_busy: bool) -> None:
        self._comfy.work(is_busy)
        self._log_event(f"ComfyUI is {'busy' if is_busy else 'idle'}")

    def _check(self) -> None:
        super()._check()
        known, now = self._servers.known, self._clock.monotonic()
        if known is None:
            return
        runs, is_calm = list(self._world.alive()), now - self._servers.last_fault > CALM_SECONDS
        for run in runs:
            if is_calm and run.uid not in self._seen and self._comfy.memory_mb > REST_MB:
                raise Broken(f"{run.uid} begins although ComfyUI holds {self._comfy.memory_mb} MB")
            self._seen.add(run.uid)
            self._check_handed_over(run, now, is_calm)
        hour, seconds = int(self._now() // HOUR), now - self._looked_at
        self._looked_at = now
        for run in runs:
            self._used[hour][str(known.tasks[run.task_id].name)] += seconds
        if self._comfy.busy_since is not None:
            self._used[hour][COMFY] += seconds
        for task in known.tasks.values():
            reason = self._servers.reason(task.task_id) if task.status is TaskStatus.QUEUED else None
            if reason is not None:
                of_task = self._waited[hour][str(task.name)]
                of_task[reason.said.code] = of_task.get(reason.said.code, (0.0, ""))[0] + seconds, reason.text

    def _check_handed_over(self, run: Run, now: float, is_calm: bool) -> None:
        """Check that a training leaves in time for ComfyUI."""
        if self._world.neighbour_rule is not NeighbourRule.NEIGHBOUR_FIRST or self._comfy.busy_since is None:
            return
        waited = now - self._comfy.busy_since
        if is_calm and waited > SAVING_SECONDS + HANDED_OVER_SECONDS:
            raise Broken(f"{run.uid} still lives {waited:.0f} s after ComfyUI got work")
        self.longest_handover = max(self.longest_handover, waited)

    def table(self) -> str:
        """Return who had the GPU in each hour of the day, in minutes, and why trainings waited."""
        lines = []
        for hour in range(round(DAY.seconds / HOUR)):
            longest_first = sorted(self._used[hour].items(), key=lambda each: -each[1])
            used = ", ".join(f"{name} {seconds / 60:.0f}" for name, seconds in longest_first)
            waits = [f"{name}: {max(why.values())[1]}" for name, why in self._waited[hour].items()]
            lines.append(f"{hour:02}:00  {used or '-':<44} {'; '.join(waits)}".rstrip())
        return "\n".join(lines)
