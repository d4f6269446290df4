"""Stops that the database cannot record."""

from pathlib import Path

import pytest

from api.domain.tasks.training import StopState, TaskStatus
from api.errors import DatabaseUnavailable, StorageFull
from api.files.disk import DiskReserve
from api.training.attempts.stop_delivery import STOP_REQUESTED, AttemptStopping, PendingStop, StopTimes
from tests.unit.trainings import TrainingMachine

FULL = StorageFull("The disk of the database is full.")
AWAY = DatabaseUnavailable("The database does not answer.")


class Disk:
    """Writes and stop orders that fail as the test sets, until the reserve is released."""

    def __init__(self, tmp_path: Path) -> None:
        self.room = tmp_path / "reserve"
        self.reserve = DiskReserve(self.room, 4096)
        self.error: Exception | None = None
        self.written: list[str] = []

    def write(self) -> None:
        if self.error is not None:
            raise self.error
        self.written.append("stop")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def running(machine: TrainingMachine) -> TrainingMachine:
    machine.run()
    return machine


def stopping(machine: TrainingMachine, disk: Disk) -> AttemptStopping:
    return AttemptStopping(
        machine.tasks, machine.executor, machine.parts.watches, disk.reserve, StopTimes(), machine.clock
    )


def pending_stop(machine: TrainingMachine, *, force: bool) -> PendingStop:
    return PendingStop(StopState(machine.clock.now(), "ann", force, None), STOP_REQUESTED, "")


def test_recorded_stop_is_not_pending(running: TrainingMachine, disk: Disk):
    stops = stopping(running, disk)
    assert stops.record(disk.write, "a", pending_stop(running, force=False)) is None
    assert disk.written == ["stop"]
    assert running.executor.orders == []


@pytest.mark.parametrize(("error", "force"), [(FULL, False), (FULL, True), (AWAY, True)])
def test_unrecorded_stop_is_carried_out_immediately_and_recorded_later(
    running: TrainingMachine, disk: Disk, error: Exception, force: bool
):
    stops, disk.error = stopping(running, disk), error
    pending = pending_stop(running, force=force)
    assert stops.record(disk.write, "a", pending) is running.watch()
    assert [ref.uid for ref, _ in running.executor.orders] == [running.uid()]
    shown = stops.show_pending(running.task())
    assert (shown.status, shown.stop) == (TaskStatus.STOPPING, pending.stop)
    assert "will be recorded when the database is available" in (shown.warning or "")
    for _ in range(2):
        stops.flush_pending()
        assert (running.task().status, running.task().warning) == (TaskStatus.STOPPING, None)
        assert stops.show_pending(running.task()) == running.task()


def test_stop_with_checkpoint_fails_while_the_database_is_unavailable(running: TrainingMachine, disk: Disk):
    disk.error = AWAY
    with pytest.raises(DatabaseUnavailable):
        stopping(running, disk).record(disk.write, "a", pending_stop(running, force=False))
    assert running.executor.orders == []


def test_stop_without_a_watch_is_not_carried_out(machine: TrainingMachine, disk: Disk):
    machine.put()
    disk.error = FULL
    with pytest.raises(StorageFull):
        stopping(machine, disk).record(disk.write, "a", pending_stop(machine, force=True))


def test_disk_reserve_makes_space_for_a_stop(running: TrainingMachine, disk: Disk):
    assert disk.reserve.fill()
    disk.error = FULL

    def write() -> None:
        disk.error = FULL if disk.room.exists() else None
        disk.write()

    assert stopping(running, disk).record(write, "a", pending_stop(running, force=False)) is None
    assert disk.written == ["stop"]


def test_stop_order_without_disk_space_is_reported(running: TrainingMachine, disk: Disk):
    disk.error, running.executor.refusal = FULL, OSError(28, "No space left on device")
    stops = stopping(running, disk)
    with pytest.raises(StorageFull, match="The stop order cannot be written"):
        stops.record(disk.write, "a", pending_stop(running, force=True))
    assert stops.show_pending(running.task()).warning is None


def test_pending_stop_waits_while_the_database_is_unavailable(
    running: TrainingMachine, disk: Disk, monkeypatch: pytest.MonkeyPatch
):
    stops, disk.error = stopping(running, disk), FULL
    stops.record(disk.write, "a", pending_stop(running, force=True))
    monkeypatch.setattr(running.tasks, "request_stop", refuse)
    with pytest.raises(DatabaseUnavailable):
        stops.flush_pending()
    assert stops.show_pending(running.task()).status is TaskStatus.STOPPING


def refuse(*_: object) -> None:
    raise AWAY
