import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from api.domain.machines.reading import FaultKind, SourceName
from api.domain.reason import text_of
from api.gpus.monitor import GPUMonitor
from api.gpus.snapshot import GPUSnapshot
from api.gpus.sources.source import FakeSource, GPUFault, SourceFault
from api.util.clock import FakeClock

LOST = GPUFault(FaultKind.LOST, "fell off the bus")


class Sweeper:
    """A monitor with sweeps on request."""

    def __init__(self, source: FakeSource, clock: FakeClock) -> None:
        self.taken: list[GPUSnapshot] = []
        # A sweep waits half the interval for a stuck GPU, in real seconds.
        self.monitor = GPUMonitor(source, 0.4, clock, self.taken.append)

    def sweep(self) -> GPUSnapshot:
        self.monitor.sweep()
        return self.taken[-1]


@pytest.fixture
def sweeper(source: FakeSource, clock: FakeClock) -> Iterator[Sweeper]:
    made = Sweeper(source, clock)
    yield made
    made.monitor.stop()


def reader_threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_sweep_reads_every_gpu(sweeper: Sweeper, source: FakeSource, clock: FakeClock):
    snapshot = sweeper.sweep()
    assert [gpu.identity for gpu in snapshot.gpus] == source.identities
    assert [gpu.vitals for gpu in snapshot.gpus] == source.vitals
    assert (snapshot.problem, snapshot.stuck, snapshot.taken_at) == (None, 0, clock.now())


def test_snapshots_are_numbered(sweeper: Sweeper):
    assert [sweeper.sweep().sequence for _ in range(3)] == [1, 2, 3]


def test_lost_gpu_does_not_affect_the_others(sweeper: Sweeper, source: FakeSource, clock: FakeClock):
    sweeper.sweep()
    clock.advance(5)
    source.faults[0] = LOST
    lost, other = sweeper.sweep().gpus
    assert (lost.uuid, lost.fault, lost.vitals) == (source.identities[0].uuid, FaultKind.LOST, None)
    assert lost.identity is not None
    assert lost.identity.name == "NVIDIA Test"
    assert (other.fault, other.vitals, other.read_monotonic) == (None, source.vitals[1], clock.monotonic())


def test_lost_gpu_recovers(sweeper: Sweeper, source: FakeSource):
    sweeper.sweep()
    source.faults[0] = LOST
    sweeper.sweep()
    source.faults.clear()
    assert sweeper.sweep().gpus[0].fault is None


def test_unreadable_gpu_is_shown_without_a_uuid(sweeper: Sweeper, source: FakeSource):
    source.faults[0] = LOST
    gpu = sweeper.sweep().gpus[0]
    assert (gpu.index, gpu.uuid, gpu.fault) == (0, None, FaultKind.LOST)


def test_problem_of_the_source_has_its_code(sweeper: Sweeper, source: FakeSource):
    sweeper.sweep()
    source.problem = SourceFault("driver and library differ", "reboot", 18)
    snapshot = sweeper.sweep()
    assert text_of(snapshot.problem or "") == "driver and library differ: reboot"
    assert snapshot.problem_code == 18
    assert [gpu.uuid for gpu in snapshot.gpus] == [identity.uuid for identity in source.identities]


def test_problem_at_the_start_shows_no_gpus(sweeper: Sweeper, source: FakeSource):
    source.problem = SourceFault("driver not loaded", "modprobe nvidia", 9)
    assert sweeper.sweep().gpus == ()


def test_source_recovers_without_a_restart(sweeper: Sweeper, source: FakeSource):
    source.problem = SourceFault("driver not loaded", "modprobe nvidia", 9)
    sweeper.sweep()
    source.problem = None
    snapshot = sweeper.sweep()
    assert (snapshot.problem, len(snapshot.gpus)) == (None, 2)


def test_unexpected_failure_of_the_source_is_a_problem(
    sweeper: Sweeper, source: FakeSource, monkeypatch: pytest.MonkeyPatch
):
    def fail(may_reinitialise: bool) -> int:
        raise RuntimeError("surprise")

    monkeypatch.setattr(source, "refresh", fail)
    assert "surprise" in text_of(sweeper.sweep().problem or "")


def test_unexpected_failure_of_one_gpu_does_not_affect_the_others(
    sweeper: Sweeper, source: FakeSource, clock: FakeClock
):
    sweeper.sweep()
    clock.advance(5)

    def fail(slot: int) -> None:
        if slot == 0:
            raise RuntimeError("surprise")

    source.before_read = fail
    failing, other = sweeper.sweep().gpus
    assert failing.read_monotonic == clock.monotonic() - 5
    assert other.read_monotonic == clock.monotonic()


@pytest.fixture
def hang(source: FakeSource) -> Iterator[threading.Event]:
    release = threading.Event()
    source.before_read = lambda slot: release.wait(30) and None if slot == 0 else None
    yield release
    release.set()


def test_other_gpus_are_read_while_one_hangs(sweeper: Sweeper, hang: threading.Event, clock: FakeClock):
    for _ in range(3):
        clock.advance(5)
        hung, other = sweeper.sweep().gpus
        assert (hung.vitals, hung.read_monotonic) == (None, None)
        assert other.read_monotonic == clock.monotonic()


def test_hung_gpu_uses_at_most_one_thread(sweeper: Sweeper, hang: threading.Event):
    for _ in range(4):
        assert sweeper.sweep().stuck == 1
    assert len(reader_threads("gpu-0")) == 1


def test_hung_gpu_shows_its_duration(sweeper: Sweeper, hang: threading.Event, clock: FakeClock):
    sweeper.sweep()
    clock.advance(42)
    assert text_of(sweeper.sweep().gpus[0].fault_reason or "") == "a driver call has not returned for 42 s"


def test_late_reading_has_the_age_of_its_start(
    sweeper: Sweeper, hang: threading.Event, source: FakeSource, clock: FakeClock
):
    began = clock.monotonic()
    sweeper.sweep()
    clock.advance(60)
    hang.set()
    for thread in reader_threads("gpu-0"):
        slot = sweeper.monitor._slots[0]
        while slot.reader.busy_seconds is not None:
            thread.join(0.01)
    assert sweeper.monitor._slots[0].latest.read_monotonic == began


def test_source_is_not_reinitialised_during_a_stuck_call(
    sweeper: Sweeper, hang: threading.Event, source: FakeSource, monkeypatch: pytest.MonkeyPatch
):
    permissions: list[bool] = []
    refresh = source.refresh
    monkeypatch.setattr(
        source, "refresh", lambda may_reinitialise: permissions.append(may_reinitialise) or refresh(True)
    )
    sweeper.sweep()
    sweeper.sweep()
    assert permissions == [True, False]


def test_hung_driver_is_a_problem_and_ends(sweeper: Sweeper, source: FakeSource, monkeypatch: pytest.MonkeyPatch):
    sweeper.sweep()
    release, refresh = threading.Event(), source.refresh
    monkeypatch.setattr(source, "refresh", lambda may_reinitialise: release.wait(30) and refresh(may_reinitialise))
    try:
        for _ in range(2):
            snapshot = sweeper.sweep()
            assert "a call to the driver has not returned" in text_of(snapshot.problem or "")
            assert snapshot.stuck == 1
        assert len(reader_threads("gpu-driver")) == 1
    finally:
        release.set()
    while sweeper.monitor._driver.busy_seconds is not None:
        reader_threads("gpu-driver")[0].join(0.01)
    assert sweeper.sweep().problem is None


def test_unlisted_gpu_is_lost_and_keeps_its_name(sweeper: Sweeper, source: FakeSource):
    sweeper.sweep()
    removed = source.identities.pop()
    shown = sweeper.sweep().gpus[1]
    assert (shown.uuid, shown.index, shown.fault) == (removed.uuid, 1, FaultKind.LOST)
    assert (shown.vitals, shown.identity) == (None, removed)


def test_reader_of_a_vanished_slot_ends(sweeper: Sweeper, source: FakeSource):
    sweeper.sweep()
    source.identities.pop()
    sweeper.sweep()
    assert reader_threads("gpu-1") == []


def test_gpu_that_moved_to_another_index_is_shown_once(sweeper: Sweeper, source: FakeSource):
    sweeper.sweep()
    first, second = source.identities
    source.identities = [replace(second, index=0)]
    source.generation += 1
    gpus = sweeper.sweep().gpus
    assert [(gpu.uuid, gpu.index, gpu.fault) for gpu in gpus] == [
        (second.uuid, 0, None),
        (first.uuid, None, FaultKind.LOST),
    ]


def test_gpu_returning_at_another_index_recovers(sweeper: Sweeper, source: FakeSource):
    sweeper.sweep()
    first, second = source.identities
    source.identities = [replace(second, index=0)]
    source.generation += 1
    sweeper.sweep()
    source.identities = [replace(second, index=0), replace(first, index=1)]
    source.generation += 1
    gpus = sweeper.sweep().gpus
    assert [(gpu.uuid, gpu.index, gpu.fault) for gpu in gpus] == [(second.uuid, 0, None), (first.uuid, 1, None)]


def test_silent_slot_does_not_duplicate_a_moved_gpu(sweeper: Sweeper, source: FakeSource):
    sweeper.sweep()
    first, second = source.identities
    source.identities = [replace(second, index=0), replace(first, index=1)]
    source.generation += 1
    source.faults[1] = LOST
    gpus = sweeper.sweep().gpus
    assert [gpu.uuid for gpu in gpus].count(second.uuid) == 1
    assert [gpu.uuid for gpu in gpus].count(first.uuid) == 1


def test_change_of_source_discards_previous_data(sweeper: Sweeper, source: FakeSource):
    sweeper.sweep()
    source.name = SourceName.SIMULATED
    source.identities = [replace(source.identities[0], uuid="GPU-new")]
    source.generation += 1
    assert [gpu.uuid for gpu in sweeper.sweep().gpus] == ["GPU-new"]


def test_source_is_notified_when_all_gpus_answer(sweeper: Sweeper, source: FakeSource, monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []
    monkeypatch.setattr(source, "note_all_well", lambda: calls.append(1))
    sweeper.sweep()
    source.faults[0] = LOST
    sweeper.sweep()
    assert calls == [1]


def test_started_monitor_sweeps_on_its_own(source: FakeSource, clock: FakeClock):
    taken = threading.Event()
    monitor = GPUMonitor(source, 3600.0, clock, lambda snapshot: taken.set())
    monitor.start()
    assert taken.wait(10)
    monitor.stop()
