"""The control plane keeps its promises over hours of bad luck, and a planted fault of each kind breaks one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.models.gpu import GPUStatus
from api.services.attempts.ending import AttemptEnding
from api.services.attempts.reconciler import Reconciler
from api.services.training import dispatcher
from api.services.training.dispatcher import Dispatcher
from api.services.training.task_stops import TaskStops
from api.storage import leases
from api.storage.tasks import TaskStore
from tests.lengths import length
from tests.simulation.hour import Hour
from tests.simulation.world import Broken

SEEDS = range(length(200, 4))

#: Hours in which each planted fault is looked for.
TRIES = 12


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_over_an_hour_of_bad_luck(seed: int, tmp_path: Path) -> None:
    Hour(seed, tmp_path, seconds=length(3600.0, 600.0)).run()


def test_the_same_seed_is_the_same_hour(tmp_path: Path) -> None:
    hours = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        hours.append(Hour(3, tmp_path / name, seconds=300.0))
        hours[-1].run()
    assert hours[0].told == hours[1].told
    assert hours[0].digest() == hours[1].digest()


def give_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is held is offered, and its lease keeps nobody out."""
    true_offers = dispatcher.list_offers
    free = {"is_available": True, "status": GPUStatus.AVAILABLE, "held_by": None}
    monkeypatch.setattr(dispatcher, "list_offers", lambda state: [replace(gpu, **free) for gpu in true_offers(state)])
    true_claim = leases.claim

    def claim(connection: Any, resources: Any, holder: Any, now: Any) -> Any:
        wanted = list(resources)
        for _, resource in wanted:
            connection.execute(leases.leases.delete().where(leases.leases.c.resource == resource))
        return true_claim(connection, wanted, holder, now)

    monkeypatch.setattr(leases, "claim", claim)


def forget_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try begins anew."""
    monkeypatch.setattr(AttemptEnding, "_resume_of", staticmethod(lambda task, watch: None))


def forget_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again with the same key starts again."""
    true_create = TaskStore.create

    def create(self: TaskStore, new: Any, *args: Any) -> Any:
        object.__setattr__(new, "idempotency_key", None)
        return true_create(self, new, *args)

    monkeypatch.setattr(TaskStore, "create", create)


def let_go_of_the_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be seen is taken for dead."""

    def give_up(self: Reconciler, task: Any, attempt: Any, seen: Any) -> None:
        with self._attempts._database.write() as connection:
            connection.execute(leases.leases.delete().where(leases.leases.c.task_id == task.task_id))

    monkeypatch.setattr(Reconciler, "_note_unknown", give_up)


def forget_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop is acknowledged, and nothing is done."""
    monkeypatch.setattr(TaskStops, "ask", lambda *_, **__: None)


def sleep_over_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that waits for another try is never looked at again."""
    true_dispatch = Dispatcher.dispatch

    def dispatch(self: Dispatcher, news: bool = True) -> int:
        return 0 if any(task.attempts for task in self._tasks.queued()) else true_dispatch(self, news)

    monkeypatch.setattr(Dispatcher, "dispatch", dispatch)


@pytest.mark.parametrize(
    "plant", [give_to_all, forget_checkpoints, forget_keys, let_go_of_the_unseen, forget_stops, sleep_over_the_queue]
)
def test_a_planted_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken):
        play(tmp_path, TRIES)


def play(directory: Path, hours: int) -> None:
    for seed in range(hours):
        (directory / str(seed)).mkdir()
        Hour(seed, directory / str(seed), seconds=600.0).run()
