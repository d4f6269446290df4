"""One round over the open attempts: observations and actions."""

import errno
import os
from collections import Counter
from typing import cast

import pytest

from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.training import Attempt, AttemptStatus, EventKind, StopRung, TaskStatus
from api.executors.executor import EngineFull, EngineRejected, EngineUnavailable
from api.executors.fake import outcome
from api.training.attempts import reconciler
from api.training.attempts.reconciler import CHANGING_BUDGET_SECONDS, ROUND_BUDGET_SECONDS, Portions
from api.training.attempts.starter import SUBMISSIONS
from api.training.attempts.watch.watch import AttemptWatch
from api.util.clock import FakeClock
from api.util.measures import attempt_starts, starts
from tests.unit.observed import observed
from tests.unit.trainings import PROCESS, TrainingMachine, steps

WHY = "it was started on elsewhere, and this is here"


def test_claimed_attempt_is_submitted_once_and_runs_when_its_process_is_observed(machine: TrainingMachine):
    machine.put()
    machine.train()
    machine.executor.runs(machine.uid())
    machine.train()
    assert [submission.has_run for submission in machine.executor.submissions] == [False]
    assert (machine.status(), machine.attempt().status) == (TaskStatus.STARTING, AttemptStatus.SUBMITTED)
    machine.executor.runs(machine.uid(), PROCESS)
    machine.train()
    assert (machine.status(), machine.attempt().status) == (TaskStatus.RUNNING, AttemptStatus.RUNNING)


def test_running_attempt_is_never_submitted_as_a_new_one(machine: TrainingMachine):
    machine.run()
    machine.executor.is_absent(machine.uid(), "it was never started")
    machine.train()
    assert [submission.has_run for submission in machine.executor.submissions] == [False, True]


def test_unobserved_attempt_keeps_its_status_and_gpus(machine: TrainingMachine):
    machine.run(count=4)
    machine.executor.is_unknown(machine.uid(), WHY, age=3600.0)
    for _ in range(3):
        machine.train()
    assert machine.status() is TaskStatus.RUNNING
    assert WHY in (machine.task().warning or "")
    assert len(machine.executor.submissions) == 1
    machine.put("waits")
    machine.train()
    assert machine.status("waits") is TaskStatus.QUEUED
    machine.executor.runs(machine.uid(), PROCESS)
    machine.train()
    assert machine.task().warning is None


def test_short_loss_of_observation_is_not_reported(machine: TrainingMachine):
    machine.run()
    machine.executor.is_unknown(machine.uid(), WHY, age=1.0)
    machine.train()
    assert machine.task().warning is None


def test_single_disk_error_at_the_start_does_not_fail_the_training(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = OSError(errno.ENOSPC, "No space left on device")
    machine.train()
    machine.executor.refusal = None
    machine.train()
    assert machine.status() is TaskStatus.STARTING
    assert len(machine.executor.submissions) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_temporary_error_is_retried_later_up_to_a_limit(machine: TrainingMachine, number: int):
    machine.put()
    machine.executor.refusal = OSError(number, os.strerror(number))
    for _ in range(SUBMISSIONS + 2):
        machine.train()
    assert (machine.status(), len(machine.attempts.of_task("a"))) == (TaskStatus.QUEUED, 1)


def test_unavailable_cluster_delays_an_attempt_without_failing_it(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineUnavailable(errno.EHOSTUNREACH, WHY)
    for _ in range(3 * SUBMISSIONS):
        machine.train()
    assert machine.status() is TaskStatus.STARTING
    assert WHY in (machine.task().warning or "")
    machine.executor.refusal = None
    machine.train()
    machine.executor.runs(machine.uid(), PROCESS)
    machine.train()
    assert (machine.status(), machine.task().warning) == (TaskStatus.RUNNING, None)
    assert len(machine.executor.submissions) == 1


def test_attempt_stopped_while_the_cluster_is_unavailable_ends(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineUnavailable(errno.EHOSTUNREACH, WHY)
    machine.train()
    machine.request_task_stop()
    for _ in range(SUBMISSIONS + 2):
        machine.train()
    assert machine.status() is not TaskStatus.STOPPING


def test_full_cluster_delays_an_attempt_without_a_warning(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineFull(errno.EAGAIN, WHY)
    for _ in range(3 * SUBMISSIONS):
        machine.train()
    assert (machine.status(), machine.task().warning) == (TaskStatus.STARTING, None)
    machine.executor.refusal = None
    machine.train()
    assert len(machine.executor.submissions) == 1


def test_attempt_stopped_while_the_cluster_is_full_stops_immediately(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineFull(errno.EAGAIN, WHY)
    machine.train()
    machine.request_task_stop()
    machine.train()
    assert (machine.status(), machine.attempts.of_task("a")[-1].status) == (TaskStatus.STOPPED, AttemptStatus.ENDED)


def test_attempt_rejected_by_the_cluster_fails_with_a_remedy(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineRejected(errno.EREMOTEIO, WHY)
    for _ in range(SUBMISSIONS):
        machine.train()
    # A slot that became free between two queries looks the same.
    assert machine.status() is TaskStatus.STARTING
    for _ in range(2):
        machine.train()
    cause = machine.task().cause
    assert cause is not None
    assert (machine.status(), cause.code, WHY in cause.detail) == (TaskStatus.FAILED, CauseCode.COULD_NOT_START, True)
    assert cause.remedy.startswith("Request fewer GPUs")


def test_stop_is_ordered_again_only_if_harder(machine: TrainingMachine):
    machine.run()
    machine.saves(1)
    machine.prints(steps(1, 2))
    machine.train()
    machine.request_task_stop(seconds=7.0)
    for _ in range(3):
        machine.train()
    machine.request_task_stop(force=True)
    for _ in range(3):
        machine.train()
    gentle, hard = (order for _, order in machine.executor.orders)
    assert (gentle.signal_file is None, gentle.checkpoint_seconds) == (False, 7.0)
    assert (hard.signal_file, hard.checkpoint_seconds) == (None, 0.0)


def test_step_of_a_stop_is_recorded(machine: TrainingMachine):
    machine.run()
    machine.request_task_stop()
    machine.executor.is_stopping(machine.uid(), StopRung.TERMINATE)
    machine.train()
    stop = machine.task().stop
    assert stop is not None
    assert stop.rung is StopRung.TERMINATE


def test_training_that_makes_room_before_its_start_is_queued_again(machine: TrainingMachine):
    machine.claim()
    cause = Cause.of(
        CauseCode.OUTSIDE_SCHEDULE, "outside_schedule", "Its hours are over: {why}.", "Wait.", why="it is 8"
    )
    assert machine.tasks.make_room("a", cause, machine.clock.now())
    machine.train()
    assert [each.ref.uid for each in machine.executor.submissions] == ["a.2"]


def test_attempt_stopped_before_its_start_is_never_started(machine: TrainingMachine):
    machine.claim()
    machine.request_task_stop()
    machine.train()
    assert (machine.status(), machine.executor.submissions) == (TaskStatus.STOPPED, [])


def test_error_of_one_attempt_affects_no_other_and_is_logged_once(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    machine.run("bad")
    machine.run("good")
    whole = AttemptWatch.poll

    def trip(watch: AttemptWatch, save_seconds: float) -> None:
        if watch.attempt.task_id == "bad":
            raise OverflowError("too large")
        whole(watch)

    monkeypatch.setattr(AttemptWatch, "poll", trip)
    machine.prints(steps(1, 2, 3), "good")
    for _ in range(3):
        machine.train()
    assert sum("cannot reconcile" in record.message for record in caplog.records) == 1
    assert machine.watch("good").progress.step == 3
    machine.request_task_stop("bad")
    machine.train()
    assert [ref.uid for ref, _ in machine.executor.orders] == [machine.uid("bad")]


def test_server_that_stands_down_forgets_its_watches(machine: TrainingMachine):
    machine.run()
    machine.reconciler.stand_down()
    assert machine.parts.watches.find("a") is None
    machine.train()
    assert machine.watch().attempt.uid == machine.uid()


def test_leases_are_renewed_every_fifteen_seconds(machine: TrainingMachine):
    machine.run()
    began = {lease.resource: lease.expires_at for lease in machine.attempts.leases()}
    machine.clock.advance(14.0)
    machine.train()
    assert {lease.resource: lease.expires_at for lease in machine.attempts.leases()} == began
    machine.clock.advance(2.0)
    machine.train()
    later = {lease.resource: lease.expires_at for lease in machine.attempts.leases()}
    assert later.keys() == began.keys()
    assert all(later[resource] > began[resource] for resource in began)


def test_end_is_recorded_and_logged(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(1, 2))
    machine.end(how=outcome(exit_code=1))
    assert (machine.status(), machine.attempt().last_step) == (TaskStatus.FAILED, 2)
    assert machine.parts.watches.find("a") is None
    assert machine.messages(EventKind.STATUS)[-1]


def test_start_duration_is_measured_once(machine: TrainingMachine):
    before = observed(starts, "training"), observed(attempt_starts, "training")
    machine.run()
    machine.train()
    assert (observed(starts, "training"), observed(attempt_starts, "training")) == (before[0] + 1, before[1] + 1)


def test_attempt_queued_in_the_cluster_waits_with_a_reason(machine: TrainingMachine):
    machine.put()
    machine.train()
    machine.executor.is_queued(machine.uid(), "waits for 2 GPUs in partition gpu")
    machine.train()
    assert machine.status() is TaskStatus.STARTING
    why = machine.parts.dispatcher.why_waiting(machine.tasks.get_summary("a"))
    assert why is not None
    assert why.text == "waits for 2 GPUs in partition gpu"


def test_stop_reaches_an_attempt_queued_in_the_cluster(machine: TrainingMachine):
    machine.put()
    machine.train()
    machine.executor.is_queued(machine.uid())
    machine.request_task_stop()
    machine.train()
    assert [ref.uid for ref, _ in machine.executor.orders] == [machine.uid()]
    machine.executor.ends(machine.uid(), outcome("stopped_before_start", exit_code=None))
    machine.train()
    assert machine.status() is TaskStatus.STOPPED


def test_supervisor_gets_the_save_order_once_the_trainer_checks_for_it(machine: TrainingMachine):
    machine.run()
    machine.train()
    assert machine.executor.leave_orders == []
    machine.saves(1)
    machine.prints(steps(1, 2))
    for _ in range(3):
        machine.train()
    ((ref, order),) = machine.executor.leave_orders
    assert (ref.uid, order.signal_file is not None, order.checkpoint_seconds) == (machine.uid(), True, 300.0)
    assert machine.executor.orders == []


def test_attempt_whose_gpus_the_cluster_wants_back_saves_once(machine: TrainingMachine):
    machine.run()
    machine.saves(1)
    machine.prints(steps(1, 2))
    machine.train()
    machine.executor.must_leave(machine.uid())
    for _ in range(3):
        machine.train()
    (order,) = (order for _, order in machine.executor.orders)
    assert order.signal_file is not None
    assert machine.status() is TaskStatus.RUNNING
    machine.executor.ends(machine.uid(), outcome("preempted", exit_code=0, error="job 3"))
    machine.train()
    assert machine.status() is TaskStatus.QUEUED


class Named:
    """The part of an attempt that a round reads."""

    def __init__(self, uid: str) -> None:
        self.uid = uid


def named(*uids: str) -> list[Attempt]:
    return [cast("Attempt", Named(uid)) for uid in uids]


def handled(
    portions: Portions, clock: FakeClock, attempts: list[Attempt], seconds: float, changing: str = "", urgent: str = ""
) -> list[str]:
    """Return the uids that a round handles, each for this many seconds."""
    seen = []
    for attempt in portions.choose(attempts, lambda one: one.uid in changing, lambda one: one.uid in urgent):
        seen.append(attempt.uid)
        clock.advance(seconds)
    return seen


def test_quick_attempts_are_handled_in_every_round(clock: FakeClock):
    portions = Portions(clock)
    for _ in range(2):
        assert handled(portions, clock, named("a", "b", "c"), 0.01) == ["a", "b", "c"]


def test_remaining_attempts_come_first_in_the_next_round_with_equal_turns(clock: FakeClock):
    portions, turns = Portions(clock), Counter[str]()
    attempts = named(*"abcdefg")
    for _ in range(14):
        turns.update(handled(portions, clock, attempts, 2 * ROUND_BUDGET_SECONDS))
    assert turns == dict.fromkeys("abcdefg", 2)


def test_a_thousand_changes_do_not_delay_followed_attempts(clock: FakeClock):
    portions, attempts = Portions(clock), named(*"abcdefg")
    seen = [handled(portions, clock, attempts, ROUND_BUDGET_SECONDS * 0.27, changing="abcde") for _ in range(3)]
    assert seen == [["f", "g", "a", "b"], ["f", "g", "c", "d"], ["f", "g", "e", "a"]]


def test_round_reserves_time_for_changing_attempts(clock: FakeClock):
    portions, attempts, seen = Portions(clock), named(*"abcdefg"), []
    for attempt in portions.choose(attempts, lambda one: one.uid in "abcd", lambda one: False):
        seen.append(attempt.uid)
        clock.advance(0.55 * CHANGING_BUDGET_SECONDS if attempt.uid in "abcd" else 1.1 * ROUND_BUDGET_SECONDS)
    assert seen == ["e", "a", "b"]


def test_stops_come_before_others_that_wait_equally_long(clock: FakeClock):
    portions, attempts = Portions(clock), named(*"abcd")
    seen = [
        handled(portions, clock, attempts, 1.1 * ROUND_BUDGET_SECONDS, changing="abcd", urgent="c") for _ in range(5)
    ]
    assert seen == [["c"], ["a"], ["b"], ["d"], ["c"]]


def test_attempt_slower_than_a_round_gets_its_turn(clock: FakeClock):
    assert handled(Portions(clock), clock, named("a", "b"), 60.0, changing="a") == ["b", "a"]


def test_starting_head_takes_over_running_attempts_in_several_rounds(machine: TrainingMachine, monkeypatch):
    for task_id in "abc":
        machine.run(task_id, count=1)
    machine.reconciler.stand_down()
    read = machine.executor.read_log

    def slow_read(*arguments):
        machine.clock.advance(1.1 * ROUND_BUDGET_SECONDS)
        return read(*arguments)

    monkeypatch.setattr(machine.executor, "read_log", slow_read)
    followed = []
    for _ in range(3):
        machine.reconciler.tick()
        followed.append(sum(machine.parts.watches.find(task_id) is not None for task_id in "abc"))
    assert followed == [1, 2, 3]


def test_progress_of_many_attempts_is_stored_in_several_rounds(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reconciler, "MOST_OF_A_ROUND", 2)
    for task_id in "abc":
        machine.run(task_id)
        machine.prints(steps(7), task_id)
    machine.clock.advance(reconciler.PROGRESS_SECONDS)
    noted = []
    for _ in range(2):
        machine.reconciler.tick()
        progress = [machine.task(task_id).progress for task_id in "abc"]
        noted.append([each and each.progress.current_step for each in progress])
    assert noted == [[7, 7, None], [7, 7, 7]]
