"""One round over the open attempts: what the executor sees, and what is done about it."""

import errno
import os

import pytest

from api.domain.cause import CauseCode
from api.domain.training import AttemptStatus, EventKind, StopRung, TaskStatus
from api.executors.executor import EngineFull, EngineNever, EngineSilent
from api.executors.fake import outcome
from api.training.attempts.reconciler import SUBMISSIONS
from api.training.attempts.watch import AttemptWatch
from api.util.measures import attempt_starts, starts
from tests.unit.observed import observed
from tests.unit.trainings import PROCESS, TrainingMachine, steps

WHY = "it was started on elsewhere, and this is here"


def test_a_claimed_attempt_is_submitted_once_and_runs_when_its_process_is_seen(machine: TrainingMachine):
    machine.put()
    machine.train()
    machine.executor.runs(machine.uid())
    machine.train()
    assert [submission.has_run for submission in machine.executor.submissions] == [False]
    assert (machine.status(), machine.attempt().status) == (TaskStatus.STARTING, AttemptStatus.SUBMITTED)
    machine.executor.runs(machine.uid(), PROCESS)
    machine.train()
    assert (machine.status(), machine.attempt().status) == (TaskStatus.RUNNING, AttemptStatus.RUNNING)


def test_one_that_was_seen_running_is_never_submitted_as_a_new_one(machine: TrainingMachine):
    machine.run()
    machine.executor.is_absent(machine.uid(), "it was never started")
    machine.train()
    assert [submission.has_run for submission in machine.executor.submissions] == [False, True]


def test_one_that_cannot_be_seen_keeps_its_status_and_its_gpus(machine: TrainingMachine):
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


def test_short_blindness_is_no_news(machine: TrainingMachine):
    machine.run()
    machine.executor.is_unknown(machine.uid(), WHY, age=1.0)
    machine.train()
    assert machine.task().warning is None


def test_a_disk_that_refuses_a_start_once_does_not_fail_the_training(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = OSError(errno.ENOSPC, "No space left on device")
    machine.train()
    machine.executor.refusal = None
    machine.train()
    assert machine.status() is TaskStatus.STARTING
    assert len(machine.executor.submissions) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_fault_that_passes_is_tried_again_later_and_not_for_ever(machine: TrainingMachine, number: int):
    machine.put()
    machine.executor.refusal = OSError(number, os.strerror(number))
    for _ in range(SUBMISSIONS + 2):
        machine.train()
    assert (machine.status(), len(machine.attempts.of_task("a"))) == (TaskStatus.QUEUED, 1)


def test_an_engine_that_does_not_answer_is_waited_for_and_says_nothing_against_the_attempt(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineSilent(errno.EHOSTUNREACH, WHY)
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


def test_one_that_is_stopped_while_an_engine_takes_nothing_ends(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineSilent(errno.EHOSTUNREACH, WHY)
    machine.train()
    machine.ask_to_stop()
    for _ in range(SUBMISSIONS + 2):
        machine.train()
    assert machine.status() is not TaskStatus.STOPPING


def test_an_engine_without_room_is_waited_for_without_a_warning(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineFull(errno.EAGAIN, WHY)
    for _ in range(3 * SUBMISSIONS):
        machine.train()
    assert (machine.status(), machine.task().warning) == (TaskStatus.STARTING, None)
    machine.executor.refusal = None
    machine.train()
    assert len(machine.executor.submissions) == 1


def test_one_that_is_stopped_while_an_engine_has_no_room_is_stopped_at_once(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineFull(errno.EAGAIN, WHY)
    machine.train()
    machine.ask_to_stop()
    machine.train()
    assert (machine.status(), machine.attempts.of_task("a")[-1].status) == (TaskStatus.STOPPED, AttemptStatus.ENDED)


def test_what_an_engine_never_takes_fails_and_says_what_to_change(machine: TrainingMachine):
    machine.put()
    machine.executor.refusal = EngineNever(errno.EREMOTEIO, WHY)
    for _ in range(SUBMISSIONS):
        machine.train()
    # Room that came between two questions looks the same.
    assert machine.status() is TaskStatus.STARTING
    for _ in range(2):
        machine.train()
    cause = machine.task().cause
    assert cause is not None
    assert (machine.status(), cause.code, WHY in cause.detail) == (TaskStatus.FAILED, CauseCode.COULD_NOT_START, True)
    assert cause.remedy.startswith("Ask for fewer GPUs")


def test_a_stop_is_ordered_once_and_again_only_when_it_gets_harder(machine: TrainingMachine):
    machine.run()
    machine.saves(1)
    machine.prints(steps(1, 2))
    machine.train()
    machine.ask_to_stop(seconds=7.0)
    for _ in range(3):
        machine.train()
    machine.ask_to_stop(force=True)
    for _ in range(3):
        machine.train()
    gentle, hard = (order for _, order in machine.executor.orders)
    assert (gentle.signal_file is None, gentle.checkpoint_seconds) == (False, 7.0)
    assert (hard.signal_file, hard.checkpoint_seconds) == (None, 0.0)


def test_the_rung_that_a_stop_has_reached_is_noted(machine: TrainingMachine):
    machine.run()
    machine.ask_to_stop()
    machine.executor.is_stopping(machine.uid(), StopRung.TERMINATE)
    machine.train()
    stop = machine.task().stop
    assert stop is not None
    assert stop.rung is StopRung.TERMINATE


def test_one_that_is_stopped_before_its_start_is_never_started(machine: TrainingMachine):
    machine.claim()
    machine.ask_to_stop()
    machine.train()
    assert (machine.status(), machine.executor.submissions) == (TaskStatus.STOPPED, [])


def test_one_in_trouble_keeps_no_other_from_being_watched_and_is_told_once(
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
    assert sum("cannot be reconciled" in record.message for record in caplog.records) == 1
    assert machine.watch("good").progress.step == 3
    machine.ask_to_stop("bad")
    machine.train()
    assert [ref.uid for ref, _ in machine.executor.orders] == [machine.uid("bad")]


def test_who_stands_down_forgets_its_watches_and_takes_them_up_anew(machine: TrainingMachine):
    machine.run()
    machine.reconciler.stand_down()
    assert machine.reconciler.find_watch("a") is None
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


def test_the_end_is_recorded_and_told(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(1, 2))
    machine.end(how=outcome(exit_code=1))
    assert (machine.status(), machine.attempt().last_step) == (TaskStatus.FAILED, 2)
    assert machine.reconciler.find_watch("a") is None
    assert machine.messages(EventKind.STATUS)[-1]


def test_it_is_measured_once_how_long_a_start_took(machine: TrainingMachine):
    before = observed(starts, "training"), observed(attempt_starts, "training")
    machine.run()
    machine.train()
    assert (observed(starts, "training"), observed(attempt_starts, "training")) == (before[0] + 1, before[1] + 1)


def test_one_that_an_engine_has_waits_and_says_why(machine: TrainingMachine):
    machine.put()
    machine.train()
    machine.executor.is_queued(machine.uid(), "waits for 2 GPUs in partition gpu")
    machine.train()
    assert machine.status() is TaskStatus.STARTING
    why = machine.parts.dispatcher.why_waiting(machine.tasks.get_summary("a"))
    assert why is not None
    assert why.text == "waits for 2 GPUs in partition gpu"


def test_a_stop_reaches_one_that_an_engine_has_not_begun(machine: TrainingMachine):
    machine.put()
    machine.train()
    machine.executor.is_queued(machine.uid())
    machine.ask_to_stop()
    machine.train()
    assert [ref.uid for ref, _ in machine.executor.orders] == [machine.uid()]
    machine.executor.ends(machine.uid(), outcome("stopped_before_start", exit_code=None))
    machine.train()
    assert machine.status() is TaskStatus.STOPPED


def test_the_supervisor_learns_how_to_save_once_the_trainer_listens(machine: TrainingMachine):
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


def test_one_whose_gpus_an_engine_wants_back_is_asked_once_to_save(machine: TrainingMachine):
    machine.run()
    machine.saves(1)
    machine.prints(steps(1, 2))
    machine.train()
    machine.executor.is_called_away(machine.uid())
    for _ in range(3):
        machine.train()
    (order,) = (order for _, order in machine.executor.orders)
    assert order.signal_file is not None
    assert machine.status() is TaskStatus.RUNNING
    machine.executor.ends(machine.uid(), outcome("preempted", exit_code=0, error="job 3"))
    machine.train()
    assert machine.status() is TaskStatus.QUEUED
