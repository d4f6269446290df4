from datetime import UTC, datetime

import pytest

from api.domain.machines.node import HeldGPUs
from api.domain.tasks.task import TaskType
from api.errors import Conflict, TaskNotFound
from api.nodes.reported_holders import ReportedHolders
from tests.unit.builders import task


def test_node_takes_the_holders_from_the_head():
    holders = ReportedHolders("gpu2")
    holders.take((HeldGPUs("train_1", TaskType.TRAINING, ("GPU-1", "GPU-2"), datetime(2026, 1, 1, tzinfo=UTC)),))
    assert {uuid: task.task_id for uuid, task in holders.holders().items()} == {"GPU-1": "train_1", "GPU-2": "train_1"}
    holders.take(())
    assert (holders.holders(), holders.list(), holders.node) == ({}, (), "gpu2")


def test_programs_cannot_register_at_a_node():
    with pytest.raises(Conflict):
        ReportedHolders("gpu2").claim(task())
    with pytest.raises(TaskNotFound):
        ReportedHolders("gpu2").update_progress("x", 1.0, None, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(TaskNotFound):
        ReportedHolders("gpu2").release("x")
