import pytest

from api.domain.machines.gpu import GPUStatus, Verdict
from api.domain.machines.node import SILENT_SECONDS
from api.domain.machines.reading import XidEvent
from api.domain.tasks.task import RegisteredTask
from api.gpus.health.events import GPUEvents
from api.gpus.health.judgement import DRAINING_SECONDS
from api.gpus.other_machines import NodePart
from api.gpus.snapshot import GPUReading
from api.gpus.state import MOST_CLAIMS, GPUOwners, GPUState, GPUStateKeeper
from api.util.clock import FakeClock
from tests.unit.builders import identity, lost, process, reading, snapshot, task, uuid_of
from tests.unit.gpus.fleets import fleet

BIG = (process(memory_mb=9000),)
UUID = uuid_of(0)


class Keeper:
    """A keeper with sweeps made by a test."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.events = GPUEvents()
        self.keeper = GPUStateKeeper("here", clock, 10.0, self.events)
        self.sequence = 0
        self.state: GPUState | None = None

    def sweep(self, gpu: GPUReading | None = None, held: RegisteredTask | None = None, **changes) -> GPUState:
        self.sequence += 1
        gpu = reading(processes=()) if gpu is None else gpu
        if gpu.read_monotonic is not None and gpu.fault is None:
            gpu = GPUReading(**{f: getattr(gpu, f) for f in gpu.__slots__} | {"read_monotonic": self.clock.monotonic()})
        shown = snapshot(gpu, sequence=self.sequence, **changes)
        self.state = self.keeper.judge(shown, {} if held is None else {UUID: held})
        return self.state

    def status(self, *args, **kwargs) -> GPUStatus:
        return self.sweep(*args, **kwargs).gpus[0].judgement.status

    def verdict(self, *args, **kwargs) -> Verdict:
        return self.sweep(*args, **kwargs).gpus[0].judgement.health.verdict

    def report_xid(self, xid: int, uuid: str | None = UUID) -> None:
        self.keeper.note_xid("here", XidEvent(uuid, xid), self.state.gpus if self.state else ())


@pytest.fixture
def keeper(clock: FakeClock) -> Keeper:
    return Keeper(clock)


# -- draining ------------------------------------------------------------------------------------------------------


def test_released_gpu_is_draining_while_memory_is_held(keeper: Keeper, clock: FakeClock):
    assert keeper.status(reading(processes=BIG), task()) is GPUStatus.TRAINING
    keeper.keeper.note_released([UUID])
    clock.advance(5)
    assert keeper.status(reading(processes=BIG)) is GPUStatus.DRAINING


def test_draining_ends_when_the_memory_is_free(keeper: Keeper, clock: FakeClock):
    keeper.keeper.note_released([UUID])
    clock.advance(5)
    keeper.status(reading(processes=BIG))
    clock.advance(5)
    assert keeper.status() is GPUStatus.AVAILABLE
    clock.advance(5)
    assert keeper.status(reading(processes=BIG)) is GPUStatus.BUSY


def test_draining_ends_at_its_time_limit(keeper: Keeper, clock: FakeClock):
    keeper.keeper.note_released([UUID])
    clock.advance(DRAINING_SECONDS - 1)
    assert keeper.status(reading(processes=BIG)) is GPUStatus.DRAINING
    clock.advance(1)
    assert keeper.status(reading(processes=BIG)) is GPUStatus.BUSY


def test_reading_from_before_the_release_does_not_end_the_draining(keeper: Keeper, clock: FakeClock):
    state = keeper.sweep(held=task())
    clock.advance(1)
    keeper.keeper.note_released([UUID])
    keeper.keeper.judge(state.snapshot, {})
    clock.advance(4)
    assert keeper.status(reading(processes=BIG)) is GPUStatus.DRAINING


def test_new_task_ends_the_draining(keeper: Keeper, clock: FakeClock):
    keeper.keeper.note_released([UUID])
    clock.advance(1)
    keeper.status(reading(processes=BIG), task("next"))
    assert keeper.status(reading(processes=BIG)) is GPUStatus.BUSY


# -- Xid errors ----------------------------------------------------------------------------------------------------


def test_critical_xid_makes_the_gpu_unhealthy(keeper: Keeper):
    keeper.sweep()
    keeper.report_xid(79)
    assert keeper.verdict() is Verdict.UNHEALTHY


def test_xid_does_not_affect_another_gpu(keeper: Keeper):
    keeper.sweep()
    keeper.report_xid(79, uuid_of(1))
    assert keeper.verdict() is Verdict.HEALTHY


def test_xids_are_counted_with_their_last_time(keeper: Keeper, clock: FakeClock):
    keeper.report_xid(13)
    clock.advance(60)
    keeper.report_xid(13)
    (count,) = keeper.sweep().xids.values()
    assert (count.count, count.last_at) == (2, clock.now().timestamp())


def test_xid_delivered_twice_is_one_event_and_one_error(keeper: Keeper, clock: FakeClock):
    keeper.sweep()
    keeper.report_xid(79)
    clock.advance(3)
    keeper.report_xid(79)
    (count,) = keeper.sweep().xids.values()
    assert (count.count, count.last_at) == (1, clock.now().timestamp())
    assert len([event for event in keeper.events.list() if event.xid == 79]) == 1


def test_xid_event_has_its_meaning_advice_and_effect(keeper: Keeper):
    keeper.sweep(held=task("mine"))
    keeper.report_xid(79)
    message = keeper.events.list()[0].message
    assert "Xid 79 (fell off the PCIe bus): reboot" in message
    assert message.endswith("mine was on it: start it again on another GPU")


def test_illegal_accesses_of_three_trainings_degrade_the_gpu(keeper: Keeper, clock: FakeClock):
    verdicts = []
    for name in ("a", "b", "b", "c"):
        keeper.sweep(held=task(name))
        keeper.report_xid(31)
        clock.advance(60)
        verdicts.append(keeper.verdict(held=task(name)))
    assert verdicts == [Verdict.HEALTHY] * 3 + [Verdict.DEGRADED]


def test_xid_is_an_event_of_its_gpu(keeper: Keeper):
    keeper.sweep()
    keeper.report_xid(79)
    (event,) = keeper.events.list()
    assert (event.xid, event.uuid, event.gpu_id) == (79, UUID, 0)


def test_xid_without_a_gpu_is_reported_and_not_counted(keeper: Keeper):
    keeper.report_xid(79, None)
    assert keeper.sweep().xids == {}
    assert keeper.events.list()[0].xid == 79


def test_xid_does_not_expire(keeper: Keeper, clock: FakeClock):
    keeper.report_xid(79)
    clock.advance(86_400)
    assert keeper.verdict() is Verdict.UNHEALTHY


def test_xid_is_cleared_when_the_gpu_was_lost_and_answers_again(keeper: Keeper):
    keeper.sweep()
    keeper.report_xid(79)
    keeper.sweep(lost())
    assert keeper.verdict() is Verdict.HEALTHY


def test_xid_during_a_loss_is_cleared_too(keeper: Keeper):
    keeper.sweep(lost())
    keeper.report_xid(79)
    assert keeper.verdict() is Verdict.HEALTHY


def test_cleared_xid_is_still_counted(keeper: Keeper):
    keeper.report_xid(79)
    keeper.sweep(lost())
    assert next(iter(keeper.sweep().xids.values())).count == 1


# -- staleness and failures ----------------------------------------------------------------------------------------


def test_state_changes_as_time_passes(keeper: Keeper, clock: FakeClock):
    state = keeper.sweep()
    clock.advance(10)
    assert not keeper.keeper.staleness_changed(state)
    clock.advance(0.1)
    assert keeper.keeper.staleness_changed(state)


def test_failed_sweeps_are_counted_once_each(keeper: Keeper):
    state = keeper.sweep(problem="driver not loaded")
    keeper.keeper.judge(state.snapshot, {})
    keeper.sweep(problem="driver not loaded")
    assert keeper.sweep().failed_sweeps == 2


def test_uuid_claimed_by_another_machine_keeps_its_own_index():
    assert fleet(reading(3, identity=identity(3, uuid=UUID))).indices == {UUID: 0}


NOW = 100.0


def part(node: str, *indices: int, reported_at: float = NOW, **changes: object) -> NodePart:
    return NodePart(node, snapshot(*map(reading, indices)), reported_at, **changes)  # type: ignore[arg-type]


def owners(*parts: NodePart) -> GPUOwners:
    made = GPUOwners("here")
    made.note_own(snapshot(reading(0)))
    for each in parts:
        made.note([each])
    return made


def test_uuid_belongs_to_this_machine_then_to_the_first_reporter():
    first, second = part("gpu3", 1), part("gpu2", 0, 1)
    made = owners(first, second)
    assert made.find_duplicates([second, first], {}, NOW) == {
        ("gpu2", uuid_of(0)): "here",
        ("gpu2", uuid_of(1)): "gpu3",
    }


def test_uuid_of_a_silent_machine_moves_on_until_that_machine_reports():
    first, second = part("gpu3", 1, reported_at=NOW - SILENT_SECONDS - 1), part("gpu2", 1)
    made = owners(first, second)
    assert made.find_duplicates([first, second], {}, NOW) == {("gpu3", uuid_of(1)): "gpu2"}
    assert made.find_duplicates([part("gpu3", 1), second], {}, NOW) == {("gpu2", uuid_of(1)): "gpu3"}


def test_uuid_held_by_a_task_does_not_move():
    first, second = part("gpu3", 1, reported_at=0.0), part("gpu2", 1)
    assert owners(first, second).find_duplicates([first, second], {uuid_of(1)}, NOW) == {("gpu2", uuid_of(1)): "gpu3"}
    # The same if the first machine no longer lists it.
    assert owners(first, second).find_duplicates([part("gpu3"), second], {uuid_of(1)}, NOW) == {
        ("gpu2", uuid_of(1)): "gpu3"
    }


def test_moved_board_belongs_to_its_new_machine():
    assert owners(part("gpu3", 1), part("gpu2", 1)).find_duplicates([part("gpu3"), part("gpu2", 1)], {}, NOW) == {}


def test_claims_disputed_before_a_restart_come_last():
    made = GPUOwners("here")
    thief, victim = part("a", 1, disputed=frozenset({uuid_of(1)}), has_reported=False), part("b", 1, has_reported=False)
    made.note([thief, victim])
    assert made.find_duplicates([thief, victim], {}, NOW) == {("a", uuid_of(1)): "b"}
    assert made.find_disputed("a", [uuid_of(1), uuid_of(2)]) == {uuid_of(1)}


def test_removed_machines_and_excess_uuids_leave_nothing():
    made = owners()
    for number in range(MOST_CLAIMS + 50):
        made.note([part("gpu2", 1000 + number)])
    assert len(made._claims) == MOST_CLAIMS
    made.forget("gpu2")
    assert (made._claims, made._uuids) == ({}, {})
