import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.log import LogLevel, LogType
from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.domain.tasks.progress import Stage
from api.domain.tasks.training import GPURequest, TrainingRequest
from api.jobs.errors import JobFailed
from api.jobs.kinds import CAPTIONING_JOB, DOWNLOAD_JOB, EXPORT_JOB, PREPROCESSING_JOB, PUSH_JOB, JobKind
from api.jobs.messages import report_failure
from api.jobs.trainer import JobTrainer, MessageClassifier, MessageReader, run_name
from api.trainers.trainer import Ending, Launch

REQUEST = TrainingRequest("wan", GPURequest(count=0))


@pytest.fixture
def trainer() -> JobTrainer:
    return JobTrainer(DOWNLOAD_JOB, python="python")


def progress(done: int, total: int, percent: float, left: float | None) -> str:
    return json.dumps({"dp": "progress", "step": done, "total": total, "percent": percent, "seconds_left": left})


def ending(*lines: str, exit_code: int = 1) -> Ending:
    return Ending(exit_code, None, stop_requested=False, phrases=frozenset(), last_lines=lines)


@pytest.mark.parametrize("kind", [DOWNLOAD_JOB, PUSH_JOB, PREPROCESSING_JOB, CAPTIONING_JOB])
def test_attempt_runs_the_program_in_the_tasks_directory(kind: JobKind, tmp_path: Path):
    trainer, output = JobTrainer(kind, threads=2, python="python"), tmp_path / "task" / "output"
    output.mkdir(parents=True)
    launch = Launch(tmp_path / "task" / "attempts" / "3", output, (), 0)
    plan = trainer.check(REQUEST, output).plan
    assert plan is not None
    with pytest.raises(OSError, match="No such file"):
        trainer.prepare(REQUEST, plan, launch)
    (output / kind.request_file).write_text("")
    with pytest.raises(ValueError, match="is empty"):
        trainer.prepare(REQUEST, plan, launch)
    (output / kind.request_file).write_text("{}")
    command = trainer.prepare(REQUEST, plan, launch)
    assert command.argv[:5] == ("python", "-P", "-u", "-m", kind.module)
    assert command.argv[5:] == ("--work", str(output), "--run", "run_3", "--threads", "2")
    assert ("HF_HUB_VERBOSITY" in command.env, command.is_own) == (kind in (DOWNLOAD_JOB, PUSH_JOB),) * 2


def test_run_directory_with_the_highest_number_is_the_latest(trainer: JobTrainer, tmp_path: Path):
    assert trainer.find_run_dir(tmp_path) is None
    for name in ("run_2", "run_10", "run_x", "run_²", f"run_{'9' * 20}", "made"):
        (tmp_path / name).mkdir()
    assert trainer.find_run_dir(tmp_path) == tmp_path / "run_10"
    assert run_name(Launch(tmp_path / "attempts" / "11", tmp_path, (), 0)) == "run_11"


@pytest.mark.parametrize("name", ["done.json", "stopped.json"])
def test_run_is_complete_once_its_program_left_a_file(trainer: JobTrainer, tmp_path: Path, name: str):
    assert trainer.checkpoints(tmp_path) == ()
    (tmp_path / name).write_text("{}")
    (found,) = trainer.checkpoints(tmp_path)
    assert (found.name, found.is_complete, found.step) == (name, True, None)


def test_file_asks_the_program_to_stop(trainer: JobTrainer, tmp_path: Path):
    assert trainer.signal_file(tmp_path) == tmp_path / "stop"


def test_no_request_for_a_training_chooses_a_job(trainer: JobTrainer):
    assert trainer.model_types == frozenset()
    assert trainer.problems() == ()
    assert trainer.without_secrets(REQUEST) is REQUEST


# -- progress ----------------------------------------------------------------------------------------------------------


def read(*lines: str, kind: JobKind = PREPROCESSING_JOB) -> MessageReader:
    reader = MessageReader(kind, 12)
    for number, line in enumerate(lines):
        assert reader.read(line, 100.0 + number) is None
    return reader


@pytest.mark.parametrize("latest", [progress(3, 12, 40.0, 60.0), "items: 3 of 12, 40.0 %, 60 s left"])
def test_progress_counts_items_and_the_time_left(latest: str):
    found = read(progress(0, 12, 0.0, None), latest).progress
    assert (found.step, found.total_steps, found.first_step) == (3, 12, 0)
    assert (found.overall_progress, found.eta_seconds) == (40.0, 60.0)
    assert found.stage is Stage.TRAINING


def test_activity_is_a_sign_of_life():
    found = read(progress(0, 1, 0.0, None), '{"dp": "activity", "message": "working on \\"a.mp4\\""}').progress
    assert found.activity == 'working on "a.mp4"'
    assert found.last_step_at == 101.0


def test_repeated_warning_is_listed_once():
    line = '{"dp": "warning", "message": "too short"}'
    assert list(read(line, line, "problem: too short", "other").progress.warnings) == ["too short"]


@pytest.mark.parametrize("kind", [DOWNLOAD_JOB, PUSH_JOB, PREPROCESSING_JOB])
def test_phrase_counts_at_the_end_only(kind: JobKind):
    done, phrase = progress(1, 1, 100.0, 0.0), kind.completed_phrase
    assert read(done, phrase, kind=kind).progress.phrases == {phrase}
    assert read(phrase, done, kind=kind).progress.phrases == set()
    assert read(f"x {phrase}", kind=kind).progress.phrases == set()


# -- log lines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "level", "shown"),
    [
        ('{"dp": "failed", "cause": "gated", "message": "no"}', LogLevel.ERROR, "no"),
        ('{"dp": "warning", "message": "again"}', LogLevel.WARNING, "again"),
        ('{"dp": "activity", "message": "working"}', LogLevel.INFO, "working"),
        ("refused (gated): no", LogLevel.ERROR, None),
        ("refused: no", LogLevel.ERROR, None),
        ("problem: again", LogLevel.WARNING, None),
        ('reason: {"code": "a", "params": {}}', LogLevel.DEBUG, None),
        (DOWNLOAD_JOB.completed_phrase, LogLevel.INFO, None),
        ("Traceback (most recent call last):", LogLevel.ERROR, None),
    ],
)
def test_log_lines_have_a_level_and_a_readable_text(line: str, level: LogLevel, shown: str | None):
    meaning = MessageClassifier(DOWNLOAD_JOB).read(line)
    assert (meaning.level, meaning.shown) == (level, shown)


@pytest.mark.parametrize("line", [progress(3, 5, 50.0, 1.0), "items: 3 of 5, 50.0 %, 1 s left"])
def test_log_lines_of_progress_have_their_step(line: str):
    meaning = MessageClassifier(PREPROCESSING_JOB).read(line)
    assert (meaning.level, meaning.type, meaning.step) == (LogLevel.INFO, LogType.TRAIN, 3)


# -- failures ----------------------------------------------------------------------------------------------------------


def test_reported_failure_is_the_cause(trainer: JobTrainer, capsys: pytest.CaptureFixture[str]):
    message = Reason.of("{name} is gated.", "download_gated", name="o/m")
    report_failure(JobFailed(message, CauseCode.GATED))
    cause = trainer.diagnose(ending(progress(0, 1, 0.0, None), *capsys.readouterr().out.splitlines()))
    assert (cause.code, cause.detail, cause.detail_code) == (CauseCode.GATED, "o/m is gated.", message.said)
    assert cause.remedy_code == DOWNLOAD_JOB.remedy.said


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("refused (disk_full): There is too little disk space: 3 GB are missing.", CauseCode.DISK_FULL),
        ("refused: The model o/m is gated: accept its licence.", CauseCode.MISSING_FILE),
        ("refused (of_a_later_version): The model o/m is gone.", CauseCode.MISSING_FILE),
    ],
)
def test_failure_of_an_older_program_is_the_cause(trainer: JobTrainer, line: str, code: CauseCode):
    cause = trainer.diagnose(ending("files: 0 of 1", line))
    assert (cause.code, cause.detail, cause.detail_code) == (code, line.partition(": ")[2], None)


def test_older_program_prints_the_reason_in_the_line_before(trainer: JobTrainer):
    cause = trainer.diagnose(
        ending('reason: {"code": "download_gated", "params": {}}', "refused (gated): o/m is gated.")
    )
    assert (cause.detail, cause.detail_code is None) == ("o/m is gated.", False)


def test_ending_without_a_reported_failure_is_diagnosed_by_its_lines(trainer: JobTrainer):
    cause = trainer.diagnose(ending("OSError: [Errno 28] No space left on device"))
    assert cause.code is CauseCode.DISK_FULL
    cause = trainer.diagnose(ending('{"dp": "warning", "message": "again"}', exit_code=3))
    assert (cause.code, cause.last_lines) == (CauseCode.TRAINER_ERROR, ("again",))


def test_job_that_ended_early_is_no_training(trainer: JobTrainer):
    cause = trainer.diagnose(ending('{"dp": "warning", "message": "again"}', exit_code=0))
    assert (cause.detail, cause.last_lines) == ("It ended before its work was done.", ("again",))


def test_percentage_and_remaining_time_are_the_reported_ones():
    reader = MessageReader(EXPORT_JOB, 12)
    reader.reported.done_percent, reader.reported.seconds_left = 40.0, 60.0
    assert (reader.progress.overall_progress, reader.progress.eta_seconds) == (40.0, 60.0)
    assert (reader.progress.stage, reader.progress.total_steps) == (Stage.TRAINING, 12)


def test_reader_restores_its_saved_state():
    reader, again = MessageReader(EXPORT_JOB, 12), MessageReader(EXPORT_JOB, 12)
    reported = reader.reported
    reported.step, reported.activity, reported.done_percent = 3, "working", 40.0
    reported.phrases.add("done")
    reported.warnings.append("again")
    again.restore(reader.save())
    assert again.save() == reader.save()


@pytest.mark.parametrize("note", [{"step": "x"}, {"percent": "x"}, {"activity": 5}])
def test_damaged_state_is_rejected(note: Mapping[str, object]):
    with pytest.raises((TypeError, ValueError)):
        MessageReader(EXPORT_JOB, 1).restore(note)


def test_export_that_computed_for_too_long_says_so_and_what_to_do():
    ended = replace(ending(exit_code=0), exit_code=None, signal=int(signal.SIGVTALRM))
    cause = JobTrainer(EXPORT_JOB).diagnose(ended)
    assert (cause.code, "SIGVTALRM" in cause.detail) == (CauseCode.REFUSED_FILE, False)
    assert "more than a minute of computing" in cause.detail
    assert '"method": "resume"' in cause.remedy
    assert "SIGVTALRM" in JobTrainer(PUSH_JOB).diagnose(ended).detail
