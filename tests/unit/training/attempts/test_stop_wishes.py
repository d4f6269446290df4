"""Stops that the database cannot take up."""

from pathlib import Path

import pytest

from api.domain.training import StopState, TaskStatus
from api.errors import DatabaseUnavailable, StorageFull
from api.files.disk import DiskReserve
from api.training.attempts.stop_wishes import ASKED, StopWishes, Wish
from tests.unit.trainings import TrainingMachine

FULL = StorageFull("The disk of the database is full.")
AWAY = DatabaseUnavailable("The database does not answer.")


class Disk:
    """Writes fail as a test says, and so do orders to stop; a reserve that is given up mends it."""

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


def wish(machine: TrainingMachine, *, force: bool) -> Wish:
    return Wish(StopState(machine.clock.now(), "ann", force, None), ASKED, "")


def test_a_stop_that_can_be_noted_is_no_wish(running: TrainingMachine, disk: Disk):
    wishes = StopWishes(disk.reserve)
    assert wishes.record(disk.write, "a", wish(running, force=False), running.reconciler) is None
    assert disk.written == ["stop"]
    assert running.executor.orders == []


@pytest.mark.parametrize(("error", "force"), [(FULL, False), (FULL, True), (AWAY, True)])
def test_one_that_cannot_is_carried_out_at_once_and_noted_later(
    running: TrainingMachine, disk: Disk, error: Exception, force: bool
):
    wishes, disk.error = StopWishes(disk.reserve), error
    asked = wish(running, force=force)
    assert wishes.record(disk.write, "a", asked, running.reconciler) is running.watch()
    assert [ref.uid for ref, _ in running.executor.orders] == [running.uid()]
    shown = wishes.show(running.task())
    assert (shown.status, shown.stop) == (TaskStatus.STOPPING, asked.stop)
    assert "will be noted when the database can be written" in (shown.warning or "")
    noted: list[str] = []
    wishes.note(lambda task_id, _: noted.append(task_id))
    wishes.note(lambda task_id, _: noted.append(task_id))
    assert noted == ["a"]
    assert wishes.show(running.task()) == running.task()


def test_a_gentle_stop_may_be_asked_for_again_when_the_database_is_merely_away(running: TrainingMachine, disk: Disk):
    disk.error = AWAY
    with pytest.raises(DatabaseUnavailable):
        StopWishes(disk.reserve).record(disk.write, "a", wish(running, force=False), running.reconciler)
    assert running.executor.orders == []


def test_what_nobody_watches_over_here_is_not_carried_out(machine: TrainingMachine, disk: Disk):
    machine.put()
    disk.error = FULL
    with pytest.raises(StorageFull):
        StopWishes(disk.reserve).record(disk.write, "a", wish(machine, force=True), machine.reconciler)


def test_the_reserve_makes_room_for_a_stop(running: TrainingMachine, disk: Disk):
    assert disk.reserve.fill()
    disk.error = FULL

    def write() -> None:
        disk.error = FULL if disk.room.exists() else None
        disk.write()

    assert StopWishes(disk.reserve).record(write, "a", wish(running, force=False), running.reconciler) is None
    assert disk.written == ["stop"]


def test_an_order_that_finds_no_room_says_so(running: TrainingMachine, disk: Disk):
    disk.error, running.executor.refusal = FULL, OSError(28, "No space left on device")
    wishes = StopWishes(disk.reserve)
    with pytest.raises(StorageFull, match="The order to stop cannot be written"):
        wishes.record(disk.write, "a", wish(running, force=True), running.reconciler)
    assert wishes.show(running.task()).warning is None


def test_a_wish_waits_while_the_database_does_not_answer(running: TrainingMachine, disk: Disk):
    wishes, disk.error = StopWishes(disk.reserve), FULL
    wishes.record(disk.write, "a", wish(running, force=True), running.reconciler)
    with pytest.raises(DatabaseUnavailable):
        wishes.note(refuse)
    assert wishes.show(running.task()).status is TaskStatus.STOPPING


def refuse(*_: object) -> None:
    raise AWAY
