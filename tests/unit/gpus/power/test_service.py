"""Power limits: set by the readers, at their hours, restored on removal, and refused without a loop."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.domain.reason import Reason
from api.domain.tasks.schedule import Day, Window
from api.errors import Conflict, Invalid
from api.gpus.power.service import PowerLimits
from api.gpus.power.store import PowerLimitStore
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sources.source import FakeSource
from api.gpus.wanted_power import AGAIN_SECONDS, REFUSED_SECONDS, LimitRefused
from api.util.clock import FakeClock

NIGHT = Window(tuple(Day), time(22), time(7))


class Limited:
    """A machine of one GPU with a range of 150 to 450 W."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.clock = clock
        self.source = FakeSource(1)
        self.source.identities[0] = replace(
            self.source.identities[0], power_min_limit_watts=150.0, power_max_limit_watts=450.0
        )
        self.store = PowerLimitStore(database)
        self.start_server()

    def start_server(self) -> None:
        self.gpus = GPUService(self.source, MemoryRegistrations(), self.clock, max_age=10_000.0)
        self.limits = PowerLimits(self.store, self.gpus, self.clock)
        self.gpus._monitor.sweep()

    def round(self, seconds: float = 10.0) -> float | None:
        """Let time pass; return the limit of the GPU."""
        self.clock.advance(seconds)
        self.limits.run_once()
        self.gpus._monitor.sweep()
        return self.source.conditions[0].power_limit_watts

    def put(self, watts: float, *windows: Window, time_zone: str = "UTC") -> None:
        self.limits.put("0", watts, time_zone, windows, "ann")


@pytest.fixture
def limited(migrated_file: Path, tmp_path: Path, clock: FakeClock) -> Iterator[Limited]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    made = Limited(database, clock)
    yield made
    made.gpus.stop_monitoring()
    database.close()


def test_limit_is_set_shown_and_restored(limited: Limited):
    limited.put(300)
    assert limited.round() == 300
    shown = limited.limits.show("0")
    assert (shown.watts, shown.is_active, shown.current_watts, shown.restore_watts) == (300, True, 300, 450)
    assert (shown.set_by, shown.problem) == ("ann", None)
    limited.put(200)
    assert (limited.round(), limited.limits.show("0").restore_watts) == (200, 450)
    limited.limits.remove("0", "ann")
    assert limited.round() == 450
    limited.round()
    assert (limited.store.list(), limited.source.set_limits) == ([], [300, 200, 450])


def test_limit_applies_at_its_hours_and_after_a_restart(limited: Limited):
    limited.put(300, NIGHT)
    assert limited.round() == 300
    limited.gpus.stop_monitoring()
    limited.start_server()
    assert limited.round(7 * 3600) == 450
    assert limited.round(15 * 3600) == 300


@pytest.mark.parametrize("watts", [149, 451])
def test_limit_outside_of_the_range_is_rejected(limited: Limited, watts: float):
    with pytest.raises(Invalid) as raised:
        limited.put(watts, time_zone="Nowhere")
    assert [each.pointer for each in raised.value.mistakes] == ["/watts", "/time_zone"]
    assert limited.store.list() == []


def test_gpu_without_limits_is_refused(limited: Limited):
    limited.source.identities[0] = replace(limited.source.identities[0], power_min_limit_watts=None)
    limited.source.generation += 1
    limited.gpus._monitor.sweep()
    with pytest.raises(Conflict):
        limited.put(300)


def test_refused_limit_says_why_and_is_rarely_tried_again(limited: Limited):
    limited.source.limit_refusal = LimitRefused(Reason.of("Only root may", "limit_not_permitted", code=4))
    limited.put(300)
    for _ in range(6):
        assert limited.round() == 450
    shown = limited.limits.show("0")
    assert (shown.problem, shown.problem_code and shown.problem_code.code) == ("Only root may", "limit_not_permitted")
    assert len(limited.source.set_limits) == 1
    limited.round(REFUSED_SECONDS)
    assert len(limited.source.set_limits) == 2
    limited.limits.remove("0", "ann")
    limited.round()
    assert (limited.store.list(), limited.limits.show("0").problem) == ([], None)


def test_limit_that_someone_changes_is_set_again_after_a_while(limited: Limited):
    limited.put(300)
    limited.round()
    limited.source.conditions[0] = replace(limited.source.conditions[0], power_limit_watts=400.0)
    assert limited.round(10) == 400
    assert limited.round(AGAIN_SECONDS) == 300


def test_limit_that_someone_changes_stays_after_the_removal(limited: Limited):
    limited.put(300)
    limited.round()
    limited.source.conditions[0] = replace(limited.source.conditions[0], power_limit_watts=400.0)
    limited.round(30)
    limited.limits.remove("0", "ann")
    assert limited.round(100) == 400
    assert limited.store.list() == []
