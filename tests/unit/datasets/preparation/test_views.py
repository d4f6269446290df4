"""Views of preprocessing tasks."""

from dataclasses import replace

import pytest

from api.datasets.preparation.views import STATUSES, PreprocessStatus, show_preprocess
from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.training import TaskStatus
from tests.unit.trainings import TrainingMachine

AT_WORK = ProgressReport.from_json(
    {
        "progress": {
            "overall_progress": 40.0,
            "current_step": 3,
            "total_steps": 9,
            "eta_seconds": 60.0,
            "activity": 'working on "a.mp4"',
        }
    }
)


@pytest.mark.parametrize(
    ("status", "shown", "step"),
    [
        (TaskStatus.QUEUED, PreprocessStatus.QUEUED, "waiting"),
        (TaskStatus.STARTING, PreprocessStatus.PROCESSING, "starting"),
        (TaskStatus.RUNNING, PreprocessStatus.PROCESSING, 'working on "a.mp4"'),
        (TaskStatus.STOPPING, PreprocessStatus.PROCESSING, "stopping"),
        (TaskStatus.COMPLETED, PreprocessStatus.COMPLETED, None),
        (TaskStatus.FAILED, PreprocessStatus.FAILED, None),
        (TaskStatus.STOPPED, PreprocessStatus.CANCELLED, None),
    ],
)
def test_each_task_status_has_a_preprocessing_status(
    machine: TrainingMachine, status: TaskStatus, shown: PreprocessStatus, step: str | None
):
    machine.put_errand()
    view = show_preprocess(replace(machine.task("e"), status=status), AT_WORK, None)
    assert (view.status, view.current_step) == (shown, step)
    assert view.eta_seconds == (60.0 if status.is_active else None)
    assert status in STATUSES[shown]


def test_last_step_is_storing_the_result(machine: TrainingMachine):
    machine.put_errand()
    done = replace(AT_WORK, progress=replace(AT_WORK.progress, current_step=9))
    view = show_preprocess(replace(machine.task("e"), status=TaskStatus.RUNNING), done, None)
    assert view.current_step == "keeping the result"


def test_result_stored_by_another_version_is_read(machine: TrainingMachine):
    machine.put_errand()
    stored = {"dataset": "a@1", "version": 1, "manifest": "sha256:x", "items": 1, "of_a_newer_version": 5}
    view = show_preprocess(replace(machine.task("e"), status=TaskStatus.COMPLETED, result=stored), None, None)
    assert view.result is not None
    assert (view.result.dataset, view.progress) == ("a@1", 100.0)
