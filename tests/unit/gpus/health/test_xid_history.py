from dataclasses import replace

import pytest

from api.domain.machines.reading import SourceName, XidEvent
from api.gpus.health.xid_history import DAY_SECONDS, INCIDENT_SECONDS, XidHistories, XidHistory
from api.gpus.health.xids import FatalXid
from api.util.clock import FakeClock
from tests.unit.builders import reading, snapshot, uuid_of, vitals

UUID = uuid_of(0)


@pytest.fixture
def history() -> XidHistory:
    return XidHistory()


def test_repeated_error_is_the_same_incident(history: XidHistory):
    assert [history.add(79, at, None) for at in (0.0, 0.0, INCIDENT_SECONDS - 1)] == [True, False, False]
    assert history.codes(INCIDENT_SECONDS) == (79,)


def test_later_error_is_another_incident(history: XidHistory):
    assert [history.add(32, at, None) for at in (0.0, INCIDENT_SECONDS)] == [True, True]
    assert history.codes(INCIDENT_SECONDS) == (32, 32)


def test_different_error_is_another_incident(history: XidHistory):
    assert [history.add(code, 0.0, None) for code in (48, 95)] == [True, True]


def test_program_error_counts_once_per_task(history: XidHistory):
    for number, task in enumerate(("a", "a", "b", None, None)):
        history.add(31, number * INCIDENT_SECONDS, task)
    assert history.codes(200.0) == (31, 31)


def test_non_fatal_error_expires_after_a_day(history: XidHistory):
    history.add(94, 0.0, None)
    assert history.codes(DAY_SECONDS) == ()


def test_fatal_error_does_not_expire(history: XidHistory):
    history.add(79, 0.0, None)
    assert history.codes(10 * DAY_SECONDS) == (79,)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def known(clock: FakeClock) -> XidHistories:
    return XidHistories("here", clock)


def see(known: XidHistories, clock: FakeClock, node: str = "gpu2", boot: str = "b1", **values: object) -> None:
    clock.advance(5)
    gpu = replace(reading(0, vitals=vitals(**values)), read_monotonic=clock.monotonic())
    known.clear_reset(node, snapshot(gpu, source=SourceName.NVML), boot)


def test_error_affects_only_the_gpu_of_its_own_machine(known: XidHistories):
    known.add("gpu2", XidEvent(UUID, 79), None)
    assert known.of("gpu3", UUID) is None
    assert list(known.fatal()) == [("gpu2", UUID, 79)]


@pytest.mark.parametrize("changes", [{"boot": "b2"}, {"recovery_action": 0}, {"energy_joules": 10.0}], ids=str)
def test_reset_gpu_is_cleared(known: XidHistories, clock: FakeClock, changes: dict[str, object]):
    see(known, clock, energy_joules=500.0)
    known.add("gpu2", XidEvent(UUID, 79), None)
    see(known, clock, energy_joules=600.0, recovery_action=1)
    see(known, clock, energy_joules=700.0, recovery_action=1)
    assert known.fatal()
    see(known, clock, **{"energy_joules": 800.0, "recovery_action": 1, **changes})
    assert not known.fatal()


def test_driver_without_recovery_actions_clears_nothing(known: XidHistories, clock: FakeClock):
    see(known, clock, recovery_action=0)
    known.add("gpu2", XidEvent(UUID, 79), None)
    see(known, clock, recovery_action=0)
    assert known.fatal()


def test_stored_error_counts_until_the_gpu_is_reset(known: XidHistories, clock: FakeClock):
    known.restore(("gpu2", UUID, 79), FatalXid(1, 5.0, "b1", was_action_asked=True))
    see(known, clock, recovery_action=None)
    assert known.fatal()
    see(known, clock, recovery_action=0)
    assert not known.fatal()
    known.restore(("gpu2", UUID, 79), FatalXid(1, 5.0, "b0"))
    assert not known.fatal()


def test_unlisted_gpus_of_a_machine_are_removed_unless_its_driver_fails(known: XidHistories, clock: FakeClock):
    known.add("gpu2", XidEvent(uuid_of(7), 79), None)
    known.clear_reset("gpu2", snapshot(problem="the driver is away"), "b1")
    assert known.fatal()
    see(known, clock)
    assert not known.fatal()
    assert known._sizes.total() == 0
