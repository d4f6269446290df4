import json

import pytest

from api.domain.tasks.training import TaskStatus
from api.errors import TaskNotFound
from api.events.stream_reader import TaskStreamReader
from api.executors.fake import outcome
from api.training.records.event_store import EventStore
from tests.unit.trainings import TrainingMachine


@pytest.fixture
def following(machine: TrainingMachine) -> TaskStreamReader:
    events = EventStore(machine.database)
    return TaskStreamReader(machine.tasks, machine.attempts, events, machine.parts.progress, machine.clock)


def test_reconnecting_subscriber_gets_missed_events(machine: TrainingMachine, following: TaskStreamReader):
    machine.put()
    here = following.position("a", None)
    machine.train()
    missed = following.missed(following.position("a", here.last_id))
    assert [message.status for message in missed] == [TaskStatus.STARTING]


def test_progress_is_that_of_the_service(machine: TrainingMachine, following: TaskStreamReader):
    machine.run()
    message = following.progress("a")
    assert (message.task_id, message.status) == ("a", TaskStatus.RUNNING)
    assert json.loads(message.json)["data"]["task_id"] == "a"


def test_end_exists_once_the_task_has_ended(machine: TrainingMachine, following: TaskStreamReader):
    machine.run()
    assert following.end("a", 5) is None
    machine.end(how=outcome(exit_code=3))
    end = following.end("a", 5)
    assert end is not None
    assert (end.position, json.loads(end.json)["data"]["exit_code"]) == (5, 3)


def test_unknown_task_is_not_found(following: TaskStreamReader):
    for read in (lambda: following.progress("no"), lambda: following.end("no", 1), lambda: following.position("no", 1)):
        with pytest.raises(TaskNotFound):
            read()
