"""The effect of the cluster's states on GPUs."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.composition.slurm import ClusterLocations, is_fit, judge_by_engine
from api.db.database import Database, sqlite_url
from api.domain.machines.gpu import GPUStatus
from api.domain.reason import Reason
from api.domain.tasks.training import Attempt
from api.executors.executor import NodeState
from api.gpus.health.judgement import JudgedGPU
from api.gpus.state import GPUState
from api.util.clock import FakeClock
from tests.unit.builders import identity, judged, reading, snapshot
from tests.unit.db.builders import NOW, Stores, new_attempt, new_task

NODE = NodeState("n1", holders={1: Reason.of("Slurm's job 3 of eve has it", "slurm_job")})
BAR = Reason.of("its machine does not share STORAGE_ROOT", "storage_not_shared")


@pytest.mark.parametrize(
    ("node", "status", "said"),
    [
        (replace(NODE, state="down"), GPUStatus.UNKNOWN, "node_not_up"),
        (replace(NODE, state="draining"), GPUStatus.BUSY, "node_not_up"),
        (replace(NODE, bar=BAR), GPUStatus.BUSY, "storage_not_shared"),
        (NODE, GPUStatus.BUSY, "slurm_job"),
    ],
)
def test_reason_of_a_gpu_not_assigned_by_the_cluster_is_reported(node: NodeState, status: GPUStatus, said: str) -> None:
    word = judge_by_engine(node, 1)
    assert word is not None
    assert (word.status, word.message.said.code) == (status, said)


def test_assignable_gpu_has_no_objection() -> None:
    assert judge_by_engine(NODE, 0) is None


def test_barred_or_down_machine_is_not_fit() -> None:
    assert [is_fit(node) for node in (NODE, replace(NODE, bar=BAR), replace(NODE, state="draining"))] == [
        True,
        False,
        False,
    ]


class Machines:
    """Two machines with two GPUs each: `n1` with GPU-0 and GPU-1, `n2` with GPU-2 and GPU-3."""

    def __init__(self) -> None:
        gpus = tuple(self._gpu(number) for number in range(4))
        self.state = GPUState("head", snapshot(), gpus, {}, failed_sweeps=0)

    @staticmethod
    def _gpu(number: int) -> JudgedGPU:
        index = number % 2
        gpu = judged(reading(index, identity=identity(index, uuid=f"GPU-{number}")))
        return replace(gpu, node="n1" if number < 2 else "n2")

    def republish(self) -> None:
        """Do nothing."""


@pytest.fixture
def stores(migrated_file: Path, tmp_path: Path) -> Iterator[Stores]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    yield Stores(database)
    database.close()


def claim(stores: Stores, task_id: str, number: int) -> Attempt:
    stores.tasks.create(new_task(task_id), NOW, "ann")
    new = new_attempt(task_id, number, node="n1" if number < 2 else "n2")
    return stores.attempts.claim(replace(new, gpu_indices=(number % 2,)), NOW)


def record(stores: Stores, attempt: Attempt, node: str, indices: Sequence[int]) -> Attempt:
    machines: Any = Machines()
    ClusterLocations(stores.database, machines, FakeClock()).record(stores.attempts.get(attempt.uid), node, indices)
    return stores.attempts.get(attempt.uid)


def test_attempt_that_got_another_machines_gpu_is_recorded_with_it(stores: Stores) -> None:
    first, second = claim(stores, "t1", 2), claim(stores, "t2", 1)
    # The engine runs the first on the GPU of the second, which then ends.
    assert record(stores, first, "n1", [1]).gpu_uuids == ("GPU-1",)
    assert stores.attempts.get(second.uid).gpu_uuids == ("GPU-2",)
    # Now the second runs on its claimed GPU.
    found = record(stores, second, "n1", [1])
    assert (found.node, found.gpu_uuids, found.gpu_indices) == ("n1", ("GPU-1",), (1,))
