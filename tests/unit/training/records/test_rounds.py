"""A round of the training loop reads everything it needs, of its own machine and storage only."""

from pathlib import Path

from api.domain.tasks.training import TaskStatus
from tests.unit.db.builders import NODE, ROOT, Stores


def test_round_has_open_attempts_with_their_tasks_and_draining_gpus(stores: Stores):
    first, second = stores.running("t1", 0), stores.claimed("t2", 1)
    ended = stores.claimed("t3", 2)
    stores.finish(ended, TaskStatus.FAILED)
    found = stores.attempts.round(NODE, ROOT)
    assert {attempt.uid for attempt in found.attempts} == {first.uid, second.uid}
    assert {name: task.status for name, task in found.tasks.items()} == {
        "t1": TaskStatus.RUNNING,
        "t2": TaskStatus.STARTING,
    }
    assert [(lease.resource, directory) for lease, directory in found.drains] == [("GPU-2", Path(ended.directory))]


def test_round_without_work_is_empty(stores: Stores):
    assert stores.attempts.round(NODE, ROOT) == ([], {}, [])


def test_attempts_of_another_storage_are_left_to_its_server(stores: Stores):
    mine = stores.running("t1", 0)
    other = stores.running("t2", 1, directory_of="/data2/t2/attempts")
    assert [attempt.uid for attempt in stores.attempts.open(NODE, ROOT)] == [mine.uid]
    assert [attempt.uid for attempt in stores.attempts.open_elsewhere(NODE, ROOT)] == [other.uid]
    assert stores.attempts.round(NODE, ROOT).tasks.keys() == {"t1"}
    for attempt in (mine, other):
        stores.finish(attempt, TaskStatus.FAILED)
    assert [drain.lease.resource for drain in stores.attempts.draining(NODE, ROOT)] == ["GPU-0"]
    assert stores.attempts.draining("node-b", ROOT) == []
