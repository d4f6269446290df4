from pathlib import Path

import pytest

from api.domain.tasks.training import StopRung
from api.executors.executor import AttemptRef, Executor, Phase, StopOrder, Submission
from api.executors.fake import FakeExecutor, MemoryLog, outcome
from api.executors.ports import FIRST_PORT

REF = AttemptRef("a", Path("/attempts/a"), Path("/logs/a"))
SUBMISSION = Submission(REF, ("python",), Path("/"), {})


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


def phase(executor: Executor) -> Phase:
    return executor.observe([REF])["a"].phase


def test_an_attempt_is_absent_until_it_is_submitted(executor: FakeExecutor) -> None:
    assert phase(executor) is Phase.ABSENT
    executor.submit(SUBMISSION)
    assert phase(executor) is Phase.RUNNING


def test_state_is_set_by_the_test(executor: FakeExecutor) -> None:
    executor.submit(SUBMISSION)
    executor.is_stopping("a", StopRung.TERMINATE)
    assert executor.observe([REF])["a"].stop_rung is StopRung.TERMINATE
    executor.ends("a", outcome(exit_code=None, signal=15, stop_rung=StopRung.TERMINATE))
    seen = executor.observe([REF])["a"].outcome
    assert seen is not None
    assert (seen.signal, seen.stop_requested) == (15, True)


def test_ended_attempt_does_not_start_again(executor: FakeExecutor) -> None:
    executor.ends("a")
    executor.submit(SUBMISSION)
    assert phase(executor) is Phase.ENDED


def test_absent_attempt_can_be_submitted_again(executor: FakeExecutor) -> None:
    executor.submit(SUBMISSION)
    executor.is_absent("a", "its supervisor is gone")
    assert phase(executor) is Phase.ABSENT
    executor.submit(SUBMISSION)
    assert (phase(executor), len(executor.submissions)) == (Phase.RUNNING, 2)


def test_orders_are_recorded(executor: FakeExecutor) -> None:
    executor.stop(REF, StopOrder())
    assert executor.orders == [(REF, StopOrder())]


def test_refusal_is_raised(executor: FakeExecutor) -> None:
    executor.refusal = OSError("the disk is full")
    with pytest.raises(OSError, match="full"):
        executor.submit(SUBMISSION)
    with pytest.raises(OSError, match="full"):
        executor.stop(REF, StopOrder())
    assert (executor.submissions, executor.orders) == ([], [])


def test_log_is_read_by_offset(executor: FakeExecutor) -> None:
    executor.prints(REF.log_directory, b"one\n")
    executor.prints(REF.log_directory, b"two\n")
    assert executor.read_log(REF, 4, 100) == (4, b"two\n")


def test_survivors_are_set_by_the_test(executor: FakeExecutor) -> None:
    executor.leaves_survivors("a", 5, 6)
    assert list(executor.survivors(REF)) == [5, 6]


def test_running_attempt_uses_its_assigned_gpus_unless_the_test_changes_that(executor: FakeExecutor) -> None:
    assert executor.used_gpus(REF) == set()
    executor.submit(Submission(REF, ("python",), Path("/"), {}, gpu_uuids=("GPU-a",)))
    assert executor.used_gpus(REF) == {"GPU-a"}
    executor.uses_gpus("a", "GPU-b")
    assert executor.used_gpus(REF) == {"GPU-b"}
    executor.ends("b")
    assert executor.used_gpus(AttemptRef("b", Path("/attempts/b"), Path("/logs/b"))) == set()


def test_free_port_is_neither_held_nor_in_use(executor: FakeExecutor) -> None:
    executor.occupies_ports(FIRST_PORT)
    assert executor.free_port("here", {FIRST_PORT + 1}) == FIRST_PORT + 2


def test_log_given_by_the_test_is_read(executor: FakeExecutor) -> None:
    given = MemoryLog(REF.log_directory)
    given.add(b"given\n")
    executor.use_log(given)
    assert executor.open_log(REF.log_directory).read(0, 9) == executor.read_log(REF, 0, 9) == (0, b"given\n")
