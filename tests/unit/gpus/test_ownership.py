from api.domain.node import SILENT_SECONDS
from api.gpus.other_machines import NodePart
from api.gpus.ownership import MOST_CLAIMS, GPUOwners
from tests.unit.builders import reading, snapshot, uuid_of

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
