"""The submission of a claimed attempt."""

from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.tasks.training import AttemptStatus, TrainingPlan, TrainingRequest
from api.files.task_files import TaskStorage
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Command, Launch
from api.training.attempts.outcomes import CannotStart
from api.training.attempts.preparation import AttemptPreparation, ProcessSettings
from tests.unit.access.locations import make_files, paths_of
from tests.unit.trainings import RUN_DIR, TrainingMachine

TOY = Toy("python")


@pytest.fixture
def preparation(tmp_path: Path) -> AttemptPreparation:
    environment = {"PATH": "/bin", "HF_HOME": "/service"}
    return AttemptPreparation(TaskStorage(tmp_path), ProcessSettings(environment, environment, 1000))


def test_new_attempt_gets_files_environment_and_phrases(machine: TrainingMachine, preparation: AttemptPreparation):
    attempt = machine.claim(env={"HF_HOME": "/cache"})
    machine.files().store_secrets({"HF_TOKEN": "hf_secret"})
    submission = preparation.prepare(machine.task(), attempt, TOY, is_new=True)
    assert (Path(attempt.directory) / "config.toml").is_file()
    assert submission.argv[0] == "python"
    assert {name: submission.env[name] for name in ("PATH", "HF_HOME", "HF_TOKEN")} == {
        "PATH": "/bin",
        "HF_HOME": "/cache",
        "HF_TOKEN": "hf_secret",
    }
    assert (submission.ref, submission.has_run) == (preparation.ref(attempt), False)
    assert submission.phrases == (TOY.completed_phrase, TOY.stopped_phrase)
    assert submission.gpu_uuids == attempt.gpu_uuids


def test_running_attempt_is_not_touched(machine: TrainingMachine, preparation: AttemptPreparation):
    attempt = replace(machine.claim(), status=AttemptStatus.RUNNING)
    submission = preparation.prepare(machine.task(), attempt, TOY, is_new=False)
    assert submission.has_run
    assert not (Path(attempt.directory) / "config.toml").exists()


def test_secrets_in_another_storage_must_be_sent_again(machine: TrainingMachine, preparation: AttemptPreparation):
    attempt = machine.claim(env={"HF_TOKEN": "***"})
    with pytest.raises(CannotStart, match="HF_TOKEN is missing in this STORAGE_ROOT"):
        preparation.prepare(machine.task(), attempt, TOY, is_new=True)


def test_run_directory_is_prepared_for_a_resume(machine: TrainingMachine, preparation: AttemptPreparation):
    attempt = machine.claim()
    run_dir = machine.saves(5, 10)
    resumed = replace(attempt, run_dir=str(run_dir), resumed_from="global_step5")
    submission = preparation.prepare(machine.task(), resumed, TOY, is_new=True)
    assert submission.argv[-2:] == ("--resume_from_checkpoint", str(machine.files().output / RUN_DIR))
    assert (run_dir / "latest").read_text() == "global_step5"


def test_deleted_checkpoint_cannot_be_resumed(machine: TrainingMachine, preparation: AttemptPreparation):
    attempt = machine.claim()
    run_dir = machine.saves(5)
    with pytest.raises(CannotStart):
        preparation.prepare(
            machine.task(), replace(attempt, run_dir=str(run_dir), resumed_from="global_step9"), TOY, is_new=True
        )


def test_own_program_of_the_service_has_its_environment_and_user(machine: TrainingMachine, tmp_path: Path):
    own = {"HOME": "/home/service"}
    preparation = AttemptPreparation(TaskStorage(tmp_path), ProcessSettings({"HOME": "/caches"}, own, 1000))

    class Own(Toy):
        def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
            return replace(super().prepare(request, plan, launch), is_own=True)

    attempt = machine.claim()
    submission = preparation.prepare(machine.task(), attempt, Own("python"), is_new=True)
    assert (submission.env["HOME"], submission.output_dir) == ("/home/service", None)
    other = preparation.prepare(machine.task(), attempt, TOY, is_new=True)
    assert (other.env["HOME"], other.output_dir) == ("/caches", preparation.files(attempt.task_id).output)


def test_attempt_with_a_path_that_became_forbidden_is_not_started(machine: TrainingMachine, tmp_path: Path):
    make_files(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "loras")
    attempt = machine.claim(config={"epochs": 3})
    preparation = AttemptPreparation(TaskStorage(tmp_path), ProcessSettings({}, {}, 1000), paths=paths_of(tmp_path))
    request = replace(machine.task().request, config={"anything": str(link)})
    task = replace(machine.task(), owner="ann", request=request)
    preparation.prepare(task, attempt, TOY, is_new=True)
    link.unlink()
    link.symlink_to(tmp_path / "storage" / "tasks" / "bob" / "output")
    with pytest.raises(CannotStart, match="/config/anything now leads to files of the service or of another user"):
        preparation.prepare(task, attempt, TOY, is_new=True)
    preparation.prepare(replace(task, owner="bob"), attempt, TOY, is_new=True)
