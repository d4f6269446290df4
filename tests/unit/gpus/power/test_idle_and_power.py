"""Ends of idle machines, power limits and energy as rows, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import time, timedelta

from api.alerts.idle.store import IdleStore
from api.db.database import Database
from api.domain.alerts.idle_end import IdleEnd, IdleStage
from api.domain.reason import Reason
from api.domain.tasks.schedule import Day, Schedule, Window
from api.domain.tasks.training import TaskStatus
from api.gpus.power.energy import Energy, EnergyStore, MeterReading
from api.gpus.power.store import PowerLimit, PowerLimitStore
from tests.unit.alerts.fact_builders import NOW
from tests.unit.db.builders import Stores

LIMIT = PowerLimit("GPU-0", "n", 300.0, 450.0, Schedule(), False, NOW, "ann")


def test_end_begins_once_among_many_servers(database: Database):
    store = IdleStore(database, "n")
    store.show(IdleStage.COUNTDOWN, "boot", NOW, NOW + timedelta(minutes=10))
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda _: IdleStore(database, "n").begin(NOW), range(16)))
    assert begun.count(True) == 1
    store.show(IdleStage.IDLE, "boot", NOW, None)
    assert store.read().stage is IdleStage.ENDING
    problem = Reason.of("no {what}", "end_failed", what="way")
    assert store.finish(problem, NOW, (IdleStage.ENDING,))
    assert not store.finish(None, NOW, (IdleStage.ENDING,))
    assert (store.read().stage, store.read().problem) == (IdleStage.BLOCKED, problem)
    assert store.rearm(NOW)
    assert IdleStore(database, "other").read() == IdleEnd()


def test_hold_is_checked_when_the_end_begins(database: Database):
    store = IdleStore(database, "n")
    store.show(IdleStage.COUNTDOWN, "boot", NOW, NOW)
    store.hold("ann", NOW + timedelta(seconds=60), NOW)
    assert not store.begin(NOW)
    assert store.begin(NOW + timedelta(seconds=60))


def test_power_limit_keeps_what_it_replaced(database: Database):
    store, hours = PowerLimitStore(database), Schedule("Europe/Berlin", (Window((Day.MON,), time(22), time(7)),))
    store.put(LIMIT)
    store.put(replace(LIMIT, watts=200.0, restore_watts=300.0, hours=hours))
    assert store.list() == [replace(LIMIT, watts=200.0, hours=hours)]
    store.forget("GPU-0")
    assert store.remove("GPU-0", NOW, "bob")
    assert not store.remove("GPU-0", NOW, "bob")
    assert store.list() == [replace(LIMIT, watts=200.0, hours=hours, is_removed=True, updated_by="bob")]
    store.forget("GPU-0")
    assert store.list() == []


def test_energy_is_added_up_and_partial_after_an_unseen_end(stores: Stores, database: Database):
    store, attempt = EnergyStore(database), stores.running("t1", 0, 1)
    for uuid in ("GPU-0", "GPU-1"):
        reading = MeterReading("t1", uuid, 100.0, 110.0, 5_000.0, 300.0, 0.0, None, False)
        store.record(reading)
        store.record(replace(reading, at=140.0, counter=6_500.0, is_end=uuid == "GPU-1"))
    assert store.of(["t1", "t2"]) == {"t1": Energy(3_000.0, False)}
    stores.finish(attempt, TaskStatus.COMPLETED)
    assert store.of(["t1"]) == {"t1": Energy(3_000.0, True)}
