"""The control plane keeps its promises over hours of failures, and a planted fault of each kind breaks one."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from api.alerts.delivery import courier
from api.alerts.records.outbox_store import OutboxStore
from api.alerts.state_machine import AlertStateMachine
from api.db import leases
from api.db.leadership import Leadership
from api.db.tables import attempts
from api.domain.alerts.channel import DeliveryState
from api.domain.machines.gpu import GPUStatus
from api.domain.tasks.labels import PriorityClass
from api.domain.tasks.training import AttemptStatus, StopState, TaskSummary
from api.errors import DatabaseUnavailable
from api.executors.attempt.directory import AttemptDirectory
from api.executors.executor import Executor
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.watch.watches import Watches
from api.training.queue import neighbour_rule, planner, supply
from api.training.queue.closures import NeighbourRule
from api.training.queue.dispatcher import Dispatcher
from api.training.queue.preemption import Preemption
from api.training.queue.scheduler import _Planner
from api.training.records.attempt_store import AttemptStore
from api.training.records.status_changes import request_task_stop
from api.training.records.task_store import TaskStore
from api.training.stops import TaskStops
from tests.databases import fresh_postgres
from tests.lengths import length
from tests.simulation.__main__ import play, play_day, undisturbed
from tests.simulation.executor import SimulatedExecutor
from tests.simulation.faults import Faults, FaultyDatabase
from tests.simulation.hour import Hour, Scale
from tests.simulation.world import Broken

#: The fixed seeds of each run, the number of fresh ones in `make test-long`, and the seeds per test.
FIXED, FRESH = length(20, 8), 200
AT_ONCE = 4

#: Number of seeds that are tried to find each planted fault, and the first seed for faults that few seeds find.
TRIES = 24
FOUND_AT = {
    "preempt_at_once": 3,
    "resume_too_soon": 1,
    "stay_on_paused_gpus": 3,
    "lose_notifications": 5,
    "tell_twice": 7,
}
CROWDED = Scale(nodes=2, gpus=4, events_apart=60.0, is_crowded=True)
WINDOWS = Scale(nodes=4, gpus=4, events_apart=30.0, is_crowded=True, windows=40.0)
SHORT = (Scale(seconds=900.0, nodes=4, events_apart=40.0), Scale(seconds=900.0, nodes=8, events_apart=15.0))


def play_all(seeds: range, scale: Scale | None = None, on_postgresql: bool = False) -> None:
    for seed in seeds:
        played = play(scale or Scale(), seed, on_postgresql)
        assert played.problem is None, f"{played.last_lines}\n{played.problem}\nAgain: make simulate SEED={seed}"


@pytest.mark.timeout(60 * AT_ONCE)
@pytest.mark.parametrize("first", range(0, FIXED, AT_ONCE))
def test_every_promise_holds_over_hours_of_failures(first: int) -> None:
    play_all(range(first, first + AT_ONCE))


@pytest.mark.long
@pytest.mark.timeout(60 * AT_ONCE)
@pytest.mark.parametrize("first", range(0, FRESH, AT_ONCE))
def test_every_promise_holds_over_fresh_hours_of_failures(first: int, testrun_uid: str) -> None:
    # Each run has its own seeds, and all processes of one run the same.
    start = random.Random(testrun_uid).randrange(10**9) + first
    play_all(range(start, start + AT_ONCE))


def test_every_promise_holds_when_urgent_trainings_take_gpus() -> None:
    play_all(range(1), CROWDED)


@pytest.mark.long
@pytest.mark.timeout(60 * AT_ONCE)
@pytest.mark.parametrize("on_postgresql", [False, True])
@pytest.mark.parametrize("first", range(0, FIXED, AT_ONCE))
def test_every_promise_holds_over_many_preemptions(first: int, on_postgresql: bool) -> None:
    play_all(range(first, first + AT_ONCE), CROWDED, on_postgresql)


@pytest.mark.long
@pytest.mark.timeout(60 * AT_ONCE)
@pytest.mark.parametrize("on_postgresql", [False, True])
@pytest.mark.parametrize("first", range(0, FIXED, AT_ONCE))
def test_every_promise_holds_over_many_window_ends(first: int, on_postgresql: bool) -> None:
    play_all(range(first, first + AT_ONCE), WINDOWS, on_postgresql)


def test_seed_gives_the_same_day_of_one_gpu_twice_and_every_promise_holds() -> None:
    first, second = play_day(7), play_day(7)
    assert first.problem is None, f"{first.table}\n{first.last_lines}\n{first.problem}"
    assert first.digest == second.digest
    # Each way to lose the GPU was seen.
    assert {"urgent_task", "neighbour", "outside_schedule"} <= first.made_room.keys()


@pytest.mark.long
@pytest.mark.timeout(60 * AT_ONCE)
@pytest.mark.parametrize("first", range(0, FIXED, AT_ONCE))
def test_every_promise_holds_when_other_programs_claim_gpus(first: int) -> None:
    play_all(range(first, first + AT_ONCE), replace(CROWDED, claims=20.0))


@pytest.mark.long
@pytest.mark.parametrize("rule", NeighbourRule)
def test_every_promise_holds_over_many_days_of_one_gpu(rule: NeighbourRule) -> None:
    for seed in range(FIXED):
        played = play_day(seed, rule)
        assert played.problem is None, f"{played.table}\n{played.last_lines}\n{played.problem}"


def test_failure_of_postgresql_itself_counts_as_a_fault(tmp_path: Path) -> None:
    # Its time limits count real seconds: on a busy machine, hours of the play may pass without an answer.
    faults = Faults(random.Random(7))
    with fresh_postgres() as url:
        database = FaultyDatabase(url, tmp_path, faults)
        with pytest.raises(DatabaseUnavailable):
            _exceed_the_time_limit(database)
        database.close()
    assert ["itself fails" in each for each in faults.struck] == [True]


def _exceed_the_time_limit(database: FaultyDatabase) -> None:
    with database.read() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 10"))
        connection.execute(text("SELECT pg_sleep(1)"))


def test_simulated_executor_implements_the_executor_protocol() -> None:
    asked = {name for name, what in vars(Executor).items() if callable(what) and not name.startswith("_")}
    assert asked <= vars(SimulatedExecutor).keys()


def test_error_of_the_play_is_reported_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hour, "run", lambda _: 1 / 0)
    played = play(Scale(), 7)
    assert (played.seed, "ZeroDivisionError" in (played.problem or "")) == (7, True)


def test_same_seed_is_the_same_hour_in_every_process() -> None:
    outputs = [_events_of_seed_3(hash_seed) for hash_seed in ("1", "2")]
    assert outputs[0] == outputs[1]
    assert "server0 begins" in outputs[0]


def _events_of_seed_3(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "3", "--hours", "0.15", "--tell"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    # The rest of the output is the duration.
    return done.stdout.rpartition("seed 3:")[0]


def give_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer held GPUs, with leases that exclude no other holder."""
    true_offers = planner.list_offers
    free = {"is_available": True, "status": GPUStatus.AVAILABLE, "held_by": None}
    monkeypatch.setattr(planner, "list_offers", lambda state: [replace(gpu, **free) for gpu in true_offers(state)])
    true_claim = leases.claim

    def claim(connection: Any, resources: Any, holder: Any, now: Any) -> Any:
        wanted = list(resources)
        for _, resource in wanted:
            connection.execute(leases.leases.delete().where(leases.leases.c.resource == resource))
        return true_claim(connection, wanted, holder, now)

    monkeypatch.setattr(leases, "claim", claim)


def forget_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the next attempt from the beginning."""
    monkeypatch.setattr(AttemptEnding, "_resume_of", staticmethod(lambda task, watch: None))


def forget_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore idempotency keys, so that a retry starts a second task."""
    true_create = TaskStore.create

    def create(self: TaskStore, new: Any, *args: Any) -> Any:
        object.__setattr__(new, "idempotency_key", None)
        return true_create(self, new, *args)

    monkeypatch.setattr(TaskStore, "create", create)


def let_go_of_the_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat unobservable attempts as dead."""

    def give_up(self: Watches, task: Any, attempt: Any, seen: Any) -> None:
        with self._tasks._database.write() as connection:
            connection.execute(leases.leases.delete().where(leases.leases.c.task_id == task.task_id))

    monkeypatch.setattr(Watches, "note_unknown", give_up)


def forget_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledge a stop, and do nothing."""
    monkeypatch.setattr(TaskStops, "request_stop", lambda *_, **__: None)


def sleep_over_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never look again at a task that waits for a retry."""
    true_dispatch = Dispatcher.dispatch

    def dispatch(self: Dispatcher, *given: Any) -> int:
        return 0 if any(task.attempts for task in self._tasks.queued()) else true_dispatch(self, *given)

    monkeypatch.setattr(Dispatcher, "dispatch", dispatch)


def spread_over_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assign one task GPUs of several nodes."""
    true_supply, true_catch_up = supply.Supply, supply.Supply._catch_up

    def everywhere(suitable: Any, *more: Any) -> Any:
        return true_supply([replace(gpu, node="all") for gpu in suitable], *more)

    def catch_up(self: Any) -> None:
        removed, self._removed = self._removed, [replace(gpu, node="all") for gpu in self._removed]
        true_catch_up(self)
        self._removed = removed

    monkeypatch.setattr("api.training.queue.scheduler.Supply", everywhere)
    monkeypatch.setattr(true_supply, "_catch_up", catch_up)


def end_without_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record failures without a cause."""
    true_finish = AttemptEnding._finish

    def finish(self: Any, task: Any, attempt: Any, verdict: Any, *more: Any) -> Any:
        return true_finish(self, task, attempt, replace(verdict, cause=None), *more)

    monkeypatch.setattr(AttemptEnding, "_finish", finish)


def tell_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a repeated message under a new id."""
    true_compose, numbers = courier.compose, iter(range(10**6))
    monkeypatch.setattr(courier, "compose", lambda *given: replace(true_compose(*given), id=f"m{next(numbers)}"))


def lose_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never retry a notification that a channel refused once."""
    true_finish = OutboxStore.finish

    def finish(self: OutboxStore, claimed: Any, ended: Any, *more: Any) -> Any:
        if ended.again_at is not None:
            ended = replace(ended, state=DeliveryState.REJECTED, again_at=None)
        return true_finish(self, claimed, ended, *more)

    monkeypatch.setattr(OutboxStore, "finish", finish)


def write_without_the_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a paused head continue to write after it has lost the lead."""
    monkeypatch.setattr(Leadership, "guarding", lambda _: nullcontext())


def outlive_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a supervisor of a lost node ignore that its attempt belongs to another."""
    monkeypatch.setattr(AttemptDirectory, "check_fence", lambda _: None)


def free_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drain the GPUs of an attempt before its end is recorded."""
    true_end = AttemptEnding.end

    def end(self: AttemptEnding, task: Any, watch: Any, outcome: Any) -> bool:
        with self._attempts._database.write() as connection:
            leases.drain(connection, watch.attempt.token, self._clock.now())
        return true_end(self, task, watch, outcome)

    monkeypatch.setattr(AttemptEnding, "end", end)


def free_without_draining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free the GPUs of an ended attempt immediately."""
    true_drain = leases.drain

    def drain(connection: Any, token: str, now: Any) -> None:
        outcome = connection.scalar(select(attempts.c.outcome).where(attempts.c.token == token))
        if (outcome or {}).get("reason") == "node_lost":
            true_drain(connection, token, now)
        else:
            connection.execute(leases.leases.delete().where(leases.leases.c.token == token))

    monkeypatch.setattr(leases, "drain", drain)


def start_unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start an attempt although it has ended meanwhile."""
    monkeypatch.setattr(AttemptStore, "mark_submitted", lambda *_: True)


def forget_submissions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat an attempt that another head may be starting as not started."""
    true_start = AttemptStarter._start_supervisor

    def start(self: AttemptStarter, task: Any, attempt: Any, ref: Any) -> bool:
        is_submitted = attempt.status is AttemptStatus.SUBMITTED
        return true_start(self, task, replace(attempt, status=AttemptStatus.CLAIMED) if is_submitted else attempt, ref)

    monkeypatch.setattr(AttemptStarter, "_start_supervisor", start)


def stay_on_paused_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks continue on a GPU that is paused."""
    true_make_room = TaskStore.make_room

    def make_room(self: TaskStore, task_id: str, cause: Any, now: Any, preempted_by: str | None = None) -> bool:
        return preempted_by is not None and true_make_room(self, task_id, cause, now, preempted_by)

    monkeypatch.setattr(TaskStore, "make_room", make_room)


def preempt_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop trainings that have just been started or resumed."""
    true_init = Preemption.__init__
    monkeypatch.setattr(Preemption, "__init__", lambda *given: true_init(*given[:-1], 0.0))


def preempt_without_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop trainings for urgent ones without a checkpoint."""

    def request_stop(connection: Connection, task: TaskSummary, stop: StopState, *more: Any) -> None:
        request_task_stop(connection, task, replace(stop, force=stop.force or stop.cause is not None), *more)

    monkeypatch.setattr("api.training.records.task_store.request_task_stop", request_stop)


def resume_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let preempted trainings go on although the urgent one still waits."""
    monkeypatch.setattr(_Planner, "_note_urgent", lambda *_: None)
    true_run = _Planner.run

    def run(self: Any) -> Any:
        made = true_run(self)
        return replace(made, urgent=tuple(t for t in made.short if t.priority_class is PriorityClass.URGENT))

    monkeypatch.setattr(_Planner, "run", run)


OF_PREEMPTIONS = [preempt_at_once, preempt_without_saving, resume_too_soon]

#: Those that only many seeds find take as long as all others together.
PLANTED = [
    *(pytest.param(each, marks=pytest.mark.long) for each in (start_unguarded, forget_submissions, forget_stops)),
    stay_on_paused_gpus,
    free_what_is_open,
    free_without_draining,
    give_to_all,
    forget_checkpoints,
    forget_keys,
    let_go_of_the_unseen,
    sleep_over_the_queue,
    spread_over_nodes,
    end_without_cause,
    tell_twice,
    lose_notifications,
    write_without_the_lead,
    outlive_the_fence,
]


@pytest.mark.parametrize("plant", PLANTED)
def test_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken):
        play_short(first=FOUND_AT.get(plant.__name__, 0))


def test_alert_that_fires_too_soon_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true_step = AlertStateMachine.step

    def step(self: AlertStateMachine, rules: Any, tables: Any) -> Any:
        return true_step(self, {name: replace(rule, for_seconds=0.0) for name, rule in rules.items()}, tables)

    monkeypatch.setattr(AlertStateMachine, "step", step)
    # Few nodes are away for less than the rule's duration, so a play is long.
    with pytest.raises(Broken, match="never away for so long"):
        play_short((Scale(nodes=4, gpus=1, events_apart=40.0),), first=5)


@pytest.mark.parametrize("plant", OF_PREEMPTIONS)
def test_planted_fault_of_preemptions_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken, match=r"makes room|made room"):
        play_short((CROWDED,), FOUND_AT.get(plant.__name__, 0))


@pytest.mark.long
@pytest.mark.parametrize(
    ("plant", "found"),
    [(stay_on_paused_gpus, "outside its hours"), (preempt_without_saving, "makes room without a checkpoint")],
)
def test_planted_fault_of_window_ends_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken, match=found):
        play_short((WINDOWS,))


def start_beside_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count all that a neighbour holds as free."""
    monkeypatch.setattr(neighbour_rule, "_is_little", lambda *_: True)
    monkeypatch.setattr(neighbour_rule.Neighbours, "_claim", lambda *_: None)


@pytest.mark.parametrize(
    ("plant", "rule", "found"),
    [
        (stay_on_paused_gpus, NeighbourRule.NEIGHBOUR_FIRST, "still lives"),
        (start_beside_neighbours, NeighbourRule.FREE_IDLE, "begins although ComfyUI"),
    ],
)
def test_planted_fault_of_a_day_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], rule: NeighbourRule, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert found in (play_day(7, rule).problem or "")


def play_short(scales: tuple[Scale, ...] = SHORT, first: int = 0) -> None:
    for seed in sorted(range(TRIES), key=lambda seed: seed != first):
        with undisturbed() as directory:
            Hour(seed, directory, scales[seed % len(scales)]).run()
