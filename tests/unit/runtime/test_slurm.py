"""What the cluster's word means for a GPU."""

from dataclasses import replace

import pytest

from api.executors.executor import NodeState
from api.models.gpu import GPUStatus
from api.models.reason import Reason
from api.runtime.slurm import is_fit, judge_by_engine

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
def test_what_keeps_the_engine_from_giving_a_gpu_is_told(node: NodeState, status: GPUStatus, said: str) -> None:
    word = judge_by_engine(node, 1)
    assert word is not None
    assert (word.status, word.words.said.code) == (status, said)


def test_nothing_is_said_against_a_gpu_that_it_can_give() -> None:
    assert judge_by_engine(NODE, 0) is None


def test_a_machine_that_is_barred_or_not_up_is_not_fit() -> None:
    assert [is_fit(node) for node in (NODE, replace(NODE, bar=BAR), replace(NODE, state="draining"))] == [
        True,
        False,
        False,
    ]
