from pathlib import Path
from typing import Any

from api.executors.fake import FakeExecutor, outcome
from api.training.task_answers import LostOutput
from tests.unit.trainings import TrainingMachine


def test_lost_output_is_counted_by_outcomes_and_by_the_running_supervisor(machine: TrainingMachine):
    machine.run()
    lost = LostOutput(machine.executor, machine.root)
    assert lost.count(machine.attempts.of_task("a")) is None
    machine.executor.lose_output(machine.uid(), 5)
    assert lost.count(machine.attempts.of_task("a")) == 5
    machine.end(how=outcome(exit_code=1, log_lost_bytes=7))
    assert lost.count(machine.attempts.of_task("a")) == 7


def test_outcome_without_the_value_counts_as_zero(machine: TrainingMachine):
    machine.run()
    attempt: Any = machine.attempt()
    object.__setattr__(attempt, "outcome", {"log_lost_bytes": "x"})
    assert LostOutput(FakeExecutor(), Path("/")).count([attempt]) is None
