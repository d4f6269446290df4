from api.domain.node import SILENT_SECONDS
from api.gpus.other_machines import NodePart
from api.gpus.ownership import MOST_CLAIMS, GPUOwners
from tests.unit.builders import reading, snapshot, uuid_of

NOW = 100.0


def part(node: str, *indices: int, heard: float = NOW, **changes: object) -> NodePart:
    return NodePart(node, snapshot(*map(reading, indices)), heard, **changes)  # type: ignore[arg-type]


def owners(*parts: NodePart) -> GPUOwners:
    made = GPUOwners("here")
    made.note_own(snapshot(reading(0)))
    for each in parts:
        made.note([each])
    return made


def test_uuid_belongs_to_this_machine_then_to_the_first_that_reported_it():
    first, second = part("gpu3", 1), part("gpu2", 0, 1)
    made = owners(first, second)
    assert made.find_twins([second, first], {}, NOW) == {("gpu2", uuid_of(0)): "here", ("gpu2", uuid_of(1)): "gpu3"}


def test_uuid_of_a_silent_machine_goes_to_the_next_until_that_machine_is_heard_again():
    first, second = part("gpu3", 1, heard=NOW - SILENT_SECONDS - 1), part("gpu2", 1)
    made = owners(first, second)
    assert made.find_twins([first, second], {}, NOW) == {("gpu3", uuid_of(1)): "gpu2"}
    assert made.find_twins([part("gpu3", 1), second], {}, NOW) == {("gpu2", uuid_of(1)): "gpu3"}


def test_uuid_that_a_task_holds_goes_to_no_other_machine():
    first, second = part("gpu3", 1, heard=0.0), part("gpu2", 1)
    assert owners(first, second).find_twins([first, second], {uuid_of(1)}, NOW) == {("gpu2", uuid_of(1)): "gpu3"}
    # Nor where the first no longer lists it.
    assert owners(first, second).find_twins([part("gpu3"), second], {uuid_of(1)}, NOW) == {("gpu2", uuid_of(1)): "gpu3"}


def test_board_that_was_moved_belongs_to_where_it_is():
    assert owners(part("gpu3", 1), part("gpu2", 1)).find_twins([part("gpu3"), part("gpu2", 1)], {}, NOW) == {}


def test_what_was_disputed_before_a_restart_goes_last():
    made = GPUOwners("here")
    thief, victim = part("a", 1, disputed=frozenset({uuid_of(1)}), is_heard=False), part("b", 1, is_heard=False)
    made.note([thief, victim])
    assert made.find_twins([thief, victim], {}, NOW) == {("a", uuid_of(1)): "b"}
    assert made.find_disputed("a", [uuid_of(1), uuid_of(2)]) == {uuid_of(1)}


def test_machine_that_is_forgotten_and_uuids_beyond_the_bound_leave_nothing_behind():
    made = owners()
    for number in range(MOST_CLAIMS + 50):
        made.note([part("gpu2", 1000 + number)])
    assert len(made._claims) == MOST_CLAIMS
    made.forget("gpu2")
    assert (made._claims, made._uuids) == ({}, {})
