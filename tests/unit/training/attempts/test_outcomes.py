import errno
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.reason import text_of
from api.domain.tasks.cause import MADE_ROOM, RETRIED_BY_DEFAULT, RETRIED_BY_ITSELF, Cause, CauseCode
from api.domain.tasks.progress import Progress
from api.domain.tasks.training import Checkpoint, StopRung, StopState, TaskStatus, TrainingPlan, TrainingRequest
from api.executors.fake import outcome
from api.trainers.toy.trainer import Toy
from api.training.attempts.outcomes import (
    FIRST_WAIT,
    LONGEST_WAIT,
    TEMPORARY_TRIES,
    could_not_start,
    judge_caching,
    judge_outcome,
    plan_retry,
)
from api.training.intake import preview
from tests.unit.builders import NOW

TOY = Toy()
DONE, QUIT = TOY.completed_phrase, TOY.stopped_phrase
USER = StopState(NOW, "api", False, None)
HUNG = Cause(CauseCode.HANG, "It hung.", "Look.")
SERVICE = StopState(NOW, "service", True, None, cause=HUNG)

REASONS = ["exited", "could_not_start", "stopped_before_start", "supervisor_lost", "machine_restarted"]
PHRASES = [(), (QUIT,), (DONE,), (QUIT, DONE)]


LAST = Progress(step=20, total_steps=20)
HALFWAY = Progress(step=10, total_steps=20)


def saved(step: int, is_complete: bool = True) -> Checkpoint:
    return Checkpoint(f"global_step{step}", step, 1, NOW, is_complete, is_latest=is_complete)


def judge(
    stop: StopState | None = None,
    progress: Progress | None = None,
    lines: tuple[str, ...] = (),
    checkpoints: tuple[Checkpoint, ...] = (),
    **how: Any,
):
    return judge_outcome(outcome(**how), TOY, stop, progress or Progress(), lines, checkpoints)


def expected(
    reason: str, phrases: tuple[str, ...], stop: StopState | None, rung: StopRung | None, fits: bool
) -> TaskStatus:
    """The expected verdict, specified independently of the code."""
    if DONE in phrases and fits:
        return TaskStatus.COMPLETED
    if stop is None or stop.cause is not None:
        return TaskStatus.FAILED
    was_stopped = QUIT in phrases or reason == "stopped_before_start" or rung in (StopRung.TERMINATE, StopRung.KILL)
    return TaskStatus.STOPPED if was_stopped else TaskStatus.FAILED


@pytest.mark.parametrize(
    ("exit_code", "progress", "fits"),
    [(0, HALFWAY, True), (1, HALFWAY, False), (None, HALFWAY, False), (1, LAST, True), (None, LAST, True)],
)
def test_phrases_of_the_trainer_count_if_they_fit_its_exit(exit_code: int | None, progress: Progress, fits: bool):
    checkpoints = (saved(progress.step or 0),)
    for case in itertools.product(REASONS, PHRASES, [None, USER, SERVICE], [None, *StopRung]):
        reason, phrases, stop, rung = case
        how = {"reason": reason, "phrases": phrases, "stop_rung": rung, "exit_code": exit_code}
        verdict = judge(stop, progress, checkpoints=checkpoints, **how)
        assert verdict.status is expected(reason, phrases, stop, rung, fits), case
        assert (verdict.cause is not None) == (verdict.status is TaskStatus.FAILED), case
        assert verdict.message, case


def test_phrase_found_only_in_the_log_counts():
    assert judge(progress=replace(LAST, phrases={DONE}), checkpoints=(saved(20),)).status is TaskStatus.COMPLETED


def test_early_warning_explains_the_failure_after_many_lines():
    progress = Progress()
    progress.warnings.append("video with frames=67 is being skipped because it is too short")
    lines = ("Traceback (most recent call last):", "  x", "RuntimeError: Processed dataset was empty.")
    cause = judge(progress=progress, lines=lines, exit_code=1).cause
    assert cause is not None
    assert "longer clips" in cause.remedy


@pytest.mark.parametrize(
    ("progress", "status"),
    [
        (Progress(step=20, total_steps=20, first_step=1, nan_steps=20, nan_in_a_row=20), TaskStatus.FAILED),
        (Progress(step=20, total_steps=20, first_step=1, nan_steps=19, best_loss=0.5), TaskStatus.COMPLETED),
        (Progress(step=20, total_steps=20, first_step=11, nan_steps=10, nan_in_a_row=10), TaskStatus.COMPLETED),
        (Progress(step=20, total_steps=20, first_step=1), TaskStatus.COMPLETED),
    ],
)
def test_training_with_only_nan_losses_fails(progress: Progress, status: TaskStatus):
    verdict = judge(progress=progress, checkpoints=(saved(20),), phrases=(DONE,), exit_code=0)
    assert verdict.status is status
    assert (verdict.cause is None) == (status is TaskStatus.COMPLETED)
    if verdict.cause is not None:
        assert verdict.cause.code is CauseCode.NAN_LOSS
        assert "learning rate" in verdict.cause.remedy


@pytest.mark.parametrize("checkpoints", [(), (saved(19),), (saved(20, is_complete=False),)])
def test_phrases_do_not_count_without_their_checkpoint(checkpoints: tuple[Checkpoint, ...]):
    for progress, how in ((LAST, {}), (Progress(), {"last_step": 20})):
        done = judge(progress=progress, checkpoints=checkpoints, phrases=[DONE], **how)
        quit_ = judge(USER, progress, checkpoints=checkpoints, phrases=[QUIT], exit_code=1, **how)
        assert (done.status, done.cause.code) == (TaskStatus.FAILED, CauseCode.DID_NOT_TRAIN)
        assert "no checkpoint" in text_of(done.message)
        assert quit_.status is TaskStatus.FAILED


def test_phrases_before_the_first_step_do_not_count_despite_an_earlier_checkpoint():
    assert judge(checkpoints=(saved(20),), phrases=[DONE]).status is TaskStatus.FAILED


@pytest.mark.parametrize("how", [{"exit_code": 1}, {"exit_code": 247}, {"exit_code": None, "signal": 9}])
def test_caption_with_the_phrase_before_a_kill_is_not_a_success(how: dict[str, Any]):
    for progress in (HALFWAY, replace(HALFWAY, total_steps=None)):
        verdict = judge(progress=progress, checkpoints=(saved(10),), phrases=[DONE], **how)
        assert verdict.status is TaskStatus.FAILED


def test_requested_quit_without_a_checkpoint_is_reported():
    verdict = judge(USER, HALFWAY, phrases=[QUIT])
    assert (verdict.status, "no checkpoint" in text_of(verdict.message)) == (TaskStatus.STOPPED, True)


def test_exit_code_0_alone_is_not_a_success():
    verdict = judge(exit_code=0)
    assert (verdict.status, verdict.cause.code) == (TaskStatus.FAILED, CauseCode.DID_NOT_TRAIN)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"reason": "machine_restarted", "exit_code": None}, CauseCode.MACHINE_RESTARTED),
        ({"reason": "could_not_start", "exit_code": None, "error": "no such file"}, CauseCode.COULD_NOT_START),
        ({"reason": "supervisor_lost", "exit_code": None}, CauseCode.SUPERVISOR_LOST),
        ({"reason": "job_cancelled", "exit_code": 0, "error": "Slurm's job 1 was cancelled"}, CauseCode.JOB_CANCELLED),
        ({"reason": "job_lost", "exit_code": None, "signal": 15}, CauseCode.JOB_LOST),
        ({"reason": "storage_unseen", "exit_code": None, "error": "n3"}, CauseCode.STORAGE_UNSEEN),
        ({"exit_code": 0, "phrases": [QUIT], "checkpoints": (saved(3),), "last_step": 3}, CauseCode.QUIT_UNASKED),
        ({"exit_code": None, "signal": 15}, CauseCode.KILLED),
        ({"exit_code": 1}, CauseCode.TRAINER_ERROR),
        ({"exit_code": 1, "log_lost_bytes": 5}, CauseCode.DISK_FULL),
    ],
)
def test_cause_has_its_code(how: dict[str, Any], code: CauseCode):
    cause = judge(**how).cause
    assert cause.code is code
    assert cause.detail
    assert cause.remedy


def test_reason_of_a_failed_start_is_reported():
    assert "no such file" in judge(reason="could_not_start", exit_code=None, error="no such file").cause.detail


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
@pytest.mark.parametrize("file", ["/opt/env/bin/python", "/data/tasks/t1/attempts/1/spec.json"])
def test_remedy_for_denied_access_names_the_file(number: int, file: str):
    error = f"[Errno {number}] denied: {file!r}"
    cause = judge(reason="could_not_start", exit_code=None, error=error, error_number=number, error_file=file).cause
    assert file in cause.remedy
    assert "DIFFUSION_PIPE" not in cause.remedy


def test_remedy_for_a_missing_program_names_the_settings():
    how = {"error": "[Errno 2] missing", "error_number": errno.ENOENT, "error_file": "/nowhere/python"}
    assert "DIFFUSION_PIPE_PYTHON" in judge(reason="could_not_start", exit_code=None, **how).cause.remedy


def test_error_in_the_log_takes_precedence_over_a_lost_supervisor():
    lines = (
        "[rank0]: Traceback (most recent call last):",
        "[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    )
    assert judge(reason="supervisor_lost", exit_code=None, lines=lines).cause.code is CauseCode.CUDA_OUT_OF_MEMORY


def test_error_in_the_log_takes_precedence_over_lost_output():
    lines = ("Traceback (most recent call last):", "ValueError: no such bucket")
    assert judge(exit_code=1, log_lost_bytes=5, lines=lines).cause.code is CauseCode.TRAINER_ERROR


def test_stop_by_the_service_fails_the_task_with_its_cause():
    verdict = judge(SERVICE, stop_rung=StopRung.TERMINATE, exit_code=None, signal=15)
    assert (verdict.status, verdict.cause) == (TaskStatus.FAILED, HUNG)


def test_attempt_that_failed_before_the_stop_reached_it_is_failed():
    assert judge(USER, exit_code=1, stop_rung=StopRung.CHECKPOINT).status is TaskStatus.FAILED


# -- retries -------------------------------------------------------------------------------------------------------


def retry(code: CauseCode, retries: int = 0, in_a_row: int = 0, made_progress: bool = False, **request: Any):
    training_request = TrainingRequest("toy", **request)
    task = replace(
        preview("a", training_request, TrainingPlan("toy", "toy", 1), NOW), retries=retries, retries_in_a_row=in_a_row
    )
    return plan_retry(task, training_request, Cause(code, "", ""), made_progress)


@pytest.mark.parametrize("code", CauseCode)
def test_only_external_causes_are_retried_automatically(code: CauseCode):
    found = retry(code)
    assert (found is not None) == (code in RETRIED_BY_ITSELF or code in MADE_ROOM)
    assert found is None or not found.counts


@pytest.mark.parametrize(("code", "limit"), RETRIED_BY_ITSELF.items())
def test_automatic_retries_are_limited(code: CauseCode, limit: int):
    assert retry(code, in_a_row=limit - 1) is not None
    assert retry(code, in_a_row=limit) is None
    assert retry(code, in_a_row=limit, made_progress=True) is not None


@pytest.mark.parametrize("code", CauseCode)
def test_requested_retries_are_counted(code: CauseCode):
    if code in RETRIED_BY_ITSELF or code in MADE_ROOM:
        return
    found = retry(code, max_retries=2)
    assert (found is not None) == (code in RETRIED_BY_DEFAULT)
    assert found is None or found.counts
    assert retry(code, retries=2, max_retries=2) is None


def test_retried_causes_can_be_selected():
    chosen = {"max_retries": 1, "retry_on": (CauseCode.CUDA_OUT_OF_MEMORY,)}
    assert retry(CauseCode.CUDA_OUT_OF_MEMORY, **chosen) is not None
    assert retry(CauseCode.TRAINER_ERROR, **chosen) is None


def test_start_with_a_temporary_error_is_retried_up_to_a_limit():
    verdict = could_not_start(OSError(errno.ENOSPC, "No space left on device"))
    assert verdict.is_temporary
    training_request = TrainingRequest("toy")
    task = preview("a", training_request, TrainingPlan("toy", "toy", 1), NOW)
    tries = [
        plan_retry(replace(task, retries_in_a_row=count), training_request, verdict.cause, False, verdict.is_temporary)
        for count in range(TEMPORARY_TRIES + 1)
    ]
    assert tries[-1] is None
    assert [retry.wait for retry in tries[:-1]] == [5, 10, 20, 40, 80, 160]
    assert not any(retry.counts for retry in tries[:-1])


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file"), OSError("?"), ValueError("no such bucket")])
def test_start_with_a_permanent_error_is_not_retried(error: Exception):
    assert not could_not_start(error).is_temporary


def test_start_with_a_used_port_is_retried_immediately():
    assert retry(CauseCode.PORT_IN_USE, in_a_row=4).wait == 0


@given(in_a_row=st.integers(0, 500), made_progress=st.booleans(), code=st.sampled_from(CauseCode))
def test_wait_grows_up_to_its_limit(in_a_row: int, made_progress: bool, code: CauseCode):
    found = retry(code, in_a_row=in_a_row, made_progress=made_progress, max_retries=10**6, retry_on=tuple(CauseCode))
    assert found is not None
    assert 0 <= found.wait <= LONGEST_WAIT
    if made_progress and code is not CauseCode.PORT_IN_USE and code not in MADE_ROOM:
        assert found.wait == FIRST_WAIT


def test_stop_order_from_outside_the_service_is_reported():
    verdict = judge(exit_code=None, signal=15, stop_rung=StopRung.TERMINATE)
    assert verdict.cause is not None
    assert verdict.cause.code is CauseCode.KILLED
    assert "supervisor" in verdict.cause.detail


@pytest.mark.parametrize(
    ("exit_code", "stop", "status"),
    [
        (0, None, TaskStatus.COMPLETED),
        (0, USER, TaskStatus.COMPLETED),
        (0, SERVICE, TaskStatus.FAILED),
        (1, None, TaskStatus.FAILED),
        (None, None, TaskStatus.FAILED),
    ],
)
def test_exit_code_decides_for_cache_tasks(exit_code: int | None, stop: StopState | None, status: TaskStatus):
    phrases = frozenset({DONE})
    found = judge_caching(outcome(exit_code=exit_code, phrases=phrases), TOY, stop, Progress(), ())
    assert found.status is status
