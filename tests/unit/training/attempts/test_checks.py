"""Checks of running attempts and their results."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from api.db.tables import tasks
from api.domain.machines.lease import LeaseKind
from api.domain.machines.reading import FaultKind
from api.domain.tasks.cause import CauseCode
from api.domain.tasks.progress import Progress, Stage
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import EventKind, TaskStatus
from api.gpus.sources.source import GPUFault
from api.jobs.kinds import DOWNLOAD_JOB
from api.jobs.trainer import JobTrainer
from api.training.attempts.checks import LONGEST_STEPS, USUAL_STEPS, HangLimits, describe_hang, is_stalled
from tests.unit.builders import process
from tests.unit.trainings import PROCESS, RUN_DIR, TrainingMachine, steps

#: A trainer's pace is known after these.
PACE = steps(*range(1, 11))


def test_stages_before_the_first_step_are_recorded_once(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(1))
    for _ in range(3):
        machine.train()
    assert machine.messages(EventKind.STAGE) == ["loading the model", "training"]


def test_run_directory_is_recorded(machine: TrainingMachine):
    machine.run()
    machine.saves(5)
    machine.clock.advance(6.0)
    machine.train()
    assert machine.attempt().run_dir == str(machine.files().output / RUN_DIR)


def test_new_checkpoint_is_recorded_once(machine: TrainingMachine):
    machine.run()
    machine.saves(5)
    for _ in range(3):
        machine.clock.advance(6.0)
        machine.train()
    assert sum("global_step5" in message for message in machine.messages(EventKind.CHECKPOINT)) == 1


def test_surplus_checkpoints_are_deleted(machine: TrainingMachine):
    machine.run(keep_last_checkpoints=1)
    run_dir = machine.saves(5, 10)
    machine.clock.advance(6.0)
    machine.train()
    assert sorted(path.name for path in run_dir.glob("global_step*")) == ["global_step10"]


def test_caches_are_released_once_it_trains(machine: TrainingMachine):
    plan = replace(machine.plan(), caches=("/data/cats/cache/toy",))
    machine.put(plan=plan)
    machine.train()
    assert [lease.resource for lease in machine.attempts.leases(LeaseKind.CACHE)] == ["/data/cats/cache/toy"]
    machine.executor.runs(machine.uid())
    machine.prints(steps(1))
    machine.train()
    assert machine.attempts.leases(LeaseKind.CACHE) == []


def test_peak_memory_is_recorded(machine: TrainingMachine):
    machine.run()
    for used in (5_000, 9_000, 7_000):
        machine.source.set_memory(0, used)
        machine.free_gpus()
    assert machine.watch().peak_memory_mb == 9_000


def test_rehearsal_is_stopped_at_its_time_limit_and_a_training_is_not(machine: TrainingMachine):
    machine.run()
    machine.clock.advance(HangLimits().rehearsal - 1)
    machine.train()
    machine.clock.advance(2)
    machine.train()
    assert machine.status() is TaskStatus.RUNNING
    with machine.database.write() as connection:
        connection.execute(update(tasks).values(kind=TaskType.REHEARSAL))
    machine.reconciler.stand_down()
    machine.train()
    stop = machine.task().stop
    assert stop is not None
    assert stop.cause is not None
    assert (stop.cause.code, stop.force) == (CauseCode.TIME_LIMIT, True)


def test_lost_gpu_stops_the_training_immediately_as_its_cause(machine: TrainingMachine):
    machine.run()
    machine.source.faults[0] = GPUFault(FaultKind.LOST, "it fell off the bus")
    machine.free_gpus()
    machine.train()
    stop = machine.task().stop
    assert machine.status() is TaskStatus.STOPPING
    assert stop is not None
    assert stop.force
    assert stop.cause is not None
    assert (stop.cause.code, "fell off the bus" in stop.cause.detail) == (CauseCode.GPU_LOST, True)


@pytest.mark.parametrize(("options", "status"), [({}, "running"), ({"stop_on_hang": True}, "stopping")])
def test_training_without_steps_gets_a_warning_and_is_stopped_if_requested(
    machine: TrainingMachine, options: dict[str, Any], status: str
):
    machine.run(**options)
    machine.prints(PACE)
    machine.train()
    machine.clock.advance(299)
    machine.train()
    assert machine.task().warning is None
    machine.clock.advance(2)
    machine.train()
    assert "no step for 301 s" in (machine.task().warning or "")
    assert machine.status() == status


def test_lines_of_a_warning_have_the_messages_of_jobs_instead_of_json(machine: TrainingMachine):
    machine.run()
    machine.watch().trainer = JobTrainer(DOWNLOAD_JOB)
    machine.prints('{"dp": "warning", "message": "The hub is slow."}\nother output\n')
    machine.train()
    machine.clock.advance(2000)
    machine.train()
    (warning,) = [event for event in machine.tasks.events("a", 0, 500) if event.type is EventKind.WARNING]
    assert warning.details is not None
    assert list(warning.details["last_lines"]) == ["The hub is slow.", "other output"]


CACHING_FAILS = """caching latents: (1.0, 64, 64, 1)
[CACHE] Initializing
[rank0]: Traceback (most recent call last):
[rank0]:   File "FOLDER/tree/utils/dataset.py", line 1258, in _handle_task
[rank0]:     results = self.call_text_encoder_fns[idx](*args)
[rank0]: IndexError: index out of range in self
"""


def test_attempt_ends_a_minute_after_its_caching_has_failed(machine: TrainingMachine):
    machine.run()
    machine.prints(CACHING_FAILS)
    machine.train()
    machine.clock.advance(59)
    machine.train()
    assert (machine.status(), machine.task().warning) == ("running", None)
    machine.clock.advance(2)
    machine.train()
    stop = machine.task().stop
    assert machine.status() is TaskStatus.STOPPING
    assert stop is not None
    assert stop.cause is not None
    assert stop.cause.code is CauseCode.TRAINER_ERROR
    assert stop.cause.detail.startswith("IndexError: index out of range in self")
    assert stop.cause.remedy


def test_quiet_caching_without_an_error_goes_on(machine: TrainingMachine):
    machine.run()
    machine.prints(CACHING_FAILS.replace("[rank0]: ", "") + "caching text embeddings: (1.0, 1)\n")
    machine.train()
    machine.clock.advance(600)
    machine.train()
    assert machine.status() == "running"


@pytest.mark.parametrize("seconds", [86_400, -86_400])
def test_changed_clock_neither_causes_nor_hides_a_hang(machine: TrainingMachine, seconds: float):
    machine.run("trains")
    machine.run("loads")
    machine.prints(PACE, "trains")
    machine.train()
    machine.clock.jump(seconds)
    machine.train()
    assert [machine.task(task_id).warning for task_id in ("trains", "loads")] == [None, None]
    machine.clock.advance(301)
    machine.train()
    assert "no step for 301 s" in (machine.task("trains").warning or "")
    machine.clock.advance(1500)
    machine.train()
    assert "has printed nothing for 1801 s" in (machine.task("loads").warning or "")


def test_foreign_process_on_its_gpus_is_remembered(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(1))
    machine.source.set_memory(0, 9_000)
    machine.source.processes[0] = (process(PROCESS.pid, memory_mb=8_600),)
    machine.free_gpus()
    assert (machine.watch().shares_gpus, machine.watch().was_measured_training) == (False, True)
    machine.source.set_memory(0, 12_000)
    machine.source.processes[0] = (process(PROCESS.pid, memory_mb=8_600), process(99, memory_mb=3_000))
    machine.free_gpus()
    machine.source.processes[0] = ()
    machine.source.set_memory(0, 400)
    machine.free_gpus()
    assert machine.watch().shares_gpus


LIMITS = HangLimits(step=300, quiet=1800)
START = 1000.0
QUIET_STAGES = [stage for stage in Stage if stage is not Stage.TRAINING]


def hangs(after: float, **known: Any) -> str | None:
    """Return the description of a hang this many seconds after the start."""
    return describe_hang(Progress(**known), START, START + after, LIMITS)


@pytest.mark.parametrize("stage", QUIET_STAGES)
def test_silence_without_steps_is_tolerated_longer(stage: Stage):
    assert hangs(1800, stage=stage) is None
    assert "has printed nothing for 1801 s" in str(hangs(1801, stage=stage))


@pytest.mark.parametrize("stage", QUIET_STAGES)
def test_any_line_counts_as_activity_without_steps(stage: Stage):
    assert hangs(3000, stage=stage, last_line_at=START + 1500) is None
    assert hangs(3000, stage=stage, stage_since=START + 1500) is None


def test_line_does_not_count_as_activity_while_steps_are_expected():
    assert hangs(1000, stage=Stage.TRAINING, seconds_per_step=1.0, last_step_at=START, last_line_at=START + 999)


def test_first_step_may_take_as_long_as_loading():
    assert hangs(1800, stage=Stage.TRAINING) is None
    assert "no step for 1801 s" in str(hangs(1801, stage=Stage.TRAINING))


@pytest.mark.parametrize(
    ("usual", "longest", "bound"), [(1.0, 1.0, 300), (20.0, 20.0, 400), (1.0, 200.0, 600), (60.0, 61.0, 1200)]
)
def test_limit_of_a_step_depends_on_earlier_steps(usual: float, longest: float, bound: float):
    known = {"stage": Stage.TRAINING, "seconds_per_step": usual, "longest_step": longest, "last_step_at": START}
    assert hangs(bound, **known) is None
    assert f"the limit is {bound} s" in str(hangs(bound + 1, **known))


def test_evaluation_time_does_not_count_for_the_next_step():
    known = {"stage": Stage.TRAINING, "seconds_per_step": 1.0, "last_step_at": START}
    assert hangs(1000, **known, stage_since=START + 900) is None


@pytest.mark.parametrize(("usual", "longest", "bound"), [(0.1, 0.2, 20), (10.0, 10.0, 50), (10.0, 40.0, 80)])
def test_pace_becomes_unknown_long_before_a_hang(usual: float, longest: float, bound: float):
    known = Progress(stage=Stage.TRAINING, seconds_per_step=usual, longest_step=longest, last_step_at=START)
    assert not is_stalled(known, START, START + bound, LIMITS)
    assert is_stalled(known, START, START + bound + 1, LIMITS)
    assert describe_hang(known, START, START + bound + 1, LIMITS) is None


@pytest.mark.parametrize("stage", QUIET_STAGES)
def test_stage_without_steps_is_stalled_when_it_hangs(stage: Stage):
    known = Progress(stage=stage, seconds_per_step=1.0, last_line_at=START)
    assert not is_stalled(known, START, START + 1800, LIMITS)
    assert is_stalled(known, START, START + 1801, LIMITS)


@given(
    stage=st.sampled_from(Stage),
    usual=st.none() | st.floats(0.001, 1e4),
    longest=st.none() | st.floats(0.001, 1e5),
    after=st.floats(0, 1e6),
)
def test_nothing_hangs_within_its_limits(stage: Stage, usual: float | None, longest: float | None, after: float):
    reason = hangs(after, stage=stage, seconds_per_step=usual, longest_step=longest)
    least = LIMITS.step if stage is Stage.TRAINING and usual is not None else LIMITS.quiet
    if after <= max(
        least, *(factor * (value or 0) for factor, value in [(USUAL_STEPS, usual), (LONGEST_STEPS, longest)])
    ):
        assert reason is None or stage is not Stage.TRAINING
    if after <= least:
        assert reason is None
    if after > max(LIMITS.quiet, USUAL_STEPS * (usual or 0), LONGEST_STEPS * (longest or 0)):
        assert reason is not None
